//! Replicas that die, and stores that fail.

use crate::world::*;
use bytes::Bytes;
use carryall_server::Tasks;
use carryall_store::{BoxFuture, Changes, Memory, Row, Store, StoreError, StoreResult};
use carryall_testkit::{LogCollector, answer, call};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::sleep;

/// A process that ends without a word: its tasks stop, and nothing of it writes any more.
fn kill(replica: tokio::runtime::Runtime) {
    replica.shutdown_background();
}

/// Runs `first` on an executor of its own, and ends that in the middle of what it has begun.
fn on_a_replica_that_dies<T: Send + 'static>(first: impl Future<Output = T> + Send + 'static) -> T {
    let replica = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let value = std::thread::scope(|scope| scope.spawn(|| replica.block_on(first)).join().unwrap());
    kill(replica);
    value
}

// spec: statelessness-09
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_replica_resumes_where_the_first_one_died() {
    let (world, store) = (World::default(), Memory::new());
    let dying = {
        let (world, store) = (world.clone(), store.clone());
        async move {
            let server = server(&world, &store);
            let id = created(&server, "asks").await;
            let task = until(&server, &id, |task| task["status"] == "input_required").await;
            let key = keys(&task).remove(0);
            update(&server, &id, json!({&key: accept("a")})).await;
            until(&server, &id, |task| {
                task["inputRequests"]
                    .as_object()
                    .is_some_and(|asked| asked.len() == 2)
            })
            .await;
            (id, server)
        }
    };
    let (id, dead) = tokio::task::spawn_blocking(|| on_a_replica_that_dies(dying))
        .await
        .unwrap();
    let heir = server(&world, &store);
    let task = until(&heir, &id, |task| task["status"] == "input_required").await;
    let asked = keys(&task);
    assert_eq!(asked.len(), 2, "nothing that was answered is asked again");
    update(
        &heir,
        &id,
        json!({&asked[0]: accept("b"), &asked[1]: accept("c")}),
    )
    .await;
    assert_eq!(
        ended(&heir, &id).await["result"]["content"][0]["text"],
        "ordered a b c"
    );
    assert_eq!(
        world.seen(),
        ["ordered"],
        "what was recorded is not done again"
    );
    drop(dead);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_resumed_fails_honestly() {
    let (world, store) = (World::default(), Memory::new());
    let dying = {
        let (world, store) = (world.clone(), store.clone());
        async move {
            let server = server(&world, &store);
            (created(&server, "waits").await, server)
        }
    };
    let (id, dead) = tokio::task::spawn_blocking(|| on_a_replica_that_dies(dying))
        .await
        .unwrap();
    let heir = server(&world, &store);
    let task = ended(&heir, &id).await;
    assert_eq!(task["status"], "failed");
    assert!(
        task["error"]["message"]
            .as_str()
            .unwrap()
            .contains("cannot be resumed"),
        "{task}"
    );
    drop(dead);
}

/// A store that a worker cannot reach for a while, and that loses the answers to its writes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unreliable {
    pub(crate) rows: Memory,
    /// How many writes are yet to be done, and said to have failed.
    lost_answers: Arc<AtomicUsize>,
    /// How many operations are yet to fail.
    pub(crate) failing: Arc<AtomicUsize>,
}

impl Unreliable {
    fn takes(counter: &AtomicUsize) -> bool {
        counter
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                left.checked_sub(1)
            })
            .is_ok()
    }

    fn write<'a, T: Send + 'a>(
        &'a self,
        write: BoxFuture<'a, StoreResult<T>>,
    ) -> BoxFuture<'a, StoreResult<T>> {
        Box::pin(async move {
            if Self::takes(&self.failing) {
                return Err(StoreError::new("out of reach"));
            }
            let written = write.await;
            if Self::takes(&self.lost_answers) {
                Err(StoreError::new("the answer got lost"))
            } else {
                written
            }
        })
    }
}

