//! Tools: lists, calls, schemas, errors.

use carryall_server::{Ctx, HandlerError, Json, Server, Tool, ToolOutput};
use carryall_testkit::{answer, call, call_as, call_with_id, meta_with};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::time::Duration;

#[derive(Deserialize, JsonSchema)]
struct Add {
    /// First addend
    a: i64,
    /// Second addend
    b: i64,
}

#[derive(Serialize, JsonSchema)]
struct Sum {
    sum: i64,
}

fn server() -> Server {
    Server::new("calc", "1.2.3")
        .tool(
            Tool::new("add", async |args: Add| {
                Json(Sum {
                    sum: args.a + args.b,
                })
            })
            .description("Adds"),
        )
        .tool(Tool::new("fail", async || {
            Err::<(), _>(HandlerError::new("the disk is full"))
        }))
        .tool(Tool::new("panic", async || -> String { panic!("boom") }))
        .tool(Tool::new("io", async || {
            std::fs::read_to_string("/nowhere/at/all")
        }))
        .tool(
            Tool::new("liar", async || {
                ToolOutput::structured(&json!({"sum": "three"}))
            })
            .returns::<Json<Sum>>(),
        )
        .build()
        .unwrap()
}

// spec: base-jsonrpc-06, base-jsonrpc-07, base-jsonrpc-08, meta-17, tools-19, tools-20, tools-31
#[tokio::test]
async fn a_call_is_answered_with_content_and_structured_content() {
    let server = server();
    for id in [json!(7), json!("seven"), json!("7")] {
        let answered = answer(
            &server,
            call_with_id(
                &id,
                "tools/call",
                json!({"name": "add", "arguments": {"a": 2, "b": 3}}),
            ),
        )
        .await;
        assert_eq!(answered.response["id"], id);
        assert_eq!(
            answered.result(),
            &json!({
                "resultType": "complete",
                "content": [{"type": "text", "text": "{\"sum\":5}"}],
                "structuredContent": {"sum": 5},
                "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "calc", "version": "1.2.3"}},
            })
        );
    }
}

// spec: tools-23, tools-26, json-schema-05
#[tokio::test]
async fn arguments_that_do_not_conform_fail_the_tool() {
    let server = server();
    for arguments in [
        json!({}),
        json!({"a": 1}),
        json!({"a": "1", "b": 2}),
        json!({"a": 1.5, "b": 2}),
    ] {
        let answered = answer(
            &server,
            call("tools/call", json!({"name": "add", "arguments": arguments})),
        )
        .await;
        assert_eq!(answered.result()["isError"], json!(true), "{arguments}");
        assert!(
            answered.text().starts_with("Invalid arguments"),
            "{}",
            answered.text()
        );
    }
    let missing = answer(&server, call("tools/call", json!({"name": "add"}))).await;
    assert_eq!(missing.result()["isError"], json!(true));
}

// spec: tools-22, base-jsonrpc-14, base-jsonrpc-15, base-jsonrpc-16
#[tokio::test]
async fn malformed_requests_are_protocol_errors() {
    let server = server();
    for params in [
        json!({"name": "nothing"}),
        json!({}),
        json!({"name": 3}),
        json!({"name": "add", "arguments": [1]}),
    ] {
        let answered = answer(
            &server,
            call_with_id(&json!("x"), "tools/call", params.clone()),
        )
        .await;
        assert_eq!(answered.code(), -32602, "{params}");
        assert_eq!(answered.response["id"], json!("x"));
        assert!(!answered.error()["message"].as_str().unwrap().is_empty());
    }
}

// spec: tools-23
#[tokio::test]
async fn an_error_of_a_tool_is_a_result_with_is_error() {
    let server = server();
    let answered = answer(&server, call("tools/call", json!({"name": "fail"}))).await;
    assert_eq!(
        (answered.result()["isError"].clone(), answered.text()),
        (json!(true), "the disk is full")
    );
    let answered = answer(&server, call("tools/call", json!({"name": "io"}))).await;
    assert_eq!(answered.result()["isError"], json!(true));
}

#[tokio::test]
async fn a_panic_fails_its_call_alone() {
    let server = server();
    assert_eq!(
        answer(&server, call("tools/call", json!({"name": "panic"})))
            .await
            .code(),
        -32603
    );
    let sum = answer(
        &server,
        call(
            "tools/call",
            json!({"name": "add", "arguments": {"a": 1, "b": 1}}),
        ),
    )
    .await;
    assert_eq!(sum.result()["structuredContent"], json!({"sum": 2}));
}

// spec: tools-20
#[tokio::test]
async fn a_result_that_does_not_conform_is_an_error() {
    assert_eq!(
        answer(&server(), call("tools/call", json!({"name": "liar"})))
            .await
            .code(),
        -32603
    );
}

