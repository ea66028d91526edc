//! One task, from creation to outcome.

use crate::fixture::*;
use carryall_proto::MessageStream;
use carryall_server::{Server, Tool};
use carryall_testkit::{TestReply, answer, call, call_as, meta_with, next_notification, stream};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::sleep;

// spec: ext-tasks-01
#[tokio::test]
async fn servers_with_tasks_advertise_the_extension() {
    let (_, _, server) = single_server();
    let capabilities = |answered: TestReply| answered.result()["capabilities"].clone();
    let discovered = capabilities(answer(&server, call("server/discover", json!({}))).await);
    assert_eq!(
        discovered["extensions"]["io.modelcontextprotocol/tasks"],
        json!({})
    );
    assert!(discovered.get("tasks").is_none());
    let without = Server::new("plain", "1")
        .tool(Tool::new("a", async || "a"))
        .build()
        .unwrap();
    let discovered = capabilities(answer(&without, call("server/discover", json!({}))).await);
    assert!(discovered.get("extensions").is_none());
    let unknown = answer(
        &without,
        call("tasks/get", with_meta(json!({"taskId": "t"}))),
    )
    .await;
    assert_eq!(unknown.code(), -32601);
}

// spec: ext-tasks-08, ext-tasks-11, ext-tasks-42, ext-tasks-43
#[tokio::test]
async fn a_task_exists_when_its_creation_is_answered_and_gets_the_result_of_the_call() {
    let (_, _, server) = single_server();
    let made = answer(&server, tool("always")).await;
    let made = made.result();
    assert_eq!(made["status"], "working");
    assert_eq!(made["ttlMs"], 3_600_000);
    assert_eq!(made["pollIntervalMs"], 1000);
    assert!(
        made.get("result").is_none()
            && made.get("inputRequests").is_none()
            && made.get("requestState").is_none()
    );
    assert_eq!(made["createdAt"], made["lastUpdatedAt"]);
    let id = made["taskId"].as_str().unwrap();
    assert!(id.len() >= 32, "{id}");
    assert_eq!(get(&server, id).await.result()["taskId"], id);
    let task = ended(&server, id).await;
    assert_eq!(task["status"], "completed");
    assert_eq!(task["resultType"], "complete");
    assert_eq!(task["result"]["content"][0]["text"], "later");
    assert_eq!(
        task["result"]["resultType"], "complete",
        "only the creation has the result type task"
    );
    assert_ne!(
        answer(&server, tool("always")).await.result()["taskId"],
        *id
    );
}

// spec: ext-tasks-03, ext-tasks-06, ext-tasks-34, ext-tasks-39, ext-tasks-46, ext-tasks-47
#[tokio::test]
async fn a_client_that_does_not_accept_tasks_gets_none() {
    let (_, _, server) = single_server();
    let plainly = |name: &str| call("tools/call", json!({"name": name, "arguments": {}}));
    assert_eq!(answer(&server, plainly("possible")).await.text(), "later");
    assert_eq!(answer(&server, plainly("soon")).await.text(), "in the end");
    let refused = answer(&server, plainly("always")).await;
    assert_eq!(refused.code(), -32021);
    let required = &refused.error()["data"]["requiredCapabilities"];
    assert_eq!(
        *required,
        json!({"extensions": {"io.modelcontextprotocol/tasks": {}}})
    );
    // The tasks capability of the previous revision does not count.
    let capabilities =
        json!({"tasks": {"requests": {"tools": {"call": {}}}, "list": {}, "cancel": {}}});
    let before = meta_with(&json!({"io.modelcontextprotocol/clientCapabilities": capabilities}));
    let params =
        json!({"name": "possible", "arguments": {}, "task": {"ttl": 1000}, "_meta": before});
    assert_eq!(
        answer(&server, call("tools/call", params)).await.text(),
        "later"
    );
    for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
        let refused = answer(
            &server,
            call(method, json!({"taskId": "t", "inputResponses": {}})),
        )
        .await;
        assert_eq!(refused.code(), -32021, "{method}");
        assert!(refused.error()["data"]["requiredCapabilities"]["extensions"].is_object());
    }
    let listen = json!({"notifications": {"taskIds": ["t"]}});
    assert_eq!(
        answer(&server, call("subscriptions/listen", listen))
            .await
            .code(),
        -32021
    );
    assert_eq!(
        answer(&server, call("tasks/list", with_meta(json!({}))))
            .await
            .code(),
        -32601
    );
    assert_eq!(
        answer(
            &server,
            call("tasks/result", with_meta(json!({"taskId": "t"})))
        )
        .await
        .code(),
        -32601
    );
}

