//! Capabilities of clients.

use carryall_types::{ClientCapabilities, JsonObject, JsonValue};
use serde_json::json;

/// The capabilities whose effect a server can see: what it may ask. Callers that differ only in
/// others can share a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct VisibleCapabilities {
    form: bool,
    url: bool,
    sampling: bool,
    sampling_tools: bool,
    sampling_context: bool,
    roots: bool,
}

impl VisibleCapabilities {
    pub(crate) const NONE: Self = Self {
        form: false,
        url: false,
        sampling: false,
        sampling_tools: false,
        sampling_context: false,
        roots: false,
    };

    pub(crate) fn of(capabilities: &ClientCapabilities) -> Self {
        Self {
            form: capabilities.supports_elicitation_form(),
            url: capabilities.supports_elicitation_url(),
            sampling: capabilities.supports_sampling(),
            sampling_tools: capabilities.supports_sampling_tools(),
            sampling_context: capabilities
                .sampling
                .as_ref()
                .is_some_and(|sampling| sampling.context.is_some()),
            roots: capabilities.supports_roots(),
        }
    }

    pub(crate) fn is_none(self) -> bool {
        self == Self::NONE
    }

    /// These as capabilities, with the experimental ones of `default`.
    pub(crate) fn to_capabilities(self, default: &ClientCapabilities) -> ClientCapabilities {
        let mut capabilities: ClientCapabilities =
            serde_json::from_value(self.declaration()).unwrap_or_default();
        capabilities.experimental.clone_from(&default.experimental);
        capabilities
    }

    fn declaration(self) -> JsonValue {
        let object = |members: &[(&str, bool)]| {
            let present = members.iter().filter(|(_, present)| *present);
            JsonValue::Object(
                present
                    .map(|(name, _)| ((*name).to_owned(), json!({})))
                    .collect(),
            )
        };
        let mut declared = JsonObject::new();
        if self.form || self.url {
            declared.insert(
                "elicitation".into(),
                object(&[("form", self.form), ("url", self.url)]),
            );
        }
        if self.sampling {
            let members = [
                ("context", self.sampling_context),
                ("tools", self.sampling_tools),
            ];
            declared.insert("sampling".into(), object(&members));
        }
        if self.roots {
            declared.insert("roots".into(), json!({}));
        }
        JsonValue::Object(declared)
    }
}

/// Client capabilities as 2025-11-25 declares them. Earlier revisions ignore what they do not know.
///
/// Left out are extensions, which belong to 2026-07-28, and `roots.listChanged`, because a change
/// of roots is never announced.
pub(crate) fn client_capabilities(capabilities: &ClientCapabilities) -> JsonValue {
    let mut declared = VisibleCapabilities::of(capabilities).declaration();
    if let (Some(experimental), Some(declared)) =
        (&capabilities.experimental, declared.as_object_mut())
    {
        declared.insert(
            "experimental".into(),
            JsonValue::Object(experimental.clone()),
        );
    }
    declared
}
