//! The result of `initialize`.

use carryall_proto::{Printable, key};
use carryall_types::{
    JsonObject, JsonValue, ProtocolVersion, RawJson, ServerCapabilities, decode_value,
};
use serde_json::json;

/// Decodes the capabilities in the result of `initialize`. Malformed ones are removed from the
/// result and do not affect the others.
pub(crate) fn take_valid_capabilities(initialized: &mut JsonObject) -> ServerCapabilities {
    let mut declared = match initialized.remove("capabilities") {
        Some(JsonValue::Object(declared)) => declared,
        other => {
            if other.is_some() {
                tracing::warn!(
                    "the capabilities in the answer to initialize are not an object; ignored"
                );
            }
            JsonObject::new()
        }
    };
    for name in ServerCapabilities::retain_readable(&mut declared) {
        tracing::warn!(capability = %Printable(&name), "ignored a malformed capability in the answer to initialize");
    }
    let capabilities = decode_value(JsonValue::Object(declared.clone())).unwrap_or_default();
    initialized.insert("capabilities".into(), JsonValue::Object(declared));
    capabilities
}

/// The result of `server/discover` for the result of `initialize`.
pub(crate) fn discover_result(version: ProtocolVersion, initialized: &JsonObject) -> RawJson {
    let member = |name: &str| initialized.get(name).cloned();
    let mut capabilities = member("capabilities").unwrap_or_else(|| json!({}));
    if let Some(capabilities) = capabilities.as_object_mut() {
        // Not the tasks extension of 2026-07-28.
        capabilities.remove("tasks");
    }
    let mut result = json!({
        "resultType": "complete",
        "supportedVersions": [version.as_str()],
        "capabilities": capabilities,
        "ttlMs": 0,
        "cacheScope": "private",
    });
    if let Some(instructions) = member("instructions").filter(JsonValue::is_string) {
        result["instructions"] = instructions;
    }
    if let Some(info) = member("serverInfo") {
        result["_meta"] = json!({key::SERVER_INFO: info});
    }
    RawJson::from(&result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_malformed_capability_does_not_affect_the_others() {
        let of = |capabilities: JsonValue| {
            let mut initialized =
                JsonObject::from_iter([("capabilities".to_owned(), capabilities)]);
            let read = take_valid_capabilities(&mut initialized);
            (read, initialized["capabilities"].clone())
        };
        let (read, left) = of(json!({"tools": true, "prompts": {"listChanged": true}, "x": 1}));
        assert!(read.tools.is_none() && read.prompts.is_some());
        assert_eq!(left, json!({"prompts": {"listChanged": true}, "x": 1}));
        for none in [json!(null), json!([]), json!(true)] {
            assert_eq!(of(none), (ServerCapabilities::default(), json!({})));
        }
    }

    #[test]
    fn discovery_is_answered_from_the_handshake() {
        let initialized = json!({
            "capabilities": {"tools": {}, "tasks": {"list": {}}}, "serverInfo": {"name": "s", "version": "1"},
            "instructions": "Be kind.",
        });
        let JsonValue::Object(initialized) = initialized else {
            panic!()
        };
        let found: JsonValue = discover_result(ProtocolVersion::V2025_06_18, &initialized)
            .decode()
            .unwrap();
        assert_eq!(found["supportedVersions"], json!(["2025-06-18"]));
        assert_eq!(found["capabilities"], json!({"tools": {}}));
        assert_eq!(
            found["_meta"]["io.modelcontextprotocol/serverInfo"]["name"],
            "s"
        );
        assert_eq!(found["instructions"], "Be kind.");
    }
}