#[tokio::test]
async fn a_quick_call_is_answered_and_a_slow_one_becomes_a_task() {
    let (probe, _, server) = single_server();
    assert_eq!(answer(&server, tool("quick")).await.text(), "at once");
    assert_eq!(answer(&server, tool("plain")).await.text(), "at once");
    let id = created(&server, "soon").await;
    assert_eq!(
        ended(&server, &id).await["result"]["content"][0]["text"],
        "in the end"
    );
    assert_eq!(
        probe.seen(),
        ["begun", "ended"],
        "the handler was not restarted"
    );
}

// spec: ext-tasks-12
#[tokio::test]
async fn questions_before_the_task_are_asked_in_rounds() {
    let (probe, _, server) = single_server();
    let asked = answer(&server, tool("demands")).await;
    assert_eq!(asked.result()["resultType"], "input_required");
    assert!(asked.result().get("taskId").is_none());
    let key = keys(asked.result()).remove(0);
    let round = json!({
        "name": "demands", "arguments": {}, "requestState": asked.result()["requestState"],
        "inputResponses": {&key: accept("Ada")},
    });
    let made = answer(&server, call("tools/call", with_meta(round))).await;
    assert_eq!(made.result()["resultType"], "task");
    assert!(made.result().get("requestState").is_none());
    let id = made.result()["taskId"].as_str().unwrap();
    assert_eq!(
        ended(&server, id).await["result"]["content"][0]["text"],
        "Ada"
    );
    assert_eq!(
        probe.seen(),
        ["asked", "a task now"],
        "the handler goes on where it was"
    );
    let without = meta_with(
        &json!({"io.modelcontextprotocol/clientCapabilities": {"elicitation": {"form": {}}}}),
    );
    let round = json!({"name": "demands", "arguments": {}, "inputResponses": {&key: accept("Ada")}, "_meta": without});
    assert_eq!(
        answer(&server, call("tools/call", round)).await.code(),
        -32021
    );
}

// spec: ext-tasks-09, ext-tasks-41
#[tokio::test]
async fn a_tool_failure_is_a_result_and_a_protocol_error_fails_the_task() {
    let (_, _, server) = single_server();
    let failed = ended(&server, &created(&server, "fails").await).await;
    assert_eq!(failed["status"], "completed");
    assert_eq!(failed["result"]["isError"], true);
    let panicked = ended(&server, &created(&server, "panics").await).await;
    assert_eq!(panicked["status"], "failed");
    assert_eq!(panicked["error"]["code"], -32603);
    assert!(panicked.get("result").is_none());
    assert!(panicked["statusMessage"].is_string());
}

