//! The test suite that every implementation of [`Store`] has to pass.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! carryall_store::contract::check(|| async { carryall_store::Memory::new() }).await;
//! # }
//! ```

use crate::{Changes, Row, RowChange, Store};
use bytes::Bytes;
use std::collections::HashSet;
use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::time::Duration;

/// How long a change may take to reach a listener.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(10);
/// The number of rows in the tests with many rows.
const MANY: usize = 10_000;

/// Runs the whole suite. Each test gets a store of its own from `open`, which must be empty.
///
/// # Panics
/// When a test fails; the message says which guarantee is broken.
pub async fn check<S, Fut>(open: impl Fn() -> Fut)
where
    S: Store + 'static,
    Fut: Future<Output = S>,
{
    rows_round_trip(&open().await).await;
    a_key_is_unique_until_its_row_expires(&open().await).await;
    replace_and_remove_require_the_current_version(&open().await).await;
    reschedule_changes_only_due_at_and_version(&open().await).await;
    reschedule_does_not_notify_listeners(&open().await).await;
    exactly_one_concurrent_replace_succeeds(Arc::new(open().await)).await;
    exactly_one_concurrent_remove_succeeds(Arc::new(open().await)).await;
    due_returns_rows_of_one_kind_in_order(&open().await).await;
    only_the_time_passed_in_counts(&open().await).await;
    a_dropped_write_is_atomic(Arc::new(open().await)).await;
    two_workers_never_hold_the_same_lease(Arc::new(open().await)).await;
    expire_is_bounded_by_its_limit(&open().await).await;
    listeners_receive_every_change(&open().await).await;
    a_slow_listener_receives_lagged(&open().await).await;
}

fn row(key: &str) -> Row {
    let value = Bytes::from_static(b"{\"a\":\"\\u0000\"}");
    Row {
        kind: "contract",
        key: key.into(),
        version: 1,
        value,
        expires_at: None,
        due_at: None,
    }
}

fn next(row: &Row, value: &'static str) -> Row {
    Row {
        version: row.version + 1,
        value: Bytes::from_static(value.as_bytes()),
        ..row.clone()
    }
}

async fn rows_round_trip(store: &impl Store) {
    let special = Row {
        expires_at: Some(900),
        due_at: Some(7),
        ..row("a key / with \"special\" characters \u{1f9f3}")
    };
    let bytes = Row {
        value: Bytes::from((0..=255).collect::<Vec<u8>>()),
        ..row("bytes")
    };
    for row in [
        special,
        bytes,
        Row {
            value: Bytes::new(),
            ..row("empty")
        },
    ] {
        assert!(
            store.insert(row.clone(), 0).await.unwrap(),
            "a new row is inserted"
        );
        let found = store.get(row.kind, &row.key, 0).await.unwrap();
        assert_eq!(found, Some(row), "a row comes back as it was written");
    }
    assert_eq!(
        store.get("another kind", "bytes", 0).await.unwrap(),
        None,
        "keys are unique per kind, not globally"
    );
    assert_eq!(store.get("contract", "nothing", 0).await.unwrap(), None);
}

async fn a_key_is_unique_until_its_row_expires(store: &impl Store) {
    let brief = Row {
        expires_at: Some(100),
        ..row("k")
    };
    assert!(store.insert(brief.clone(), 0).await.unwrap());
    assert!(
        !store.insert(row("k"), 99).await.unwrap(),
        "the key is taken"
    );
    assert_eq!(
        store.get("contract", "k", 99).await.unwrap(),
        Some(brief),
        "the first row is unchanged"
    );
    assert_eq!(
        store.get("contract", "k", 100).await.unwrap(),
        None,
        "an expired row is absent"
    );
    assert!(
        store.insert(row("k"), 100).await.unwrap(),
        "the key of an expired row is free"
    );
    assert_eq!(
        store.get("contract", "k", u64::MAX / 2).await.unwrap(),
        Some(row("k")),
        "a row without expiry time does not expire"
    );
}