// spec: tools-02, tools-03, tools-06, tools-10, tools-11, caching-01, caching-09
#[tokio::test]
async fn tools_are_listed_in_a_stable_order_with_schemas_and_cache_hints() {
    let server = server();
    let discovered = answer(&server, call("server/discover", json!({}))).await;
    assert_eq!(
        discovered.result()["capabilities"]["tools"],
        json!({"listChanged": true})
    );
    let list = answer(&server, call("tools/list", json!({}))).await;
    let names: Vec<&str> = list.result()["tools"]
        .as_array()
        .unwrap()
        .iter()
        .map(|t| t["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["add", "fail", "io", "liar", "panic"]);
    let add = &list.result()["tools"][0];
    assert_eq!(add["inputSchema"]["type"], json!("object"));
    assert_eq!(
        add["inputSchema"]["properties"]["a"]["description"],
        json!("First addend")
    );
    assert_eq!(add["inputSchema"]["required"], json!(["a", "b"]));
    assert_eq!(
        list.result()["tools"][1]["inputSchema"],
        json!({"type": "object", "additionalProperties": false})
    );
    assert_eq!(
        (&list.result()["ttlMs"], &list.result()["cacheScope"]),
        (&json!(0), &json!("private"))
    );
    assert_eq!(
        answer(&server, call("tools/list", json!({})))
            .await
            .response,
        list.response
    );
}

// spec: tools-10, tools-14, http-headers-13, http-headers-16, json-schema-06, json-schema-07
#[test]
fn invalid_definitions_are_errors_of_build() {
    let with = |name: &str, schema: Value| {
        let Value::Object(schema) = schema else {
            unreachable!()
        };
        Server::new("x", "1")
            .tool(Tool::dynamic(name, schema, async || ""))
            .build()
            .unwrap_err()
            .to_string()
    };
    let object = json!({"type": "object"});
    assert!(with("has space", object.clone()).contains("has space"));
    assert!(with(&"x".repeat(129), object.clone()).contains("128"));
    assert!(with("", object).contains("1 to 128"));
    assert!(with("t", json!({"type": "string"})).contains("object"));
    assert!(
        with(
            "t",
            json!({"type": "object", "$schema": "http://json-schema.org/draft-04/schema#"})
        )
        .contains("draft-04")
    );
    assert!(with("t", json!({"type": "object", "properties": 3})).contains('t'));
    let header = |name: &str| json!({"type": "object", "properties": {"a": {"type": "string", "x-mcp-header": name}}});
    assert!(with("t", header("")).contains("x-mcp-header"));
    let twice = json!({"type": "object", "properties": {
        "a": {"type": "string", "x-mcp-header": "R"}, "b": {"type": "string", "x-mcp-header": "r"}}});
    assert!(with("t", twice).contains("x-mcp-header"));
}

#[test]
fn duplicate_names_are_refused() {
    let tool = || Tool::new("same", async || "");
    assert!(
        Server::new("x", "1")
            .tool(tool())
            .tool(tool())
            .build()
            .unwrap_err()
            .to_string()
            .contains("duplicate")
    );
}

// spec: tools-27, caching-26, tools-04, statelessness-10
#[tokio::test]
async fn a_tool_for_some_callers_does_not_exist_for_others() {
    let server = Server::new("x", "1")
        .public_lists()
        .tool(Tool::new("open", async || "o"))
        .tool(Tool::new("secret", async || "s").requires_scope("admin"))
        .build()
        .unwrap();
    let names = |answered: carryall_testkit::TestReply| {
        assert_eq!(answered.result()["cacheScope"], json!("private"));
        answered.result()["tools"].as_array().unwrap().len()
    };
    assert_eq!(
        names(answer(&server, call("tools/list", json!({}))).await),
        1
    );
    assert_eq!(
        names(answer(&server, call_as("eve", &["user"], "tools/list", json!({}))).await),
        1
    );
    assert_eq!(
        names(answer(&server, call_as("ann", &["admin"], "tools/list", json!({}))).await),
        2
    );
    let secret = json!({"name": "secret"});
    assert_eq!(
        answer(&server, call("tools/call", secret.clone()))
            .await
            .code(),
        -32602
    );
    assert_eq!(
        answer(
            &server,
            call_as("ann", &["admin"], "tools/call", secret.clone())
        )
        .await
        .text(),
        "s"
    );
    assert_eq!(
        answer(&server, call("tools/call", secret)).await.code(),
        -32602
    );
}

// spec: tools-28
#[tokio::test]
async fn a_rate_limited_tool_says_when_to_try_again() {
    let tool = Tool::new("once", async || "ok").rate_limit(1, Duration::from_secs(3600));
    let server = Server::new("x", "1").tool(tool).build().unwrap();
    assert_eq!(
        answer(&server, call("tools/call", json!({"name": "once"})))
            .await
            .text(),
        "ok"
    );
    let second = answer(&server, call("tools/call", json!({"name": "once"}))).await;
    assert!(second.text().contains("try again"), "{}", second.text());
    assert_eq!(second.result()["isError"], json!(true));
}

// spec: progress-04, progress-07, progress-11, http-receive-02
#[tokio::test]
async fn progress_grows_and_is_sent_if_the_client_asks() {
    let tool = Tool::new("work", async |ctx: Ctx| {
        for (i, progress) in [0.5, 0.5, 0.2, f64::NAN, 1.0, 2.0].into_iter().enumerate() {
            if i > 0 {
                tokio::time::sleep(Duration::from_millis(15)).await;
            }
            ctx.progress(progress).of(2.0).message("working").await;
        }
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            ctx.progress(3.0).await;
        });
        "done"
    });
    let server = Server::new("x", "1").tool(tool).build().unwrap();
    let silent = answer(&server, call("tools/call", json!({"name": "work"}))).await;
    assert!(silent.notifications.is_empty());
    let params = json!({"name": "work", "_meta": meta_with(&json!({"progressToken": "p"}))});
    let loud = answer(&server, call("tools/call", params)).await;
    let reports = loud.params_of("notifications/progress");
    let values: Vec<f64> = reports
        .iter()
        .map(|report| report["progress"].as_f64().unwrap())
        .collect();
    assert_eq!(values, [0.5, 1.0, 2.0]);
    assert!(reports.iter().all(
        |report| report["progressToken"] == json!("p") && report["message"] == json!("working")
    ));
    assert_eq!(loud.text(), "done");
}
