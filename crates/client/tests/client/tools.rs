//! Tool definitions: mirrored headers, output schemas and retries.

use crate::support::{Does, Log, Seen, done, refuse, serving, serving_with, text};
use carryall_client::{Client, ClientError, ResponseError};
use carryall_proto::CallError;
use carryall_types::JsonValue;
use serde_json::json;
use std::sync::{Arc, Mutex};

fn list(tools: JsonValue) -> Does {
    done(json!({"tools": tools, "ttlMs": 0, "cacheScope": "private"}))
}

fn region() -> JsonValue {
    json!({"name": "sql", "inputSchema": {"type": "object", "properties": {
        "region": {"type": "string", "x-mcp-header": "Region"},
        "limits": {"type": "object", "properties": {"rows": {"type": "integer", "x-mcp-header": "Rows"}}},
        "dry": {"type": "boolean", "x-mcp-header": "Dry"},
        "query": {"type": "string"}
    }}})
}

/// Returns a client that mirrors headers.
fn mirroring(behaviour: impl Fn(&Seen) -> Does + Send + Sync + 'static) -> (Client, Log) {
    serving_with(|builder| builder.mirror_headers(true), behaviour)
}

fn sql(seen: &Seen) -> Does {
    if seen.method == "tools/list" {
        list(json!([region()]))
    } else {
        Does::Result(text("ok"))
    }
}

// spec: http-headers-12, http-headers-21, http-headers-25, http-headers-26, http-headers-31
// spec: http-headers-37
#[tokio::test]
async fn annotated_arguments_are_mirrored() {
    let (client, log) = mirroring(sql);
    client.list_tools().await.unwrap();
    client
        .call(
            "sql",
            json!({"region": "us-west1", "limits": {"rows": 42}, "dry": true, "query": "x"}),
        )
        .await
        .unwrap();
    client
        .call(
            "sql",
            json!({"region": " \u{4e16}", "limits": {"rows": -7}, "dry": false}),
        )
        .await
        .unwrap();
    client
        .call("sql", json!({"region": null, "rows": 1}))
        .await
        .unwrap();
    client.call("sql", ()).await.unwrap();
    let seen = log.all();
    let headers = |n: usize| {
        ["mcp-param-region", "mcp-param-rows", "mcp-param-dry"].map(|name| seen[n].header(name))
    };
    assert_eq!(headers(1), [Some("us-west1"), Some("42"), Some("true")]);
    assert_eq!(
        headers(2),
        [Some("=?base64?IOS4lg==?="), Some("-7"), Some("false")]
    );
    assert_eq!(headers(3), [None; 3]);
    assert_eq!(headers(4), [None; 3]);
    assert_eq!(
        seen[1].params["arguments"]["region"], "us-west1",
        "the body stays as it is"
    );
}

#[tokio::test]
async fn an_argument_that_does_not_fit_into_a_header_is_not_sent() {
    let (client, log) = mirroring(sql);
    client.list_tools().await.unwrap();
    let error = client
        .call(
            "sql",
            json!({"limits": {"rows": 9_007_199_254_740_992_i64}}),
        )
        .await
        .unwrap_err();
    assert!(
        matches!(&error, ClientError::Request(why) if why.contains("Rows")),
        "{error}"
    );
    assert_eq!(log.len(), 1);
}

// spec: http-headers-24
#[tokio::test]
async fn annotations_are_ignored_without_mirrored_headers() {
    let mut bad = region();
    bad["inputSchema"]["properties"]["query"]["x-mcp-header"] = "".into();
    let (client, log) = serving(move |seen| {
        if seen.method == "tools/list" {
            list(json!([bad]))
        } else {
            Does::Result(text("ok"))
        }
    });
    assert_eq!(client.list_tools().await.unwrap().len(), 1);
    client.call("sql", json!({"region": "x"})).await.unwrap();
    assert!(log.all()[1].headers.is_none());
}

