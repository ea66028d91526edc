//! Any replica answers any request, whatever requests it got before.
#![allow(deprecated)]

use carryall_server::{Ctx, HandlerError, Json, Prompt, Resource, Server, Tool, UriVariables};
use carryall_testkit::{answer, call_as, call_with_id, meta_with};
use carryall_types::{InputRequiredResult, LoggingLevel};
use serde_json::{Value, json};

/// A replica: built by the same code as the others, sharing nothing with them.
fn replica() -> Server {
    let mut builder = Server::new("replica", "1").page_size(2).with_logging();
    for name in ["a", "b", "c", "d", "e"] {
        builder = builder.tool(Tool::new(name, async || "ok"));
    }
    builder
        .tool(Tool::new("me", async |ctx: Ctx| {
            let caller = ctx.principal().map(|principal| principal.subject.clone());
            Json(json!({
                "id": ctx.request_id().to_string(), "caller": caller,
                "capabilities": serde_json::to_value(ctx.client_capabilities()).unwrap(),
                "client": ctx.meta().client_info().map(|info| info.name),
            }))
        }))
        .tool(Tool::new("speak", async |ctx: Ctx| {
            ctx.log(LoggingLevel::Info, None, "log").await;
            ctx.progress(1.0).await;
        }))
        .tool(Tool::new("ask", async |ctx: Ctx| {
            match ctx.request_state()? {
                None => Err(HandlerError::input_required(
                    InputRequiredResult::new().with_request_state("s"),
                )),
                Some(state) => Ok(state),
            }
        }))
        .tool(Tool::new("fail", async || {
            Err::<(), _>(HandlerError::new("no"))
        }))
        .tool(Tool::new("scoped", async || "scoped").requires_scope("admin"))
        .prompt(Prompt::new("p", async || "hello").argument("a", "", true))
        .resource(Resource::template(
            "x:{v}",
            "t",
            async |variables: UriVariables| variables.text("v").unwrap_or_default().to_owned(),
        ))
        .complete_template(
            "x:{v}",
            "v",
            async |typed: carryall_server::CompletionQuery| vec![typed.value],
        )
        .build()
        .unwrap()
}

/// Interleaved requests of three clients with different capabilities, principals, log levels and
/// progress tokens.
fn sequence() -> Vec<(Option<&'static str>, Value, &'static str, Value)> {
    let plain = || carryall_testkit::meta();
    let rich = || {
        meta_with(&json!({
            "io.modelcontextprotocol/clientCapabilities": {"elicitation": {}, "roots": {}},
            "io.modelcontextprotocol/clientInfo": {"name": "rich", "version": "2"},
            "io.modelcontextprotocol/logLevel": "debug", "progressToken": "token",
        }))
    };
    let nameless = || meta_with(&json!({"io.modelcontextprotocol/clientInfo": null}));
    let mut all = Vec::new();
    for (method, params) in [
        ("server/discover", json!({})),
        ("tools/list", json!({})),
        ("tools/call", json!({"name": "me"})),
        ("tools/call", json!({"name": "speak"})),
        ("tools/call", json!({"name": "ask"})),
        ("tools/call", json!({"name": "ask", "requestState": "s"})),
        ("tools/call", json!({"name": "fail"})),
        ("tools/call", json!({"name": "scoped"})),
        ("tools/call", json!({"name": "absent"})),
        ("prompts/list", json!({})),
        ("prompts/get", json!({"name": "p", "arguments": {"a": "1"}})),
        ("prompts/get", json!({"name": "p"})),
        ("resources/list", json!({})),
        ("resources/templates/list", json!({})),
        ("resources/read", json!({"uri": "x:1"})),
        ("resources/read", json!({"uri": "y:1"})),
        (
            "completion/complete",
            json!({"ref": {"type": "ref/resource", "uri": "x:{v}"}, "argument": {"name": "v", "value": "q"}}),
        ),
        ("nothing/here", json!({})),
    ] {
        for (who, meta) in [
            (None, plain()),
            (Some("ann"), rich()),
            (None, nameless()),
            (Some("bob"), plain()),
        ] {
            let mut params = params.clone();
            params["_meta"] = meta;
            all.push((who, json!(all.len()), method, params));
        }
    }
    all
}

async fn asked(server: &Server, step: &(Option<&str>, Value, &str, Value)) -> (Vec<Value>, Value) {
    let (who, id, method, params) = step;
    let mut call = call_with_id(id, method, params.clone());
    if let Some(who) = who {
        let scopes: &[&str] = if *who == "ann" { &["admin"] } else { &[] };
        call.set_principal(call_as(who, scopes, method, json!({})).shared_principal());
    }
    let answered = answer(server, call).await;
    (
        answered
            .notifications
            .iter()
            .map(carryall_testkit::params)
            .collect(),
        answered.response,
    )
}

