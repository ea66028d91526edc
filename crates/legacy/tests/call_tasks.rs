//! Tools of a 2025-11-25 server that must run as tasks, called by modern clients.

#![cfg(unix)]

mod call_common;

use call_common::*;
use carryall_legacy::call::Era;
use carryall_testkit as testkit;
use serde_json::{Value, json};

/// A server with a tool that must run as a task and one that must not. `$left` counts how often the
/// task is still working.
fn task_server(cases: &str) -> FakeServer {
    let capabilities =
        r#"{"tools":{"listChanged":true},"tasks":{"cancel":{},"requests":{"tools":{"call":{}}}}}"#;
    let hello = format!(
        r#"*'"method":"initialize"'*) reply '{{"protocolVersion":"2025-11-25","capabilities":{capabilities},"serverInfo":{{"name":"x","version":"1"}}}}' ;;"#
    );
    let first = r#"{"tools":[{"name":"plain","inputSchema":{},"execution":{"taskSupport":"optional"}}],"nextCursor":"2"}"#;
    let second =
        r#"{"tools":[{"name":"long","inputSchema":{},"execution":{"taskSupport":"required"}}]}"#;
    let rest = r#"
*'"cursor":"2"'*) reply 'SECOND' ;;
*'"method":"tools/list"'*) reply 'FIRST' ;;
*'"name":"plain"'*) case $line in *'"task":'*) fail -32601 'Not as a task' ;; *) reply '{"content":[{"type":"text","text":"plain"}]}' ;; esac ;;
*'"name":"long"'*) case $line in *'"task":'*) asked=$token; left=${left:-2}; reply '{"task":{"taskId":"t","status":"working","createdAt":"2026-01-01T00:00:00Z","lastUpdatedAt":"2026-01-01T00:00:00Z","ttl":null,"pollInterval":10}}' ;; *) fail -32601 'Only as a task' ;; esac ;;
*'"method":"tasks/get"'*) if [ $left -gt 0 ]; then status=working; else status=${end:-completed}; fi; left=$((left-1))
    [ "$asked" ] && say '{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":'$asked',"progress":'$((5-left))'}}'
    reply '{"taskId":"t","status":"'$status'","createdAt":"2026-01-01T00:00:00Z","lastUpdatedAt":"2026-01-01T00:00:00Z","ttl":null,"pollInterval":10}' ;;
*'"method":"tasks/result"'*) reply '{"content":[{"type":"text","text":"long done"}],"_meta":{"io.modelcontextprotocol/related-task":{"taskId":"t"},"x":1}}' ;;
*'"method":"tasks/cancel"'*) reply '{"taskId":"t","status":"cancelled"}' ;;"#;
    FakeServer::new(
        "",
        &format!(
            "{cases}\n{hello}\n{}",
            rest.replace("FIRST", first).replace("SECOND", second)
        ),
    )
}

fn count(server: &FakeServer, method: &str) -> usize {
    server
        .methods()
        .iter()
        .filter(|seen| *seen == method)
        .count()
}

#[tokio::test]
async fn a_tool_that_must_run_as_a_task_can_be_called() {
    let server = task_server("");
    let client = server.spawn(quick().era(Era::Legacy)).await.unwrap();
    let asked = json!({"name": "long", "arguments": {"a": 1}, "_meta": testkit::meta_with(&json!({"progressToken": "p"}))});
    let answered = testkit::answer(&client, testkit::call("tools/call", asked)).await;
    assert_eq!(answered.text(), "long done");
    assert_eq!(answered.result()["_meta"], json!({"x": 1}));
    assert_eq!(answered.result()["resultType"], "complete");
    let told = answered.params_of("notifications/progress");
    assert_eq!(
        told.iter()
            .map(|params| params["progress"].as_i64().unwrap())
            .collect::<Vec<_>>(),
        [4, 5, 6]
    );
    assert!(told.iter().all(|params| params["progressToken"] == "p"));
    let sent = server.wait_for_method("tools/call").await;
    assert_eq!(
        (
            &sent["params"]["arguments"],
            sent["params"]["task"].is_object()
        ),
        (&json!({"a": 1}), true)
    );

    assert_eq!(
        testkit::answer(&client, tool("plain")).await.text(),
        "plain"
    );
    assert_eq!(
        testkit::answer(&client, tool("long")).await.text(),
        "long done"
    );
    assert_eq!(count(&server, "tools/list"), 2, "two pages, once");
    assert_eq!(count(&server, "tasks/cancel"), 0);
    client.shutdown().await;
}

