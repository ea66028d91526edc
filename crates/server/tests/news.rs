//! Changes on one replica, told to listeners on all of them.

use carryall_proto::MessageStream;
use carryall_server::{Resource, Server, Tool};
use carryall_store::{BoxFuture, Changed, Changes, Memory, Row, Store, StoreError, StoreResult};
use carryall_testkit::{assert_idle, call, call_as, next_notification, stream};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;

fn replica(store: impl Store + 'static) -> Server {
    Server::new("news", "1")
        .store(store)
        .with_tools()
        .resource(Resource::new("news:/a", "a", async || "a"))
        .resource(Resource::new("news:/b", "b", async || "b"))
        .resource(Resource::new("news:/secret", "s", async || "s").requires_scope("read"))
        .build()
        .unwrap()
}

async fn listening(server: &Server, filter: Value) -> MessageStream {
    let mut listening = stream(
        server,
        call("subscriptions/listen", json!({"notifications": filter})),
    )
    .await;
    next_notification(&mut listening).await;
    listening
}

async fn told(listening: &mut MessageStream) -> (String, Value) {
    let (method, params) = next_notification(listening).await;
    (method, params["uri"].clone())
}

fn updated(uri: &str) -> (String, Value) {
    ("notifications/resources/updated".into(), uri.into())
}

/// Long enough for news that are on their way to arrive.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(100)).await;
}

#[tokio::test]
async fn listeners_on_all_replicas_are_told_once() {
    let store = Memory::new();
    let (here, there) = (replica(store.clone()), replica(store.clone()));
    let filter = json!({"toolsListChanged": true, "resourceSubscriptions": ["news:/a"]});
    let mut near = listening(&here, filter.clone()).await;
    let mut far = listening(&there, filter).await;
    for _ in 0..3 {
        here.resource_updated("news:/a");
        here.resource_updated("news:/b");
        for listening in [&mut near, &mut far] {
            assert_eq!(told(listening).await, updated("news:/a"));
        }
        settle().await;
        assert_idle(&mut near);
        assert_idle(&mut far);
    }
    there
        .change(|catalogue| {
            catalogue.tool(Tool::new("new", async || "new"));
        })
        .unwrap();
    for listening in [&mut near, &mut far] {
        assert_eq!(told(listening).await.0, "notifications/tools/list_changed");
    }
}

#[tokio::test]
async fn changes_on_both_sides_at_once_reach_both() {
    let store = Memory::new();
    let (here, there) = (replica(store.clone()), replica(store.clone()));
    for _ in 0..50 {
        let mut near = listening(&here, json!({"resourceSubscriptions": ["news:/a"]})).await;
        let mut far = listening(&there, json!({"resourceSubscriptions": ["news:/a"]})).await;
        here.resource_updated("news:/a");
        assert_eq!(told(&mut near).await, updated("news:/a"));
        // Each has been told of its own change, and is owed the other's.
        there.resource_updated("news:/a");
        assert_eq!(told(&mut near).await, updated("news:/a"));
        assert_eq!(told(&mut far).await, updated("news:/a"));
        settle().await;
    }
}

#[tokio::test]
async fn who_may_not_read_a_resource_is_not_told_of_it_from_afar_either() {
    let store = Memory::new();
    let (here, there) = (replica(store.clone()), replica(store.clone()));
    let params =
        || json!({"notifications": {"resourceSubscriptions": ["news:/secret", "news:/a"]}});
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
    here.resource_updated("news:/secret");
    assert_eq!(told(&mut able).await, updated("news:/secret"));
    here.resource_updated("news:/a");
    assert_eq!(told(&mut unable).await, updated("news:/a"));
}

/// A store that is out of reach at times, and whose news the test makes.
#[derive(Clone, Debug)]
struct Flaky {
    rows: Memory,
    down: Arc<AtomicBool>,
    extra: Arc<std::sync::Mutex<Option<mpsc::UnboundedReceiver<Changed>>>>,
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
async fn a_change_while_the_store_is_out_of_reach_is_told_when_it_is_back() {
    let rows = Memory::new();
    let down = Arc::new(AtomicBool::new(true));
    let here = replica(Flaky {
        rows: rows.clone(),
        down: Arc::clone(&down),
        extra: Arc::default(),
    });
    let there = replica(rows);
    let mut near = listening(&here, json!({"resourceSubscriptions": ["news:/a"]})).await;
    let mut far = listening(&there, json!({"resourceSubscriptions": ["news:/a"]})).await;
    here.resource_updated("news:/a");
    assert_eq!(
        told(&mut near).await,
        updated("news:/a"),
        "its own listeners do not wait for the store"
    );
    settle().await;
    assert_idle(&mut far);
    down.store(false, Ordering::SeqCst);
    assert_eq!(told(&mut far).await, updated("news:/a"));
}

#[tokio::test]
async fn when_news_were_lost_everything_may_have_changed() {
    let (lost, extra) = mpsc::unbounded_channel();
    let extra = Arc::new(std::sync::Mutex::new(Some(extra)));
    let server = replica(Flaky {
        rows: Memory::new(),
        down: Arc::default(),
        extra,
    });
    let mut all = listening(
        &server,
        json!({"toolsListChanged": true, "resourceSubscriptions": ["news:/b"]}),
    )
    .await;
    lost.send(Changed::Some).unwrap();
    assert_eq!(told(&mut all).await.0, "notifications/tools/list_changed");
    assert_eq!(told(&mut all).await, updated("news:/b"));
    settle().await;
    assert_idle(&mut all);
}
