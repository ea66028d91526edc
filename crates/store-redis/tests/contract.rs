//! The store in Redis keeps what every store promises, between replicas and over restarts of the
//! server too. Each test runs against Redis and Valkey, as far as they are on the machine.
#![cfg(unix)]

mod server;

use carryall_store::{Changed, Changes, Row, Store, contract};
use carryall_store_redis::Redis;
use server::Server;
use std::future::poll_fn;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// No test waits longer than this for one thing.
const PATIENCE: Duration = Duration::from_secs(30);

fn row(key: &str) -> Row {
    Row {
        kind: "test",
        key: key.into(),
        version: 1,
        value: "value".into(),
        expires_at: None,
        due_at: None,
    }
}

async fn heard(changes: &mut Changes) -> Changed {
    let next = poll_fn(|cx| changes.as_mut().poll_next(cx));
    tokio::time::timeout(PATIENCE, next)
        .await
        .expect("told in time")
        .expect("changes do not end")
}

/// Waits until the store works, and returns the row of this key.
async fn found(store: &Redis, key: &str) -> Option<Row> {
    let again = async {
        loop {
            match store.get("test", key, 0).await {
                Ok(row) => return row,
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    };
    tokio::time::timeout(PATIENCE, again)
        .await
        .expect("it works again")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_keeps_the_contract() {
    for server in Server::start_all() {
        let prefixes = AtomicU32::new(0);
        let open = || async {
            let prefix = format!("store {}", prefixes.fetch_add(1, Ordering::Relaxed));
            Redis::builder(server.url())
                .prefix(prefix)
                .connect()
                .await
                .unwrap()
        };
        contract::check(open).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_see_and_hear_each_other() {
    for server in Server::start_all() {
        let mut stores = Vec::new();
        for _ in 0..6 {
            stores.push(Redis::connect(server.url()).await.unwrap());
        }
        assert!(stores.iter().all(Store::is_shared));
        let mut changes: Vec<_> = stores.iter().map(|store| store.changes("test")).collect();
        assert!(stores[0].insert(row("k"), 0).await.unwrap());
        for changes in &mut changes {
            assert_eq!(heard(changes).await, Changed::Row("k".into()));
        }
        for version in 2..20 {
            let mut writing = tokio::task::JoinSet::new();
            for store in stores.clone() {
                writing.spawn(async move {
                    store
                        .replace(Row {
                            version,
                            ..row("k")
                        })
                        .await
                        .unwrap()
                });
            }
            assert_eq!(
                writing
                    .join_all()
                    .await
                    .into_iter()
                    .filter(|won| *won)
                    .count(),
                1,
                "version {version}"
            );
        }
        replicas_that_clean_up_together_count_each_row_once(&stores).await;
        prefixes_are_stores_of_their_own(&server, &stores[0]).await;
        odd_rows_come_back_and_are_told(&stores[0], &stores[1]).await;
    }
}

async fn replicas_that_clean_up_together_count_each_row_once(stores: &[Redis]) {
    for number in 0..500 {
        let brief = Row {
            expires_at: Some(1),
            due_at: Some(1),
            ..row(&format!("brief {number}"))
        };
        stores[0].insert(brief, 0).await.unwrap();
    }
    let mut cleaning = tokio::task::JoinSet::new();
    for store in stores {
        let store = store.clone();
        cleaning.spawn(async move {
            let mut ended = 0;
            loop {
                match store.expire(1, 20).await.unwrap() {
                    0 => return ended,
                    step => ended += step,
                }
            }
        });
    }
    assert_eq!(cleaning.join_all().await.into_iter().sum::<usize>(), 500);
    assert_eq!(
        stores[0].due("test", 1, 500).await.unwrap(),
        [],
        "what has ended is not due"
    );
}

async fn prefixes_are_stores_of_their_own(server: &Server, store: &Redis) {
    let other = Redis::builder(server.url())
        .prefix("other")
        .connect()
        .await
        .unwrap();
    let (mut by_other, mut by_store) = (other.changes("test"), store.changes("test"));
    store.insert(row("here"), 0).await.unwrap();
    assert_eq!(other.get("test", "here", 0).await.unwrap(), None);
    other.insert(row("there"), 0).await.unwrap();
    assert_eq!(heard(&mut by_other).await, Changed::Row("there".into()));
    assert_eq!(heard(&mut by_store).await, Changed::Row("here".into()));
}

async fn odd_rows_come_back_and_are_told(one: &Redis, two: &Redis) {
    let kind = "a kind: odd";
    let mut changes = two.changes(kind);
    let key = format!("a: 'key'\n\0\u{1f9f3}{}", "k".repeat(9000));
    let odd = Row {
        kind,
        version: u64::MAX,
        expires_at: Some(u64::MAX),
        due_at: Some(0),
        ..row(&key)
    };
    one.insert(odd.clone(), 0).await.unwrap();
    assert_eq!(heard(&mut changes).await, Changed::Row(key.clone()));
    assert_eq!(two.get(kind, &key, 0).await.unwrap(), Some(odd.clone()));
    assert_eq!(two.due(kind, 0, usize::MAX).await.unwrap(), [odd]);
    assert_eq!(two.expire(u64::MAX, usize::MAX).await.unwrap(), 1);
    assert_eq!(heard(&mut changes).await, Changed::Row(key.clone()));
    assert_eq!(two.due(kind, 0, 1).await.unwrap(), []);
    // Two rows whose kind and key would be the same text, one after the other.
    let (left, right) = (
        Row {
            kind: "a",
            ..row("b:c")
        },
        Row {
            kind: "a:b",
            ..row("c")
        },
    );
    assert!(
        one.insert(left.clone(), 0).await.unwrap() && one.insert(right.clone(), 0).await.unwrap()
    );
    assert_eq!(two.get("a", "b:c", 0).await.unwrap(), Some(left));
    assert_eq!(two.get("a:b", "c", 0).await.unwrap(), Some(right));
}

#[tokio::test]
async fn what_cannot_be_reached_is_refused_and_no_secret_is_shown() {
    let nobody = Redis::builder("redis://127.0.0.1:1/")
        .timeout(Duration::from_secs(2))
        .connect()
        .await;
    nobody.expect_err("nobody is there");
    Redis::connect("http://127.0.0.1/")
        .await
        .expect_err("that is another protocol");
    let shown = format!("{:?}", Redis::builder("redis://user:secret@host/"));
    assert!(!shown.contains("secret"), "{shown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_goes_and_comes_back_costs_errors_and_nothing_else() {
    for mut server in Server::start_all() {
        let store = Redis::builder(server.url())
            .timeout(Duration::from_secs(3))
            .connect()
            .await
            .unwrap();
        let (mut changes, mut others) = (store.changes("test"), store.changes("other"));
        assert!(store.insert(row("before"), 0).await.unwrap());
        assert_eq!(heard(&mut changes).await, Changed::Row("before".into()));
        server.stop();
        store
            .get("test", "before", 0)
            .await
            .expect_err("nobody answers");
        store
            .insert(row("lost"), 0)
            .await
            .expect_err("nobody answers");
        store.due("test", 0, 1).await.expect_err("nobody answers");
        server.start_again();
        assert_eq!(found(&store, "before").await, Some(row("before")));
        assert_eq!(found(&store, "lost").await, None);
        assert_eq!(
            heard(&mut changes).await,
            Changed::Some,
            "something may have been lost"
        );
        assert_eq!(
            heard(&mut others).await,
            Changed::Some,
            "for everybody who listens"
        );
        assert!(store.insert(row("after"), 0).await.unwrap());
        assert_eq!(
            heard(&mut changes).await,
            Changed::Row("after".into()),
            "and changes come again"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_does_not_answer_costs_no_more_than_patience() {
    for server in Server::start_all() {
        let store = Redis::builder(server.url())
            .timeout(Duration::from_millis(500))
            .connect()
            .await
            .unwrap();
        assert!(store.insert(row("k"), 0).await.unwrap());
        server.signal("STOP");
        for _ in 0..2 {
            let asked = tokio::time::timeout(PATIENCE, store.get("test", "k", 0)).await;
            asked
                .expect("an end to the wait")
                .expect_err("nobody answers");
        }
        server.signal("CONT");
        assert_eq!(found(&store, "k").await, Some(row("k")));
    }
}
