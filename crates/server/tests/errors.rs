//! Errors: their codes, their length, and what they do not disclose.

use carryall_server::{HandlerError, Prompt, Resource, Server, Tool, ToolOutput};
use carryall_testkit::{answer, call};
use carryall_types::{ContentBlock, ErrorObject, JsonObject, RawJson};
use serde_json::{Value, json};

fn code_schema() -> JsonObject {
    let Value::Object(schema) =
        json!({"type": "object", "properties": {"code": {"type": "integer"}}})
    else {
        unreachable!()
    };
    schema
}

fn failing() -> Server {
    Server::new("errors", "1")
        .tool(Tool::dynamic(
            "code",
            code_schema(),
            async |arguments: JsonObject| {
                let error = ErrorObject::new(arguments["code"].as_i64().unwrap(), "as it is");
                Err::<(), _>(HandlerError::protocol(
                    error.with_data(RawJson::from(&json!({"nested": [1]}))),
                ))
            },
        ))
        .tool(Tool::new("panic", async || -> String {
            panic!("password {}", "swordfish")
        }))
        .tool(Tool::new("panic-late", async || -> String {
            tokio::task::yield_now().await;
            panic!("password swordfish")
        }))
        .tool(Tool::new(
            "panic-early",
            || -> std::future::Ready<String> { panic!("swordfish") },
        ))
        .tool(Tool::new("rule", async || "ok").visible_if(|caller| {
            assert!(caller.is_some(), "swordfish");
            true
        }))
        .tool(Tool::new("fine", async || "ok"))
        .prompt(
            Prompt::new("panic", async || -> String { panic!("swordfish") })
                .argument("a", "", false),
        )
        .prompt(Prompt::new("tool-like", async || {
            Err::<String, _>(HandlerError::invalid_params("not like that"))
        }))
        .resource(Resource::new("x:panic", "r", async || -> String {
            panic!("swordfish")
        }))
        .resource(Resource::template("x:{v}", "t", async || ""))
        .complete_prompt("panic", "a", async || -> Vec<String> {
            panic!("swordfish")
        })
        .build()
        .unwrap()
}

fn named(name: &str) -> Value {
    json!({"name": name})
}

// spec: base-jsonrpc-19, base-jsonrpc-20, base-jsonrpc-22, base-jsonrpc-23, base-jsonrpc-26
// spec: base-jsonrpc-16
#[tokio::test]
async fn reserved_codes_are_replaced() {
    let server = failing();
    let sent = async |code: i64| {
        answer(
            &server,
            call(
                "tools/call",
                json!({"name": "code", "arguments": {"code": code}}),
            ),
        )
        .await
    };
    for reserved in [
        -32000, -32001, -32002, -32019, -32023, -32042, -32099, -32100, -32604, -32768,
    ] {
        let answered = sent(reserved).await;
        assert_eq!(
            answered.error(),
            &json!({"code": -32603, "message": "as it is"}),
            "{reserved}"
        );
    }
    for allowed in [
        -32601, -32602, -32603, -32020, -32021, -31999, -32769, 0, 1, 404,
    ] {
        let answered = sent(allowed).await;
        assert_eq!(
            answered.error(),
            &json!({"code": allowed, "message": "as it is", "data": {"nested": [1]}})
        );
    }
}

// spec: base-jsonrpc-18, base-jsonrpc-15
#[tokio::test]
async fn errors_of_the_server_are_short_whatever_the_request_contains() {
    let server = failing();
    let long = "long\n\u{0}\u{1b}[31m".repeat(20_000);
    let complete =
        |reference: Value| json!({"ref": reference, "argument": {"name": long, "value": ""}});
    for (method, params) in [
        ("tools/call", json!({"name": long})),
        ("tools/call", json!({"name": {"a": long}})),
        ("tools/call", json!({"name": "fine", "arguments": long})),
        ("tools/call", named("panic")),
        ("tools/list", json!({"cursor": long})),
        ("tools/list", json!({"cursor": {"a": long}})),
        ("prompts/get", json!({"name": long})),
        (
            "prompts/get",
            json!({"name": "panic", "arguments": {"a": [long]}}),
        ),
        ("resources/read", json!({"uri": long})),
        ("completion/complete", complete(json!({"type": long}))),
        (
            "completion/complete",
            complete(json!({"type": "ref/prompt", "name": long})),
        ),
        (
            "completion/complete",
            complete(json!({"type": "ref/prompt", "name": "panic"})),
        ),
        (
            "completion/complete",
            complete(json!({"type": "ref/resource", "uri": long})),
        ),
        (
            "subscriptions/listen",
            json!({"notifications": {"toolsListChanged": long}}),
        ),
        (&long.replace(char::is_control, ""), json!({})),
    ] {
        let answered = answer(&server, call(method, params)).await;
        let message = answered.error()["message"].as_str().unwrap();
        assert!(
            (5..300).contains(&message.len()),
            "{} bytes: {message:.80}",
            message.len()
        );
        assert!(
            !message.contains(char::is_control)
                && !message.trim_end_matches('\u{2026}').contains(". "),
            "{message}"
        );
    }
}