// spec: http-headers-22, http-headers-23
#[tokio::test]
async fn only_tools_with_invalid_annotations_are_left_out_with_a_warning() {
    let with = |name: &str, property: JsonValue| json!({"name": name, "inputSchema": {"type": "object", "properties": {"p": property}}});
    let tools = json!([
        with("empty", json!({"type": "string", "x-mcp-header": ""})),
        with("good", json!({"type": "string", "x-mcp-header": "P"})),
        with("space", json!({"type": "string", "x-mcp-header": "a b"})),
        with("number", json!({"type": "number", "x-mcp-header": "N"})),
        with(
            "array",
            json!({"type": "array", "items": {"type": "string", "x-mcp-header": "I"}})
        ),
        with("plain", json!({"type": "string"})),
    ]);
    let (client, _) = mirroring(move |_| list(tools.clone()));
    let warnings = Warnings::default();
    let guard = tracing::subscriber::set_default(warnings.clone());
    let names: Vec<_> = client
        .list_tools()
        .await
        .unwrap()
        .into_iter()
        .map(|tool| tool.name)
        .collect();
    drop(guard);
    assert_eq!(names, ["good", "plain"]);
    let warned = warnings.0.lock().unwrap().join("\n");
    for bad in ["empty", "space", "number", "array"] {
        assert!(warned.contains(&format!("tool={bad}")), "{warned}");
    }
    assert!(!warned.contains("tool=good"));
}

// spec: http-headers-edge-02, http-headers-32
#[tokio::test]
async fn after_a_header_mismatch_the_tools_are_listed_and_the_call_sent_again() {
    let (client, log) =
        mirroring(
            |seen| match (seen.method.as_str(), seen.header("mcp-param-region")) {
                ("tools/call", None) => refuse(-32020),
                _ => sql(seen),
            },
        );
    client.call("sql", json!({"region": "eu"})).await.unwrap();
    assert_eq!(log.methods(), ["tools/call", "tools/list", "tools/call"]);
    let seen = log.all();
    assert_eq!(seen[2].header("mcp-param-region"), Some("eu"));
    assert_eq!(seen[2].params, seen[0].params);
    assert_ne!(seen[2].id, seen[0].id);
}

// spec: http-headers-32, http-headers-edge-01
#[tokio::test]
async fn the_most_recent_definition_is_used() {
    let (client, log) = mirroring(|seen| {
        let mut tool = region();
        if seen.n > 0 {
            tool["inputSchema"]["properties"]["region"]["x-mcp-header"] = "Zone".into();
        }
        match seen.method.as_str() {
            "tools/list" => list(json!([tool])),
            _ if seen.header("mcp-param-zone").is_none() => refuse(-32020),
            _ => Does::Result(text("ok")),
        }
    });
    client.list_tools().await.unwrap();
    client.call("sql", json!({"region": "eu"})).await.unwrap();
    let seen = log.all();
    assert_eq!(
        log.methods(),
        ["tools/list", "tools/call", "tools/list", "tools/call"]
    );
    assert_eq!(
        (
            seen[1].header("mcp-param-region"),
            seen[1].header("mcp-param-zone")
        ),
        (Some("eu"), None)
    );
    assert_eq!(
        (
            seen[3].header("mcp-param-region"),
            seen[3].header("mcp-param-zone")
        ),
        (None, Some("eu"))
    );
}

#[tokio::test]
async fn a_persistent_header_mismatch_is_returned_after_one_retry() {
    let (client, log) = mirroring(|seen| {
        if seen.method == "tools/list" {
            list(json!([]))
        } else {
            refuse(-32020)
        }
    });
    assert_eq!(
        client.call("sql", ()).await.unwrap_err().code(),
        Some(-32020)
    );
    assert_eq!(log.methods(), ["tools/call", "tools/list", "tools/call"]);
    let (client, log) = serving(|_| refuse(-32020));
    assert_eq!(
        client.call("sql", ()).await.unwrap_err().code(),
        Some(-32020)
    );
    assert_eq!(
        log.len(),
        1,
        "the call is not retried without mirrored headers"
    );
}

/// Returns a client that requires valid output.
fn requiring_valid_output(
    behaviour: impl Fn(&Seen) -> Does + Send + Sync + 'static,
) -> (Client, Log) {
    serving_with(|builder| builder.require_valid_output(true), behaviour)
}

