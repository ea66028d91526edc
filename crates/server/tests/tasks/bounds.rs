//! Expiry and limits.

use crate::fixture::*;
use carryall_proto::budget::Amount;
use carryall_proto::{Call, CallSource};
use carryall_server::{Server, TaskOptions, TaskSupport, Tool};
use carryall_store::{Memory, Store};
use carryall_testkit::{TestReply, answer, call};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::sleep;

// spec: ext-tasks-20
#[tokio::test]
async fn a_task_expires() {
    let (probe, store) = (Probe::default(), Memory::new());
    let brief = settings().ttl(Some(Duration::from_millis(200)));
    let server = builder(&probe)
        .store(store.clone())
        .tasks(brief)
        .build()
        .unwrap();
    let id = created(&server, "waits").await;
    for _ in 0..500 {
        if probe.seen().contains(&"dropped".to_owned()) {
            break;
        }
        sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(get(&server, &id).await.code(), -32602);
    assert_eq!(
        store.expire(u64::MAX / 2, 10).await.unwrap(),
        1,
        "the expired row is removed"
    );
    assert_eq!(probe.seen(), ["begun", "dropped"]);
}

#[tokio::test]
async fn tasks_beyond_the_limit_are_refused() {
    let (probe, store) = (Probe::default(), Memory::new());
    let server = builder(&probe)
        .store(store.clone())
        .tasks(settings().max_running(3))
        .build()
        .unwrap();
    let one = created(&server, "waits").await;
    for _ in 1..3 {
        created(&server, "waits").await;
    }
    let refused = answer(&server, tool("waits")).await;
    assert_eq!(refused.code(), -32603);
    assert!(
        refused.error()["message"]
            .as_str()
            .unwrap()
            .contains("limit of running tasks")
    );
    assert_eq!(store.len(), 3);
    cancel(&server, &one).await;
    for _ in 0..500 {
        if answer(&server, tool("waits")).await.response["result"].is_object() {
            return;
        }
        sleep(Duration::from_millis(10)).await;
    }
    panic!("the ended task still counts");
}

#[tokio::test]
async fn answers_to_unasked_questions_are_not_stored() {
    let (_, store, server) = single_server();
    let id = created(&server, "asks").await;
    until(&server, &id, |task| task["status"] == "input_required").await;
    let size = async || {
        store
            .get("task", &id, 0)
            .await
            .unwrap()
            .unwrap()
            .value
            .len()
    };
    let before = size().await;
    let answers: serde_json::Map<String, Value> = (0..10_000)
        .map(|n| (format!("k{n}"), accept("x")))
        .collect();
    assert!(
        update(&server, &id, Value::Object(answers))
            .await
            .result()
            .is_object()
    );
    assert!(size().await <= before + 16);
}

#[test]
fn replicas_need_a_shared_store() {
    let key = carryall_proto::seal::Keyring::new(carryall_proto::seal::SealingKey::new(1, [1; 32]));
    let problem = builder(&Probe::default())
        .keyring(key)
        .replicated()
        .build()
        .unwrap_err()
        .to_string();
    assert!(problem.contains("ServerBuilder::store"), "{problem}");
}

#[tokio::test]
async fn a_tool_with_task_support_needs_a_server_with_tasks() {
    let server = Server::new("plain", "1").build().unwrap();
    let later = || Tool::new("later", async || "later").as_task(TaskSupport::Always);
    let problem = server
        .change(|catalogue| {
            catalogue.tool(later());
        })
        .unwrap_err()
        .to_string();
    assert!(
        problem.contains("later") && problem.contains("ServerBuilder::tasks"),
        "{problem}"
    );
    let server = Server::new("plain", "1")
        .tasks(TaskOptions::default())
        .build()
        .unwrap();
    server
        .change(|catalogue| {
            catalogue.tool(later());
        })
        .unwrap();
    created(&server, "later").await;
}

const MIB: usize = 1 << 20;

/// A call with an argument of so many bytes, from the network address `10.0.0.host`.
fn large(host: u8, name: &str, bytes: usize) -> Call {
    let arguments = if bytes == 0 {
        json!({})
    } else {
        json!({"text": "x".repeat(bytes)})
    };
    let mut call = call(
        "tools/call",
        with_meta(json!({"name": name, "arguments": arguments})),
    );
    call.set_source(CallSource::new(None, Some([10, 0, 0, host].into())));
    call
}

fn id_of(created: &TestReply) -> String {
    created.result()["taskId"]
        .as_str()
        .unwrap_or_else(|| panic!("no task: {created:?}"))
        .to_owned()
}

/// `keeps` waits, `returns` returns its argument twice, and `counts` returns its length.
fn builder_with_large_tools(probe: &Probe) -> carryall_server::ServerBuilder {
    let schema = || {
        let schema = json!({"type": "object", "properties": {"text": {"type": "string"}}});
        let Value::Object(schema) = schema else {
            unreachable!()
        };
        schema
    };
    let waits = async |ctx: carryall_server::Ctx, _: carryall_types::JsonObject| {
        crate::fixture::probe(&ctx).go.notified().await;
        "done"
    };
    let returns = async |_: carryall_server::Ctx, arguments: carryall_types::JsonObject| {
        arguments["text"].as_str().unwrap_or_default().repeat(2)
    };
    let counts = async |_: carryall_server::Ctx, arguments: carryall_types::JsonObject| {
        arguments["text"].as_str().unwrap_or_default().len()
    };
    builder(probe)
        .tool(
            Tool::dynamic("keeps", schema(), waits)
                .as_task(TaskSupport::Always)
                .resumable(),
        )
        .tool(Tool::dynamic("returns", schema(), returns).as_task(TaskSupport::Always))
        .tool(Tool::dynamic("counts", schema(), counts).as_task(TaskSupport::Always))
}

#[tokio::test]
async fn a_task_that_has_ended_does_not_keep_its_arguments() {
    let store = Memory::new();
    let server = builder_with_large_tools(&Probe::default())
        .store(store.clone())
        .tasks(settings())
        .build()
        .unwrap();
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(id_of(&answer(&server, large(1, "keeps", MIB)).await));
    }
    assert!(store.bytes() > 20 * MIB, "{}", store.bytes());
    for id in &ids {
        cancel(&server, id).await;
        assert_eq!(get(&server, id).await.result()["status"], "cancelled");
    }
    assert!(
        store.bytes() < 64 * 1024,
        "twenty cancelled tasks keep {} bytes",
        store.bytes()
    );
    assert_eq!(store.len(), 20);
    let done = id_of(&answer(&server, large(1, "counts", MIB)).await);
    assert_eq!(
        ended(&server, &done).await["result"]["content"][0]["text"],
        MIB.to_string()
    );
    assert!(
        store.bytes() < 64 * 1024,
        "nor does a completed task: {}",
        store.bytes()
    );
}

