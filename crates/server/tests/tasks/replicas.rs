//! Replicas that die, and stores that fail.

use crate::fixture::*;
use bytes::Bytes;
use carryall_server::TaskOptions;
use carryall_store::{BoxFuture, Changes, Memory, Row, Store, StoreError, StoreResult};
use carryall_testkit::{LogCollector, answer, call};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::sleep;

/// Kills a process: its tasks stop, and nothing of it writes any more.
fn kill(replica: tokio::runtime::Runtime) {
    replica.shutdown_background();
}

/// Runs `first` on a runtime of its own, and shuts that down with its tasks.
fn on_dying_replica<T: Send + 'static>(first: impl Future<Output = T> + Send + 'static) -> T {
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
    let (probe, store) = (Probe::default(), Memory::new());
    let dying = {
        let (probe, store) = (probe.clone(), store.clone());
        async move {
            let server = server(&probe, &store);
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
    let (id, dead) = tokio::task::spawn_blocking(|| on_dying_replica(dying))
        .await
        .unwrap();
    let survivor = server(&probe, &store);
    let task = until(&survivor, &id, |task| task["status"] == "input_required").await;
    let asked = keys(&task);
    assert_eq!(asked.len(), 2, "nothing that was answered is asked again");
    update(
        &survivor,
        &id,
        json!({&asked[0]: accept("b"), &asked[1]: accept("c")}),
    )
    .await;
    assert_eq!(
        ended(&survivor, &id).await["result"]["content"][0]["text"],
        "ordered a b c"
    );
    assert_eq!(probe.seen(), ["ordered"], "a recorded step is not repeated");
    drop(dead);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_abandoned_task_that_cannot_be_resumed_fails() {
    let (probe, store) = (Probe::default(), Memory::new());
    let dying = {
        let (probe, store) = (probe.clone(), store.clone());
        async move {
            let server = server(&probe, &store);
            (created(&server, "waits").await, server)
        }
    };
    let (id, dead) = tokio::task::spawn_blocking(|| on_dying_replica(dying))
        .await
        .unwrap();
    let survivor = server(&probe, &store);
    let task = ended(&survivor, &id).await;
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

/// A store that fails for a while, and that loses the replies to writes.
#[derive(Clone, Debug, Default)]
pub(crate) struct UnreliableStore {
    pub(crate) rows: Memory,
    /// How many writes succeed and report a failure.
    lost_replies: Arc<AtomicUsize>,
    /// How many operations fail.
    pub(crate) failing: Arc<AtomicUsize>,
}

impl UnreliableStore {
    fn take_one(counter: &AtomicUsize) -> bool {
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
            if Self::take_one(&self.failing) {
                return Err(StoreError::new("unavailable"));
            }
            let written = write.await;
            if Self::take_one(&self.lost_replies) {
                Err(StoreError::new("the reply was lost"))
            } else {
                written
            }
        })
    }
}

impl Store for UnreliableStore {
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
            if Self::take_one(&self.failing) {
                return Err(StoreError::new("unavailable"));
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
async fn brief_failures_of_the_store_only_delay_a_task() {
    let probe = Probe::default();
    for (lost_replies, failing) in [(1, 0), (2, 0), (0, 1), (0, 2), (1, 1)] {
        let store = UnreliableStore::default();
        let server = builder(&probe)
            .store(store.clone())
            .tasks(TaskOptions::new().lease(Duration::from_secs(10)))
            .build()
            .map(maintained)
            .unwrap();
        store.lost_replies.store(lost_replies, Ordering::SeqCst);
        store.failing.store(failing, Ordering::SeqCst);
        let id = created(&server, "waits").await;
        store.lost_replies.store(lost_replies, Ordering::SeqCst);
        store.failing.store(failing + 1, Ordering::SeqCst);
        probe.go.notify_one();
        let task = ended(&server, &id).await;
        assert_eq!(
            task["result"]["content"][0]["text"], "done",
            "{lost_replies} {failing}"
        );
    }
}

#[tokio::test]
async fn a_store_that_keeps_failing_is_an_error() {
    let probe = Probe::default();
    let store = UnreliableStore::default();
    let server = builder(&probe).store(store.clone()).build().unwrap();
    store.failing.store(usize::MAX, Ordering::SeqCst);
    assert_eq!(answer(&server, tool("always")).await.code(), -32603);
    assert_eq!(get(&server, "t").await.code(), -32603, "the task may exist");
    store.failing.store(0, Ordering::SeqCst);
    assert_eq!(get(&server, "t").await.code(), -32602);
}

/// Takes a task over from its worker, as a replica does when the lease has expired.
async fn revoke_lease(store: &Memory, id: &str) {
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
    panic!("every write conflicts");
}

#[tokio::test]
async fn a_worker_whose_lease_was_taken_over_writes_nothing_more() {
    let (probe, store, server) = single_server();
    let id = created(&server, "resumes").await;
    revoke_lease(&store, &id).await;
    // The handler ends at the same time: the holder of the lease decides.
    probe.go.notify_one();
    sleep(LEASE * 2).await;
    assert_eq!(
        get(&server, &id).await.result()["status"],
        "working",
        "the worker may not write the result"
    );
}

#[tokio::test]
async fn a_worker_whose_lease_was_taken_over_stops() {
    let (probe, store, server) = single_server();
    let id = created(&server, "resumes").await;
    while probe.seen().is_empty() {
        sleep(Duration::from_millis(5)).await;
    }
    revoke_lease(&store, &id).await;
    sleep(LEASE).await;
    assert_eq!(probe.seen(), ["begun", "dropped"]);
    assert_eq!(get(&server, &id).await.result()["status"], "working");
}

#[tokio::test]
async fn a_task_has_one_worker_at_a_time() {
    let (probe, store, here) = single_server();
    let there = server(&probe, &store);
    let id = created(&here, "resumes").await;
    answer(&there, call("server/discover", json!({}))).await;
    sleep(LEASE * 4).await;
    assert_eq!(
        probe.seen(),
        ["begun"],
        "a lease that is renewed is not taken over"
    );
    probe.go.notify_one();
    assert_eq!(ended(&there, &id).await["status"], "completed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_keeps_killing_its_workers_is_failed() {
    let (probe, store) = (Probe::default(), Memory::new());
    let mut id = String::new();
    let mut dead = Vec::new();
    for attempt in 0..3 {
        let (theirs, store, known) = (probe.clone(), store.clone(), id.clone());
        let dying = async move {
            let server = builder(&theirs)
                .store(store.clone())
                .tasks(settings().max_attempts(3))
                .build()
                .map(maintained)
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
            panic!("the task is not taken over");
        };
        let (made, server) = tokio::task::spawn_blocking(|| on_dying_replica(dying))
            .await
            .unwrap();
        id = made;
        dead.push(server);
    }
    let survivor = builder(&probe)
        .store(store.clone())
        .tasks(settings().max_attempts(3))
        .build()
        .map(maintained)
        .unwrap();
    let task = ended(&survivor, &id).await;
    assert_eq!(task["status"], "failed");
    assert!(
        task["error"]["message"]
            .as_str()
            .unwrap()
            .contains("given up"),
        "{task}"
    );
}

/// Whoever has the id of a task without a principal can read it, so that ids are not logged.
#[tokio::test]
async fn the_log_does_not_contain_the_id_of_a_task() {
    let (log, _guard) = LogCollector::start();
    let (probe, store) = (Probe::default(), UnreliableStore::default());
    let server = builder(&probe)
        .store(store.clone())
        .tasks(settings())
        .build()
        .map(maintained)
        .unwrap();
    let id = created(&server, "resumes").await;
    // On a busy machine another operation may meet the failure, or the lease may be renewed in
    // between: repeat until it is logged.
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
        expire_lease(&store.rows, &id).await;
        sleep(Duration::from_millis(10)).await;
    }
    for text in ["task store unavailable", "taking over a task"] {
        assert!(!log.containing(text).is_empty(), "{text:?} is not logged");
    }
    cancel(&server, &id).await;
    assert!(
        log.containing("task-").len() >= 2,
        "the log names the task by its digest: {:?}",
        log.containing("task")
    );
    assert_eq!(log.containing(&id), [""; 0]);
}

/// Expires the lease of a task, as if its worker had died.
async fn expire_lease(store: &Memory, id: &str) {
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
    panic!("every write conflicts");
}
