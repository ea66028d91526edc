//! Schemas of tools: dialects, references, limits, and mirrored headers.

use carryall_server::{Json, Server, Tool, ToolOutput};
use carryall_testkit::{TestReply, answer, call, call_over_http};
use carryall_types::JsonObject;
use serde_json::{Value, json};

const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

fn object(value: Value) -> JsonObject {
    let Value::Object(object) = value else {
        panic!("not an object: {value}")
    };
    object
}

fn dynamic(schema: Value) -> Tool {
    Tool::dynamic("t", object(schema), async || "ok")
}

fn build(schema: Value) -> Result<Server, String> {
    Server::new("x", "1")
        .tool(dynamic(schema))
        .build()
        .map_err(|error| error.to_string())
}

fn returning(schema: Value, value: Value) -> Tool {
    Tool::new("t", move || {
        let value = value.clone();
        async move { ToolOutput::structured(&value) }
    })
    .output_schema(object(schema))
}

async fn called(server: &Server, arguments: Value) -> TestReply {
    answer(
        server,
        call("tools/call", json!({"name": "t", "arguments": arguments})),
    )
    .await
}

// spec: json-schema-01, json-schema-05, tools-26
#[tokio::test]
async fn schemas_are_2020_12_with_and_without_saying_so() {
    let schema = |dialect: Option<&str>| {
        let mut schema = json!({"type": "object", "properties": {
            "pair": {"prefixItems": [{"type": "string"}, {"type": "integer"}], "items": false},
            "way": {"$ref": "#/$defs/way"},
        }, "dependentRequired": {"way": ["pair"]}, "$defs": {"way": {"const": "north"}}});
        if let Some(dialect) = dialect {
            schema["$schema"] = json!(dialect);
        }
        schema
    };
    for dialect in [None, Some(DIALECT)] {
        let server = build(schema(dialect)).unwrap();
        for (arguments, valid) in [
            (json!({}), true),
            (json!({"pair": ["a", 1]}), true),
            (json!({"pair": ["a", 1], "way": "north"}), true),
            (json!({"pair": ["a", 1, 2]}), false),
            (json!({"pair": [1, 1]}), false),
            (json!({"way": "north"}), false),
            (json!({"pair": [], "way": "south"}), false),
        ] {
            let answered = called(&server, arguments.clone()).await;
            assert_eq!(
                answered.result().get("isError").is_none(),
                valid,
                "{arguments} {dialect:?}"
            );
        }
    }
}

// spec: json-schema-06, json-schema-02
#[test]
fn other_schema_dialects_are_refused_by_name() {
    for dialect in [
        "http://json-schema.org/draft-07/schema#",
        "https://json-schema.org/draft/2019-09/schema",
        "https://example.com/own",
    ] {
        let schema = json!({"type": "object", "$schema": dialect});
        let output = Server::new("x", "1")
            .tool(returning(schema.clone(), json!({})))
            .build()
            .unwrap_err()
            .to_string();
        for problem in [build(schema).unwrap_err(), output] {
            assert!(
                problem.contains(dialect) && problem.contains("dialect"),
                "{problem}"
            );
        }
    }
}

// spec: json-schema-08, json-schema-10, json-schema-12
#[test]
fn external_references_are_refused_and_never_followed() {
    for reference in [
        "https://127.0.0.1:1/schema.json",
        "http://example.com/s",
        "file:///etc/passwd",
        "other.json",
        "#/$defs/none",
    ] {
        let schema = json!({"type": "object", "properties": {"a": {"$ref": reference}}});
        let output = Server::new("x", "1")
            .tool(returning(schema.clone(), json!({})))
            .build();
        for problem in [build(schema).unwrap_err(), output.unwrap_err().to_string()] {
            assert!(problem.starts_with("tool \"t\": "), "{problem}");
        }
    }
}

// spec: json-schema-07, json-schema-13, tools-10
#[test]
fn invalid_and_expensive_schemas_are_refused() {
    let nested = |depth: usize| {
        (0..depth).fold(
            json!({"type": "string"}),
            |inner, _| json!({"type": "object", "properties": {"a": inner}}),
        )
    };
    assert!(build(nested(20)).is_ok());
    assert!(build(nested(200)).is_err());
    let wide: JsonObject = (0..5000)
        .map(|n| (format!("p{n}"), json!({"type": "string"})))
        .collect();
    assert!(build(json!({"type": "object", "properties": wide})).is_err());
    for wrong in [
        json!({"type": "object", "properties": []}),
        json!({"type": "object", "required": "a"}),
        json!({"type": "object", "properties": {"a": {"type": "text"}}}),
        json!({"type": "object", "properties": {"a": {"minimum": "1"}}}),
        json!({"type": ["object"]}),
        json!({"type": "array"}),
        json!({}),
    ] {
        assert!(build(wrong.clone()).is_err(), "{wrong}");
    }
}