// spec: ext-tasks-10, ext-tasks-17, ext-tasks-24, ext-tasks-26, ext-tasks-27
#[tokio::test]
async fn a_task_asks_questions_and_each_has_its_own_key() {
    let (probe, _, server) = single_server();
    let id = created(&server, "asks").await;
    let task = until(&server, &id, |task| task["status"] == "input_required").await;
    let first = keys(&task);
    assert_eq!(first.len(), 1);
    assert_eq!(
        task["inputRequests"][&first[0]]["method"],
        "elicitation/create"
    );

    let wrong = update(
        &server,
        &id,
        json!({&first[0]: {"action": "accept", "content": {"name": 7}}}),
    )
    .await;
    assert_eq!(wrong.code(), -32602);
    assert!(
        wrong.error()["message"]
            .as_str()
            .unwrap()
            .contains(&first[0])
    );
    let ignored = update(&server, &id, json!({"never-asked": accept("x")})).await;
    assert_eq!(ignored.result()["resultType"], "complete");
    assert_eq!(keys(&get(&server, &id).await.result().clone()), first);

    let acknowledged = update(&server, &id, json!({&first[0]: accept("a")})).await;
    let acknowledged = acknowledged.result().as_object().unwrap();
    assert!(
        acknowledged
            .keys()
            .all(|key| key == "resultType" || key == "_meta"),
        "{acknowledged:?}"
    );
    let task = until(&server, &id, |task| {
        task["inputRequests"]
            .as_object()
            .is_some_and(|asked| asked.len() == 2)
    })
    .await;
    let second = keys(&task);
    assert!(
        !second.contains(&first[0]),
        "a repeated question has a new key"
    );

    // One of two is answered: the other one stays open. Later answers to the first one are
    // ignored.
    update(
        &server,
        &id,
        json!({&second[1]: accept("c"), &first[0]: accept("late")}),
    )
    .await;
    let task = get(&server, &id).await.result().clone();
    assert_eq!(
        (task["status"].as_str(), keys(&task)),
        (Some("input_required"), vec![second[0].clone()])
    );
    update(
        &server,
        &id,
        json!({&second[0]: accept("b"), &second[1]: accept("late")}),
    )
    .await;
    assert_eq!(
        ended(&server, &id).await["result"]["content"][0]["text"],
        "ordered a b c"
    );
    assert_eq!(probe.seen(), ["ordered"]);
    assert!(
        update(&server, &id, json!({&second[0]: accept("b")}))
            .await
            .result()
            .is_object(),
        "a late answer is no error"
    );
}

#[tokio::test]
async fn a_question_that_the_client_cannot_answer_fails_the_task() {
    let (_, _, server) = single_server();
    let extensions = json!({"extensions": {"io.modelcontextprotocol/tasks": {}}});
    let meta = meta_with(&json!({"io.modelcontextprotocol/clientCapabilities": extensions}));
    let made = answer(
        &server,
        call(
            "tools/call",
            json!({"name": "asks", "arguments": {}, "_meta": meta}),
        ),
    )
    .await;
    let task = ended(&server, made.result()["taskId"].as_str().unwrap()).await;
    assert_eq!(
        (task["status"].as_str(), task["error"]["code"].as_i64()),
        (Some("failed"), Some(-32021))
    );
}

