//! The background work of a server, which whoever serves it drives.

use carryall_server::{Resource, Server, TaskOptions, TaskSupport, Tool};
use carryall_store::Memory;
use carryall_testkit::{answer, assert_idle, call, meta_with, next_notification, stream};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::{sleep, timeout};

fn server(store: &Memory) -> Server {
    Server::new("maintained", "1")
        .store(store.clone())
        .tasks(TaskOptions::new().lease(Duration::from_secs(60)))
        .resource(Resource::new("data:/a", "a", async || "a"))
        .build()
        .unwrap()
}

fn with_tasks(mut params: Value) -> Value {
    params["_meta"] = meta_with(&json!({"io.modelcontextprotocol/clientCapabilities":
        {"extensions": {"io.modelcontextprotocol/tasks": {}}}}));
    params
}

#[tokio::test]
async fn without_it_changes_stay_on_their_replica() {
    let store = Memory::new();
    let (here, there) = (server(&store), server(&store));
    let listen = json!({"notifications": {"resourceSubscriptions": ["data:/a"]}});
    let mut near = stream(&here, call("subscriptions/listen", listen.clone())).await;
    let mut far = stream(&there, call("subscriptions/listen", listen)).await;
    next_notification(&mut near).await;
    next_notification(&mut far).await;
    here.resource_updated("data:/a");
    next_notification(&mut near).await;
    sleep(Duration::from_millis(50)).await;
    assert_idle(&mut far);
    // What was announced before is exchanged as soon as somebody drives both.
    tokio::spawn(there.maintain());
    tokio::task::yield_now().await;
    tokio::spawn(here.maintain());
    next_notification(&mut far).await;
}

#[tokio::test]
async fn another_future_goes_on_when_the_first_one_is_dropped() {
    let store = Memory::new();
    let (here, there) = (server(&store), server(&store));
    tokio::spawn(here.maintain());
    let first = tokio::spawn(there.maintain());
    tokio::spawn(there.maintain());
    let listen = json!({"notifications": {"resourceSubscriptions": ["data:/a"]}});
    let mut far = stream(&there, call("subscriptions/listen", listen)).await;
    next_notification(&mut far).await;
    first.abort();
    sleep(Duration::from_millis(20)).await;
    here.resource_updated("data:/a");
    next_notification(&mut far).await;
    assert_idle(&mut far);
}

/// Sets its flag when it is dropped.
struct SetOnDrop(Arc<AtomicBool>);

impl Drop for SetOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn without_it_tasks_of_this_process_are_cancelled_and_published_at_once() {
    let is_dropped = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&is_dropped);
    let waits = Tool::new("waits", move || {
        let guard = SetOnDrop(Arc::clone(&flag));
        async move {
            let _guard = guard;
            std::future::pending::<&str>().await
        }
    });
    let server = server(&Memory::new());
    server
        .change(|catalogue| {
            catalogue.tool(waits.as_task(TaskSupport::Always));
        })
        .unwrap();
    let params = with_tasks(json!({"name": "waits", "arguments": {}}));
    let created = answer(&server, call("tools/call", params)).await;
    let id = created.result()["taskId"].as_str().unwrap();
    let listen = with_tasks(json!({"notifications": {"taskIds": [id]}}));
    let mut subscription = stream(&server, call("subscriptions/listen", listen)).await;
    next_notification(&mut subscription).await;
    let (_, task) = next_notification(&mut subscription).await;
    assert_eq!(task["status"], "working");
    let cancelled = call("tasks/cancel", with_tasks(json!({"taskId": id})));
    answer(&server, cancelled).await;
    let (_, task) = next_notification(&mut subscription).await;
    assert_eq!(task["status"], "cancelled");
    let dropped = async {
        while !is_dropped.load(Ordering::SeqCst) {
            sleep(Duration::from_millis(5)).await;
        }
    };
    // Long before the lease of a minute is renewed.
    timeout(Duration::from_secs(10), dropped).await.unwrap();
}
