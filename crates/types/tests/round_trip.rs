//! What is read is written again unchanged, for every object of the schema, known members or not.

use carryall_types::{
    Annotations, BlobResourceContents, CallToolRequestParams, CallToolResult,
    CancelledNotificationParams, ClientCapabilities, CompleteRequestParams, CompleteResult,
    ContentBlock, DiscoverResult, EmptyResult, GetPromptRequestParams, GetPromptResult, Icon,
    Implementation, JsonValue, ListPromptsResult, ListResourceTemplatesResult, ListResourcesResult,
    ListToolsResult, LoggingMessageNotificationParams, PaginatedRequestParams,
    ProgressNotificationParams, Prompt, ReadResourceRequestParams, ReadResourceResult, Resource,
    ResourceContents, ResourceTemplate, ResourceUpdatedNotificationParams, ServerCapabilities,
    SubscriptionFilter, SubscriptionsAcknowledgedNotificationParams,
    SubscriptionsListenRequestParams, SubscriptionsListenResult, TextResourceContents, Tool,
    ToolAnnotations,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

/// Reads `value` from text and from a tree, and expects it back from both.
#[track_caller]
fn survives<T: Serialize + DeserializeOwned>(value: JsonValue) {
    let from_text: T = serde_json::from_str(&value.to_string()).expect("decodes from text");
    assert_eq!(serde_json::to_value(from_text).expect("encodes"), value);
    let from_tree: T = serde_json::from_value(value.clone()).expect("decodes from a tree");
    assert_eq!(serde_json::to_value(from_tree).expect("encodes"), value);
}

/// The same for a result, which may come with a `resultType` that is not its own to keep.
#[track_caller]
fn result_survives<T: Serialize + DeserializeOwned>(value: JsonValue) {
    survives::<T>(value.clone());
    let mut sent = value.clone();
    sent["resultType"] = json!("complete");
    let read: T = serde_json::from_value(sent).expect("decodes with a resultType");
    assert_eq!(serde_json::to_value(read).expect("encodes"), value);
}

#[test]
fn shared_objects_survive() {
    survives::<Annotations>(
        json!({ "audience": ["user", "assistant"], "priority": 0.25, "lastModified": "2026-08-01T10:00:00Z", "x": null }),
    );
    survives::<Annotations>(json!({ "priority": 1 }));
    survives::<Icon>(
        json!({ "src": "data:,", "mimeType": "image/png", "sizes": ["48x48", "any"], "theme": "dark", "x": [1] }),
    );
    survives::<Implementation>(json!({
        "name": "harbour", "version": "3.1", "title": "Harbour", "description": "Ships", "websiteUrl": "https://harbour.example/",
        "icons": [{ "src": "https://harbour.example/i.png" }], "x": { "deep": [true] }
    }));
}

#[test]
fn capabilities_survive() {
    survives::<ClientCapabilities>(json!({}));
    survives::<ClientCapabilities>(json!({
        "experimental": { "warp": { "factor": 9 } }, "roots": { "x": 1 }, "sampling": { "context": {}, "tools": {}, "x": 1 },
        "elicitation": { "form": {}, "url": { "x": 1 }, "voice": {} }, "extensions": { "example.ships/radar": { "range": 3 } },
        "telepathy": { "range": "short" }
    }));
    survives::<ServerCapabilities>(json!({
        "experimental": { "warp": {} }, "logging": {}, "completions": {}, "prompts": { "listChanged": true, "x": 1 },
        "resources": { "subscribe": true, "listChanged": false, "x": 1 }, "tools": { "listChanged": true, "x": 1 },
        "extensions": { "example.ships/radar": {} }, "telepathy": 7
    }));
}

// spec: tools-32
#[test]
fn schemas_keep_every_keyword_and_their_order() {
    let text = r##"{"name":"moor","inputSchema":{"type":"object","zebra":1,"$schema":"https://json-schema.org/draft/2020-12/schema","anyOf":[{"required":["b"]},{"required":["a"]}],"if":{},"then":{},"else":{},"$defs":{"z":{"$anchor":"z"},"a":{}},"properties":{"b":{"$ref":"#z"},"a":{"x-mcp-header":"A"}}},"outputSchema":{"oneOf":[],"$anchor":"top","items":{}}}"##;
    let tool: Tool = serde_json::from_str(text).expect("decodes");
    assert_eq!(serde_json::to_string(&tool).expect("encodes"), text);
}

#[test]
fn tools_survive() {
    survives::<Tool>(json!({
        "name": "moor", "title": "Moor", "description": "Moors a ship", "icons": [{ "src": "data:," }],
        "inputSchema": { "type": "object" }, "outputSchema": { "type": "array" },
        "annotations": { "title": "M", "readOnlyHint": false, "destructiveHint": false, "idempotentHint": true, "openWorldHint": false, "x": 1 },
        "_meta": { "example.ships/berth": 4 }, "x": { "y": [] }
    }));
    survives::<ToolAnnotations>(json!({}));
    survives::<CallToolRequestParams>(json!({
        "name": "moor", "arguments": { "ship": "Argo", "ropes": [1, 2.5, null] },
        "inputResponses": { "ask-1": { "action": "accept", "content": { "ok": true } } }, "requestState": "opaque=="
    }));
    result_survives::<ListToolsResult>(json!({
        "tools": [{ "name": "moor", "inputSchema": { "type": "object" } }], "nextCursor": "c2", "ttlMs": 60000,
        "cacheScope": "public", "_meta": { "example.ships/x": 1 }, "x": 1
    }));
}

// spec: base-jsonrpc-09
#[test]
fn tool_results_survive() {
    result_survives::<CallToolResult>(json!({ "content": [] }));
    for structured in [
        json!(null),
        json!(false),
        json!(0),
        json!("s"),
        json!([1, [2]]),
        json!({ "a": { "b": null } }),
    ] {
        result_survives::<CallToolResult>(json!({
            "content": [{ "type": "text", "text": "done" }], "isError": false, "structuredContent": structured,
            "_meta": { "io.modelcontextprotocol/serverInfo": { "name": "n", "version": "1" } }, "x": { "y": null }
        }));
    }
}

// spec: prompts-08
#[test]
fn content_survives() {
    for block in content_blocks() {
        survives::<ContentBlock>(block);
    }
}

fn content_blocks() -> Vec<JsonValue> {
    let annotations = json!({ "audience": ["user"] });
    vec![
        json!({ "type": "text", "text": "a\u{0}\"\u{1F6A2}", "annotations": annotations, "_meta": { "k": 1 }, "x": 1 }),
        json!({ "type": "image", "data": "AAEC", "mimeType": "image/png", "annotations": annotations, "_meta": {}, "x": 1 }),
        json!({ "type": "audio", "data": "AAEC", "mimeType": "audio/wav", "annotations": annotations, "_meta": {}, "x": 1 }),
        json!({
            "type": "resource_link", "uri": "ship://argo", "name": "argo", "title": "Argo", "description": "A ship", "icons": [],
            "mimeType": "text/plain", "annotations": annotations, "size": 12, "_meta": {}, "x": 1
        }),
        json!({
            "type": "resource", "resource": { "uri": "ship://argo", "text": "log", "mimeType": "text/plain", "_meta": {}, "x": 1 },
            "annotations": annotations, "_meta": {}, "x": 1
        }),
        json!({ "type": "resource", "resource": { "uri": "ship://argo", "blob": "AA==", "x": 1 } }),
        json!({ "type": "hologram", "text": "looks like text", "depth": 3, "_meta": { "k": null } }),
    ]
}

// spec: resources-04, resources-08
#[test]
fn resources_survive() {
    survives::<Resource>(json!({
        "uri": "ship://argo", "name": "argo", "title": "Argo", "description": "A ship", "icons": [], "mimeType": "inode/directory",
        "annotations": {}, "size": 0, "_meta": { "k": 1 }, "type": "not ours here"
    }));
    survives::<ResourceTemplate>(json!({
        "uriTemplate": "ship://{name}", "name": "ships", "title": "Ships", "description": "All", "icons": [], "mimeType": "text/plain",
        "annotations": {}, "_meta": {}, "x": 1
    }));
    survives::<TextResourceContents>(
        json!({ "uri": "u:", "text": "", "mimeType": "text/plain", "_meta": {}, "x": 1 }),
    );
    survives::<BlobResourceContents>(
        json!({ "uri": "u:", "blob": "", "mimeType": "a/b", "_meta": {}, "x": 1 }),
    );
    survives::<ResourceContents>(
        json!({ "uri": "u:", "text": "", "mimeType": "text/plain", "_meta": {}, "x": 1 }),
    );
    survives::<ReadResourceRequestParams>(
        json!({ "uri": "u:", "inputResponses": {}, "requestState": "" }),
    );
    result_survives::<ListResourcesResult>(json!({
        "resources": [{ "uri": "u:", "name": "n" }], "nextCursor": "", "ttlMs": 0, "cacheScope": "private", "_meta": {}, "x": 1
    }));
    result_survives::<ListResourceTemplatesResult>(json!({
        "resourceTemplates": [{ "uriTemplate": "u:{x}", "name": "n" }], "ttlMs": 5, "cacheScope": "public", "_meta": {}, "x": 1
    }));
    result_survives::<ReadResourceResult>(json!({
        "contents": [{ "uri": "u:1", "text": "t" }, { "uri": "u:2", "blob": "AA==" }], "ttlMs": 5, "cacheScope": "public", "_meta": {}, "x": 1
    }));
}

#[test]
fn prompts_and_completions_survive() {
    survives::<Prompt>(json!({
        "name": "hail", "title": "Hail", "description": "Greets", "icons": [],
        "arguments": [{ "name": "ship", "title": "Ship", "description": "Which", "required": true, "x": 1 }], "_meta": {}, "x": 1
    }));
    survives::<GetPromptRequestParams>(
        json!({ "name": "hail", "arguments": { "ship": "Argo" }, "inputResponses": {}, "requestState": "s" }),
    );
    result_survives::<ListPromptsResult>(
        json!({ "prompts": [{ "name": "hail" }], "nextCursor": "x", "ttlMs": 1, "cacheScope": "private", "x": 1 }),
    );
    let messages: Vec<_> = content_blocks()
        .into_iter()
        .map(|block| json!({ "role": "user", "content": block, "x": 1 }))
        .collect();
    result_survives::<GetPromptResult>(
        json!({ "description": "d", "messages": messages, "_meta": {}, "x": 1 }),
    );
    survives::<CompleteRequestParams>(json!({
        "ref": { "type": "ref/prompt", "name": "hail", "title": "Hail", "x": 1 }, "argument": { "name": "ship", "value": "A" },
        "context": { "arguments": { "port": "Iolcus" } }
    }));
    survives::<CompleteRequestParams>(
        json!({ "ref": { "type": "ref/resource", "uri": "ship://{name}" }, "argument": { "name": "name", "value": "" } }),
    );
    result_survives::<CompleteResult>(
        json!({ "completion": { "values": ["Argo"], "total": 7, "hasMore": true, "x": 1 }, "_meta": {}, "x": 1 }),
    );
}

#[test]
fn discovery_survives() {
    result_survives::<DiscoverResult>(json!({
        "supportedVersions": ["2026-07-28", "2031-01-01"], "capabilities": { "tools": {} }, "instructions": "Moor first",
        "ttlMs": 3600000, "cacheScope": "public", "_meta": { "k": 1 }, "x": 1
    }));
}

// spec: subscriptions-12
#[test]
fn listening_survives() {
    survives::<SubscriptionFilter>(json!({}));
    survives::<SubscriptionsListenRequestParams>(json!({ "notifications": {
        "toolsListChanged": true, "promptsListChanged": false, "resourcesListChanged": true, "resourceSubscriptions": ["u:1"], "taskIds": ["t"]
    } }));
    assert!(serde_json::from_str::<SubscriptionsListenRequestParams>("{}").is_err());
    survives::<SubscriptionsAcknowledgedNotificationParams>(json!({
        "notifications": { "toolsListChanged": true }, "_meta": { "io.modelcontextprotocol/subscriptionId": 7 }, "x": 1
    }));
    result_survives::<SubscriptionsListenResult>(
        json!({ "_meta": { "io.modelcontextprotocol/subscriptionId": "seven" }, "x": 1 }),
    );
    result_survives::<EmptyResult>(json!({ "_meta": {}, "x": 1 }));
    survives::<PaginatedRequestParams>(json!({ "cursor": "" }));
}

// spec: progress-05
#[test]
fn notifications_survive() {
    survives::<ProgressNotificationParams>(
        json!({ "progressToken": "p", "progress": 0.5, "total": 2.25, "message": "on course", "_meta": {}, "x": 1 }),
    );
    survives::<ProgressNotificationParams>(
        json!({ "progressToken": 9, "progress": 50, "total": 100 }),
    );
    assert!(
        serde_json::from_value::<ProgressNotificationParams>(
            json!({ "progressToken": null, "progress": 1 })
        )
        .is_err()
    );
    survives::<CancelledNotificationParams>(
        json!({ "requestId": 3, "reason": "storm", "_meta": {}, "x": 1 }),
    );
    survives::<CancelledNotificationParams>(json!({ "requestId": "3" }));
    survives::<ResourceUpdatedNotificationParams>(
        json!({ "uri": "u:1", "_meta": { "io.modelcontextprotocol/subscriptionId": 1 }, "x": 1 }),
    );
    survives::<LoggingMessageNotificationParams>(
        json!({ "level": "notice", "logger": "helm", "data": { "any": [null] }, "_meta": {}, "x": 1 }),
    );
    survives::<LoggingMessageNotificationParams>(json!({ "level": "debug", "data": null }));
}