// spec: ext-tasks-10, ext-tasks-30
#[tokio::test]
async fn a_cancelled_task_stays_cancelled_and_its_handler_is_dropped() {
    let (probe, _, server) = single_server();
    let id = created(&server, "waits").await;
    for _ in 0..2 {
        let acknowledged = cancel(&server, &id).await;
        assert_eq!(
            acknowledged.result()["resultType"],
            "complete",
            "cancelling is idempotent"
        );
    }
    assert_eq!(get(&server, &id).await.result()["status"], "cancelled");
    for _ in 0..500 {
        if probe.seen().contains(&"dropped".to_owned()) {
            break;
        }
        sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(probe.seen(), ["begun", "dropped"]);
    probe.go.notify_one();
    sleep(LEASE).await;
    assert_eq!(get(&server, &id).await.result()["status"], "cancelled");

    let done = created(&server, "always").await;
    ended(&server, &done).await;
    assert!(cancel(&server, &done).await.result().is_object());
    assert_eq!(
        get(&server, &done).await.result()["status"],
        "completed",
        "a task that has ended is not cancelled"
    );
}

// spec: ext-tasks-35
#[tokio::test]
async fn progress_becomes_the_status_message() {
    let (probe, _, server) = single_server();
    let asked = meta_with(
        &json!({"progressToken": "p", "io.modelcontextprotocol/clientCapabilities":
        {"extensions": {"io.modelcontextprotocol/tasks": {}}}}),
    );
    let made = answer(
        &server,
        call(
            "tools/call",
            json!({"name": "reports", "arguments": {}, "_meta": asked}),
        ),
    )
    .await;
    assert!(
        made.notifications.is_empty(),
        "no progress notifications from tasks"
    );
    let id = made.result()["taskId"].as_str().unwrap();
    until(&server, id, |task| task["statusMessage"] == "1 of 2").await;
    // The second report came too soon to be written by itself; the next renewal writes it.
    let task = until(&server, id, |task| task["statusMessage"] == "nearly there").await;
    assert_eq!(task["status"], "working");
    probe.go.notify_one();
    ended(&server, id).await;
}

// spec: ext-tasks-33, ext-tasks-38, ext-tasks-40, ext-tasks-44
#[tokio::test]
async fn a_task_belongs_to_its_caller() {
    let (_, _, server) = single_server();
    let made = answer(
        &server,
        call_as(
            "ada",
            &[],
            "tools/call",
            with_meta(json!({"name": "waits", "arguments": {}})),
        ),
    )
    .await;
    let id = made.result()["taskId"].as_str().unwrap();
    let theirs = |subject: Option<&str>, method: &str, id: &str| {
        let params = with_meta(json!({"taskId": id, "inputResponses": {}}));
        match subject {
            Some(subject) => call_as(subject, &[], method, params),
            None => call(method, params),
        }
    };
    for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
        for stranger in [Some("bob"), None] {
            let stolen = answer(&server, theirs(stranger, method, id)).await;
            let guessed = answer(
                &server,
                theirs(stranger, method, &id.replace(|_| true, "0")),
            )
            .await;
            assert_eq!(stolen.code(), -32602);
            let message = |answered: &TestReply| {
                answered.error()["message"]
                    .as_str()
                    .unwrap()
                    .split(':')
                    .next()
                    .map(str::to_owned)
            };
            assert_eq!(
                message(&stolen),
                message(&guessed),
                "a stranger cannot learn that the task exists"
            );
        }
    }
    assert_eq!(
        answer(&server, theirs(Some("ada"), "tasks/get", id))
            .await
            .result()["status"],
        "working"
    );
    let listen = |subject: &str| {
        call_as(
            subject,
            &[],
            "subscriptions/listen",
            with_meta(json!({"notifications": {"taskIds": [id, "guessed"]}})),
        )
    };
    let mut hers = stream(&server, listen("ada")).await;
    let (_, acknowledged) = next_notification(&mut hers).await;
    assert_eq!(acknowledged["notifications"]["taskIds"], json!([id]));
    let mut his = stream(&server, listen("bob")).await;
    let (_, acknowledged) = next_notification(&mut his).await;
    assert_eq!(
        acknowledged["notifications"]["taskIds"],
        json!([]),
        "nor by subscribing"
    );
}

async fn notified(listening: &mut MessageStream) -> Value {
    let (method, params) = next_notification(listening).await;
    assert_eq!(method, "notifications/tasks");
    params
}

// spec: ext-tasks-33, ext-tasks-35
#[tokio::test]
async fn subscribers_on_any_replica_are_notified_of_a_task() {
    let (probe, store, here) = single_server();
    let there = server(&probe, &store);
    let id = created(&here, "asks").await;
    until(&here, &id, |task| task["status"] == "input_required").await;
    let listen = with_meta(json!({"notifications": {"taskIds": [id]}}));
    let mut listening = stream(&there, call("subscriptions/listen", listen)).await;
    let (method, acknowledged) = next_notification(&mut listening).await;
    assert_eq!(method, "notifications/subscriptions/acknowledged");
    assert_eq!(acknowledged["notifications"], json!({"taskIds": [id]}));
    let task = notified(&mut listening).await;
    assert_eq!(
        (task["taskId"].as_str(), task["status"].as_str()),
        (Some(&*id), Some("input_required"))
    );
    assert!(
        task.get("resultType").is_none()
            && task["_meta"]["io.modelcontextprotocol/subscriptionId"] == 1
    );
    // Renewals are not published.
    sleep(LEASE * 2).await;
    carryall_testkit::assert_idle(&mut listening);
    let one = keys(&task).remove(0);
    update(&there, &id, json!({&one: {"action": "decline"}})).await;
    let mut task = notified(&mut listening).await;
    while task["status"] != "input_required" {
        task = notified(&mut listening).await;
    }
    assert!(!keys(&task).contains(&one));
    cancel(&here, &id).await;
    assert_eq!(notified(&mut listening).await["status"], "cancelled");
}
