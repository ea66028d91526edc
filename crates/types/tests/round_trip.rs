//! Every object of the schema round-trips, including unknown members.

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

/// Decodes `value` from text and from a `Value`, and expects both to encode to it again.
#[track_caller]
fn assert_round_trip<T: Serialize + DeserializeOwned>(value: JsonValue) {
    let from_text: T = serde_json::from_str(&value.to_string()).expect("decodes from text");
    assert_eq!(serde_json::to_value(from_text).expect("encodes"), value);
    let from_tree: T = serde_json::from_value(value.clone()).expect("decodes from a tree");
    assert_eq!(serde_json::to_value(from_tree).expect("encodes"), value);
}

/// Does the same for a result, whose `resultType` is not part of its type.
#[track_caller]
fn assert_result_round_trip<T: Serialize + DeserializeOwned>(value: JsonValue) {
    assert_round_trip::<T>(value.clone());
    let mut sent = value.clone();
    sent["resultType"] = json!("complete");
    let read: T = serde_json::from_value(sent).expect("decodes with a resultType");
    assert_eq!(serde_json::to_value(read).expect("encodes"), value);
}

#[test]
fn shared_objects_round_trip() {
    assert_round_trip::<Annotations>(
        json!({ "audience": ["user", "assistant"], "priority": 0.25, "lastModified": "2026-08-01T10:00:00Z", "x": null }),
    );
    assert_round_trip::<Annotations>(json!({ "priority": 1 }));
    assert_round_trip::<Icon>(
        json!({ "src": "data:,", "mimeType": "image/png", "sizes": ["48x48", "any"], "theme": "dark", "x": [1] }),
    );
    assert_round_trip::<Implementation>(json!({
        "name": "harbour", "version": "3.1", "title": "Harbour", "description": "Ships", "websiteUrl": "https://harbour.example/",
        "icons": [{ "src": "https://harbour.example/i.png" }], "x": { "deep": [true] }
    }));
}

