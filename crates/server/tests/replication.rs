//! Changes on one replica notify the subscribers of all replicas.

use carryall_proto::MessageStream;
use carryall_server::{Resource, Server, Tool};
use carryall_store::{BoxFuture, Changes, Memory, Row, RowChange, Store, StoreError, StoreResult};
use carryall_testkit::{assert_idle, call, call_as, next_notification, stream};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;

fn replica(store: impl Store + 'static) -> Server {
    Server::new("replicated", "1")
        .store(store)
        .with_tools()
        .resource(Resource::new("data:/a", "a", async || "a"))
        .resource(Resource::new("data:/b", "b", async || "b"))
        .resource(Resource::new("data:/secret", "s", async || "s").requires_scope("read"))
        .build()
        .map(maintained)
        .unwrap()
}

/// Does the server's background work until the test ends.
fn maintained(server: Server) -> Server {
    tokio::spawn(server.maintain());
    server
}

async fn subscribe(server: &Server, filter: Value) -> MessageStream {
    let mut subscription = stream(
        server,
        call("subscriptions/listen", json!({"notifications": filter})),
    )
    .await;
    next_notification(&mut subscription).await;
    subscription
}

async fn notified(subscription: &mut MessageStream) -> (String, Value) {
    let (method, params) = next_notification(subscription).await;
    (method, params["uri"].clone())
}

fn updated(uri: &str) -> (String, Value) {
    ("notifications/resources/updated".into(), uri.into())
}

/// Waits until pending notifications have arrived.
async fn wait() {
    tokio::time::sleep(Duration::from_millis(100)).await;
}

#[tokio::test]
async fn subscribers_of_all_replicas_are_notified_once() {
    let store = Memory::new();
    let (here, there) = (replica(store.clone()), replica(store.clone()));
    let filter = json!({"toolsListChanged": true, "resourceSubscriptions": ["data:/a"]});
    let mut near = subscribe(&here, filter.clone()).await;
    let mut far = subscribe(&there, filter).await;
    for _ in 0..3 {
        here.resource_updated("data:/a");
        here.resource_updated("data:/b");
        for subscription in [&mut near, &mut far] {
            assert_eq!(notified(subscription).await, updated("data:/a"));
        }
        wait().await;
        assert_idle(&mut near);
        assert_idle(&mut far);
    }
    there
        .change(|catalogue| {
            catalogue.tool(Tool::new("new", async || "new"));
        })
        .unwrap();
    for subscription in [&mut near, &mut far] {
        assert_eq!(
            notified(subscription).await.0,
            "notifications/tools/list_changed"
        );
    }
}

#[tokio::test]
async fn simultaneous_changes_on_two_replicas_reach_both() {
    let store = Memory::new();
    let (here, there) = (replica(store.clone()), replica(store.clone()));
    for _ in 0..50 {
        let mut near = subscribe(&here, json!({"resourceSubscriptions": ["data:/a"]})).await;
        let mut far = subscribe(&there, json!({"resourceSubscriptions": ["data:/a"]})).await;
        here.resource_updated("data:/a");
        assert_eq!(notified(&mut near).await, updated("data:/a"));
        // Each replica knows of its own change, and is yet to learn of the other's.
        there.resource_updated("data:/a");
        assert_eq!(notified(&mut near).await, updated("data:/a"));
        assert_eq!(notified(&mut far).await, updated("data:/a"));
        wait().await;
    }
}

#[tokio::test]
async fn a_change_on_another_replica_reaches_only_those_who_may_read_the_resource() {
    let store = Memory::new();
    let (here, there) = (replica(store.clone()), replica(store.clone()));
    let params =
        || json!({"notifications": {"resourceSubscriptions": ["data:/secret", "data:/a"]}});
    let mut able = stream(
        &there,
        call_as("ada", &["read"], "subscriptions/listen", params()),
    )
    .await;
    let mut unable = stream(
        &there,
        call_as("bob", &[], "subscriptions/listen", params()),
    )
    .await;
    next_notification(&mut able).await;
    next_notification(&mut unable).await;
    here.resource_updated("data:/secret");
    assert_eq!(notified(&mut able).await, updated("data:/secret"));
    here.resource_updated("data:/a");
    assert_eq!(notified(&mut unable).await, updated("data:/a"));
}

