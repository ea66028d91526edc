//! Results as a client of an earlier revision expects them.

use crate::serve::negotiated::Negotiated;
use crate::serve::options::LegacyOptions;
use carryall_types::{JsonObject, JsonValue, Method, ProtocolVersion, RawJson};
use serde_json::json;

/// Members that only results of 2026-07-28 have (`basic/index#result-responses`,
/// `server/utilities/caching`).
const MODERN_MEMBERS: [&str; 3] = ["resultType", "ttlMs", "cacheScope"];

/// Returns a complete result without what its client would not understand.
pub(crate) fn for_client(
    negotiated: &Negotiated,
    options: &LegacyOptions,
    method: &Method,
    mut result: JsonObject,
) -> RawJson {
    result.retain(|name, _| !MODERN_MEMBERS.contains(&name.as_str()));
    remove_reserved_meta(&mut result);
    let version = negotiated.version;
    match method {
        Method::ToolsList => for_each(&mut result, "tools", |tool| {
            remove_non_object_schema(tool);
            if negotiated.has_tasks(options) && !tool.contains_key("execution") {
                tool.insert("execution".into(), json!({"taskSupport": "optional"}));
            }
        }),
        Method::ToolsCall => {
            // Structured content is an object in these revisions. Anything else is in the text too.
            if result
                .get("structuredContent")
                .is_some_and(|content| !content.is_object())
            {
                result.remove("structuredContent");
            }
            for_each(&mut result, "content", |block| {
                replace_unknown_content(version, block);
            });
        }
        Method::PromptsGet => for_each(&mut result, "messages", |message| {
            if let Some(JsonValue::Object(block)) = message.get_mut("content") {
                replace_unknown_content(version, block);
            }
        }),
        _ => {}
    }
    RawJson::from(&JsonValue::Object(result))
}

fn for_each(result: &mut JsonObject, list: &str, change: impl Fn(&mut JsonObject)) {
    let Some(JsonValue::Array(items)) = result.get_mut(list) else {
        return;
    };
    items
        .iter_mut()
        .filter_map(JsonValue::as_object_mut)
        .for_each(change);
}

/// Removes the keys of `_meta` that 2026-07-28 reserves.
fn remove_reserved_meta(result: &mut JsonObject) {
    let Some(JsonValue::Object(meta)) = result.get_mut("_meta") else {
        return;
    };
    meta.retain(|name, _| !name.starts_with("io.modelcontextprotocol/"));
    if meta.is_empty() {
        result.remove("_meta");
    }
}

/// Removes an output schema that does not describe an object, as these revisions require
/// (2025-11-25 `server/tools#output-schema`). Strict clients refuse the whole list for one such
/// schema.
fn remove_non_object_schema(tool: &mut JsonObject) {
    if tool
        .get("outputSchema")
        .is_some_and(|schema| schema.get("type").is_none_or(|kind| kind != "object"))
    {
        tool.remove("outputSchema");
    }
}

/// Replaces a content block that the revision does not have by text that names it.
fn replace_unknown_content(version: ProtocolVersion, block: &mut JsonObject) {
    let text = |name: &str| {
        block
            .get(name)
            .and_then(JsonValue::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let replacement = match text("type").as_str() {
        "audio" if version < ProtocolVersion::V2025_03_26 => {
            format!("[audio, {}]", text("mimeType"))
        }
        "resource_link" if version < ProtocolVersion::V2025_06_18 => {
            format!("[resource {}: {}]", text("name"), text("uri"))
        }
        _ => return,
    };
    *block = JsonObject::from_iter([
        ("type".to_owned(), "text".into()),
        ("text".to_owned(), replacement.into()),
    ]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use ProtocolVersion as V;
    use carryall_types::{ClientCapabilities, Implementation};

    fn translated(version: V, tasks: bool, method: Method, result: JsonValue) -> JsonValue {
        let negotiated = Negotiated {
            version,
            client_info: Implementation::new("old", "1"),
            capabilities: ClientCapabilities::new(),
        };
        let options = LegacyOptions::default().tasks(tasks);
        let JsonValue::Object(result) = result else {
            panic!()
        };
        for_client(&negotiated, &options, &method, result)
            .decode()
            .unwrap()
    }

    #[test]
    fn members_of_2026_07_28_are_removed_and_others_kept() {
        let result = json!({
            "resultType": "complete", "ttlMs": 5, "cacheScope": "public", "prompts": [], "nextCursor": "c",
            "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "s"}, "a.b/c": 1},
        });
        let wanted = json!({"prompts": [], "nextCursor": "c", "_meta": {"a.b/c": 1}});
        assert_eq!(
            translated(V::V2025_11_25, true, Method::PromptsList, result),
            wanted
        );
        let only =
            json!({"resultType": "complete", "_meta": {"io.modelcontextprotocol/serverInfo": {}}});
        assert_eq!(
            translated(V::V2025_11_25, true, Method::PromptsList, only),
            json!({})
        );
    }

    #[test]
    fn content_that_a_revision_lacks_becomes_text() {
        let content = json!({"content": [
            {"type": "audio", "data": "AAAA", "mimeType": "audio/wav"},
            {"type": "resource_link", "uri": "a:b", "name": "b"},
            {"type": "text", "text": "x"},
        ]});
        let of = |version| {
            translated(version, false, Method::ToolsCall, content.clone())["content"].clone()
        };
        assert_eq!(of(V::V2025_06_18), content["content"]);
        assert_eq!(of(V::V2025_03_26)[0]["type"], "audio");
        assert_eq!(
            of(V::V2025_03_26)[1],
            json!({"type": "text", "text": "[resource b: a:b]"})
        );
        assert_eq!(
            of(V::V2024_11_05)[0],
            json!({"type": "text", "text": "[audio, audio/wav]"})
        );
        let prompt = json!({"messages": [{"role": "user", "content": {"type": "resource_link", "uri": "a:b", "name": "b"}}]});
        assert_eq!(
            translated(V::V2025_03_26, false, Method::PromptsGet, prompt)["messages"][0]["content"]
                ["type"],
            "text"
        );
    }

    #[test]
    fn structured_content_and_its_schema_are_removed_unless_objects() {
        let result = json!({"content": [], "structuredContent": [1]});
        assert_eq!(
            translated(V::V2025_11_25, true, Method::ToolsCall, result),
            json!({"content": []})
        );
        let result = json!({"content": [], "structuredContent": {"a": 1}});
        assert_eq!(
            translated(V::V2025_11_25, true, Method::ToolsCall, result.clone()),
            result
        );
        let tools = json!({"tools": [{"name": "a", "outputSchema": {"type": "array"}}, {"name": "b", "outputSchema": {"type": "object"}}]});
        let listed = translated(V::V2025_06_18, true, Method::ToolsList, tools.clone());
        assert_eq!(
            listed,
            json!({"tools": [{"name": "a"}, {"name": "b", "outputSchema": {"type": "object"}}]})
        );
        let with_tasks = translated(V::V2025_11_25, true, Method::ToolsList, tools.clone());
        assert_eq!(
            with_tasks["tools"][0]["execution"],
            json!({"taskSupport": "optional"})
        );
        assert!(
            translated(V::V2025_11_25, false, Method::ToolsList, tools)["tools"][0]
                .get("execution")
                .is_none()
        );
    }
}
