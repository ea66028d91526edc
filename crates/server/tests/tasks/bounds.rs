//! Ends and limits.

use crate::world::*;
use carryall_server::{Server, TaskSupport, Tasks, Tool};
use carryall_store::{Memory, Store};
use carryall_testkit::answer;
use serde_json::Value;
use std::time::Duration;
use tokio::time::sleep;

// spec: ext-tasks-20
#[tokio::test]
async fn a_task_ends_with_its_time() {
    let (world, store) = (World::default(), Memory::new());
    let brief = settings().ttl(Some(Duration::from_millis(200)));
    let server = builder(&world).store(store.clone()).tasks(brief).build().unwrap();
    let id = created(&server, "waits").await;
    for _ in 0..500 {
        if world.seen().contains(&"dropped".to_owned()) {
            break;
        }
        sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(get(&server, &id).await.code(), -32602);
    assert_eq!(store.expire(u64::MAX / 2, 10).await.unwrap(), 1, "what is left of it is removed with what has ended");
    assert_eq!(world.seen(), ["begun", "dropped"]);
}

#[tokio::test]
async fn a_flood_of_tasks_is_refused() {
    let (world, store) = (World::default(), Memory::new());
    let server = builder(&world).store(store.clone()).tasks(settings().max_running(3)).build().unwrap();
    let one = created(&server, "waits").await;
    for _ in 1..3 {
        created(&server, "waits").await;
    }
    let refused = answer(&server, tool("waits")).await;
    assert_eq!(refused.code(), -32603);
    assert!(refused.error()["message"].as_str().unwrap().contains("limit of running tasks"));
    assert_eq!(store.len(), 3);
    cancel(&server, &one).await;
    for _ in 0..500 {
        if answer(&server, tool("waits")).await.response["result"].is_object() {
            return;
        }
        sleep(Duration::from_millis(10)).await;
    }
    panic!("no place becomes free");
}

#[tokio::test]
async fn ten_thousand_answers_to_what_was_not_asked_leave_nothing_behind() {
    let (_, store, server) = alone();
    let id = created(&server, "asks").await;
    until(&server, &id, |task| task["status"] == "input_required").await;
    let size = async || store.get("task", &id, 0).await.unwrap().unwrap().value.len();
    let before = size().await;
    let answers: serde_json::Map<String, Value> = (0..10_000).map(|n| (format!("k{n}"), accept("x"))).collect();
    assert!(update(&server, &id, Value::Object(answers)).await.result().is_object());
    assert!(size().await <= before + 16);
}

#[test]
fn replicas_need_a_store_that_they_share() {
    let key = carryall_proto::seal::Keyring::new(carryall_proto::seal::Key::new(1, [1; 32]));
    let problem = builder(&World::default()).keyring(key).replicated().build().unwrap_err().to_string();
    assert!(problem.contains("ServerBuilder::store"), "{problem}");
}

#[tokio::test]
async fn a_tool_that_may_be_a_task_needs_a_server_that_has_tasks() {
    let server = Server::new("plain", "1").build().unwrap();
    let later = || Tool::without_arguments("later", async |_| "later").as_task(TaskSupport::Always);
    let problem = server
        .change(|catalogue| {
            catalogue.tool(later());
        })
        .unwrap_err()
        .to_string();
    assert!(problem.contains("later") && problem.contains("ServerBuilder::tasks"), "{problem}");
    let server = Server::new("plain", "1").tasks(Tasks::default()).build().unwrap();
    server
        .change(|catalogue| {
            catalogue.tool(later());
        })
        .unwrap();
    created(&server, "later").await;
}
