//! Extensions through several upstreams.
//!
//! Some add methods of their own, such as `tasks/get`, and nothing in those says which upstream
//! they are for. An extension is let through only if it is known to need none: neither side hears
//! of the others, so that neither relies on them.

use carryall_proto::{Call, key};
use carryall_types::{JsonObject, JsonValue};

/// Extensions that work by tools and resources alone.
const RELAYED: [&str; 1] = ["io.modelcontextprotocol/ui"];

/// What is left of an extension map.
pub(super) fn relayed(extensions: &mut JsonObject) {
    extensions.retain(|id, _| RELAYED.contains(&id.as_str()));
}

/// Takes the others out of what the client says it can do. Most clients have none, and their calls
/// stay as they are.
pub(super) fn limit(call: &mut Call) {
    let has_others =
        |declared: &JsonObject| declared.keys().any(|id| !RELAYED.contains(&id.as_str()));
    if !call
        .meta()
        .client_capabilities()
        .extensions
        .as_ref()
        .is_some_and(has_others)
    {
        return;
    }
    let limited = call.meta().edited(|meta| {
        let declared = meta
            .get_mut(key::CLIENT_CAPABILITIES)
            .and_then(|capabilities| capabilities.get_mut("extensions"));
        if let Some(JsonValue::Object(declared)) = declared {
            relayed(declared);
        }
    });
    if let Ok(meta) = limited {
        call.set_meta(meta);
    }
}