fn weather(seen: &Seen, output: JsonValue) -> Does {
    let schema = json!({"type": "object", "properties": {"celsius": {"type": "number"}}, "required": ["celsius"]});
    match seen.method.as_str() {
        "tools/list" => {
            list(json!([{"name": "w", "inputSchema": {"type": "object"}, "outputSchema": schema}]))
        }
        _ => done(output),
    }
}

// spec: tools-21
#[tokio::test]
async fn structured_content_is_validated_against_the_output_schema() {
    let cases = [
        (
            json!({"content": [], "structuredContent": {"celsius": 20.5}}),
            true,
        ),
        (
            json!({"content": [], "structuredContent": {"celsius": "warm"}}),
            false,
        ),
        (json!({"content": [], "structuredContent": null}), false),
        (json!({"content": []}), false),
        (json!({"content": [], "isError": true}), true),
    ];
    for (output, valid) in cases {
        let (client, _) = requiring_valid_output({
            let output = output.clone();
            move |seen| weather(seen, output.clone())
        });
        client
            .call("w", ())
            .await
            .expect("nothing is known of the tool yet");
        client.list_tools().await.unwrap();
        match client.call("w", ()).await {
            Ok(_) => assert!(valid, "{output}"),
            Err(error) => {
                assert!(
                    !valid
                        && matches!(&error, ClientError::Response(ResponseError::OutputSchema { tool, .. }) if tool == "w"),
                    "{error}"
                )
            }
        }
        let unchecked = output.clone();
        let (client, _) = serving_with(
            |builder| builder.validate_output(false),
            move |seen| weather(seen, unchecked.clone()),
        );
        client.list_tools().await.unwrap();
        client.call("w", ()).await.unwrap();
    }
}

// spec: tools-21, json-schema-06, json-schema-08
#[tokio::test]
async fn unusable_output_schemas_are_clear_errors() {
    for (schema, why) in [
        (
            json!({"$schema": "https://example.com/dialect"}),
            "https://example.com/dialect",
        ),
        (
            json!({"$ref": "http://127.0.0.1:1/schema.json"}),
            "cannot be used",
        ),
        (json!({"type": 12}), "cannot be used"),
    ] {
        let (client, _) = requiring_valid_output(move |seen| match seen.method.as_str() {
            "tools/list" => list(
                json!([{"name": "w", "inputSchema": {"type": "object"}, "outputSchema": schema}]),
            ),
            _ => done(json!({"content": [], "structuredContent": {}})),
        });
        assert_eq!(
            client.list_tools().await.unwrap().len(),
            1,
            "the tool itself stays"
        );
        let error = client.call("w", ()).await.unwrap_err();
        assert!(
            matches!(
                error,
                ClientError::Response(ResponseError::OutputSchema { .. })
            ) && error.to_string().contains(why),
            "{error}"
        );
    }
}

async fn validate(schema: JsonValue, content: JsonValue) -> Result<(), ClientError> {
    let (client, _) = requiring_valid_output(move |seen| match seen.method.as_str() {
        "tools/list" => {
            list(json!([{"name": "w", "inputSchema": {"type": "object"}, "outputSchema": schema}]))
        }
        _ => done(json!({"content": [], "structuredContent": content})),
    });
    client.list_tools().await.unwrap();
    client.call("w", ()).await.map(drop)
}

// spec: tools-21, json-schema-01, json-schema-05
#[tokio::test]
async fn older_dialects_are_supported_and_the_default_is_2020_12() {
    let tuple = json!({"items": [{"type": "string"}], "additionalItems": false});
    for dialect in ["draft-04", "draft-06", "draft-07", "draft/2019-09"] {
        let mut schema = tuple.clone();
        schema["$schema"] = format!("http://json-schema.org/{dialect}/schema#").into();
        validate(schema.clone(), json!(["a"])).await.unwrap();
        let error = validate(schema, json!(["a", 1])).await.unwrap_err();
        assert!(
            matches!(
                error,
                ClientError::Response(ResponseError::OutputSchema { .. })
            ),
            "{error}"
        );
    }
    let schema = json!({"prefixItems": [{"type": "string"}], "items": false});
    validate(schema.clone(), json!(["a"])).await.unwrap();
    let error = validate(schema, json!(["a", 1])).await.unwrap_err();
    assert!(
        matches!(
            error,
            ClientError::Response(ResponseError::OutputSchema { .. })
        ),
        "{error}"
    );
    validate(json!({"type": "null"}), json!(null))
        .await
        .expect("null is content");
}