#[tokio::test]
async fn one_caller_cannot_use_up_the_limit_of_all() {
    let tasks = settings().max_running(10).max_running_per_caller(2);
    let server = builder_with_large_tools(&Probe::default())
        .store(Memory::new())
        .tasks(tasks)
        .build()
        .unwrap();
    let one = id_of(&answer(&server, large(1, "keeps", 1)).await);
    id_of(&answer(&server, large(1, "keeps", 1)).await);
    let refused = answer(&server, large(1, "keeps", 1)).await;
    assert_eq!(refused.code(), -32603);
    assert!(
        refused.error()["message"]
            .as_str()
            .unwrap()
            .contains("This caller"),
        "{refused:?}"
    );
    id_of(&answer(&server, large(2, "keeps", 1)).await);
    cancel(&server, &one).await;
    for _ in 0..500 {
        if answer(&server, large(1, "keeps", 1)).await.response["result"].is_object() {
            return;
        }
        sleep(Duration::from_millis(10)).await;
    }
    panic!("the ended task still counts");
}

#[tokio::test]
async fn ended_tasks_count_until_they_expire() {
    let limits = (Amount::new(4, 100 * MIB), Amount::new(3, 100 * MIB));
    let brief = settings()
        .ttl(Some(Duration::from_millis(1_500)))
        .limits(limits.0, limits.1);
    let store = Memory::new();
    let server = builder_with_large_tools(&Probe::default())
        .store(store.clone())
        .tasks(brief)
        .build()
        .unwrap();
    for _ in 0..3 {
        let id = id_of(&answer(&server, large(1, "keeps", 1)).await);
        cancel(&server, &id).await;
    }
    let refused = answer(&server, large(1, "keeps", 1)).await;
    assert_eq!(refused.code(), -32603);
    assert!(
        refused.error()["message"]
            .as_str()
            .unwrap()
            .contains("expired"),
        "{refused:?}"
    );
    id_of(&answer(&server, large(2, "keeps", 1)).await);
    assert_eq!(
        answer(&server, large(3, "keeps", 1)).await.code(),
        -32603,
        "the total"
    );
    assert_eq!(store.len(), 4, "refused tasks are not stored");
    for _ in 0..1_000 {
        if answer(&server, large(1, "keeps", 1)).await.response["result"].is_object() {
            return;
        }
        sleep(Duration::from_millis(10)).await;
    }
    panic!("expired tasks still count");
}

