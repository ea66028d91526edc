//! What every store promises, as a suite that runs against any of them.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! carryall_store::contract::check(|| async { carryall_store::Memory::new() }).await;
//! # }
//! ```

use crate::{Changed, Changes, Row, Store};
use bytes::Bytes;
use std::collections::HashSet;
use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::time::Duration;

/// How long a change may take to reach a listener.
const PATIENCE: Duration = Duration::from_secs(10);
/// Rows that the suite calls many.
const MANY: usize = 10_000;

/// Runs the whole suite, each part on a store of its own that `open` makes. The store must be
/// empty.
///
/// # Panics
/// When a promise is broken; the message says which one.
pub async fn check<S, Fut>(open: impl Fn() -> Fut)
where
    S: Store + 'static,
    Fut: Future<Output = S>,
{
    rows_come_back_as_they_were(&open().await).await;
    a_key_is_taken_once_until_its_row_has_ended(&open().await).await;
    a_row_is_replaced_by_whoever_has_seen_it(&open().await).await;
    a_rescheduled_row_keeps_all_but_its_time(&open().await).await;
    listeners_are_not_told_of_a_rescheduled_row(&open().await).await;
    one_of_many_writers_wins(Arc::new(open().await)).await;
    one_of_many_removers_wins(Arc::new(open().await)).await;
    rows_are_due_by_kind_and_in_their_order(&open().await).await;
    clocks_may_differ(&open().await).await;
    a_dropped_write_happens_completely_or_not_at_all(Arc::new(open().await)).await;
    two_workers_on_one_lease_agree_on_who_has_it(Arc::new(open().await)).await;
    many_rows_end_in_bounded_steps(&open().await).await;
    listeners_hear_of_every_change(&open().await).await;
    a_slow_listener_hears_that_something_was_lost(&open().await).await;
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

async fn rows_come_back_as_they_were(store: &impl Store) {
    let odd = Row {
        expires_at: Some(900),
        due_at: Some(7),
        ..row("a key / with \"odd\" signs \u{1f9f3}")
    };
    let bytes = Row {
        value: Bytes::from((0..=255).collect::<Vec<u8>>()),
        ..row("bytes")
    };
    for row in [
        odd,
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
        "keys are those of a kind"
    );
    assert_eq!(store.get("contract", "nothing", 0).await.unwrap(), None);
}

async fn a_key_is_taken_once_until_its_row_has_ended(store: &impl Store) {
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
        "and its row is the first one"
    );
    assert_eq!(
        store.get("contract", "k", 100).await.unwrap(),
        None,
        "a row that has ended is as good as gone"
    );
    assert!(
        store.insert(row("k"), 100).await.unwrap(),
        "and its key is free"
    );
    assert_eq!(
        store.get("contract", "k", u64::MAX / 2).await.unwrap(),
        Some(row("k")),
        "a row without an end stays"
    );
}

async fn a_row_is_replaced_by_whoever_has_seen_it(store: &impl Store) {
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
        "the version seen is not the current one"
    );
    assert!(
        !store
            .replace(Row {
                version: 9,
                ..second.clone()
            })
            .await
            .unwrap(),
        "versions are not skipped"
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
        "what is gone is gone"
    );
    assert!(
        !store.replace(next(&second, "3")).await.unwrap(),
        "and is not replaced"
    );
}

/// How a lease is renewed: by whoever has seen the row, without its value.
async fn a_rescheduled_row_keeps_all_but_its_time(store: &impl Store) {
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
    assert!(
        !reschedule(1, Some(30)).await,
        "the version seen is not the current one"
    );
    assert!(!reschedule(9, Some(30)).await, "versions are not skipped");
    let second = Row {
        version: 2,
        due_at: Some(20),
        ..first.clone()
    };
    assert_eq!(
        store.get("contract", "k", 0).await.unwrap(),
        Some(second.clone()),
        "the rest of the row is as it was"
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
        "a writer that has not seen it loses"
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
    assert!(reschedule(3, None).await, "a row can be due never");
    assert_eq!(store.due("contract", u64::MAX / 2, 10).await.unwrap(), []);
    assert!(reschedule(4, Some(5)).await, "and then again");
    assert_eq!(store.due("contract", 5, 10).await.unwrap().len(), 1);
    assert_eq!(
        store.expire(900, 10).await.unwrap(),
        1,
        "it expires as before"
    );
    assert_eq!(
        store.due("contract", u64::MAX / 2, 10).await.unwrap(),
        [],
        "and is not due any more"
    );
}

/// Every renewal of every lease would wake all replicas otherwise.
async fn listeners_are_not_told_of_a_rescheduled_row(store: &impl Store) {
    store.insert(row("k"), 0).await.unwrap();
    store.insert(row("other"), 0).await.unwrap();
    let mut changes = store.changes("contract");
    // A store may tell of what was written just before. A marker separates that from what follows.
    store.insert(row("marker"), 0).await.unwrap();
    while heard(&mut changes).await != Changed::Row("marker".into()) {}
    assert!(store.reschedule("contract", "k", 1, Some(1)).await.unwrap());
    store.replace(next(&row("other"), "2")).await.unwrap();
    assert_eq!(
        heard(&mut changes).await,
        Changed::Row("other".into()),
        "a rescheduled row is no change"
    );
}

async fn one_of_many_writers_wins<S: Store + 'static>(store: Arc<S>) {
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
        assert_eq!(
            won, 1,
            "of those who have seen the same version exactly one writes the next"
        );
        current = next(&current, "x");
    }
}

