//! Extensions in a federation.
//!
//! Some extensions add methods, such as `tasks/get`, and nothing in such a request says which
//! upstream it is for. Only extensions known to need no routing are passed on; client and upstreams
//! do not learn of the others, so that neither relies on them.

use carryall_proto::{Call, key};
use carryall_types::{JsonObject, JsonValue};

/// The extensions that use only tools and resources.
const ROUTABLE: [&str; 1] = ["io.modelcontextprotocol/ui"];

/// Removes the extensions that cannot be routed.
pub(super) fn retain_routable(extensions: &mut JsonObject) {
    extensions.retain(|id, _| ROUTABLE.contains(&id.as_str()));
}

/// Removes the extensions that cannot be routed from the capabilities of the client. Most clients
/// declare none, and their calls stay unchanged.
pub(super) fn remove_unroutable(call: &mut Call) {
    let has_unroutable =
        |declared: &JsonObject| declared.keys().any(|id| !ROUTABLE.contains(&id.as_str()));
    if !call
        .meta()
        .client_capabilities()
        .extensions
        .as_ref()
        .is_some_and(has_unroutable)
    {
        return;
    }
    let limited = call.meta().edited(|meta| {
        let declared = meta
            .get_mut(key::CLIENT_CAPABILITIES)
            .and_then(|capabilities| capabilities.get_mut("extensions"));
        if let Some(JsonValue::Object(declared)) = declared {
            retain_routable(declared);
        }
    });
    if let Ok(meta) = limited {
        call.set_meta(meta);
    }
}