impl Store for Unreliable {
    fn insert(&self, row: Row, now: u64) -> BoxFuture<'_, StoreResult<bool>> {
        self.write(Box::pin(async move { self.rows.insert(row, now).await }))
    }

    fn get<'a>(
        &'a self,
        kind: &'static str,
        key: &'a str,
        now: u64,
    ) -> BoxFuture<'a, StoreResult<Option<Row>>> {
        Box::pin(async move {
            if Self::takes(&self.failing) {
                return Err(StoreError::new("out of reach"));
            }
            self.rows.get(kind, key, now).await
        })
    }

    fn replace(&self, row: Row) -> BoxFuture<'_, StoreResult<bool>> {
        self.write(Box::pin(async move { self.rows.replace(row).await }))
    }

    fn reschedule<'a>(
        &'a self,
        kind: &'static str,
        key: &'a str,
        version: u64,
        due_at: Option<u64>,
    ) -> BoxFuture<'a, StoreResult<bool>> {
        self.write(self.rows.reschedule(kind, key, version, due_at))
    }

    fn remove<'a>(
        &'a self,
        kind: &'static str,
        key: &'a str,
        version: u64,
    ) -> BoxFuture<'a, StoreResult<bool>> {
        self.write(self.rows.remove(kind, key, version))
    }

    fn due(
        &self,
        kind: &'static str,
        now: u64,
        limit: usize,
    ) -> BoxFuture<'_, StoreResult<Vec<Row>>> {
        self.rows.due(kind, now, limit)
    }

    fn expire(&self, now: u64, limit: usize) -> BoxFuture<'_, StoreResult<usize>> {
        self.rows.expire(now, limit)
    }

    fn changes(&self, kind: &'static str) -> Changes {
        self.rows.changes(kind)
    }

    fn is_shared(&self) -> bool {
        false
    }
}

#[tokio::test]
async fn a_store_that_fails_for_a_moment_costs_time_and_nothing_else() {
    let world = World::default();
    for (lost_answers, failing) in [(1, 0), (2, 0), (0, 1), (0, 2), (1, 1)] {
        let store = Unreliable::default();
        let server = builder(&world)
            .store(store.clone())
            .tasks(Tasks::new().lease(Duration::from_secs(10)))
            .build()
            .unwrap();
        store.lost_answers.store(lost_answers, Ordering::SeqCst);
        store.failing.store(failing, Ordering::SeqCst);
        let id = created(&server, "waits").await;
        store.lost_answers.store(lost_answers, Ordering::SeqCst);
        store.failing.store(failing + 1, Ordering::SeqCst);
        world.go.notify_one();
        let task = ended(&server, &id).await;
        assert_eq!(
            task["result"]["content"][0]["text"], "done",
            "{lost_answers} {failing}"
        );
    }
}

#[tokio::test]
async fn a_store_that_keeps_failing_is_an_error_and_no_task() {
    let world = World::default();
    let store = Unreliable::default();
    let server = builder(&world).store(store.clone()).build().unwrap();
    store.failing.store(usize::MAX, Ordering::SeqCst);
    assert_eq!(answer(&server, tool("always")).await.code(), -32603);
    assert_eq!(get(&server, "t").await.code(), -32603, "it may be there");
    store.failing.store(0, Ordering::SeqCst);
    assert_eq!(get(&server, "t").await.code(), -32602);
}

/// Takes a task away from its worker, as a replica does that has not heard of it for too long.
async fn take_away(store: &Memory, id: &str) {
    for _ in 0..100 {
        let row = store.get("task", id, 0).await.unwrap().unwrap();
        let mut record: Value = serde_json::from_slice(&row.value).unwrap();
        record["lease"] = json!({"number": record["lease"]["number"].as_u64().unwrap() + 1, "until": u64::MAX / 2});
        let value = Bytes::from(record.to_string());
        let row = Row {
            version: row.version + 1,
            value,
            due_at: None,
            ..row
        };
        if store.replace(row).await.unwrap() {
            return;
        }
    }
    panic!("somebody is always ahead");
}

#[tokio::test]
async fn a_worker_whose_lease_was_taken_over_writes_nothing_more() {
    let (world, store, server) = alone();
    let id = created(&server, "resumes").await;
    take_away(&store, &id).await;
    // Done at the same moment: whoever holds the lease has the say.
    world.go.notify_one();
    sleep(LEASE * 2).await;
    assert_eq!(
        get(&server, &id).await.result()["status"],
        "working",
        "the result is not its to write"
    );
}