#[test]
fn capabilities_round_trip() {
    assert_round_trip::<ClientCapabilities>(json!({}));
    assert_round_trip::<ClientCapabilities>(json!({
        "experimental": { "warp": { "factor": 9 } }, "roots": { "x": 1 }, "sampling": { "context": {}, "tools": {}, "x": 1 },
        "elicitation": { "form": {}, "url": { "x": 1 }, "voice": {} }, "extensions": { "example.ships/radar": { "range": 3 } },
        "telepathy": { "range": "short" }
    }));
    assert_round_trip::<ServerCapabilities>(json!({
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
fn tools_round_trip() {
    assert_round_trip::<Tool>(json!({
        "name": "moor", "title": "Moor", "description": "Moors a ship", "icons": [{ "src": "data:," }],
        "inputSchema": { "type": "object" }, "outputSchema": { "type": "array" },
        "annotations": { "title": "M", "readOnlyHint": false, "destructiveHint": false, "idempotentHint": true, "openWorldHint": false, "x": 1 },
        "_meta": { "example.ships/berth": 4 }, "x": { "y": [] }
    }));
    assert_round_trip::<ToolAnnotations>(json!({}));
    assert_round_trip::<CallToolRequestParams>(json!({
        "name": "moor", "arguments": { "ship": "Argo", "ropes": [1, 2.5, null] },
        "inputResponses": { "ask-1": { "action": "accept", "content": { "ok": true } } }, "requestState": "opaque=="
    }));
    assert_result_round_trip::<ListToolsResult>(json!({
        "tools": [{ "name": "moor", "inputSchema": { "type": "object" } }], "nextCursor": "c2", "ttlMs": 60000,
        "cacheScope": "public", "_meta": { "example.ships/x": 1 }, "x": 1
    }));
}

// spec: base-jsonrpc-09
#[test]
fn tool_results_round_trip() {
    assert_result_round_trip::<CallToolResult>(json!({ "content": [] }));
    for structured in [
        json!(null),
        json!(false),
        json!(0),
        json!("s"),
        json!([1, [2]]),
        json!({ "a": { "b": null } }),
    ] {
        assert_result_round_trip::<CallToolResult>(json!({
            "content": [{ "type": "text", "text": "done" }], "isError": false, "structuredContent": structured,
            "_meta": { "io.modelcontextprotocol/serverInfo": { "name": "n", "version": "1" } }, "x": { "y": null }
        }));
    }
}

// spec: prompts-08
#[test]
fn content_round_trips() {
    for block in content_blocks() {
        assert_round_trip::<ContentBlock>(block);
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
fn resources_round_trip() {
    assert_round_trip::<Resource>(json!({
        "uri": "ship://argo", "name": "argo", "title": "Argo", "description": "A ship", "icons": [], "mimeType": "inode/directory",
        "annotations": {}, "size": 0, "_meta": { "k": 1 }, "type": "not ours here"
    }));
    assert_round_trip::<ResourceTemplate>(json!({
        "uriTemplate": "ship://{name}", "name": "ships", "title": "Ships", "description": "All", "icons": [], "mimeType": "text/plain",
        "annotations": {}, "_meta": {}, "x": 1
    }));
    assert_round_trip::<TextResourceContents>(
        json!({ "uri": "u:", "text": "", "mimeType": "text/plain", "_meta": {}, "x": 1 }),
    );
    assert_round_trip::<BlobResourceContents>(
        json!({ "uri": "u:", "blob": "", "mimeType": "a/b", "_meta": {}, "x": 1 }),
    );
    assert_round_trip::<ResourceContents>(
        json!({ "uri": "u:", "text": "", "mimeType": "text/plain", "_meta": {}, "x": 1 }),
    );
    assert_round_trip::<ReadResourceRequestParams>(
        json!({ "uri": "u:", "inputResponses": {}, "requestState": "" }),
    );
    assert_result_round_trip::<ListResourcesResult>(json!({
        "resources": [{ "uri": "u:", "name": "n" }], "nextCursor": "", "ttlMs": 0, "cacheScope": "private", "_meta": {}, "x": 1
    }));
    assert_result_round_trip::<ListResourceTemplatesResult>(json!({
        "resourceTemplates": [{ "uriTemplate": "u:{x}", "name": "n" }], "ttlMs": 5, "cacheScope": "public", "_meta": {}, "x": 1
    }));
    assert_result_round_trip::<ReadResourceResult>(json!({
        "contents": [{ "uri": "u:1", "text": "t" }, { "uri": "u:2", "blob": "AA==" }], "ttlMs": 5, "cacheScope": "public", "_meta": {}, "x": 1
    }));
}

#[test]
fn prompts_and_completions_round_trip() {
    assert_round_trip::<Prompt>(json!({
        "name": "hail", "title": "Hail", "description": "Greets", "icons": [],
        "arguments": [{ "name": "ship", "title": "Ship", "description": "Which", "required": true, "x": 1 }], "_meta": {}, "x": 1
    }));
    assert_round_trip::<GetPromptRequestParams>(
        json!({ "name": "hail", "arguments": { "ship": "Argo" }, "inputResponses": {}, "requestState": "s" }),
    );
    assert_result_round_trip::<ListPromptsResult>(
        json!({ "prompts": [{ "name": "hail" }], "nextCursor": "x", "ttlMs": 1, "cacheScope": "private", "x": 1 }),
    );
    let messages: Vec<_> = content_blocks()
        .into_iter()
        .map(|block| json!({ "role": "user", "content": block, "x": 1 }))
        .collect();
    assert_result_round_trip::<GetPromptResult>(
        json!({ "description": "d", "messages": messages, "_meta": {}, "x": 1 }),
    );
    assert_round_trip::<CompleteRequestParams>(json!({
        "ref": { "type": "ref/prompt", "name": "hail", "title": "Hail", "x": 1 }, "argument": { "name": "ship", "value": "A" },
        "context": { "arguments": { "port": "Iolcus" } }
    }));
    assert_round_trip::<CompleteRequestParams>(
        json!({ "ref": { "type": "ref/resource", "uri": "ship://{name}" }, "argument": { "name": "name", "value": "" } }),
    );
    assert_result_round_trip::<CompleteResult>(
        json!({ "completion": { "values": ["Argo"], "total": 7, "hasMore": true, "x": 1 }, "_meta": {}, "x": 1 }),
    );
}

#[test]
fn discovery_round_trips() {
    assert_result_round_trip::<DiscoverResult>(json!({
        "supportedVersions": ["2026-07-28", "2031-01-01"], "capabilities": { "tools": {} }, "instructions": "Moor first",
        "ttlMs": 3600000, "cacheScope": "public", "_meta": { "k": 1 }, "x": 1
    }));
}

// spec: subscriptions-12
#[test]
fn subscriptions_round_trip() {
    assert_round_trip::<SubscriptionFilter>(json!({}));
    assert_round_trip::<SubscriptionsListenRequestParams>(json!({ "notifications": {
        "toolsListChanged": true, "promptsListChanged": false, "resourcesListChanged": true, "resourceSubscriptions": ["u:1"], "taskIds": ["t"]
    } }));
    assert!(serde_json::from_str::<SubscriptionsListenRequestParams>("{}").is_err());
    assert_round_trip::<SubscriptionsAcknowledgedNotificationParams>(json!({
        "notifications": { "toolsListChanged": true }, "_meta": { "io.modelcontextprotocol/subscriptionId": 7 }, "x": 1
    }));
    assert_result_round_trip::<SubscriptionsListenResult>(
        json!({ "_meta": { "io.modelcontextprotocol/subscriptionId": "seven" }, "x": 1 }),
    );
    assert_result_round_trip::<EmptyResult>(json!({ "_meta": {}, "x": 1 }));
    assert_round_trip::<PaginatedRequestParams>(json!({ "cursor": "" }));
}

// spec: progress-05
#[test]
fn notifications_round_trip() {
    assert_round_trip::<ProgressNotificationParams>(
        json!({ "progressToken": "p", "progress": 0.5, "total": 2.25, "message": "on course", "_meta": {}, "x": 1 }),
    );
    assert_round_trip::<ProgressNotificationParams>(
        json!({ "progressToken": 9, "progress": 50, "total": 100 }),
    );
    assert!(
        serde_json::from_value::<ProgressNotificationParams>(
            json!({ "progressToken": null, "progress": 1 })
        )
        .is_err()
    );
    assert_round_trip::<CancelledNotificationParams>(
        json!({ "requestId": 3, "reason": "storm", "_meta": {}, "x": 1 }),
    );
    assert_round_trip::<CancelledNotificationParams>(json!({ "requestId": "3" }));
    assert_round_trip::<ResourceUpdatedNotificationParams>(
        json!({ "uri": "u:1", "_meta": { "io.modelcontextprotocol/subscriptionId": 1 }, "x": 1 }),
    );
    assert_round_trip::<LoggingMessageNotificationParams>(
        json!({ "level": "notice", "logger": "helm", "data": { "any": [null] }, "_meta": {}, "x": 1 }),
    );
    assert_round_trip::<LoggingMessageNotificationParams>(
        json!({ "level": "debug", "data": null }),
    );
}
