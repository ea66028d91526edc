//! The id of a session is the session: what `initialize` negotiated, sealed, bound to its
//! principal, with an end.

use super::super::negotiated::Negotiated;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use carryall_proto::seal::{Keyring, NONCE_BYTES};
use carryall_proto::{ClientId, Principal};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Longer ids are not made. Proxies commonly bound all headers together to 8 KiB.
const MAX_ID_BYTES: usize = 4096;
/// What stands in a token before its random part.
const PREFIX_BYTES: usize = 3;
/// So much of the token's beginning is the session's name among replicas: the number of the key and
/// 23 random bytes.
const NAME_BYTES: usize = 36;
/// The most of a client's name and version that is kept when the token would be too long.
const MAX_NAME_CHARS: usize = 128;

/// What a client says of itself when no id limits it.
const MAX_NEGOTIATED_BYTES: usize = 2900;

/// What is left out for the sake of length, in this order.
const SHORTER: [fn(&mut Negotiated); 4] = [|_| {}, without_looks, without_extras, with_short_names];

/// What a token was made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenPurpose {
    /// `Mcp-Session-Id`.
    Session,
    /// The stream of HTTP+SSE.
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

/// What tokens are sealed with, and the server that they are for.
pub(super) struct SessionKeys {
    pub(super) keyring: Keyring,
    /// Empty for a server without a name.
    pub(super) server: Box<str>,
}

impl SessionKeys {
    /// Whose a session is: of which server, and of which issuer, subject and client. Not the
    /// scopes, which grow while a session lives.
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

/// A session as its token tells it.
#[derive(Clone, Debug)]
pub(super) struct Opened {
    /// Its name among replicas.
    pub(super) name: Arc<str>,
    pub(super) negotiated: Negotiated,
    /// Seconds since the epoch.
    pub(super) expires_at: u64,
}

#[derive(Serialize, Deserialize)]
struct Content {
    x: u64,
    n: Negotiated,
}

/// Makes the id of a new session, and what is left of `negotiated` in it: a session is the same on
/// the replica that made it as on those that only have its id, and keeps no more than fits into
/// that.
pub(super) fn seal(
    keys: &SessionKeys,
    principal: Option<&Principal>,
    negotiated: Negotiated,
    expires_at: u64,
) -> Option<(String, Negotiated)> {
    let mut content = Content {
        x: expires_at,
        n: negotiated,
    };
    for shorten in SHORTER {
        shorten(&mut content.n);
        let text = serde_json::to_vec(&content).ok()?;
        // Larger ones than any token would be refused, not shortened.
        if text.len() > MAX_ID_BYTES {
            continue;
        }
        let token = seal_text(keys, TokenPurpose::Session, principal, expires_at, &text)?;
        if token.len() <= MAX_ID_BYTES {
            return Some((token, content.n));
        }
    }
    None
}

/// What a client says of itself, as far as it would fit into a session id. `None` when even the
/// least of it does not.
pub(super) fn shortened(mut negotiated: Negotiated) -> Option<Negotiated> {
    for shorten in SHORTER {
        shorten(&mut negotiated);
        if serde_json::to_vec(&negotiated).ok()?.len() <= MAX_NEGOTIATED_BYTES {
            return Some(negotiated);
        }
    }
    None
}

/// Opens the id of a session at `now` (seconds since the epoch).
pub(super) fn open(
    keys: &SessionKeys,
    principal: Option<&Principal>,
    now: u64,
    token: &str,
) -> Option<Opened> {
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
    let Content {
        x: expires_at,
        n: negotiated,
    } = serde_json::from_slice(&text).ok()?;
    Some(Opened {
        name: name_of(token)?,
        negotiated,
        expires_at,
    })
}

/// Makes the token of a stream of HTTP+SSE: a name, bound to its principal.
pub(super) fn seal_stream(
    keys: &SessionKeys,
    principal: Option<&Principal>,
    expires_at: u64,
) -> Option<String> {
    seal_text(keys, TokenPurpose::Stream2024, principal, expires_at, b"")
}

/// The name of the stream whose token this is.
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

/// The name of the session whose token this is.
pub(super) fn name_of(token: &str) -> Option<Arc<str>> {
    token
        .get(PREFIX_BYTES..PREFIX_BYTES + NAME_BYTES)
        .map(Arc::from)
}

/// The client of a session, by the random part of its name.
pub(super) fn client_of(name: &str) -> ClientId {
    let bytes = URL_SAFE_NO_PAD.decode(name).unwrap_or_default();
    // The key's number comes first, in four bytes.
    let random = bytes
        .get(4..20)
        .and_then(|random| random.try_into().ok())
        .unwrap_or_default();
    ClientId::Legacy(u128::from_be_bytes(random))
}

/// Nobody but a user interface wants these, and no server has one for its clients.
fn without_looks(negotiated: &mut Negotiated) {
    let info = &mut negotiated.client_info;
    (info.title, info.description, info.icons, info.website_url) = Default::default();
    info.extra = Default::default();
    (
        negotiated.capabilities.experimental,
        negotiated.capabilities.extra,
    ) = Default::default();
}

/// Extensions came with this revision; a client of an earlier one hardly has any.
fn without_extras(negotiated: &mut Negotiated) {
    negotiated.capabilities.extensions = None;
}

fn with_short_names(negotiated: &mut Negotiated) {
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
    fn an_id_says_what_was_negotiated_and_has_a_name() {
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
    fn an_id_is_good_for_its_principal_its_time_and_its_keyring_alone() {
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
            "a session of nobody is not alice's"
        );
    }

    #[test]
    fn an_id_is_good_for_the_server_that_made_it_alone() {
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
    fn the_replica_that_makes_an_id_keeps_no_more_than_is_in_it() {
        let mut large = negotiated();
        large.client_info.description = Some("x".repeat(1_000_000));
        let (id, kept) = super::seal(&ring(), None, large, 100).unwrap();
        let opened = open(&ring(), None, 99, &id).unwrap();
        assert_eq!(opened.negotiated, kept);
        assert!(serde_json::to_string(&kept).unwrap().len() < MAX_ID_BYTES);
    }

    #[test]
    fn each_session_is_a_client_of_its_own_on_every_replica() {
        let ids = [1, 2].map(|_| seal(&ring(), None, &negotiated(), 100).unwrap());
        let [first, second] = ids.each_ref().map(|id| client_of(&name_of(id).unwrap()));
        assert_ne!(first, second);
        assert_ne!(first, ClientId::Legacy(0));
        assert_eq!(
            first,
            client_of(&open(&ring(), None, 99, &ids[0]).unwrap().name)
        );
    }

    #[test]
    fn a_stream_is_not_a_session() {
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
    fn parts_of_a_principal_do_not_run_into_each_other() {
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
    fn what_is_too_long_for_a_header_loses_its_looks_first_and_its_name_last() {
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