#[tokio::test]
async fn a_worker_whose_lease_was_taken_over_stops() {
    let (world, store, server) = alone();
    let id = created(&server, "resumes").await;
    while world.seen().is_empty() {
        sleep(Duration::from_millis(5)).await;
    }
    take_away(&store, &id).await;
    sleep(LEASE).await;
    assert_eq!(world.seen(), ["begun", "dropped"]);
    assert_eq!(get(&server, &id).await.result()["status"], "working");
}

#[tokio::test]
async fn two_workers_are_never_at_one_task() {
    let (world, store, here) = alone();
    let there = server(&world, &store);
    let id = created(&here, "resumes").await;
    answer(&there, call("server/discover", json!({}))).await;
    sleep(LEASE * 4).await;
    assert_eq!(world.seen(), ["begun"], "whoever renews a lease keeps it");
    world.go.notify_one();
    assert_eq!(ended(&there, &id).await["status"], "completed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_workers_die_of_is_given_up() {
    let (world, store) = (World::default(), Memory::new());
    let mut id = String::new();
    let mut dead = Vec::new();
    for attempt in 0..3 {
        let (theirs, store, known) = (world.clone(), store.clone(), id.clone());
        let dying = async move {
            let server = builder(&theirs)
                .store(store.clone())
                .tasks(settings().max_attempts(3))
                .build()
                .unwrap();
            let id = if attempt == 0 {
                created(&server, "resumes").await
            } else {
                known
            };
            for _ in 0..1000 {
                if theirs
                    .seen()
                    .iter()
                    .filter(|effect| *effect == "begun")
                    .count()
                    > attempt
                {
                    return (id, server);
                }
                sleep(Duration::from_millis(10)).await;
            }
            panic!("nobody takes it over");
        };
        let (made, server) = tokio::task::spawn_blocking(|| on_a_replica_that_dies(dying))
            .await
            .unwrap();
        id = made;
        dead.push(server);
    }
    let heir = builder(&world)
        .store(store.clone())
        .tasks(settings().max_attempts(3))
        .build()
        .unwrap();
    let task = ended(&heir, &id).await;
    assert_eq!(task["status"], "failed");
    assert!(
        task["error"]["message"]
            .as_str()
            .unwrap()
            .contains("given up"),
        "{task}"
    );
}

/// Whoever has the id of a task can read it, so the id does not stand where operators and their
/// tools can read it.
#[tokio::test]
async fn no_line_of_the_log_holds_the_id_of_a_task() {
    let (log, _guard) = LogCollector::start();
    let (world, store) = (World::default(), Unreliable::default());
    let server = builder(&world)
        .store(store.clone())
        .tasks(settings())
        .build()
        .unwrap();
    let id = created(&server, "resumes").await;
    // On a busy machine somebody else may meet the failure, or renew the lease in between: so it is
    // done until it shows.
    for _ in 0..1_000 {
        if !log.containing("task store unavailable").is_empty() {
            break;
        }
        store.failing.store(1, Ordering::SeqCst);
        sleep(Duration::from_millis(10)).await;
    }
    store.failing.store(0, Ordering::SeqCst);
    for _ in 0..1_000 {
        if !log.containing("taking over a task").is_empty() {
            break;
        }
        abandon(&store.rows, &id).await;
        sleep(Duration::from_millis(10)).await;
    }
    for text in ["task store unavailable", "taking over a task"] {
        assert!(!log.containing(text).is_empty(), "{text:?} is not logged");
    }
    cancel(&server, &id).await;
    assert!(
        log.containing("task-").len() >= 2,
        "the lines name the task by its digest: {:?}",
        log.containing("task")
    );
    assert_eq!(log.containing(&id), [""; 0]);
}

/// Leaves a task as a worker does that has died: its lease has ended.
async fn abandon(store: &Memory, id: &str) {
    for _ in 0..100 {
        let row = store.get("task", id, 0).await.unwrap().unwrap();
        if store
            .reschedule("task", id, row.version, Some(1))
            .await
            .unwrap()
        {
            return;
        }
    }
    panic!("somebody is always ahead");
}
