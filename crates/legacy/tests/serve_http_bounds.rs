//! Bounds on what a client may leave behind, in amount and time, and per caller.

mod serve_http_common;

use carryall_legacy::serve::{LegacyOptions, StoreBus};
use carryall_store::{Memory, Store as _};
use serde_json::{Value, json};
use serve_http_common::*;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

const VERSION: &str = "2025-11-25";
const ALICE: &str = "X-User: alice\r\n";
const BOB: &str = "X-User: bob\r\n";

fn task(id: u32, name: &str, params: Value) -> String {
    request(
        id,
        "tools/call",
        json!({"name": name, "arguments": {}, "task": params}),
    )
}

fn about_task(id: u32, method: &str, task: &Value) -> String {
    request(id, method, json!({"taskId": task["taskId"]}))
}

async fn start(client: &Client, name: &str, params: Value) -> Value {
    client.post(&task(1, name, params)).await.json()
}

async fn until_ended(client: &Client, task: &Value) -> Value {
    for _ in 0..1000 {
        let state = client.post(&about_task(2, "tasks/get", task)).await.json()["result"].clone();
        if state["status"] != "working" {
            return state;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the task does not end")
}

#[tokio::test]
async fn the_server_bounds_the_ttl_of_tasks() {
    let server = Replica::start(options()).await;
    let client = Client::open(server.address, VERSION).await;
    let day = 24 * 60 * 60 * 1000;
    assert_eq!(
        start(&client, "hello", json!({"ttl": day})).await["result"]["task"]["ttl"],
        60 * 60 * 1000
    );
    let short = Replica::start(options().max_task_ttl(Duration::from_secs(1))).await;
    let client = Client::open(short.address, VERSION).await;
    assert_eq!(
        start(&client, "hello", json!({"ttl": day})).await["result"]["task"]["ttl"],
        1000
    );
}

#[tokio::test]
async fn a_task_whose_result_exceeds_the_budget_fails() {
    // The result of `large` has 300,000 bytes.
    let server = Replica::start(options().max_tasks(100, 1_000_000).caller_share(1)).await;
    let client = Client::open(server.address, VERSION).await;
    let mut states = Vec::new();
    for _ in 0..4 {
        let task = start(&client, "large", json!({})).await["result"]["task"].clone();
        states.push((until_ended(&client, &task).await, task));
    }
    let failed = states
        .iter()
        .position(|(state, _)| state["status"] == "failed")
        .expect("one too many");
    assert_eq!(failed, 3, "{states:?}");
    let (state, task) = &states[failed];
    assert!(
        state["statusMessage"]
            .as_str()
            .unwrap()
            .contains("Call the tool without a task"),
        "{state}"
    );
    let answer = client
        .post(&about_task(3, "tasks/result", task))
        .await
        .json();
    assert_eq!(answer["error"]["code"], -32603, "{answer}");
    let kept = client
        .post(&about_task(4, "tasks/result", &states[0].1))
        .await
        .json();
    assert_eq!(
        kept["result"]["content"][0]["text"].as_str().unwrap().len(),
        300_000
    );
}

#[tokio::test]
async fn tasks_are_bounded_per_caller_across_its_sessions() {
    let server = Replica::start(options().max_tasks(8, 100_000_000)).await;
    for _ in 0..2 {
        let bob = Client::open_as(server.address, VERSION, BOB).await;
        assert!(start(&bob, "hello", json!({})).await["result"].is_object());
    }
    let bob = Client::open_as(server.address, VERSION, BOB).await;
    let refused = start(&bob, "hello", json!({})).await;
    assert!(
        refused["error"]["message"]
            .as_str()
            .unwrap()
            .contains("used up its share"),
        "{refused}"
    );
    let alice = Client::open_as(server.address, VERSION, ALICE).await;
    assert!(start(&alice, "hello", json!({})).await["result"].is_object());
}

#[tokio::test]
async fn the_arguments_of_a_task_count_until_it_ends() {
    let server = Replica::start(options().max_tasks(100, 100_000).caller_share(1)).await;
    let client = Client::open(server.address, VERSION).await;
    let with = |name: &str| {
        request(
            1,
            "tools/call",
            json!({"name": name, "_meta": {"x/y": "x".repeat(60_000)}, "task": {}}),
        )
    };
    let first = client.post(&with("wait")).await.json()["result"]["task"].clone();
    assert!(first.is_object());
    assert_eq!(
        client.post(&with("wait")).await.json()["error"]["code"],
        -32603
    );
    let cancelled = client
        .post(&about_task(2, "tasks/cancel", &first))
        .await
        .json();
    assert_eq!(cancelled["result"]["status"], "cancelled");
    assert!(
        client.post(&with("wait")).await.json()["result"]["task"].is_object(),
        "they are no longer held"
    );
}

#[tokio::test]
async fn a_cancelled_task_counts_until_its_ttl_ends() {
    let server = Replica::start(
        options()
            .max_tasks(1, 100_000)
            .max_task_ttl(Duration::from_millis(500)),
    )
    .await;
    let client = Client::open(server.address, VERSION).await;
    let first = start(&client, "hang", json!({})).await["result"]["task"].clone();
    client.post(&about_task(2, "tasks/cancel", &first)).await;
    eventually("the handler is dropped", || {
        server.seen.dropped.load(SeqCst) == 1
    })
    .await;
    assert_eq!(
        start(&client, "hello", json!({})).await["error"]["code"],
        -32603
    );
    for _ in 0..1000 {
        if start(&client, "hello", json!({})).await["result"].is_object() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the task is still kept");
}

#[tokio::test]
async fn long_uris_cannot_be_subscribed_to() {
    let server = Replica::start(options()).await;
    let client = Client::open(server.address, VERSION).await;
    let subscribe = |uri: &str| request(1, "resources/subscribe", json!({"uri": uri}));
    let refused = client
        .post(&subscribe(&format!("x:{}", "y".repeat(8 * 1024))))
        .await
        .json();
    assert_eq!(refused["error"]["code"], -32602, "{refused}");
    assert_eq!(
        client.post(&subscribe("x:first")).await.json()["result"],
        json!({})
    );
}

#[tokio::test]
async fn one_caller_cannot_use_up_the_subscriptions_of_all() {
    let server = Replica::start(options().max_total_subscriptions(8, 1_000_000)).await;
    let subscribe = |n: usize| request(1, "resources/subscribe", json!({"uri": format!("x:{n}")}));
    for n in 0..3 {
        let bob = Client::open_as(server.address, VERSION, BOB).await;
        let answer = bob.post(&subscribe(n)).await.json();
        assert_eq!(
            answer["error"]["code"].as_i64(),
            (n == 2).then_some(-32600),
            "{answer}"
        );
    }
    let alice = Client::open_as(server.address, VERSION, ALICE).await;
    assert_eq!(alice.post(&subscribe(0)).await.json()["result"], json!({}));
}

#[tokio::test]
async fn client_info_is_shortened_to_fit_into_the_session_id() {
    let server = Replica::start(options()).await;
    let info = json!({"name": "old", "version": "1", "description": "x".repeat(1_000_000)});
    let params = json!({"protocolVersion": VERSION, "capabilities": {}, "clientInfo": info});
    let answer = send(
        server.address,
        &http(
            "POST",
            "/mcp",
            POST_HEADERS,
            &request(0, "initialize", params),
        ),
    )
    .await;
    assert_eq!(
        answer.status,
        200,
        "{}",
        &answer.body[..200.min(answer.body.len())]
    );
    assert!(answer.header("mcp-session-id").unwrap().len() <= 4096);
}

#[tokio::test]
async fn a_stream_can_be_resumed_after_any_number() {
    let server = Replica::start(options()).await;
    let client = Client::open(server.address, VERSION).await;
    let mut stream = client.stream(&tool(1, "wait")).await;
    let progress = stream.message().await;
    drop(stream);
    let (name, _) = progress.id.as_deref().unwrap().rsplit_once('-').unwrap();
    let mut resumed = client.get(Some(&format!("{name}-{}", u64::MAX))).await;
    assert_eq!(resumed.status, 200);
    server.seen.go.notify_one();
    let rest = resumed.rest().await;
    assert_eq!(bus::text(rest.last().unwrap()), "waited");
}

#[tokio::test]
async fn calls_name_their_session_and_address() {
    let server = Replica::start(LegacyOptions::default().keyring(keyring())).await;
    let from = "X-Address: 10.0.0.7\r\n";
    let (first, second) = (
        Client::open_as(server.address, VERSION, from).await,
        Client::open_as(server.address, VERSION, from).await,
    );
    let source = async |client: &Client| client.call("source").await.as_str().unwrap().to_owned();
    let of_first = source(&first).await;
    assert!(
        of_first.contains("Legacy(") && of_first.contains("10.0.0.7"),
        "{of_first}"
    );
    assert_eq!(source(&first).await, of_first, "on another connection too");
    assert_ne!(source(&second).await, of_first);
    let other = Replica::start(LegacyOptions::default().keyring(keyring())).await;
    assert_eq!(
        source(&first.at(&other)).await,
        of_first,
        "on another replica too"
    );
}

#[tokio::test]
async fn null_arguments_are_no_arguments() {
    let server = Replica::start(options()).await;
    let client = Client::open(server.address, VERSION).await;
    let answer = client
        .post(&request(
            1,
            "tools/call",
            json!({"name": "hello", "arguments": null}),
        ))
        .await
        .json();
    assert_eq!(bus::text(&answer), "hello nobody");
}

#[tokio::test]
async fn published_events_are_bounded_per_caller() {
    let store = Memory::new();
    let bus = Arc::new(StoreBus::new(Arc::new(store.clone())));
    let server = Replica::start(options().session_bus(bus).max_published(100, 40_000)).await;
    let answer = |id: &str| {
        json!({"jsonrpc": "2.0", "id": id, "result": {"x": "x".repeat(8_000)}}).to_string()
    };
    let published = async || {
        store
            .due("session-told", u64::MAX / 2, 100)
            .await
            .unwrap()
            .len()
    };
    let bob = Client::open_as(server.address, VERSION, BOB).await;
    assert_eq!(bob.post(&answer("made up")).await.status, 202);
    assert_eq!(published().await, 0, "no replica makes such ids");
    assert_eq!(bob.post(&answer("q-0123456789abcdef")).await.status, 202);
    assert_eq!(published().await, 1);
    let refused = bob.post(&answer("q-0123456789abcdef")).await;
    assert_eq!(refused.status, 503, "{refused:?}");
    assert_eq!(published().await, 1);
    let alice = Client::open_as(server.address, VERSION, ALICE).await;
    assert_eq!(alice.post(&answer("q-0123456789abcdef")).await.status, 202);
}

#[tokio::test]
async fn one_caller_cannot_use_up_the_streams_of_http_sse() {
    let server = Replica::start(options().http_sse_2024(true)).await;
    let open = async |user: &str| {
        let headers = format!("Accept: text/event-stream\r\n{user}");
        let events = Events::open(server.address, &http("GET", "/sse", &headers, "")).await;
        (events.status, events)
    };
    let mut held = Vec::new();
    for _ in 0..1024 / 4 {
        let (status, events) = open(BOB).await;
        assert_eq!(status, 200);
        held.push(events);
    }
    assert_eq!(open(BOB).await.0, 503);
    assert_eq!(open(ALICE).await.0, 200);
    held.clear();
    for _ in 0..1000 {
        if open(BOB).await.0 == 200 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("closed streams still count");
}

#[tokio::test]
async fn streams_relayed_to_other_replicas_are_bounded() {
    let store = Memory::new();
    let start = async || {
        let bus = Arc::new(StoreBus::new(Arc::new(store.clone())));
        let bounded = options()
            .session_bus(bus)
            .max_published(1_000, 200_000)
            .caller_share(1);
        Replica::start(bounded.sse_after(Duration::from_millis(1))).await
    };
    let (a, b) = (start().await, start().await);
    let client = Client::open(a.address, VERSION).await;
    let mut stream = client.stream(&tool(1, "large_on_signal")).await;
    a.seen.go.notify_one();
    let opening = stream.next().await.unwrap().id;
    drop(stream);
    // The answer has 300,000 bytes.
    assert_eq!(
        client.at(&b).get(opening.as_deref()).await.rest().await,
        [json!(null); 0]
    );
    let rest = client.get(opening.as_deref()).await.rest().await;
    assert_eq!(
        bus::text(&rest[0]).as_str().unwrap().len(),
        300_000,
        "the replica that made it still has it"
    );
}
