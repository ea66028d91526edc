//! Replicas without affinity that share sessions through a store.

mod serve_http_common;

use carryall_legacy::serve::{LegacyOptions, StoreBus};
use carryall_store::{Memory, Store as _};
use serde_json::json;
use serve_http_common::*;
use std::sync::Arc;
use std::time::Duration;

fn with_bus(store: &Memory) -> LegacyOptions {
    options().session_bus(Arc::new(StoreBus::new(Arc::new(store.clone()))))
}

async fn replicas<const N: usize>(store: &Memory) -> [Replica; N] {
    let mut replicas = Vec::new();
    for _ in 0..N {
        replicas.push(Replica::start(with_bus(store)).await);
    }
    replicas.try_into().ok().unwrap()
}

#[tokio::test]
async fn a_server_request_of_one_replica_is_answered_at_another() {
    bus::a_server_request_of_one_replica_is_answered_at_another(&replicas(&Memory::new()).await)
        .await;
}

#[tokio::test]
async fn settings_apply_on_all_replicas_and_later_ones() {
    let store = Memory::new();
    let [a, b] = replicas(&store).await;
    let client = Client::open(a.address, "2025-11-25").await;
    let mut changes = client.at(&b).get(None).await;
    changes.next().await.unwrap();
    let subscribe = |id: u32, method: &str| request(id, method, json!({"uri": "x:first"}));
    assert_eq!(
        client
            .post(&subscribe(1, "resources/subscribe"))
            .await
            .json()["result"],
        json!({})
    );
    client.log_level("info").await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    b.server.resource_updated("x:first");
    assert_eq!(changes.message().await.json()["params"]["uri"], "x:first");
    let late = Replica::start(with_bus(&store)).await;
    for replica in [&b, &late] {
        let messages = client
            .at(replica)
            .stream(&tool(2, "log"))
            .await
            .rest()
            .await;
        assert_eq!(
            (messages.len(), &messages[0]["params"]["data"]),
            (2, &json!("a log message"))
        );
    }
    let mut at_late = client.at(&late).get(None).await;
    at_late.next().await.unwrap();
    assert_eq!(
        changes.rest().await,
        [json!(null); 0],
        "a message goes to one stream only"
    );
    assert_eq!(
        client
            .at(&b)
            .post(&subscribe(3, "resources/unsubscribe"))
            .await
            .status,
        200
    );
    tokio::time::sleep(Duration::from_millis(100)).await;
    late.server.resource_updated("x:first");
    assert!(at_late.is_quiet().await);
}

#[tokio::test]
async fn a_request_can_be_cancelled_at_any_replica() {
    bus::a_request_can_be_cancelled_at_any_replica(&replicas(&Memory::new()).await).await;
}

#[tokio::test]
async fn an_ended_session_is_ended_on_all_replicas_for_good() {
    let store = Memory::new();
    let [a, b, c] = replicas(&store).await;
    let client = Client::open(a.address, "2025-11-25").await;
    assert_eq!(client.at(&b).call("hello").await, "hello nobody");
    assert_eq!(client.delete().await, 204);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let late = Replica::start(with_bus(&store)).await;
    for replica in [&a, &b, &c, &late] {
        assert_eq!(client.at(replica).post(&tool(1, "hello")).await.status, 404);
    }
}

#[tokio::test]
async fn the_end_of_a_session_is_stored_for_longer_than_its_id_is_valid() {
    let store = Memory::new();
    let ttl = Duration::from_secs(3600);
    let replica = Replica::start(with_bus(&store).session_ttl(ttl)).await;
    let client = Client::open(replica.address, "2025-11-25").await;
    assert_eq!(client.delete().await, 204);
    let expired = std::time::SystemTime::now() + ttl;
    let millis = expired
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_millis() as u64;
    let at = async |minutes: u64| {
        let row = store
            .get(
                "session-known",
                &client.id[3..39],
                millis + minutes * 60_000,
            )
            .await;
        row.unwrap().is_some()
    };
    assert!(
        at(9).await,
        "for a replica whose clock is ahead of the others"
    );
    assert!(!at(11).await);
}

#[tokio::test]
async fn a_stream_can_be_resumed_at_any_replica() {
    bus::a_stream_can_be_resumed_at_any_replica(&replicas(&Memory::new()).await).await;
}

#[tokio::test]
async fn a_paused_stream_can_be_resumed_at_any_replica() {
    bus::a_paused_stream_can_be_resumed_at_any_replica(&replicas(&Memory::new()).await).await;
}

#[tokio::test]
async fn a_stream_of_a_lost_replica_is_lost() {
    let [a, b, c] = replicas(&Memory::new()).await;
    let client = Client::open(a.address, "2025-11-25").await;
    let mut stream = client.stream(&tool("lost", "wait")).await;
    let progress = stream.message().await;
    a.kill().await;
    assert_eq!(stream.next().await, None, "the connection broke");
    for replica in [&b, &c] {
        let lost = client
            .at(replica)
            .get(progress.id.as_deref())
            .await
            .rest()
            .await;
        assert_eq!(
            (&lost[0]["id"], &lost[0]["error"]["code"]),
            (&json!("lost"), &json!(-32603))
        );
    }
    assert_eq!(client.at(&b).call("hello").await, "hello nobody");
}
