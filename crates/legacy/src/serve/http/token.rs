//! Session ids. An id is a sealed token that holds what `initialize` negotiated, is bound to the
//! server and the principal, and expires.

use crate::serve::negotiated::Negotiated;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use carryall_proto::seal::{Keyring, NONCE_BYTES};
use carryall_proto::{ClientId, Principal};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Maximum length of an id. Proxies commonly limit all headers together to 8 KiB.
const MAX_ID_BYTES: usize = 4096;
/// The length of the format prefix of a token.
const PREFIX_BYTES: usize = 3;
/// The length of the part of a token that names the session among replicas: the key number and 23
/// random bytes.
const NAME_BYTES: usize = 36;
/// Maximum length of the client's name and version if the token would be too long otherwise.
const MAX_NAME_CHARS: usize = 128;

/// Maximum size of what is kept of a client that needs no session id, in bytes of JSON.
const MAX_NEGOTIATED_BYTES: usize = 2900;

/// How a token is shortened if it is too long: these steps, in this order.
const SHORTEN: [fn(&mut Negotiated); 4] =
    [|_| {}, drop_presentation, drop_extensions, truncate_names];

/// What a token is valid for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenPurpose {
    /// `Mcp-Session-Id`.
    Session,
    /// An HTTP+SSE stream.
    Stream2024,
}

impl TokenPurpose {
    fn name(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Stream2024 => "session-2024",
        }
    }
}

/// The keys that seal tokens, and the server that they are bound to.
pub(super) struct SessionKeys {
    pub(super) keyring: Keyring,
    /// Empty for an unnamed server.
    pub(super) server: Box<str>,
}

impl SessionKeys {
    /// Returns what tokens are bound to: the server, and the issuer, subject and client of the
    /// principal. Not the scopes, which may grow during a session.
    fn binding(&self, principal: Option<&Principal>) -> Vec<u8> {
        let of_principal = principal.into_iter().flat_map(|principal| {
            [&*principal.issuer, &*principal.subject]
                .into_iter()
                .chain(principal.client.as_deref())
        });
        let parts = std::iter::once(&*self.server).chain(of_principal);
        parts
            .flat_map(|part| {
                (part.len() as u64)
                    .to_be_bytes()
                    .into_iter()
                    .chain(part.bytes())
            })
            .collect()
    }
}

/// The content of a session id.
#[derive(Clone, Debug)]
pub(super) struct SessionToken {
    /// The name of the session among replicas.
    pub(super) name: Arc<str>,
    pub(super) negotiated: Negotiated,
    /// In seconds since the Unix epoch.
    pub(super) expires_at: u64,
}

#[derive(Serialize, Deserialize)]
struct TokenContent {
    #[serde(rename = "x")]
    expires_at: u64,
    #[serde(rename = "n")]
    negotiated: Negotiated,
}

/// Seals the id of a new session. Returns also what the id holds of `negotiated`: the replica that
/// opens the session keeps no more, so that the session is the same on all replicas.
pub(super) fn seal(
    keys: &SessionKeys,
    principal: Option<&Principal>,
    negotiated: Negotiated,
    expires_at: u64,
) -> Option<(String, Negotiated)> {
    let mut content = TokenContent {
        expires_at,
        negotiated,
    };
    for shorten in SHORTEN {
        shorten(&mut content.negotiated);
        let text = serde_json::to_vec(&content).ok()?;
        // The keyring refuses texts that are too large for any token.
        if text.len() > MAX_ID_BYTES {
            continue;
        }
        let token = seal_text(keys, TokenPurpose::Session, principal, expires_at, &text)?;
        if token.len() <= MAX_ID_BYTES {
            return Some((token, content.negotiated));
        }
    }
    None
}

/// Returns as much of `negotiated` as would fit into a session id; `None` if the required part does
/// not.
pub(super) fn shortened(mut negotiated: Negotiated) -> Option<Negotiated> {
    for shorten in SHORTEN {
        shorten(&mut negotiated);
        if serde_json::to_vec(&negotiated).ok()?.len() <= MAX_NEGOTIATED_BYTES {
            return Some(negotiated);
        }
    }
    None
}

/// Opens a session id at `now`, in seconds since the Unix epoch.
pub(super) fn open(
    keys: &SessionKeys,
    principal: Option<&Principal>,
    now: u64,
    token: &str,
) -> Option<SessionToken> {
    if token.len() > MAX_ID_BYTES {
        return None;
    }
    let text = keys
        .keyring
        .open(
            TokenPurpose::Session.name(),
            &keys.binding(principal),
            now,
            token,
        )
        .ok()?;
    let TokenContent {
        expires_at,
        negotiated,
    } = serde_json::from_slice(&text).ok()?;
    Some(SessionToken {
        name: name_of(token)?,
        negotiated,
        expires_at,
    })
}