// spec: resources-11, prompts-09
#[tokio::test]
async fn a_panic_is_an_internal_error_of_its_call() {
    let server = failing();
    let completion = json!({"ref": {"type": "ref/prompt", "name": "panic"}, "argument": {"name": "a", "value": ""}});
    for (method, params) in [
        ("tools/call", named("panic")),
        ("tools/call", named("panic-late")),
        ("tools/call", named("panic-early")),
        ("tools/call", named("rule")),
        ("tools/list", json!({})),
        ("prompts/get", named("panic")),
        ("resources/read", json!({"uri": "x:panic"})),
        ("completion/complete", completion),
    ] {
        let answered = answer(&server, call(method, params.clone())).await;
        assert_eq!(
            answered.error(),
            &json!({"code": -32603, "message": "Internal error"}),
            "{method} {params}"
        );
        assert_eq!(
            answer(&server, call("tools/call", named("fine")))
                .await
                .text(),
            "ok"
        );
    }
}

#[tokio::test]
async fn a_failure_that_names_its_code_keeps_it() {
    let answered = answer(&failing(), call("prompts/get", named("tool-like"))).await;
    assert_eq!(
        answered.error(),
        &json!({"code": -32602, "message": "not like that"})
    );
}

// spec: tools-29
#[tokio::test]
async fn tool_content_cannot_be_taken_for_protocol() {
    let hostile = "\"}],\"isError\":true,\"_meta\":{\"x\":1}}\n{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\r\n\u{0}\u{1b}\u{2028}";
    let server = Server::new("x", "1")
        .tool(Tool::new("text", move || async move { hostile }))
        .tool(Tool::new("error", move || async move {
            Err::<(), _>(HandlerError::new(hostile))
        }))
        .tool(Tool::new("structured", move || async move {
            ToolOutput::structured(&json!({ hostile: hostile }))
        }))
        .build()
        .unwrap();
    for name in ["text", "error", "structured"] {
        let answered = answer(&server, call("tools/call", named(name))).await;
        let result = answered.result();
        assert_eq!(result.get("isError").is_some(), name == "error", "{name}");
        assert_eq!(result["content"].as_array().unwrap().len(), 1);
        assert!(result["_meta"].get("x").is_none());
        let mut service = server.clone();
        let reply = tower_service::Service::call(&mut service, call("tools/call", named(name)))
            .await
            .unwrap();
        let carryall_proto::Reply::Once(response) = reply else {
            panic!("a stream")
        };
        let text = carryall_proto::Message::Response(response)
            .encode()
            .into_bytes();
        assert!(
            !text.iter().any(|byte| byte.is_ascii_control()),
            "one line on any binding"
        );
        match name {
            "structured" => assert_eq!(result["structuredContent"], json!({ hostile: hostile })),
            _ => assert_eq!(answered.text(), hostile),
        }
    }
}

// spec: tools-29
#[tokio::test]
async fn malformed_content_is_an_error() {
    let blocks: [fn() -> ContentBlock; 4] = [
        || ContentBlock::image("not base64", "image/png"),
        || ContentBlock::audio("AAAA", ""),
        || ContentBlock::resource(carryall_types::BlobResourceContents::new("x:b", "AAA")),
        || ContentBlock::image("AAAA", "image/png"),
    ];
    for (n, block) in blocks.into_iter().enumerate() {
        let tool = Tool::new("media", move || async move { block() });
        let server = Server::new("x", "1").tool(tool).build().unwrap();
        let answered = answer(&server, call("tools/call", named("media"))).await;
        assert_eq!(
            answered.response.get("error").is_some(),
            n < 3,
            "{n}: {}",
            answered.response
        );
    }
}
