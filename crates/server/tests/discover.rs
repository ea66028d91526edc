//! `server/discover`: the identity of a server and the features that it advertises.
#![allow(deprecated)]

use carryall_server::{Prompt, Resource, Server, Tool};
use carryall_testkit::{answer, call, stream};
use carryall_types::{InputRequiredResult, JsonObject};
use serde_json::{Value, json};

fn everything() -> Server {
    Server::new("full", "1")
        .tool(Tool::new("tool", async || "ok"))
        .tool(Tool::new("ask", async || {
            let state = InputRequiredResult::new().with_request_state("s");
            Err::<(), _>(carryall_server::HandlerError::input_required(state))
        }))
        .prompt(Prompt::new("prompt", async || "hello").argument("a", "", false))
        .resource(Resource::new("x:r", "resource", async || "text"))
        .complete_prompt("prompt", "a", async || vec!["one"])
        .with_logging()
        .build()
        .unwrap()
}

async fn capabilities(server: &Server) -> Value {
    answer(server, call("server/discover", json!({})))
        .await
        .result()["capabilities"]
        .clone()
}

// spec: discover-01, discover-02, discover-04, versioning-03, meta-17, base-jsonrpc-08, caching-01
#[tokio::test]
async fn discovery_has_every_required_member() {
    let server = Server::new("name", "1.2.3")
        .title("A name")
        .description("What it is")
        .website("https://example.com")
        .instructions("Call tool first.")
        .tool(Tool::new("tool", async || "ok"))
        .build()
        .unwrap();
    assert_eq!(
        answer(&server, call("server/discover", json!({})))
            .await
            .result(),
        &json!({
            "resultType": "complete",
            "supportedVersions": ["2026-07-28"],
            "capabilities": {"tools": {"listChanged": true}},
            "instructions": "Call tool first.",
            "ttlMs": 0,
            "cacheScope": "private",
            "_meta": {"io.modelcontextprotocol/serverInfo": {
                "name": "name", "version": "1.2.3", "title": "A name", "description": "What it is",
                "websiteUrl": "https://example.com",
            }},
        })
    );
}

#[tokio::test]
async fn results_have_name_and_version_and_discovery_the_whole_identity() {
    let icon = carryall_types::Icon::new(format!("data:image/png;base64,{}", "A".repeat(1000)));
    let server = Server::new("name", "1.2.3")
        .title("A name")
        .description("What it is")
        .website("https://example.com")
        .icon(icon)
        .tool(Tool::new("tool", async || "ok"))
        .tool(Tool::new("with-meta", async || {
            let meta = json!({"com.example/a": 1}).as_object().cloned();
            carryall_server::ToolOutput::text("ok").with_meta(meta.unwrap())
        }))
        .prompt(carryall_server::Prompt::new("prompt", async || "ok"))
        .build()
        .unwrap();
    let info = async |method: &str, params: Value| {
        let answered = answer(&server, call(method, params)).await;
        answered.result()["_meta"]["io.modelcontextprotocol/serverInfo"].clone()
    };
    let brief = json!({"name": "name", "version": "1.2.3"});
    assert_eq!(info("tools/list", json!({})).await, brief);
    assert_eq!(info("tools/call", json!({"name": "tool"})).await, brief);
    assert_eq!(
        info("tools/call", json!({"name": "with-meta"})).await,
        brief
    );
    assert_eq!(info("prompts/get", json!({"name": "prompt"})).await, brief);
    let all = info("server/discover", json!({})).await;
    assert_eq!(all["title"], "A name");
    assert!(all["icons"][0]["src"].as_str().unwrap().len() > 1000);
}

#[tokio::test]
async fn server_info_can_be_omitted() {
    let server = Server::new("secret", "1")
        .without_server_info()
        .with_tools()
        .build()
        .unwrap();
    for method in ["server/discover", "tools/list"] {
        assert!(
            answer(&server, call(method, json!({})))
                .await
                .result()
                .get("_meta")
                .is_none(),
            "{method}"
        );
    }
}