#[tokio::test]
async fn the_bytes_of_a_task_are_bounded_from_call_to_result() {
    let limits = (Amount::new(100, 4 * MIB), Amount::new(100, 2 * MIB));
    let store = Memory::new();
    let tasks = settings().limits(limits.0, limits.1);
    let server = builder_with_large_tools(&Probe::default())
        .store(store.clone())
        .tasks(tasks)
        .build()
        .unwrap();
    assert_eq!(
        answer(&server, large(1, "keeps", 2 * MIB)).await.code(),
        -32603,
        "arguments"
    );
    assert_eq!(store.len(), 0);

    let id = id_of(&answer(&server, large(1, "returns", MIB + MIB / 2)).await);
    let task = ended(&server, &id).await;
    assert_eq!(task["status"], "failed", "a result of 3 MiB");
    assert!(
        task["error"]["message"]
            .as_str()
            .unwrap()
            .contains("may keep"),
        "{}",
        task["error"]
    );
    assert!(store.bytes() < 64 * 1024, "{}", store.bytes());

    let asks = id_of(&answer(&server, large(1, "asks", 0)).await);
    let task = until(&server, &asks, |task| task["status"] == "input_required").await;
    let key = keys(&task).remove(0);
    let refused = update(&server, &asks, json!({&key: accept(&"x".repeat(2 * MIB))})).await;
    assert_eq!(refused.code(), -32603, "answers: {refused:?}");
    assert_eq!(
        keys(get(&server, &asks).await.result()),
        std::slice::from_ref(&key),
        "the question is still open"
    );
    assert!(
        update(&server, &asks, json!({&key: accept("x")}))
            .await
            .result()
            .is_object()
    );
}

#[tokio::test]
async fn a_full_store_refuses_new_tasks_and_keeps_the_others() {
    let store = Memory::with_max_bytes(3 * MIB);
    let server = builder_with_large_tools(&Probe::default())
        .store(store.clone())
        .tasks(settings())
        .build()
        .unwrap();
    let kept = id_of(&answer(&server, large(1, "keeps", 2 * MIB)).await);
    let refused = answer(&server, large(2, "keeps", MIB)).await;
    assert_eq!(refused.code(), -32603);
    assert!(
        refused.error()["message"]
            .as_str()
            .unwrap()
            .contains("try again later"),
        "{refused:?}"
    );
    assert_eq!(get(&server, &kept).await.result()["status"], "working");
    cancel(&server, &kept).await;
    id_of(&answer(&server, large(2, "keeps", MIB)).await);
    // A result that does not fit fails the task. Its worker does not retry forever.
    let id = id_of(&answer(&server, large(1, "returns", MIB + MIB / 2)).await);
    assert_eq!(ended(&server, &id).await["status"], "failed");
}

#[tokio::test]
async fn renewing_a_lease_does_not_write_the_value() {
    let store = Memory::new();
    // Long enough that the task is not taken over on a busy machine.
    let tasks = TaskOptions::new().lease(Duration::from_secs(3));
    let server = builder_with_large_tools(&Probe::default())
        .store(store.clone())
        .tasks(tasks)
        .build()
        .unwrap();
    let id = id_of(&answer(&server, large(1, "keeps", MIB / 8)).await);
    let row = async || store.get("task", &id, 0).await.unwrap().unwrap();
    let first = row().await;
    for _ in 0..1_000 {
        let now = row().await;
        if now.version >= first.version + 2 {
            assert!(now.due_at > first.due_at, "the lease was renewed");
            assert_eq!(
                now.value.as_ptr(),
                first.value.as_ptr(),
                "without copying the value"
            );
            // An update must not restore the expiry of an older lease.
            cancel(&server, &id).await;
            assert_eq!(row().await.due_at, None);
            return;
        }
        sleep(Duration::from_millis(10)).await;
    }
    panic!("the lease is not renewed");
}

#[tokio::test]
async fn a_task_of_another_server_in_the_same_store_is_unknown() {
    let (probe, store) = (Probe::default(), Memory::new());
    let server = server(&probe, &store);
    let id = created(&server, "waits").await;
    let other = Server::new("other", "1")
        .store(store.clone())
        .tasks(settings())
        .build()
        .unwrap();
    assert_eq!(get(&other, &id).await.code(), -32602);
    assert_eq!(get(&server, &id).await.result()["status"], "working");
}