// spec: json-schema-04
#[tokio::test]
async fn schemas_made_from_types_are_2020_12() {
    #[derive(serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
    struct Pair {
        /// The left one
        left: Option<u8>,
    }
    let tool = Tool::new("pair", async |pair: Pair| Json(pair));
    let server = Server::new("x", "1").tool(tool).build().unwrap();
    let list = answer(&server, call("tools/list", json!({}))).await;
    for schema in ["inputSchema", "outputSchema"] {
        let schema = &list.result()["tools"][0][schema];
        assert_eq!(schema["$schema"], json!(DIALECT));
        assert_eq!(
            schema["properties"]["left"]["description"],
            json!("The left one")
        );
    }
}

// spec: tools-20, tools-31, tools-19
#[tokio::test]
async fn structured_content_is_any_value_that_conforms_to_its_schema() {
    for (schema, value, fits) in [
        (
            json!({"type": "array", "items": {"type": "integer"}}),
            json!([1, 2]),
            true,
        ),
        (
            json!({"type": "array", "items": {"type": "integer"}}),
            json!([1, "2"]),
            false,
        ),
        (
            json!({"type": "string", "maxLength": 3}),
            json!("abc"),
            true,
        ),
        (
            json!({"type": "string", "maxLength": 3}),
            json!("abcd"),
            false,
        ),
        (json!({"type": "null"}), json!(null), true),
        (
            json!({"type": "number", "exclusiveMinimum": 0}),
            json!(0),
            false,
        ),
    ] {
        let server = Server::new("x", "1")
            .tool(returning(schema.clone(), value.clone()))
            .build()
            .unwrap();
        let answered = called(&server, json!({})).await;
        if fits {
            assert_eq!(answered.result()["structuredContent"], value);
            assert_eq!(answered.text(), value.to_string(), "and the same as text");
        } else {
            assert_eq!(answered.code(), -32603, "{schema} {value}");
        }
    }
    let forgetful =
        Tool::new("t", async || "only text").output_schema(object(json!({"type": "string"})));
    let server = Server::new("x", "1").tool(forgetful).build().unwrap();
    assert_eq!(called(&server, json!({})).await.code(), -32603);
}

fn mirroring() -> Server {
    build(json!({"type": "object", "properties": {
        "region": {"type": "string", "x-mcp-header": "Region"},
        "limits": {"type": "object", "properties": {"rows": {"type": "integer", "x-mcp-header": "Rows"}}},
    }}))
    .unwrap()
}

// spec: http-headers-12, http-headers-36, tools-12
#[tokio::test]
async fn mirrored_arguments_must_equal_their_headers() {
    let server = mirroring();
    let arguments = json!({"region": "eu", "limits": {"rows": 5}});
    let sent = async |headers: &[(&str, &str)], arguments: &Value| {
        answer(
            &server,
            call_over_http(
                headers,
                "tools/call",
                json!({"name": "t", "arguments": arguments}),
            ),
        )
        .await
    };
    let agreeing = [("mcp-param-region", "eu"), ("mcp-param-rows", "5")];
    assert_eq!(sent(&agreeing, &arguments).await.text(), "ok");
    assert_eq!(
        sent(
            &[("mcp-param-region", "=?base64?ZXU=?="), agreeing[1]],
            &arguments
        )
        .await
        .text(),
        "ok"
    );
    assert_eq!(sent(&[], &json!({})).await.text(), "ok");
    for wrong in [
        vec![],
        vec![agreeing[0]],
        vec![("mcp-param-region", "us"), agreeing[1]],
        vec![agreeing[0], ("mcp-param-rows", "6")],
        vec![agreeing[0], agreeing[0], agreeing[1]],
        vec![("mcp-param-region", "=?base64?!?="), agreeing[1]],
    ] {
        let refused = sent(&wrong, &arguments).await;
        assert_eq!(refused.code(), -32020, "{wrong:?}");
    }
    assert_eq!(
        sent(&agreeing, &json!({})).await.code(),
        -32020,
        "headers that mirror nothing"
    );
    assert_eq!(
        called(&server, arguments).await.text(),
        "ok",
        "bindings without headers mirror nothing"
    );
}

// spec: tools-17
#[test]
fn secret_properties_are_not_mirrored() {
    for mark in [json!({"format": "password"}), json!({"writeOnly": true})] {
        let mut secret = object(json!({"type": "string", "x-mcp-header": "Key"}));
        secret.extend(object(mark.clone()));
        let deep = json!({"type": "object", "properties": {"auth": {"type": "object", "properties": {"key": secret}}}});
        assert!(
            build(deep).unwrap_err().contains("\"key\" is a secret"),
            "{mark}"
        );
        secret.remove("x-mcp-header");
        assert!(
            build(json!({"type": "object", "properties": {"key": secret}})).is_ok(),
            "{mark}"
        );
    }
}
