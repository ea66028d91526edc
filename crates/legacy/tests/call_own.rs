//! Our own server (`examples/both_eras.rs`) called in both eras: callers see no difference.

#![cfg(unix)]

mod call_common;

use call_common::quick;
use carryall_legacy::call::{DualEraStdio, Era};
use carryall_testkit::{self as testkit, TestReply};
use carryall_transport::stdio::ServerCommand;
use serde_json::{Value, json};

/// The example, which Cargo builds together with the tests.
fn server() -> ServerCommand {
    let tests = std::env::current_exe().unwrap();
    let path = tests
        .parent()
        .unwrap()
        .parent()
        .unwrap()
        .join("examples/both_eras");
    assert!(
        path.exists(),
        "{} is not built; run the tests of the whole package",
        path.display()
    );
    ServerCommand::new(path.into_os_string())
}

async fn connect(era: Era) -> DualEraStdio {
    DualEraStdio::spawn(server(), quick().era(era))
        .await
        .unwrap()
}

fn call(method: &str, mut params: Value) -> carryall_proto::Call {
    params["_meta"] = testkit::meta_with(&json!({
        "io.modelcontextprotocol/clientCapabilities": {"elicitation": {}},
        "io.modelcontextprotocol/logLevel": "info",
        "progressToken": "mine",
    }));
    testkit::call(method, params)
}

/// The reply without what may differ: cache hints and the server info.
fn shown(answered: &TestReply) -> Value {
    let mut response = answered.response.clone();
    if let Some(result) = response["result"].as_object_mut() {
        for name in ["ttlMs", "cacheScope", "_meta"] {
            result.remove(name);
        }
    }
    let told = answered
        .notifications
        .iter()
        .map(|told| json!([told.method, testkit::params(told)]));
    json!({"response": response, "notifications": told.collect::<Vec<_>>()})
}

#[tokio::test]
async fn a_server_of_both_eras_is_detected_as_modern() {
    let client = connect(Era::Auto).await;
    assert!(client.decision().unwrap().version.is_modern());
    client.shutdown().await;
}

#[tokio::test]
async fn calls_have_the_same_results_in_both_eras() {
    let (old, new) = (connect(Era::Legacy).await, connect(Era::Modern).await);
    assert_eq!(old.decision().unwrap().version.as_str(), "2025-11-25");
    let calls = [
        ("tools/call", json!({"name": "hello"})),
        ("tools/call", json!({"name": "steps"})),
        ("tools/call", json!({"name": "nothing"})),
        ("tools/list", json!({})),
        ("resources/list", json!({})),
        ("resources/read", json!({"uri": "demo://note"})),
        ("resources/read", json!({"uri": "demo://nothing"})),
        ("prompts/list", json!({})),
        ("vendor/nothing", json!({})),
    ];
    for (method, params) in calls {
        let one = testkit::answer(&old, call(method, params.clone())).await;
        let other = testkit::answer(&new, call(method, params.clone())).await;
        assert_eq!(shown(&one), shown(&other), "{method} {params}");
    }
    let steps = testkit::answer(&old, call("tools/call", json!({"name": "steps"}))).await;
    let tokens: Vec<_> = steps
        .params_of("notifications/progress")
        .iter()
        .map(|params| params["progressToken"].clone())
        .collect();
    assert!(
        !tokens.is_empty() && tokens.iter().all(|token| token == "mine"),
        "{tokens:?}"
    );
    assert_eq!(steps.params_of("notifications/message").len(), 1);
    old.shutdown().await;
    new.shutdown().await;
}

#[tokio::test]
async fn discovery_differs_only_in_the_revision() {
    let (old, new) = (connect(Era::Legacy).await, connect(Era::Modern).await);
    let one = testkit::answer(&old, call("server/discover", json!({}))).await;
    let other = testkit::answer(&new, call("server/discover", json!({}))).await;
    let (one, other) = (one.result(), other.result());
    assert_eq!(one["supportedVersions"], json!(["2025-11-25"]));
    assert_eq!(one["instructions"], other["instructions"]);
    assert_eq!(one["_meta"], other["_meta"]);
    assert_eq!(one["capabilities"]["tools"], other["capabilities"]["tools"]);
    assert_eq!(
        one["capabilities"]["resources"],
        other["capabilities"]["resources"]
    );
    old.shutdown().await;
    new.shutdown().await;
}

#[tokio::test]
async fn a_question_is_a_round_in_both_eras() {
    for era in [Era::Legacy, Era::Modern] {
        let client = connect(era).await;
        let first = testkit::answer(&client, call("tools/call", json!({"name": "name"}))).await;
        let result = first.result();
        assert_eq!(result["resultType"], "input_required", "{era:?}");
        let (key, question) = result["inputRequests"]
            .as_object()
            .unwrap()
            .iter()
            .next()
            .unwrap();
        assert_eq!(question["params"]["message"], "Your name?");
        let answer = json!({"action": "accept", "content": {"name": "Ann"}});
        let again = json!({"name": "name", "inputResponses": {key: answer}, "requestState": result["requestState"]});
        let second = testkit::answer(&client, call("tools/call", again)).await;
        assert_eq!(
            serde_json::from_str::<Value>(second.text()).unwrap(),
            answer,
            "{era:?}"
        );
        client.shutdown().await;
    }
}

#[tokio::test]
async fn changes_are_reported_the_same_way_in_both_eras() {
    for era in [Era::Legacy, Era::Modern] {
        let client = connect(era).await;
        let filter = json!({"resourceSubscriptions": ["demo://note"]});
        let mut changes = testkit::stream(
            &client,
            call("subscriptions/listen", json!({"notifications": filter})),
        )
        .await;
        let meta = json!({"io.modelcontextprotocol/subscriptionId": 1});
        let first = testkit::next_notification(&mut changes).await;
        assert_eq!(
            first,
            (
                "notifications/subscriptions/acknowledged".into(),
                json!({"_meta": meta, "notifications": filter})
            )
        );
        let second = testkit::next_notification(&mut changes).await;
        assert_eq!(
            second,
            (
                "notifications/resources/updated".into(),
                json!({"_meta": meta, "uri": "demo://note"})
            ),
            "{era:?}"
        );
        client.shutdown().await;
    }
}
