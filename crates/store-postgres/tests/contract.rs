//! Runs the contract suite against the PostgreSQL store, and tests it across replicas and restarts
//! of the server.
#![cfg(unix)]

mod server;

use carryall_store::{Changes, Row, RowChange, Store, contract};
use carryall_store_postgres::Postgres;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_passes_the_contract_suite() {
    let Some(server) = Server::start() else {
        return;
    };
    let schemas = AtomicU32::new(0);
    let open = || async {
        let schema = format!("store_{}", schemas.fetch_add(1, Ordering::Relaxed));
        Postgres::builder(server.url())
            .schema(schema)
            .connect()
            .await
            .unwrap()
    };
    contract::check(open).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_that_start_together_share_one_schema() {
    let Some(server) = Server::start() else {
        return;
    };
    let url = server.url();
    let mut starting = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let builder = Postgres::builder(&url).connections(2);
        starting.spawn(async move { builder.connect().await.unwrap() });
    }
    let stores = starting.join_all().await;
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
    schemas_are_separate_stores(&server, &stores[0]).await;
    special_rows_round_trip_and_notify(&stores[0], &stores[1]).await;
    unusable_settings_and_schemas_are_rejected(&server).await;
}

async fn concurrent_expire_counts_each_row_once(stores: &[Postgres]) {
    for number in 0..500 {
        stores[0]
            .insert(
                Row {
                    expires_at: Some(1),
                    ..row(&format!("brief {number}"))
                },
                0,
            )
            .await
            .unwrap();
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
    let expired: usize = cleaning.join_all().await.into_iter().sum();
    assert_eq!(expired + stores[0].expire(1, 500).await.unwrap(), 500);
}

async fn schemas_are_separate_stores(server: &Server, store: &Postgres) {
    let other = Postgres::builder(server.url())
        .schema("other")
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
    assert_eq!(
        next_change(&mut by_store).await,
        RowChange::Row("here".into())
    );
}

async fn special_rows_round_trip_and_notify(one: &Postgres, two: &Postgres) {
    let mut changes = two.changes("a kind: special");
    let special = Row {
        kind: "a kind: special",
        expires_at: Some(u64::MAX),
        due_at: Some(0),
        ..row("a: 'key'\n\u{1f9f3}")
    };
    one.insert(special.clone(), u64::MAX).await.unwrap();
    assert_eq!(
        next_change(&mut changes).await,
        RowChange::Row(special.key.clone())
    );
    assert_eq!(
        two.get(special.kind, &special.key, 0).await.unwrap(),
        Some(special)
    );
    // Longer than the payload of a notification.
    let long = Row {
        kind: "a kind: special",
        ..row(&"k".repeat(9000))
    };
    one.insert(long.clone(), 0).await.unwrap();
    assert_eq!(next_change(&mut changes).await, RowChange::Lagged);
    assert_eq!(two.get(long.kind, &long.key, 0).await.unwrap(), Some(long));
    one.insert(row("a\0b"), 0)
        .await
        .expect_err("PostgreSQL's text cannot contain NUL");
    one.insert(
        Row {
            version: u64::MAX,
            ..row("far")
        },
        0,
    )
    .await
    .expect_err("a bigint cannot hold u64::MAX");
}

async fn unusable_settings_and_schemas_are_rejected(server: &Server) {
    let error = async |schema: &str| {
        let result = Postgres::builder(server.url())
            .schema(schema)
            .connect()
            .await;
        result.expect_err("connect fails").to_string()
    };
    assert!(error("Quoted\"").await.contains("not a valid schema name"));
    drop(
        Postgres::builder(server.url())
            .schema("later")
            .connect()
            .await
            .unwrap(),
    );
    let pool = sqlx::PgPool::connect(&server.url()).await.unwrap();
    sqlx::query("UPDATE later.schema_version SET version = 99")
        .execute(&pool)
        .await
        .unwrap();
    assert!(error("later").await.contains("version 99"));
    let unreachable =
        Postgres::builder("postgres://carryall@127.0.0.1:1/x").timeout(Duration::from_millis(500));
    unreachable
        .connect()
        .await
        .expect_err("nothing listens on this port");
    let shown = format!("{:?}", Postgres::builder("postgres://user:secret@host/x"));
    assert!(!shown.contains("secret"), "{shown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_recovers_when_the_server_restarts() {
    let Some(mut server) = Server::start() else {
        return;
    };
    let store = Postgres::builder(server.url())
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
    let recovered = async {
        while store.get("test", "before", 0).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(TIMEOUT, recovered)
        .await
        .expect("the store recovers");
    assert_eq!(
        store.get("test", "before", 0).await.unwrap(),
        Some(row("before"))
    );
    assert_eq!(store.get("test", "lost", 0).await.unwrap(), None);
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
