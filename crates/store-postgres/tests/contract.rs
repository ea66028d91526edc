//! The store in PostgreSQL keeps what every store promises, between replicas and over restarts of
//! the server too.
#![cfg(unix)]

mod server;

use carryall_store::{Changed, Changes, Row, Store, contract};
use carryall_store_postgres::Postgres;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_keeps_the_contract() {
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
async fn replicas_that_start_together_make_the_tables_once_and_hear_each_other() {
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
    schemas_are_stores_of_their_own(&server, &stores[0]).await;
    odd_rows_come_back_and_are_told(&stores[0], &stores[1]).await;
    what_is_not_for_us_is_refused(&server).await;
}

async fn replicas_that_clean_up_together_count_each_row_once(stores: &[Postgres]) {
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
            let mut ended = 0;
            loop {
                match store.expire(1, 20).await.unwrap() {
                    0 => return ended,
                    step => ended += step,
                }
            }
        });
    }
    let ended: usize = cleaning.join_all().await.into_iter().sum();
    assert_eq!(ended + stores[0].expire(1, 500).await.unwrap(), 500);
}

async fn schemas_are_stores_of_their_own(server: &Server, store: &Postgres) {
    let other = Postgres::builder(server.url())
        .schema("other")
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

async fn odd_rows_come_back_and_are_told(one: &Postgres, two: &Postgres) {
    let mut changes = two.changes("a kind: odd");
    let odd = Row {
        kind: "a kind: odd",
        expires_at: Some(u64::MAX),
        due_at: Some(0),
        ..row("a: 'key'\n\u{1f9f3}")
    };
    one.insert(odd.clone(), u64::MAX).await.unwrap();
    assert_eq!(heard(&mut changes).await, Changed::Row(odd.key.clone()));
    assert_eq!(two.get(odd.kind, &odd.key, 0).await.unwrap(), Some(odd));
    // Longer than a notification can be.
    let long = Row {
        kind: "a kind: odd",
        ..row(&"k".repeat(9000))
    };
    one.insert(long.clone(), 0).await.unwrap();
    assert_eq!(heard(&mut changes).await, Changed::Some);
    assert_eq!(two.get(long.kind, &long.key, 0).await.unwrap(), Some(long));
    one.insert(row("a\0b"), 0)
        .await
        .expect_err("text in PostgreSQL has no NUL");
    one.insert(
        Row {
            version: u64::MAX,
            ..row("far")
        },
        0,
    )
    .await
    .expect_err("nor such numbers");
}

async fn what_is_not_for_us_is_refused(server: &Server) {
    let refused = async |schema: &str| {
        let refused = Postgres::builder(server.url())
            .schema(schema)
            .connect()
            .await;
        refused.expect_err("this is refused").to_string()
    };
    assert!(refused("Quoted\"").await.contains("name of the schema"));
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
    assert!(refused("later").await.contains("version 99"));
    let nobody =
        Postgres::builder("postgres://carryall@127.0.0.1:1/x").timeout(Duration::from_millis(500));
    nobody.connect().await.expect_err("nobody is there");
    let shown = format!("{:?}", Postgres::builder("postgres://user:secret@host/x"));
    assert!(!shown.contains("secret"), "{shown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_goes_and_comes_back_costs_errors_and_nothing_else() {
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
    let again = async {
        while store.get("test", "before", 0).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, again)
        .await
        .expect("it works again");
    assert_eq!(
        store.get("test", "before", 0).await.unwrap(),
        Some(row("before"))
    );
    assert_eq!(store.get("test", "lost", 0).await.unwrap(), None);
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