#[tokio::test]
async fn dropping_the_call_cancels_its_task() {
    let server = task_server(
        r#"*'"name":"long"'*'"task":'*) left=1000000; reply '{"task":{"taskId":"t","status":"working","pollInterval":10}}' ;;"#,
    );
    let client = server.spawn(quick().era(Era::Legacy)).await.unwrap();
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { call(&client, tool("long")).await.is_ok() }
    });
    server.wait_for_method("tasks/get").await;
    waiting.abort();
    let cancelled = server.wait_for_method("tasks/cancel").await;
    assert_eq!(cancelled["params"], json!({"taskId": "t"}));
    assert_eq!(
        count(&server, "notifications/cancelled"),
        0,
        "that is for requests"
    );
    assert_eq!(
        testkit::answer(&client, tool("plain")).await.text(),
        "plain"
    );
    client.shutdown().await;
}

#[tokio::test]
async fn a_task_that_fails_fails_its_call() {
    let server = task_server(r#"*'"method":"tasks/result"'*) fail -31000 'It broke' ;;"#);
    let client = server.spawn(quick().era(Era::Legacy)).await.unwrap();
    let answered = testkit::answer(&client, tool("long")).await;
    assert_eq!(
        (
            answered.code(),
            answered.error()["message"].as_str().unwrap()
        ),
        (-31000, "It broke")
    );
    client.shutdown().await;

    let server = task_server(r#"*'"method":"tasks/get"'*) fail -32602 'Unknown task' ;;"#);
    let client = server.spawn(quick().era(Era::Legacy)).await.unwrap();
    assert_eq!(testkit::answer(&client, tool("long")).await.code(), -32602);
    client.shutdown().await;
}

#[tokio::test]
async fn a_task_may_ask_its_caller() {
    let question = r#"{"jsonrpc":"2.0","id":"q","method":"elicitation/create","params":{"message":"Name?","requestedSchema":{"type":"object","properties":{"name":{"type":"string"}}},"_meta":{"io.modelcontextprotocol/related-task":{"taskId":"t"}}}}"#;
    let cases = format!(
        r#"*'"method":"tasks/get"'*) reply '{{"taskId":"t","status":"input_required"}}' ;;
*'"method":"tasks/result"'*) result=$id; say '{question}' ;;
*'"id":"q"'*'"result":'*) id=$result; reply '{{"content":[{{"type":"text","text":"asked"}}]}}' ;;"#
    );
    let server = task_server(&cases);
    let client = server.spawn(quick().era(Era::Legacy)).await.unwrap();
    let meta = testkit::meta_with(
        &json!({"io.modelcontextprotocol/clientCapabilities": {"elicitation": {"form": {}}}}),
    );
    let mut params = json!({"name": "long", "_meta": meta});
    let asked = testkit::answer(&client, testkit::call("tools/call", params.clone())).await;
    assert_eq!(asked.result()["resultType"], "input_required");
    let requests = asked.result()["inputRequests"].as_object().unwrap();
    let (key, request) = requests.iter().next().unwrap();
    assert_eq!(request["params"]["message"], "Name?");
    params["requestState"] = asked.result()["requestState"].clone();
    params["inputResponses"] =
        json!({key.as_str(): {"action": "accept", "content": {"name": "Ann"}}});
    let answered = testkit::answer(&client, testkit::call("tools/call", params)).await;
    assert_eq!(answered.text(), "asked");
    let told = server
        .wait_for(|message: &Value| message["id"] == "q" && message["result"].is_object())
        .await;
    assert_eq!(told["result"]["content"], json!({"name": "Ann"}));
    client.shutdown().await;
}
