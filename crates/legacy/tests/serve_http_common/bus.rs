//! Tests that hold for every session bus.

use super::{Client, Replica, tool};
use serde_json::{Value, json};
use std::sync::atomic::Ordering::SeqCst;

pub(crate) fn text(message: &Value) -> &Value {
    &message["result"]["content"][0]["text"]
}

pub(crate) async fn a_server_request_of_one_replica_is_answered_at_another(
    [a, b, c]: &[Replica; 3],
) {
    let client = Client::open(a.address, "2025-11-25").await;
    let mut stream = client.at(b).stream(&tool(1, "greet")).await;
    let question = stream.message().await.json();
    assert_eq!(question["method"], "elicitation/create");
    assert_eq!(client.at(c).answer(&question, "Ada").await, 202);
    assert_eq!(text(&stream.message().await.json()), "hello \"Ada\"");
    // A second answer has no effect.
    assert_eq!(client.answer(&question, "Eve").await, 202);
}

pub(crate) async fn a_request_can_be_cancelled_at_any_replica([a, b]: &[Replica; 2]) {
    let client = Client::open(a.address, "2025-11-25").await;
    let mut stream = client.stream(&tool(1, "wait")).await;
    stream.message().await;
    let cancelled =
        json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}});
    assert_eq!(client.at(b).post(&cancelled.to_string()).await.status, 202);
    assert_eq!(stream.rest().await, [json!(null); 0]);
}

pub(crate) async fn a_stream_can_be_resumed_at_any_replica([a, b, c]: &[Replica; 3]) {
    let client = Client::open(a.address, "2025-11-25").await;
    let mut stream = client.stream(&tool(1, "wait")).await;
    let progress = stream.message().await;
    drop(stream);
    let mut resumed = client.at(b).get(progress.id.as_deref()).await;
    assert!(resumed.is_quiet().await);
    drop(resumed);
    let mut resumed = client.at(c).get(progress.id.as_deref()).await;
    a.seen.go.notify_one();
    let rest = resumed.rest().await;
    assert_eq!(
        (text(rest.last().unwrap()), rest.len()),
        (&json!("waited"), 2)
    );
    assert_eq!(a.seen.finished.load(SeqCst), 1);
}

pub(crate) async fn a_paused_stream_can_be_resumed_at_any_replica([a, b]: &[Replica; 2]) {
    let client = Client::open(a.address, "2025-11-25").await;
    let mut stream = client.stream(&tool(1, "poll")).await;
    let opening = stream.next().await.unwrap();
    assert!(stream.next().await.unwrap().retry.is_some());
    let rest = client.at(b).get(opening.id.as_deref()).await.rest().await;
    assert_eq!(text(&rest[0]), "polled");
}