/// Seals the token of an HTTP+SSE stream: a name, bound to the server and the principal.
pub(super) fn seal_stream(
    keys: &SessionKeys,
    principal: Option<&Principal>,
    expires_at: u64,
) -> Option<String> {
    seal_text(keys, TokenPurpose::Stream2024, principal, expires_at, b"")
}

/// Opens the token of an HTTP+SSE stream and returns its name.
pub(super) fn open_stream(
    keys: &SessionKeys,
    principal: Option<&Principal>,
    now: u64,
    token: &str,
) -> Option<Arc<str>> {
    keys.keyring
        .open(
            TokenPurpose::Stream2024.name(),
            &keys.binding(principal),
            now,
            token,
        )
        .ok()?;
    name_of(token)
}

fn seal_text(
    keys: &SessionKeys,
    purpose: TokenPurpose,
    principal: Option<&Principal>,
    expires_at: u64,
    text: &[u8],
) -> Option<String> {
    let mut nonce = [0; NONCE_BYTES];
    getrandom::fill(&mut nonce).ok()?;
    keys.keyring
        .seal(
            purpose.name(),
            &keys.binding(principal),
            expires_at,
            nonce,
            text,
        )
        .ok()
}

/// Returns the name of the session or stream that a token belongs to.
pub(super) fn name_of(token: &str) -> Option<Arc<str>> {
    token
        .get(PREFIX_BYTES..PREFIX_BYTES + NAME_BYTES)
        .map(Arc::from)
}

/// Returns the client id of a session: the random part of its name, the same on all replicas.
pub(super) fn client_id(name: &str) -> ClientId {
    let bytes = URL_SAFE_NO_PAD.decode(name).unwrap_or_default();
    // The first four bytes are the key number.
    let random = bytes
        .get(4..20)
        .and_then(|random| random.try_into().ok())
        .unwrap_or_default();
    ClientId::Legacy(u128::from_be_bytes(random))
}

/// Removes what is only meant for user interfaces, and experimental capabilities.
fn drop_presentation(negotiated: &mut Negotiated) {
    let info = &mut negotiated.client_info;
    (info.title, info.description, info.icons, info.website_url) = Default::default();
    info.extra = Default::default();
    (
        negotiated.capabilities.experimental,
        negotiated.capabilities.extra,
    ) = Default::default();
}

/// Removes extensions, which came with 2026-07-28: clients of earlier revisions hardly have any.
fn drop_extensions(negotiated: &mut Negotiated) {
    negotiated.capabilities.extensions = None;
}