async fn one_of_many_removers_wins<S: Store + 'static>(store: Arc<S>) {
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
        assert_eq!(won, 1, "what is used once is used once");
    }
}

async fn rows_are_due_by_kind_and_in_their_order(store: &impl Store) {
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
        "the longest due comes first"
    );
    assert_eq!(due(30, 2).await, ["a", "b"], "and no more than asked for");
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
        "what was put off or removed is not due"
    );
}

/// Time is handed in by whoever asks, and two of them may not agree on it.
async fn clocks_may_differ(store: &impl Store) {
    let brief = Row {
        expires_at: Some(100),
        due_at: Some(100),
        ..row("k")
    };
    store.insert(brief.clone(), 5_000_000).await.unwrap();
    assert_eq!(
        store.get("contract", "k", 99).await.unwrap(),
        Some(brief),
        "the clock of the reader is what counts"
    );
    assert_eq!(store.get("contract", "k", 150).await.unwrap(), None);
    assert!(
        store.get("contract", "k", 50).await.unwrap().is_some(),
        "to look with a fast clock removes nothing"
    );
    assert_eq!(store.due("contract", 99, 10).await.unwrap(), []);
    assert_eq!(store.due("contract", 100, 10).await.unwrap().len(), 1);
    let second = next(&row("k"), "2");
    assert!(
        store.replace(second.clone()).await.unwrap(),
        "versions decide about writes, and clocks do not"
    );
    assert_eq!(
        store.get("contract", "k", u64::MAX / 2).await.unwrap(),
        Some(second)
    );
}

/// A process that ends in the middle of a write: its future is dropped wherever it has come to.
async fn a_dropped_write_happens_completely_or_not_at_all<S: Store + 'static>(store: Arc<S>) {
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
            .expect("a row does not get lost");
        assert!(
            found == current || found == wanted,
            "neither the row before nor the one after: {found:?}"
        );
        if found == current && !store.replace(wanted.clone()).await.unwrap() {
            // It was still under way.
            found = store
                .get("contract", "k", 0)
                .await
                .unwrap()
                .expect("a row does not get lost");
            assert_eq!(found, wanted);
        }
        let due = store.due("contract", u64::MAX / 2, 10).await.unwrap();
        assert_eq!(
            due,
            [],
            "what finds a row by its time has been changed with it"
        );
        current = wanted;
    }
}

/// Workers that take a lease when it has ended, and renew it while they have it.
async fn two_workers_on_one_lease_agree_on_who_has_it<S: Store + 'static>(store: Arc<S>) {
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
    assert_eq!(taken.len(), count, "no number of a lease was given to both");
    let row = store
        .get("contract", "lease", 0)
        .await
        .unwrap()
        .expect("the lease is there");
    assert_eq!(
        usize::try_from(row.version),
        Ok(count + 1),
        "each of them is one version"
    );
}

async fn many_rows_end_in_bounded_steps(store: &impl Store) {
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
        "nothing ends before its time"
    );
    let mut ended = 0;
    loop {
        let step = store.expire(100, 1000).await.unwrap();
        assert!(step <= 1000, "no more at once than asked for");
        if step == 0 {
            break;
        }
        ended += step;
    }
    assert_eq!(ended, MANY, "each row ends once");
    assert!(
        store.get("contract", "later", 100).await.unwrap().is_some(),
        "and no other"
    );
}

/// The next change, which has to come soon.
async fn heard(changes: &mut Changes) -> Changed {
    let next = poll_fn(|cx| changes.as_mut().poll_next(cx));
    tokio::time::timeout(PATIENCE, next)
        .await
        .expect("a change is told in time")
        .expect("changes do not end")
}

async fn listeners_hear_of_every_change(store: &impl Store) {
    let (mut one, mut two, mut other) = (
        store.changes("contract"),
        store.changes("contract"),
        store.changes("other"),
    );
    store.insert(row("k"), 0).await.unwrap();
    for changes in [&mut one, &mut two] {
        assert_eq!(heard(changes).await, Changed::Row("k".into()));
    }
    store.replace(next(&row("k"), "2")).await.unwrap();
    assert_eq!(heard(&mut one).await, Changed::Row("k".into()));
    store.remove("contract", "k", 2).await.unwrap();
    assert_eq!(heard(&mut one).await, Changed::Row("k".into()));
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
        heard(&mut other).await,
        Changed::Row("x".into()),
        "a listener hears of its kind alone"
    );
}

async fn a_slow_listener_hears_that_something_was_lost(store: &impl Store) {
    let mut changes = store.changes("contract");
    for number in 0..MANY {
        store.insert(row(&format!("k{number}")), 0).await.unwrap();
    }
    let mut seen = HashSet::new();
    while seen.len() < MANY {
        match heard(&mut changes).await {
            Changed::Row(key) => drop(seen.insert(key)),
            // Whoever hears this looks at everything, so nothing is missed.
            Changed::Some => break,
        }
    }
}