async fn replace_and_remove_require_the_current_version(store: &impl Store) {
    let first = row("k");
    assert!(
        !store.replace(next(&first, "2")).await.unwrap(),
        "there is nothing to replace"
    );
    store.insert(first.clone(), 0).await.unwrap();
    let second = next(&first, "2");
    assert!(store.replace(second.clone()).await.unwrap());
    assert!(
        !store.replace(next(&first, "other")).await.unwrap(),
        "the version is outdated"
    );
    assert!(
        !store
            .replace(Row {
                version: 9,
                ..second.clone()
            })
            .await
            .unwrap(),
        "versions cannot be skipped"
    );
    assert_eq!(
        store.get("contract", "k", 0).await.unwrap(),
        Some(second.clone())
    );
    assert!(
        !store.remove("contract", "k", 1).await.unwrap(),
        "an old version removes nothing"
    );
    assert!(store.remove("contract", "k", 2).await.unwrap());
    assert!(
        !store.remove("contract", "k", 2).await.unwrap(),
        "the row is removed already"
    );
    assert!(
        !store.replace(next(&second, "3")).await.unwrap(),
        "a removed row cannot be replaced"
    );
}

/// Tests `reschedule`, which renews leases.
async fn reschedule_changes_only_due_at_and_version(store: &impl Store) {
    let first = Row {
        due_at: Some(10),
        expires_at: Some(900),
        ..row("k")
    };
    let reschedule = async |version, due_at| {
        store
            .reschedule("contract", "k", version, due_at)
            .await
            .unwrap()
    };
    assert!(
        !reschedule(1, Some(20)).await,
        "there is nothing to reschedule"
    );
    store.insert(first.clone(), 0).await.unwrap();
    assert!(reschedule(1, Some(20)).await);
    assert!(!reschedule(1, Some(30)).await, "the version is outdated");
    assert!(!reschedule(9, Some(30)).await, "versions cannot be skipped");
    let second = Row {
        version: 2,
        due_at: Some(20),
        ..first.clone()
    };
    assert_eq!(
        store.get("contract", "k", 0).await.unwrap(),
        Some(second.clone()),
        "the rest of the row is unchanged"
    );
    assert_eq!(
        store.due("contract", 19, 10).await.unwrap(),
        [],
        "it is not due before its new time"
    );
    assert_eq!(
        store.due("contract", 20, 10).await.unwrap(),
        std::slice::from_ref(&second)
    );
    assert!(
        !store.replace(next(&first, "late")).await.unwrap(),
        "a replacement of the version before fails"
    );
    assert!(
        store
            .replace(Row {
                due_at: Some(30),
                ..next(&second, "3")
            })
            .await
            .unwrap()
    );
    assert!(reschedule(3, None).await, "`due_at` can be cleared");
    assert_eq!(store.due("contract", u64::MAX / 2, 10).await.unwrap(), []);
    assert!(reschedule(4, Some(5)).await, "`due_at` can be set again");
    assert_eq!(store.due("contract", 5, 10).await.unwrap().len(), 1);
    assert_eq!(
        store.expire(900, 10).await.unwrap(),
        1,
        "the expiry time is unchanged"
    );
    assert_eq!(
        store.due("contract", u64::MAX / 2, 10).await.unwrap(),
        [],
        "an expired row is not due"
    );
}

/// Tests that renewing a lease does not wake all replicas.
async fn reschedule_does_not_notify_listeners(store: &impl Store) {
    store.insert(row("k"), 0).await.unwrap();
    store.insert(row("other"), 0).await.unwrap();
    let mut changes = store.changes("contract");
    // A store may still deliver earlier changes. The marker separates these from what follows.
    store.insert(row("marker"), 0).await.unwrap();
    while next_change(&mut changes).await != RowChange::Row("marker".into()) {}
    assert!(store.reschedule("contract", "k", 1, Some(1)).await.unwrap());
    store.replace(next(&row("other"), "2")).await.unwrap();
    assert_eq!(
        next_change(&mut changes).await,
        RowChange::Row("other".into()),
        "`reschedule` is no change"
    );
}

async fn exactly_one_concurrent_replace_succeeds<S: Store + 'static>(store: Arc<S>) {
    store.insert(row("k"), 0).await.unwrap();
    let mut current = row("k");
    for _ in 0..20 {
        let writers = (0..8).map(|_| {
            let (store, row) = (Arc::clone(&store), next(&current, "x"));
            tokio::spawn(async move { store.replace(row).await.unwrap() })
        });
        let mut won = 0;
        for writer in writers.collect::<Vec<_>>() {
            won += usize::from(writer.await.unwrap());
        }
        assert_eq!(won, 1, "exactly one writer replaces a version");
        current = next(&current, "x");
    }
}