fn truncate_names(negotiated: &mut Negotiated) {
    for text in [
        &mut negotiated.client_info.name,
        &mut negotiated.client_info.version,
    ] {
        if let Some((end, _)) = text.char_indices().nth(MAX_NAME_CHARS) {
            text.truncate(end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use carryall_proto::seal::SealingKey;
    use carryall_types::{Implementation, ProtocolVersion};
    use serde_json::json;

    fn ring() -> SessionKeys {
        keys(1, "notes")
    }

    fn keys(secret: u8, server: &str) -> SessionKeys {
        SessionKeys {
            keyring: Keyring::new(SealingKey::new(1, [secret; 32])),
            server: server.into(),
        }
    }

    fn principal(subject: &str, client: Option<&str>) -> Principal {
        Principal {
            issuer: "https://issuer.example".into(),
            subject: subject.into(),
            client: client.map(str::to_owned),
            scopes: Vec::new(),
        }
    }

    fn negotiated() -> Negotiated {
        serde_json::from_value(json!({
            "v": "2025-06-18",
            "i": {"name": "test", "version": "1"},
            "c": {"elicitation": {"form": {}}},
        }))
        .unwrap()
    }

    fn seal(
        keys: &SessionKeys,
        principal: Option<&Principal>,
        negotiated: &Negotiated,
        expires_at: u64,
    ) -> Option<String> {
        super::seal(keys, principal, negotiated.clone(), expires_at).map(|(token, _)| token)
    }

    fn named(name: &str) -> Negotiated {
        Negotiated {
            client_info: Implementation::new(name, "1"),
            ..negotiated()
        }
    }

    #[test]
    fn an_id_holds_what_was_negotiated_and_a_name() {
        let id = seal(&ring(), None, &negotiated(), 100).unwrap();
        assert!(id.bytes().all(|byte| (0x21..=0x7e).contains(&byte)), "{id}");
        let opened = open(&ring(), None, 99, &id).unwrap();
        assert_eq!(opened.negotiated.version, ProtocolVersion::V2025_06_18);
        assert_eq!(opened.negotiated.client_info.name, "test");
        assert!(opened.negotiated.capabilities.elicitation.is_some());
        assert_eq!(opened.expires_at, 100);
        assert_eq!(Some(&*opened.name), id.get(3..39));
        assert_ne!(
            Some(opened.name),
            name_of(&seal(&ring(), None, &negotiated(), 100).unwrap()),
            "names are random"
        );
    }

    #[test]
    fn an_id_is_bound_to_its_principal_lifetime_and_keyring() {
        let (alice, bob) = (
            principal("alice", Some("app")),
            principal("bob", Some("app")),
        );
        let id = seal(&ring(), Some(&alice), &negotiated(), 100).unwrap();
        assert!(open(&ring(), Some(&alice), 99, &id).is_some());
        let more_scopes = Principal {
            scopes: vec!["admin".into()],
            ..alice.clone()
        };
        assert!(open(&ring(), Some(&more_scopes), 99, &id).is_some());
        for other in [
            None,
            Some(&bob),
            Some(&principal("alice", None)),
            Some(&principal("alice", Some("other"))),
        ] {
            assert!(open(&ring(), other, 99, &id).is_none(), "{other:?}");
        }
        assert!(open(&ring(), Some(&alice), 100, &id).is_none(), "expired");
        assert!(
            open(&keys(2, "notes"), Some(&alice), 99, &id).is_none(),
            "another key"
        );
        let anonymous = seal(&ring(), None, &negotiated(), 100).unwrap();
        assert!(
            open(&ring(), Some(&alice), 99, &anonymous).is_none(),
            "an anonymous session does not belong to alice"
        );
    }

    #[test]
    fn an_id_is_bound_to_its_server() {
        let session = seal(&keys(1, "notes"), None, &negotiated(), 100).unwrap();
        let stream = seal_stream(&keys(1, "notes"), None, 100).unwrap();
        assert!(open(&keys(1, "notes"), None, 99, &session).is_some());
        for other in ["mail", ""] {
            assert!(
                open(&keys(1, other), None, 99, &session).is_none(),
                "{other:?}"
            );
            assert!(
                open_stream(&keys(1, other), None, 99, &stream).is_none(),
                "{other:?}"
            );
        }
    }

    #[test]
    fn the_replica_that_opens_a_session_keeps_what_its_id_holds() {
        let mut large = negotiated();
        large.client_info.description = Some("x".repeat(1_000_000));
        let (id, kept) = super::seal(&ring(), None, large, 100).unwrap();
        let opened = open(&ring(), None, 99, &id).unwrap();
        assert_eq!(opened.negotiated, kept);
        assert!(serde_json::to_string(&kept).unwrap().len() < MAX_ID_BYTES);
    }

    #[test]
    fn a_session_has_the_same_client_id_on_every_replica() {
        let ids = [1, 2].map(|_| seal(&ring(), None, &negotiated(), 100).unwrap());
        let [first, second] = ids.each_ref().map(|id| client_id(&name_of(id).unwrap()));
        assert_ne!(first, second);
        assert_ne!(first, ClientId::Legacy(0));
        assert_eq!(
            first,
            client_id(&open(&ring(), None, 99, &ids[0]).unwrap().name)
        );
    }

    #[test]
    fn stream_tokens_and_session_ids_are_not_interchangeable() {
        let id = seal_stream(&ring(), None, 100).unwrap();
        assert!(open_stream(&ring(), None, 99, &id).is_some());
        assert!(open(&ring(), None, 99, &id).is_none());
        assert!(
            open_stream(
                &ring(),
                None,
                99,
                &seal(&ring(), None, &negotiated(), 100).unwrap()
            )
            .is_none()
        );
    }

    #[test]
    fn the_parts_of_a_binding_are_unambiguous() {
        let split = |issuer: &str, subject: &str| Principal {
            issuer: issuer.into(),
            ..principal(subject, None)
        };
        let binding = |principal: Option<&Principal>| ring().binding(principal);
        assert_ne!(
            binding(Some(&split("a", "bc"))),
            binding(Some(&split("ab", "c")))
        );
        assert_ne!(binding(Some(&principal("", None))), binding(None));
        assert_ne!(
            keys(1, "a").binding(Some(&split("b", "c"))),
            keys(1, "ab").binding(Some(&split("", "c")))
        );
    }

    #[test]
    fn long_ids_lose_presentation_first_and_names_last() {
        let mut large = negotiated();
        large.client_info.description = Some("x".repeat(5000));
        let opened = open(&ring(), None, 0, &seal(&ring(), None, &large, 100).unwrap()).unwrap();
        assert_eq!(opened.negotiated.client_info.description, None);
        assert_eq!(opened.negotiated.client_info.name, "test");

        let id = seal(&ring(), None, &named(&"\u{e9}".repeat(5000)), 100).unwrap();
        assert!(id.len() <= MAX_ID_BYTES);
        let opened = open(&ring(), None, 0, &id).unwrap();
        assert_eq!(
            opened.negotiated.client_info.name,
            "\u{e9}".repeat(MAX_NAME_CHARS)
        );
        assert!(opened.negotiated.capabilities.elicitation.is_some());

        let mut hopeless = negotiated();
        let form = json!({"x": "y".repeat(5000)});
        hopeless.capabilities.elicitation.as_mut().unwrap().form = form.as_object().cloned();
        assert_eq!(seal(&ring(), None, &hopeless, 100), None);
    }
}
