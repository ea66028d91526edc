//! Several callers of one legacy server on stdio: nothing of one reaches another, and none can
//! exhaust what they share.

#![cfg(unix)]

mod call_common;

use call_common::*;
use carryall_legacy::call::{DualEraStdio, SessionScope};
use carryall_proto::Call;
use carryall_testkit as testkit;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

const LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";
const FORM: &str =
    r#"{"message":"Delete all your files?","requestedSchema":{"type":"object","properties":{}}}"#;
const QUESTIONS: [(&str, &str); 3] = [
    ("elicitation/create", FORM),
    ("sampling/createMessage", r#"{"messages":[],"maxTokens":5}"#),
    ("roots/list", "{}"),
];

/// A server whose tool `ask` asks and waits for the answer. `later` does so when `slow` is called,
/// which is answered only by `cancelled`, what the server does when it is cancelled.
fn asking(method: &str, params: &str, cancelled: &str) -> FakeServer {
    let ask =
        format!(r#"say '{{"jsonrpc":"2.0","id":"q1","method":"{method}","params":{params}}}'"#);
    let thanks = r#"id=$call; reply '{"content":[{"type":"text","text":"thanks"}]}'"#;
    let cases = [
        format!(r#"*'"name":"ask"'*) call=$id; {ask} ;;"#),
        r#"*'"name":"later"'*) call=$id ;;"#.to_owned(),
        format!(r#"*'"name":"slow"'*) slow=$id; if [ "$call" ]; then {ask}; fi ;;"#),
        format!(r#"*'"method":"notifications/cancelled"'*) {cancelled} ;;"#),
        format!(r#"*'"id":"q1"'*) {thanks} ;;"#),
    ];
    FakeServer::new("", &cases.join("\n"))
}

/// Sets the caller of a call.
type Made = fn(Call) -> Call;

fn start(client: &DualEraStdio, call: Call) -> JoinHandle<testkit::TestReply> {
    let client = client.clone();
    tokio::spawn(async move { testkit::answer(&client, call).await })
}

async fn wait_for_tool(server: &FakeServer, name: &str) {
    server
        .wait_for(|message| message["params"]["name"] == name)
        .await;
}

async fn answer_of(server: &FakeServer) -> Value {
    server
        .wait_for(|message| message["id"] == "q1" && message.get("method").is_none())
        .await
}

fn is_asked(answered: &testkit::TestReply) -> bool {
    answered.result()["resultType"] == "input_required"
}

fn accept(asked: &testkit::TestReply, name: &str) -> Call {
    let result = asked.result();
    let key = result["inputRequests"]
        .as_object()
        .unwrap()
        .keys()
        .next()
        .unwrap();
    let mut call = able(name);
    for (member, value) in [
        ("requestState", result["requestState"].clone()),
        (
            "inputResponses",
            json!({key: {"action": "accept", "content": {}}}),
        ),
    ] {
        call.set_param(member, &carryall_types::RawJson::from(&value));
    }
    call
}

#[tokio::test]
async fn a_question_never_reaches_the_call_of_another_caller() {
    for (method, params) in QUESTIONS {
        let owners: [(SessionScope, Made, Made); 2] = [
            (
                SessionScope::Principal,
                |call| from(1, call),
                |call| from(2, call),
            ),
            (
                SessionScope::Shared,
                |call| by("ann", call),
                |call| by("bob", call),
            ),
        ];
        for (scope, ann, bob) in owners {
            let server = asking(method, params, ":");
            let client = server.spawn(quick().session_scope(scope)).await.unwrap();
            let hers = start(&client, ann(able("later")));
            wait_for_tool(&server, "later").await;
            let his = start(&client, bob(able("slow")));
            let refused = answer_of(&server).await;
            assert_eq!(refused["error"]["code"], -32600, "{method} {refused}");
            assert_eq!(
                hers.await.unwrap().text(),
                "thanks",
                "{method}: the server could go on"
            );
            assert!(!his.is_finished(), "{method}: a stranger was asked");
            his.abort();
            client.shutdown().await;
        }
    }
}

#[tokio::test]
async fn the_latest_call_of_a_caller_is_asked() {
    for (method, params) in QUESTIONS {
        let server = asking(method, params, ":");
        let client = server.start().await;
        let first = start(&client, from(1, able("later")));
        wait_for_tool(&server, "later").await;
        assert!(
            is_asked(&testkit::answer(&client, from(1, able("slow"))).await),
            "{method}"
        );
        assert!(!first.is_finished());
        first.abort();
        client.shutdown().await;
    }
}

#[tokio::test]
async fn a_cancelled_call_of_another_caller_counts_until_it_is_answered() {
    let answer = r#"id=$slow; reply '{"content":[]}'"#;
    let server = asking("elicitation/create", FORM, answer);
    let client = server.start().await;
    let his = start(&client, from(2, able("slow")));
    wait_for_tool(&server, "slow").await;
    his.abort();
    server.wait_for_method("notifications/cancelled").await;
    // The late answer is sent before anything of this call.
    assert!(is_asked(
        &testkit::answer(&client, from(1, able("ask"))).await
    ));
    client.shutdown().await;

    // Most servers do not answer cancelled calls.
    let server = asking("elicitation/create", FORM, ":");
    let client = server.start().await;
    let his = start(&client, from(2, able("slow")));
    wait_for_tool(&server, "slow").await;
    his.abort();
    server.wait_for_method("notifications/cancelled").await;
    assert_eq!(
        testkit::answer(&client, from(1, able("ask"))).await.text(),
        "thanks"
    );
    assert_eq!(answer_of(&server).await["error"]["code"], -32600);
    // Later calls use a session without the cancelled call.
    assert!(is_asked(
        &testkit::answer(&client, from(1, able("ask"))).await
    ));
    client.shutdown().await;
}

#[tokio::test]
async fn log_messages_never_reach_another_caller() {
    let log = r#"say '{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"error","data":"secret"}}'"#;
    let cases = [
        format!(r#"*'"name":"log"'*) {log}; reply '{{"content":[]}}' ;;"#),
        r#"*'"name":"slow"'*) slow=$id ;;"#.to_owned(),
        r#"*'"name":"release"'*) reply '{"content":[]}'; id=$slow; reply '{"content":[]}' ;;"#
            .to_owned(),
    ];
    let server = FakeServer::new("", &cases.join("\n"));
    let client = server.start().await;
    let logged = || {
        let meta = testkit::meta_with(&json!({LOG_LEVEL: "debug"}));
        testkit::call("tools/call", json!({"name": "log", "_meta": meta}))
    };
    let count = |answered: testkit::TestReply| answered.params_of("notifications/message").len();
    assert_eq!(count(testkit::answer(&client, from(1, logged())).await), 1);
    let his = start(&client, from(2, tool("slow")));
    wait_for_tool(&server, "slow").await;
    assert_eq!(
        count(testkit::answer(&client, from(1, logged())).await),
        0,
        "it may be about his call"
    );
    testkit::answer(&client, from(2, tool("release"))).await;
    his.await.unwrap();
    assert_eq!(count(testkit::answer(&client, from(1, logged())).await), 1);
    let filter = json!({"notifications": {"toolsListChanged": true}});
    let mut changes = testkit::stream(
        &client,
        from(2, testkit::call("subscriptions/listen", filter)),
    )
    .await;
    testkit::next_notification(&mut changes).await;
    assert_eq!(
        count(testkit::answer(&client, from(1, logged())).await),
        0,
        "it may be about what he listens to"
    );
    drop(changes);
    assert_eq!(count(testkit::answer(&client, from(1, logged())).await), 1);
    client.shutdown().await;
}

#[tokio::test]
async fn questions_of_other_callers_do_not_cancel_a_suspended_call() {
    let server = asking("elicitation/create", FORM, ":");
    let client = server
        .spawn(quick().session_scope(SessionScope::Client))
        .await
        .unwrap();
    let hers = testkit::answer(&client, from(1, able("ask"))).await;
    assert!(is_asked(&hers));
    let (mut asked, mut refused) = (0, 0);
    for _ in 0..262 {
        let answered = testkit::answer(&client, from(2, able("ask"))).await;
        if answered.response["error"].is_object() {
            refused += 1;
            assert!(
                answered.error()["message"]
                    .as_str()
                    .unwrap()
                    .contains("this caller"),
                "{:?}",
                answered.error()
            );
        } else {
            asked += usize::from(is_asked(&answered));
        }
    }
    assert_eq!((asked, refused), (64, 198));
    let third = testkit::answer(&client, from(3, able("ask"))).await;
    assert!(is_asked(&third), "there is room for others");
    assert_eq!(
        testkit::answer(&client, from(1, accept(&hers, "ask")))
            .await
            .text(),
        "thanks"
    );
    client.shutdown().await;
}

#[tokio::test]
async fn suspended_calls_are_bounded_in_bytes() {
    let server = asking("elicitation/create", FORM, ":");
    let client = server
        .spawn(quick().max_suspended_bytes(8000))
        .await
        .unwrap();
    assert!(is_asked(
        &testkit::answer(&client, from(1, able("ask"))).await
    ));
    let mut large = able("ask");
    let arguments = json!({"text": "x".repeat(2000)});
    large.set_param("arguments", &carryall_types::RawJson::from(&arguments));
    let refused = testkit::answer(&client, from(1, large)).await;
    assert_eq!(refused.code(), -32603);
    // The question is answered with an error, and the call cancelled.
    let answer = answer_of(&server).await;
    assert_eq!(answer["error"]["code"], -32603, "{answer}");
    server.wait_for_method("notifications/cancelled").await;
    client.shutdown().await;
}

#[tokio::test]
async fn a_server_that_never_sets_the_log_level_delays_no_call() {
    let server = FakeServer::new("", r#"*'"method":"logging/setLevel"'*) ;;"#);
    let client = server.start().await;
    let start_of = Instant::now();
    let logged = |level: &str| tool_with(json!({LOG_LEVEL: level}));
    let calls: Vec<_> = ["debug", "info", "warning", "error"]
        .map(|level| start(&client, logged(level)))
        .into();
    for call in calls {
        assert_eq!(call.await.unwrap().text(), "done");
    }
    for _ in 0..4 {
        assert_eq!(
            testkit::answer(&client, logged("debug")).await.text(),
            "done"
        );
    }
    // In sequence they would have waited 10 s each.
    assert!(
        start_of.elapsed() < Duration::from_secs(8),
        "{:?}",
        start_of.elapsed()
    );
    assert_eq!(
        server
            .methods()
            .iter()
            .filter(|method| *method == "logging/setLevel")
            .count(),
        1
    );
    client.shutdown().await;
}