async fn exactly_one_concurrent_remove_succeeds<S: Store + 'static>(store: Arc<S>) {
    for round in 0..20 {
        let key = format!("once-{round}");
        store.insert(row(&key), 0).await.unwrap();
        let removers = (0..8).map(|_| {
            let (store, key) = (Arc::clone(&store), key.clone());
            tokio::spawn(async move { store.remove("contract", &key, 1).await.unwrap() })
        });
        let mut won = 0;
        for remover in removers.collect::<Vec<_>>() {
            won += usize::from(remover.await.unwrap());
        }
        assert_eq!(won, 1, "exactly one caller removes the row");
    }
}

async fn due_returns_rows_of_one_kind_in_order(store: &impl Store) {
    for (key, due_at) in [
        ("c", Some(30)),
        ("a", Some(10)),
        ("never", None),
        ("b", Some(20)),
        ("later", Some(99)),
    ] {
        store.insert(Row { due_at, ..row(key) }, 0).await.unwrap();
    }
    store
        .insert(
            Row {
                kind: "other",
                due_at: Some(1),
                ..row("x")
            },
            0,
        )
        .await
        .unwrap();
    let due = async |now, limit| -> Vec<String> {
        let rows = store.due("contract", now, limit).await.unwrap();
        rows.into_iter().map(|row| row.key).collect()
    };
    assert_eq!(due(9, 10).await, [""; 0]);
    assert_eq!(
        due(30, 10).await,
        ["a", "b", "c"],
        "the earliest comes first"
    );
    assert_eq!(due(30, 2).await, ["a", "b"], "at most `limit` rows");
    store
        .replace(Row {
            due_at: Some(50),
            version: 2,
            ..row("a")
        })
        .await
        .unwrap();
    store.remove("contract", "b", 1).await.unwrap();
    assert_eq!(
        due(30, 10).await,
        ["c"],
        "a postponed or removed row is not due"
    );
}

/// Callers pass the time in, and their clocks may differ.
async fn only_the_time_passed_in_counts(store: &impl Store) {
    let brief = Row {
        expires_at: Some(100),
        due_at: Some(100),
        ..row("k")
    };
    store.insert(brief.clone(), 5_000_000).await.unwrap();
    assert_eq!(
        store.get("contract", "k", 99).await.unwrap(),
        Some(brief),
        "the reader's clock counts"
    );
    assert_eq!(store.get("contract", "k", 150).await.unwrap(), None);
    assert!(
        store.get("contract", "k", 50).await.unwrap().is_some(),
        "reading with a fast clock removes nothing"
    );
    assert_eq!(store.due("contract", 99, 10).await.unwrap(), []);
    assert_eq!(store.due("contract", 100, 10).await.unwrap().len(), 1);
    let second = next(&row("k"), "2");
    assert!(
        store.replace(second.clone()).await.unwrap(),
        "writes depend on versions, not on clocks"
    );
    assert_eq!(
        store.get("contract", "k", u64::MAX / 2).await.unwrap(),
        Some(second)
    );
}

/// Simulates a process that ends during a write: the future is dropped at an arbitrary point.
async fn a_dropped_write_is_atomic<S: Store + 'static>(store: Arc<S>) {
    let mut current = Row {
        due_at: Some(1),
        expires_at: Some(1_000),
        ..row("k")
    };
    store.insert(current.clone(), 0).await.unwrap();
    for micros in (0..40_u64).map(|step| step * step * 5) {
        let wanted = Row {
            due_at: None,
            expires_at: Some(2_000 + micros),
            ..next(&current, "written")
        };
        let writing = {
            let (store, wanted) = (Arc::clone(&store), wanted.clone());
            tokio::spawn(async move { store.replace(wanted).await })
        };
        tokio::time::sleep(Duration::from_micros(micros)).await;
        writing.abort();
        drop(writing.await);
        let mut found = store
            .get("contract", "k", 0)
            .await
            .unwrap()
            .expect("the row exists");
        assert!(
            found == current || found == wanted,
            "neither the old nor the new row: {found:?}"
        );
        if found == current && !store.replace(wanted.clone()).await.unwrap() {
            // The write was still in progress.
            found = store
                .get("contract", "k", 0)
                .await
                .unwrap()
                .expect("the row exists");
            assert_eq!(found, wanted);
        }
        let due = store.due("contract", u64::MAX / 2, 10).await.unwrap();
        assert_eq!(
            due,
            [],
            "the index of `due_at` changes together with the row"
        );
        current = wanted;
    }
}

