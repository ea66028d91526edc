//! Capabilities as other revisions declare them.

use crate::revision::Revision as _;
use carryall_types::{
    ClientCapabilities, ElicitationCapability, JsonObject, JsonValue, ProtocolVersion,
    SamplingCapability, ServerCapabilities,
};
use serde_json::json;

/// Returns what a client of `version` declared, as a client of 2026-07-28 would declare it.
///
/// Capabilities that its revision does not have are dropped, as are those that do not concern
/// servers.
pub(crate) fn of_client(version: ProtocolVersion, declared: &JsonObject) -> ClientCapabilities {
    let object = |name: &str| declared.get(name).and_then(JsonValue::as_object);
    let has = |of: &JsonObject, name: &str| of.get(name).is_some_and(JsonValue::is_object);
    let mut capabilities = ClientCapabilities::new();
    capabilities.experimental = object("experimental").cloned();
    capabilities.roots = object("roots").map(|_| JsonObject::new());
    capabilities.sampling = object("sampling").map(|sampling| {
        let mut modern = SamplingCapability::new();
        // Every sampling client took `includeContext` before 2025-11-25, which introduced a
        // capability for it.
        let context = has(sampling, "context") || !version.has_sampling_tools();
        modern.context = context.then(JsonObject::new);
        modern.tools =
            (version.has_sampling_tools() && has(sampling, "tools")).then(JsonObject::new);
        modern
    });
    capabilities.elicitation = object("elicitation")
        .filter(|_| version.has_elicitation())
        .map(|elicitation| {
            let url = version.has_url_elicitation() && has(elicitation, "url");
            let form = !version.has_url_elicitation() || has(elicitation, "form") || !url;
            let mut modern = ElicitationCapability::new();
            modern.form = form.then(JsonObject::new);
            modern.url = url.then(JsonObject::new);
            modern
        });
    capabilities
}

/// Returns the capabilities of a service as a server of `version` declares them.
pub(crate) fn of_server(
    version: ProtocolVersion,
    modern: &ServerCapabilities,
    tasks: bool,
) -> JsonObject {
    let mut declared = match serde_json::to_value(modern) {
        Ok(JsonValue::Object(declared)) => declared,
        _ => JsonObject::new(),
    };
    declared.remove("extensions");
    if !version.has_completions_capability() {
        declared.remove("completions");
    }
    if tasks && version.has_tasks() && declared.contains_key("tools") {
        let tasks = json!({"list": {}, "cancel": {}, "requests": {"tools": {"call": {}}}});
        declared.insert("tasks".into(), tasks);
    }
    declared
}

#[cfg(test)]
mod tests {
    use super::*;
    use ProtocolVersion as V;

    fn client(version: V, declared: JsonValue) -> JsonValue {
        let JsonValue::Object(declared) = declared else {
            panic!()
        };
        serde_json::to_value(of_client(version, &declared)).unwrap()
    }

    // spec: elicitation-07, elicitation-09
    #[test]
    fn elicitation_modes_are_those_of_the_revision() {
        let both = json!({"elicitation": {"form": {}, "url": {}}});
        assert_eq!(client(V::V2025_11_25, both.clone()), both);
        assert_eq!(
            client(V::V2025_11_25, json!({"elicitation": {"url": {}}})),
            json!({"elicitation": {"url": {}}})
        );
        let form = json!({"elicitation": {"form": {}}});
        assert_eq!(client(V::V2025_11_25, json!({"elicitation": {}})), form);
        assert_eq!(client(V::V2025_06_18, both.clone()), form);
        assert_eq!(client(V::V2025_03_26, both), json!({}));
    }

    // spec: sampling-03, sampling-05, roots-02
    #[test]
    fn sampling_and_roots_are_those_of_the_revision() {
        let declared = json!({"sampling": {"tools": {}}, "roots": {"listChanged": true}, "tasks": {"list": {}}});
        assert_eq!(
            client(V::V2025_11_25, declared.clone()),
            json!({"sampling": {"tools": {}}, "roots": {}})
        );
        assert_eq!(
            client(V::V2024_11_05, declared),
            json!({"sampling": {"context": {}}, "roots": {}})
        );
    }

    #[test]
    fn server_capabilities_are_those_of_the_revision() {
        let modern: ServerCapabilities = serde_json::from_value(json!({
            "tools": {"listChanged": true}, "completions": {}, "logging": {}, "extensions": {"a.b/c": {}},
        }))
        .unwrap();
        let declared = |version, tasks| JsonValue::Object(of_server(version, &modern, tasks));
        assert_eq!(
            declared(V::V2024_11_05, true),
            json!({"tools": {"listChanged": true}, "logging": {}})
        );
        assert_eq!(
            declared(V::V2025_06_18, true),
            json!({"tools": {"listChanged": true}, "completions": {}, "logging": {}})
        );
        assert!(declared(V::V2025_11_25, true)["tasks"]["requests"]["tools"]["call"].is_object());
        assert!(declared(V::V2025_11_25, false).get("tasks").is_none());
    }
}