/// A store that fails at times, and whose changes the test can make up.
#[derive(Clone, Debug)]
struct Flaky {
    rows: Memory,
    down: Arc<AtomicBool>,
    extra: Arc<std::sync::Mutex<Option<mpsc::UnboundedReceiver<RowChange>>>>,
}

impl Flaky {
    fn answer<'a, T: Send + 'a>(
        &self,
        answer: BoxFuture<'a, StoreResult<T>>,
    ) -> BoxFuture<'a, StoreResult<T>> {
        if self.down.load(Ordering::SeqCst) {
            return Box::pin(async { Err(StoreError::new("down")) });
        }
        answer
    }
}

impl Store for Flaky {
    fn insert(&self, row: Row, now: u64) -> BoxFuture<'_, StoreResult<bool>> {
        self.answer(self.rows.insert(row, now))
    }
    fn get<'a>(
        &'a self,
        kind: &'static str,
        key: &'a str,
        now: u64,
    ) -> BoxFuture<'a, StoreResult<Option<Row>>> {
        self.answer(self.rows.get(kind, key, now))
    }
    fn replace(&self, row: Row) -> BoxFuture<'_, StoreResult<bool>> {
        self.answer(self.rows.replace(row))
    }
    fn reschedule<'a>(
        &'a self,
        kind: &'static str,
        key: &'a str,
        version: u64,
        due_at: Option<u64>,
    ) -> BoxFuture<'a, StoreResult<bool>> {
        self.answer(self.rows.reschedule(kind, key, version, due_at))
    }
    fn remove<'a>(
        &'a self,
        kind: &'static str,
        key: &'a str,
        version: u64,
    ) -> BoxFuture<'a, StoreResult<bool>> {
        self.answer(self.rows.remove(kind, key, version))
    }
    fn due(
        &self,
        kind: &'static str,
        now: u64,
        limit: usize,
    ) -> BoxFuture<'_, StoreResult<Vec<Row>>> {
        self.answer(self.rows.due(kind, now, limit))
    }
    fn expire(&self, now: u64, limit: usize) -> BoxFuture<'_, StoreResult<usize>> {
        self.answer(self.rows.expire(now, limit))
    }
    fn changes(&self, kind: &'static str) -> Changes {
        match self.extra.lock().unwrap().take() {
            Some(mut extra) if kind == "change" => {
                Box::pin(futures_util::stream::poll_fn(move |cx| extra.poll_recv(cx)))
            }
            _ => self.rows.changes(kind),
        }
    }
    fn is_shared(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn a_change_while_the_store_fails_is_announced_when_it_is_back() {
    let rows = Memory::new();
    let down = Arc::new(AtomicBool::new(true));
    let here = replica(Flaky {
        rows: rows.clone(),
        down: Arc::clone(&down),
        extra: Arc::default(),
    });
    let there = replica(rows);
    let mut near = subscribe(&here, json!({"resourceSubscriptions": ["data:/a"]})).await;
    let mut far = subscribe(&there, json!({"resourceSubscriptions": ["data:/a"]})).await;
    here.resource_updated("data:/a");
    assert_eq!(
        notified(&mut near).await,
        updated("data:/a"),
        "subscribers of the same replica do not wait for the store"
    );
    wait().await;
    assert_idle(&mut far);
    down.store(false, Ordering::SeqCst);
    assert_eq!(notified(&mut far).await, updated("data:/a"));
}

#[tokio::test]
async fn after_lost_changes_everything_may_have_changed() {
    let (lost, extra) = mpsc::unbounded_channel();
    let extra = Arc::new(std::sync::Mutex::new(Some(extra)));
    let server = replica(Flaky {
        rows: Memory::new(),
        down: Arc::default(),
        extra,
    });
    let mut all = subscribe(
        &server,
        json!({"toolsListChanged": true, "resourceSubscriptions": ["data:/b"]}),
    )
    .await;
    lost.send(RowChange::Lagged).unwrap();
    assert_eq!(
        notified(&mut all).await.0,
        "notifications/tools/list_changed"
    );
    assert_eq!(notified(&mut all).await, updated("data:/b"));
    wait().await;
    assert_idle(&mut all);
}
