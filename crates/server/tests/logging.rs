//! Log messages: only on request, and only on the stream of that request.
#![allow(deprecated)]

use carryall_server::{Ctx, Server, ServerBuilder, Tool};
use carryall_testkit::{
    TestReply, answer, assert_idle, call, meta_with, next_notification, stream,
};
use carryall_types::LoggingLevel;
use serde_json::{Value, json};

const LEVELS: [LoggingLevel; 8] = [
    LoggingLevel::Debug,
    LoggingLevel::Info,
    LoggingLevel::Notice,
    LoggingLevel::Warning,
    LoggingLevel::Error,
    LoggingLevel::Critical,
    LoggingLevel::Alert,
    LoggingLevel::Emergency,
];

fn builder() -> ServerBuilder {
    Server::new("logs", "1")
        .tool(Tool::new("all", async |ctx: Ctx| {
            for level in LEVELS {
                ctx.log(level, Some("test"), json!({"at": level})).await;
            }
        }))
        .tool(Tool::new("flood", async |ctx: Ctx| {
            for n in 0..5000 {
                ctx.log(LoggingLevel::Error, None, n).await;
            }
        }))
        .tool(Tool::new("fail", async || {
            std::fs::read_to_string("/nowhere/password")
        }))
        .tool(Tool::new("panic", async || -> String {
            panic!("the password is swordfish")
        }))
}

async fn called(server: &Server, name: &str, level: &str) -> TestReply {
    let meta = match level {
        "" => carryall_testkit::meta(),
        level => meta_with(&json!({"io.modelcontextprotocol/logLevel": level})),
    };
    answer(
        server,
        call("tools/call", json!({"name": name, "_meta": meta})),
    )
    .await
}

// spec: logging-03, logging-04
#[tokio::test]
async fn messages_are_sent_from_the_requested_level_up() {
    let server = builder().with_logging().build().unwrap();
    assert!(called(&server, "all", "").await.notifications.is_empty());
    let names = [
        "debug",
        "info",
        "notice",
        "warning",
        "error",
        "critical",
        "alert",
        "emergency",
    ];
    for (first, name) in names.iter().enumerate() {
        let answered = called(&server, "all", name).await;
        let logged = answered.params_of("notifications/message");
        let levels: Vec<&str> = logged
            .iter()
            .map(|message| message["level"].as_str().unwrap())
            .collect();
        assert_eq!(levels, names[first..]);
        assert_eq!(
            logged[0],
            json!({"level": name, "logger": "test", "data": {"at": name}})
        );
    }
    assert!(
        called(&server, "all", "").await.notifications.is_empty(),
        "the level of one request does not apply to the next"
    );
}

// spec: logging-02
#[tokio::test]
async fn a_server_that_does_not_declare_logging_sends_no_messages() {
    let server = builder().build().unwrap();
    assert!(
        called(&server, "all", "debug")
            .await
            .notifications
            .is_empty()
    );
    let discovered = answer(&server, call("server/discover", json!({}))).await;
    assert!(discovered.result()["capabilities"].get("logging").is_none());
}

// spec: logging-05, http-receive-05
#[tokio::test]
async fn messages_stay_on_the_stream_of_their_request() {
    let server = builder().with_logging().build().unwrap();
    let meta = meta_with(&json!({"io.modelcontextprotocol/logLevel": "debug"}));
    let listen = call(
        "subscriptions/listen",
        json!({"notifications": {"toolsListChanged": true}, "_meta": meta}),
    );
    let mut listener = stream(&server, listen).await;
    next_notification(&mut listener).await;
    let (loud, quiet) = tokio::join!(called(&server, "all", "debug"), called(&server, "all", ""));
    assert_eq!(
        (loud.notifications.len(), quiet.notifications.len()),
        (8, 0)
    );
    assert_idle(&mut listener);
}

// spec: logging-06
#[tokio::test]
async fn an_unknown_level_is_invalid_params() {
    for level in [json!("loud"), json!(3), json!("")] {
        let meta = meta_with(&json!({"io.modelcontextprotocol/logLevel": level}));
        let request = carryall_testkit::request(
            &json!(1),
            "tools/call",
            json!({"name": "all", "_meta": meta}),
        );
        let refused = carryall_proto::decode::decode_frame(request.to_string().into()).unwrap_err();
        assert_eq!(refused.error.code, -32602, "{level}");
    }
}

// spec: logging-07, logging-09
#[tokio::test]
async fn messages_of_one_call_are_limited() {
    let server = builder().with_logging().build().unwrap();
    let answered = called(&server, "flood", "debug").await;
    let logged: Vec<Value> = answered.params_of("notifications/message");
    assert_eq!(logged.len(), 1000);
    assert_eq!(logged[999]["data"], json!(999), "the first ones, in order");
    assert!(answered.result().is_object());
}

// spec: logging-08
#[tokio::test]
async fn the_server_itself_logs_nothing_to_the_client() {
    let server = builder().with_logging().build().unwrap();
    for name in ["panic", "fail"] {
        assert!(
            called(&server, name, "debug")
                .await
                .notifications
                .is_empty(),
            "{name}"
        );
    }
    let panicked = called(&server, "panic", "debug").await;
    assert!(!panicked.response.to_string().contains("swordfish"));
}

// spec: logging-01
#[test]
fn logging_is_off_by_default_and_marked_deprecated() {
    let source = [
        include_str!("../src/server/builder.rs"),
        include_str!("../src/call/ctx.rs"),
    ];
    for (source, function) in source
        .iter()
        .zip(["pub fn with_logging", "pub async fn log"])
    {
        let before = source.split(function).next().unwrap();
        assert!(
            before.trim_end().ends_with(")]") && before.rfind("#[deprecated").is_some(),
            "{function}"
        );
        let attribute = &before[before.rfind("#[deprecated").unwrap()..];
        assert!(
            !attribute.contains("fn ") && attribute.contains("stderr or OpenTelemetry"),
            "{function}"
        );
    }
}