// spec: discover-06, tools-02, prompts-01, resources-01, completion-01, completion-03, logging-02
// spec: prompts-12
#[tokio::test]
async fn features_exist_exactly_if_they_are_advertised() {
    let bare = Server::new("bare", "1").build().unwrap();
    assert_eq!(capabilities(&bare).await, json!({}));
    let full = everything();
    assert_eq!(
        capabilities(&full).await,
        json!({
            "tools": {"listChanged": true}, "prompts": {"listChanged": true}, "completions": {}, "logging": {},
            "resources": {"listChanged": true, "subscribe": true},
        })
    );
    for (method, params) in [
        ("tools/list", json!({})),
        ("tools/call", json!({"name": "tool"})),
        ("prompts/list", json!({})),
        ("prompts/get", json!({"name": "prompt"})),
        ("resources/list", json!({})),
        ("resources/templates/list", json!({})),
        ("resources/read", json!({"uri": "x:r"})),
        (
            "completion/complete",
            json!({"ref": {"type": "ref/prompt", "name": "prompt"}, "argument": {"name": "a", "value": ""}}),
        ),
    ] {
        assert_eq!(
            answer(&bare, call(method, params.clone())).await.code(),
            -32601,
            "{method}"
        );
        assert_eq!(
            answer(&full, call(method, params)).await.result()["resultType"],
            json!("complete"),
            "{method}"
        );
    }
    for method in [
        "resources/subscribe",
        "logging/setLevel",
        "ping",
        "sampling/createMessage",
        "tasks/get",
    ] {
        assert_eq!(
            answer(&full, call(method, json!({}))).await.code(),
            -32601,
            "{method}"
        );
    }
}

// spec: tools-04, prompts-03, resources-03, tools-18
#[tokio::test]
async fn a_feature_can_be_advertised_while_its_list_is_empty() {
    let server = Server::new("x", "1")
        .with_tools()
        .with_prompts()
        .with_resources()
        .build()
        .unwrap();
    for (method, member) in [
        ("tools/list", "tools"),
        ("prompts/list", "prompts"),
        ("resources/list", "resources"),
    ] {
        assert_eq!(
            answer(&server, call(method, json!({}))).await.result()[member],
            json!([]),
            "{method}"
        );
    }
    assert_eq!(
        capabilities(&server).await["resources"],
        json!({"listChanged": true, "subscribe": true})
    );
}

// spec: base-jsonrpc-01
#[tokio::test]
async fn a_server_uses_all_three_message_patterns() {
    let server = everything();
    assert_eq!(
        answer(&server, call("tools/call", json!({"name": "tool"})))
            .await
            .text(),
        "ok"
    );
    let round = answer(&server, call("tools/call", json!({"name": "ask"}))).await;
    assert_eq!(round.result()["resultType"], json!("input_required"));
    let mut listening = stream(
        &server,
        call("subscriptions/listen", json!({"notifications": {}})),
    )
    .await;
    let (method, _) = carryall_testkit::next_notification(&mut listening).await;
    assert_eq!(method, "notifications/subscriptions/acknowledged");
}

// spec: meta-04
#[tokio::test]
async fn prefixes_are_reverse_dns_names() {
    let server = everything();
    let mut listening = stream(
        &server,
        call("subscriptions/listen", json!({"notifications": {}})),
    )
    .await;
    let (_, acknowledged) = carryall_testkit::next_notification(&mut listening).await;
    let discovered = answer(&server, call("server/discover", json!({}))).await;
    for meta in [&acknowledged["_meta"], &discovered.result()["_meta"]] {
        let keys: Vec<&String> = meta.as_object().unwrap().keys().collect();
        assert!(
            !keys.is_empty()
                && keys
                    .iter()
                    .all(|key| key.starts_with("io.modelcontextprotocol/")),
            "{keys:?}"
        );
    }
    let unprefixed = |id: &str| {
        Server::new("x", "1")
            .extension(id, JsonObject::new())
            .build()
    };
    assert!(
        unprefixed("thing")
            .unwrap_err()
            .to_string()
            .contains("thing")
    );
    assert!(unprefixed("com.example/thing").is_ok());
}

#[tokio::test]
async fn extensions_and_experimental_features_are_advertised_with_their_settings() {
    let settings = JsonObject::from_iter([("on".to_owned(), json!(true))]);
    let builder = Server::new("x", "1").extension("com.example/thing", settings.clone());
    let server = builder.experimental("try", settings).build().unwrap();
    assert_eq!(
        capabilities(&server).await,
        json!({"extensions": {"com.example/thing": {"on": true}}, "experimental": {"try": {"on": true}}})
    );
}

// spec: versioning-06
#[tokio::test]
async fn an_extension_of_the_client_alone_is_ignored_or_refused() {
    let server = everything();
    let declared =
        json!({"extensions": {"io.modelcontextprotocol/tasks": {}, "com.example/thing": {}}});
    let meta = carryall_testkit::meta_with(
        &json!({"io.modelcontextprotocol/clientCapabilities": declared}),
    );
    let core = answer(
        &server,
        call("tools/call", json!({"name": "tool", "_meta": meta.clone()})),
    )
    .await;
    assert_eq!(
        (core.text(), &core.result()["resultType"]),
        ("ok", &json!("complete"))
    );
    let refused = answer(
        &server,
        call("tasks/get", json!({"taskId": "t", "_meta": meta})),
    )
    .await;
    assert_eq!(refused.code(), -32601);
}