// spec: json-schema-13, json-schema-08
#[tokio::test]
async fn hostile_schemas_are_refused_quickly() {
    let step = json!({"properties": {"a": {"$ref": "#"}}, "required": ["b"]});
    let deep = (0..100).fold(json!({}), |inner, _| json!({"a": inner}));
    for (schema, content, why) in [
        (json!({"$ref": "#"}), json!({}), "refers back to itself"),
        (
            json!({"dependencies": {"a": {"allOf": [{"$ref": "#"}]}}}),
            json!({"a": 1}),
            "refers back to itself",
        ),
        (
            json!({"anyOf": [step, step, {"type": "object"}]}),
            deep,
            "nests too deep",
        ),
        (
            (0..70).fold(json!({}), |inner, _| json!({"not": inner})),
            json!({}),
            "nests deeper",
        ),
        (
            json!({"enum": vec!["0123456789"; 30_000]}),
            json!({}),
            "256 KiB",
        ),
    ] {
        let error = validate(schema, content).await.unwrap_err();
        assert!(
            matches!(
                &error,
                ClientError::Response(ResponseError::OutputSchema { .. })
            ) && error.to_string().contains(why),
            "{why}: {error}"
        );
    }
}

#[tokio::test]
async fn unsupported_patterns_skip_validation() {
    let schema = json!({"properties": {"mail": {"pattern": "^(?!\\.)a"}}, "required": ["mail"]});
    assert!(
        validate(schema, json!({"mail": "a@b.example"}))
            .await
            .is_ok()
    );
}

// spec: tools-32
#[tokio::test]
async fn schemas_keep_every_keyword() {
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object", "$anchor": "a", "x-unknown": {"k": [1]},
        "$defs": {"n": {"$anchor": "n", "type": "number"}}, "anyOf": [{"required": ["a"]}, {"$ref": "#n"}],
        "if": {"properties": {"a": {"const": 1}}}, "then": {"required": ["b"]}, "else": false, "additionalProperties": false
    });
    let sent = schema.clone();
    let (client, _) = serving(move |_| list(json!([{"name": "t", "inputSchema": sent}])));
    let tools = client.list_tools().await.unwrap();
    assert_eq!(JsonValue::Object(tools[0].input_schema.clone()), schema);
}

// spec: tools-13
#[tokio::test(start_paused = true)]
async fn tool_calls_are_retried_only_with_retry_idempotent() {
    let behaviour = |seen: &Seen| match seen.method.as_str() {
        "tools/list" => list(json!([
            {"name": "put", "inputSchema": {"type": "object"}, "annotations": {"idempotentHint": true}},
            {"name": "add", "inputSchema": {"type": "object"}},
        ])),
        _ => Does::Fail(CallError::broken("cut")),
    };
    for (tool, trusts, sent) in [("put", false, 1), ("put", true, 3), ("add", true, 1)] {
        let (client, log) = serving(behaviour);
        client.list_tools().await.unwrap();
        let call = client.call(tool, ());
        let call = if trusts {
            call.retry_idempotent()
        } else {
            call
        };
        assert!(call.await.is_err());
        assert_eq!(log.len() - 1, sent, "{tool} {trusts}");
    }
}

/// Collects warnings as text.
#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<Vec<String>>>);

impl tracing::Subscriber for Warnings {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() == tracing::Level::WARN
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        struct Fields(String);
        impl tracing::field::Visit for Fields {
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
                self.0.push_str(&format!("{}={value:?} ", field.name()));
            }
        }
        let mut fields = Fields(String::new());
        event.record(&mut fields);
        self.0.lock().unwrap().push(fields.0);
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}