// spec: statelessness-01, statelessness-02, statelessness-03, tools-05, resources-02, prompts-02
#[tokio::test]
async fn any_replica_gives_the_same_answer() {
    let steps = sequence();
    let mut expected = Vec::new();
    for step in &steps {
        // A replica that has not had a request before.
        expected.push(asked(&replica(), step).await);
    }
    let replicas = [replica(), replica()];
    for pattern in [0b0, 0b1, 0b01, 0b0011, 0b110_1001usize] {
        for (n, step) in steps.iter().enumerate() {
            let server = &replicas[(pattern >> (n % 7)) & 1];
            assert_eq!(
                asked(server, step).await,
                expected[n],
                "{pattern:b} {step:?}"
            );
        }
    }
    for (n, step) in steps.iter().enumerate().rev() {
        assert_eq!(
            asked(&replicas[n % 2], step).await,
            expected[n],
            "backwards: {step:?}"
        );
    }
}

// spec: statelessness-02
#[tokio::test]
async fn concurrent_requests_of_many_clients_are_independent() {
    let server = replica();
    let steps = sequence();
    let mut tasks = tokio::task::JoinSet::new();
    for (n, step) in steps.iter().cloned().enumerate() {
        let server = server.clone();
        tasks.spawn(async move { (n, asked(&server, &step).await) });
    }
    while let Some(done) = tasks.join_next().await {
        let (n, answered) = done.unwrap();
        assert_eq!(answered, asked(&replica(), &steps[n]).await);
    }
}

// spec: statelessness-03, pagination-02, statelessness-05
#[tokio::test]
async fn a_cursor_of_one_replica_works_on_another() {
    let (one, other) = (replica(), replica());
    let page = async |server: &Server, cursor: Option<&Value>| {
        let params = cursor.map_or(json!({}), |cursor| json!({"cursor": cursor}));
        answer(server, call_with_id(&json!(1), "tools/list", params))
            .await
            .result()
            .clone()
    };
    let (mut cursor, mut names) = (None, Vec::new());
    for server in [&one, &other].into_iter().cycle().take(20) {
        let page = page(server, cursor.as_ref()).await;
        names.extend(
            page["tools"]
                .as_array()
                .unwrap()
                .iter()
                .map(|tool| tool["name"].as_str().unwrap().to_owned()),
        );
        cursor = page.get("nextCursor").cloned();
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(
        names,
        ["a", "ask", "b", "c", "d", "e", "fail", "me", "speak"]
    );
}

// spec: statelessness-01, statelessness-10, meta-13, meta-14, meta-18
#[tokio::test]
async fn a_request_leaves_no_trace_in_the_next() {
    let server = replica();
    let capabilities = json!({"elicitation": {}, "sampling": {}});
    let rich = json!({
        "io.modelcontextprotocol/clientCapabilities": capabilities,
        "io.modelcontextprotocol/clientInfo": {"name": "rich", "version": "1"},
        "io.modelcontextprotocol/logLevel": "debug", "progressToken": 1,
    });
    let mut first = call_as(
        "ann",
        &["admin"],
        "tools/call",
        json!({"name": "me", "_meta": meta_with(&rich)}),
    );
    first.replace_id(1.into());
    let first = answer(&server, first).await;
    let seen = &first.result()["structuredContent"];
    assert_eq!(
        (&seen["caller"], &seen["client"]),
        (&json!("ann"), &json!("rich"))
    );
    let poor = json!({"io.modelcontextprotocol/clientInfo": null});
    let second = json!({"name": "me", "_meta": meta_with(&poor)});
    let second = answer(&server, call_with_id(&json!(2), "tools/call", second)).await;
    assert_eq!(
        second.result()["structuredContent"],
        json!({"id": "2", "caller": null, "capabilities": {}, "client": null})
    );
    let third = answer(
        &server,
        call_with_id(&json!(3), "tools/call", json!({"name": "speak"})),
    )
    .await;
    assert!(third.notifications.is_empty());
    let scoped = answer(
        &server,
        call_with_id(&json!(4), "tools/call", json!({"name": "scoped"})),
    )
    .await;
    assert_eq!(scoped.code(), -32602, "who came before had the scope");
}

// spec: patterns-01, base-jsonrpc-28, base-jsonrpc-02
#[tokio::test]
async fn a_server_sends_notifications_and_responses_and_never_a_request() {
    let server = replica();
    for step in sequence() {
        let (who, id, method, params) = &step;
        let mut call = call_with_id(id, method, params.clone());
        if who.is_some() {
            call.set_principal(call_as("ann", &[], method, json!({})).shared_principal());
        }
        let answered = answer(&server, call).await;
        assert_eq!(
            (&answered.response["jsonrpc"], &answered.response["id"]),
            (&json!("2.0"), id)
        );
        assert!(answered.response.get("method").is_none());
        assert_ne!(
            answered.response.get("result").is_some(),
            answered.response.get("error").is_some()
        );
        for notification in answered.notifications {
            let text = carryall_proto::Message::Notification(notification)
                .encode()
                .into_bytes();
            let text: Value = serde_json::from_slice(&text).unwrap();
            assert!(
                text.get("id").is_none()
                    && text["method"]
                        .as_str()
                        .unwrap()
                        .starts_with("notifications/")
            );
        }
    }
}
