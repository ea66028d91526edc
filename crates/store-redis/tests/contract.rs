//! Runs the contract suite against the Redis store, and tests it across replicas and restarts of
//! the server. Each test runs against Redis and Valkey, if they are installed.
#![cfg(unix)]

mod server;

use carryall_store::{Changes, Row, RowChange, Store, contract};
use carryall_store_redis::Redis;
use server::Server;
use std::future::poll_fn;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// The timeout of each wait in these tests.
const TIMEOUT: Duration = Duration::from_secs(30);

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

async fn next_change(changes: &mut Changes) -> RowChange {
    let next = poll_fn(|cx| changes.as_mut().poll_next(cx));
    tokio::time::timeout(TIMEOUT, next)
        .await
        .expect("a change in time")
        .expect("the stream does not end")
}

/// Waits until the store answers, and returns the row with this key.
async fn get_when_recovered(store: &Redis, key: &str) -> Option<Row> {
    let recovered = async {
        loop {
            match store.get("test", key, 0).await {
                Ok(row) => return row,
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    };
    tokio::time::timeout(TIMEOUT, recovered)
        .await
        .expect("the store recovers")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_passes_the_contract_suite() {
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
async fn replicas_share_rows_and_changes() {
    for server in Server::start_all() {
        let mut stores = Vec::new();
        for _ in 0..6 {
            stores.push(Redis::connect(server.url()).await.unwrap());
        }
        assert!(stores.iter().all(Store::is_shared));
        let mut changes: Vec<_> = stores.iter().map(|store| store.changes("test")).collect();
        assert!(stores[0].insert(row("k"), 0).await.unwrap());
        for changes in &mut changes {
            assert_eq!(next_change(changes).await, RowChange::Row("k".into()));
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
        concurrent_expire_counts_each_row_once(&stores).await;
        prefixes_are_separate_stores(&server, &stores[0]).await;
        special_rows_round_trip_and_notify(&stores[0], &stores[1]).await;
    }
}

async fn concurrent_expire_counts_each_row_once(stores: &[Redis]) {
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
            let mut expired = 0;
            loop {
                match store.expire(1, 20).await.unwrap() {
                    0 => return expired,
                    removed => expired += removed,
                }
            }
        });
    }
    assert_eq!(cleaning.join_all().await.into_iter().sum::<usize>(), 500);
    assert_eq!(
        stores[0].due("test", 1, 500).await.unwrap(),
        [],
        "expired rows are not due"
    );
}

async fn prefixes_are_separate_stores(server: &Server, store: &Redis) {
    let other = Redis::builder(server.url())
        .prefix("other")
        .connect()
        .await
        .unwrap();
    let (mut by_other, mut by_store) = (other.changes("test"), store.changes("test"));
    store.insert(row("here"), 0).await.unwrap();
    assert_eq!(other.get("test", "here", 0).await.unwrap(), None);
    other.insert(row("there"), 0).await.unwrap();
    assert_eq!(
        next_change(&mut by_other).await,
        RowChange::Row("there".into())
    );
    // Changes that were announced before may arrive late.
    let mut change = next_change(&mut by_store).await;
    while matches!(&change, RowChange::Row(key) if key.starts_with("brief ")) {
        change = next_change(&mut by_store).await;
    }
    assert_eq!(change, RowChange::Row("here".into()));
}

async fn special_rows_round_trip_and_notify(one: &Redis, two: &Redis) {
    let kind = "a kind: special";
    let mut changes = two.changes(kind);
    let key = format!("a: 'key'\n\0\u{1f9f3}{}", "k".repeat(9000));
    let special = Row {
        kind,
        version: u64::MAX,
        expires_at: Some(u64::MAX),
        due_at: Some(0),
        ..row(&key)
    };
    one.insert(special.clone(), 0).await.unwrap();
    assert_eq!(next_change(&mut changes).await, RowChange::Row(key.clone()));
    assert_eq!(two.get(kind, &key, 0).await.unwrap(), Some(special.clone()));
    assert_eq!(two.due(kind, 0, usize::MAX).await.unwrap(), [special]);
    assert_eq!(two.expire(u64::MAX, usize::MAX).await.unwrap(), 1);
    assert_eq!(next_change(&mut changes).await, RowChange::Row(key.clone()));
    assert_eq!(two.due(kind, 0, 1).await.unwrap(), []);
    // Two rows whose kind and key would be the same if simply concatenated.
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
async fn connect_fails_and_debug_hides_the_password() {
    let unreachable = Redis::builder("redis://127.0.0.1:1/")
        .timeout(Duration::from_secs(2))
        .connect()
        .await;
    unreachable.expect_err("nothing listens on this port");
    Redis::connect("http://127.0.0.1/")
        .await
        .expect_err("not a Redis URL");
    let shown = format!("{:?}", Redis::builder("redis://user:secret@host/"));
    assert!(!shown.contains("secret"), "{shown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_recovers_when_the_server_restarts() {
    for mut server in Server::start_all() {
        let store = Redis::builder(server.url())
            .timeout(Duration::from_secs(3))
            .connect()
            .await
            .unwrap();
        let (mut changes, mut others) = (store.changes("test"), store.changes("other"));
        assert!(store.insert(row("before"), 0).await.unwrap());
        assert_eq!(
            next_change(&mut changes).await,
            RowChange::Row("before".into())
        );
        server.stop();
        store
            .get("test", "before", 0)
            .await
            .expect_err("the server is down");
        store
            .insert(row("lost"), 0)
            .await
            .expect_err("the server is down");
        store
            .due("test", 0, 1)
            .await
            .expect_err("the server is down");
        server.restart();
        assert_eq!(
            get_when_recovered(&store, "before").await,
            Some(row("before"))
        );
        assert_eq!(get_when_recovered(&store, "lost").await, None);
        assert_eq!(
            next_change(&mut changes).await,
            RowChange::Lagged,
            "changes may have been lost"
        );
        assert_eq!(
            next_change(&mut others).await,
            RowChange::Lagged,
            "every listener is notified"
        );
        assert!(store.insert(row("after"), 0).await.unwrap());
        assert_eq!(
            next_change(&mut changes).await,
            RowChange::Row("after".into()),
            "changes are delivered again"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operations_time_out_while_the_server_hangs() {
    for server in Server::start_all() {
        let store = Redis::builder(server.url())
            .timeout(Duration::from_millis(500))
            .connect()
            .await
            .unwrap();
        assert!(store.insert(row("k"), 0).await.unwrap());
        server.signal("STOP");
        for _ in 0..2 {
            tokio::time::timeout(TIMEOUT, store.get("test", "k", 0))
                .await
                .expect("the operation ends by itself")
                .expect_err("the server hangs");
        }
        server.signal("CONT");
        assert_eq!(get_when_recovered(&store, "k").await, Some(row("k")));
    }
}