/// Workers take a lease when it has expired, and renew it while they hold it.
async fn two_workers_never_hold_the_same_lease<S: Store + 'static>(store: Arc<S>) {
    store
        .insert(
            Row {
                due_at: Some(0),
                ..row("lease")
            },
            0,
        )
        .await
        .unwrap();
    let workers = (0..2).map(|_| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let mut taken = Vec::new();
            for now in 1..=50_u64 {
                let Some(lease) = store.due("contract", now, 1).await.unwrap().pop() else {
                    continue;
                };
                let mine = Row {
                    due_at: Some(now + 1),
                    version: lease.version + 1,
                    ..lease
                };
                if store.replace(mine.clone()).await.unwrap() {
                    taken.push(mine.version);
                }
            }
            taken
        })
    });
    let mut taken = Vec::new();
    for worker in workers.collect::<Vec<_>>() {
        taken.extend(worker.await.unwrap());
    }
    taken.sort_unstable();
    let count = taken.len();
    taken.dedup();
    assert_eq!(
        taken.len(),
        count,
        "each version was acquired by one worker"
    );
    let row = store
        .get("contract", "lease", 0)
        .await
        .unwrap()
        .expect("the lease exists");
    assert_eq!(
        usize::try_from(row.version),
        Ok(count + 1),
        "each acquisition increments the version by one"
    );
}

async fn expire_is_bounded_by_its_limit(store: &impl Store) {
    for number in 0..MANY {
        store
            .insert(
                Row {
                    expires_at: Some(100),
                    ..row(&format!("k{number}"))
                },
                0,
            )
            .await
            .unwrap();
    }
    store
        .insert(
            Row {
                expires_at: Some(101),
                ..row("later")
            },
            0,
        )
        .await
        .unwrap();
    assert_eq!(
        store.expire(99, MANY).await.unwrap(),
        0,
        "no row expires early"
    );
    let mut expired = 0;
    loop {
        let removed = store.expire(100, 1000).await.unwrap();
        assert!(removed <= 1000, "at most `limit` rows");
        if removed == 0 {
            break;
        }
        expired += removed;
    }
    assert_eq!(expired, MANY, "each row is removed once");
    assert!(
        store.get("contract", "later", 100).await.unwrap().is_some(),
        "a row that has not expired stays"
    );
}

/// Waits for the next change.
async fn next_change(changes: &mut Changes) -> RowChange {
    let next = poll_fn(|cx| changes.as_mut().poll_next(cx));
    tokio::time::timeout(CHANGE_TIMEOUT, next)
        .await
        .expect("a change arrives in time")
        .expect("the stream does not end")
}

async fn listeners_receive_every_change(store: &impl Store) {
    let (mut one, mut two, mut other) = (
        store.changes("contract"),
        store.changes("contract"),
        store.changes("other"),
    );
    store.insert(row("k"), 0).await.unwrap();
    for changes in [&mut one, &mut two] {
        assert_eq!(next_change(changes).await, RowChange::Row("k".into()));
    }
    store.replace(next(&row("k"), "2")).await.unwrap();
    assert_eq!(next_change(&mut one).await, RowChange::Row("k".into()));
    store.remove("contract", "k", 2).await.unwrap();
    assert_eq!(next_change(&mut one).await, RowChange::Row("k".into()));
    store
        .insert(
            Row {
                kind: "other",
                ..row("x")
            },
            0,
        )
        .await
        .unwrap();
    assert_eq!(
        next_change(&mut other).await,
        RowChange::Row("x".into()),
        "a listener receives changes of its kind only"
    );
}

async fn a_slow_listener_receives_lagged(store: &impl Store) {
    let mut changes = store.changes("contract");
    for number in 0..MANY {
        store.insert(row(&format!("k{number}")), 0).await.unwrap();
    }
    let mut seen = HashSet::new();
    while seen.len() < MANY {
        match next_change(&mut changes).await {
            RowChange::Row(key) => drop(seen.insert(key)),
            // After this a listener reads all rows, so no change is missed.
            RowChange::Lagged => break,
        }
    }
}
