//! Checks that one program can link this store and `sqlx` with SQLite, which share the native
//! library.

use carryall_store::{Row, Store};
use carryall_store_sqlite::Sqlite;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};

#[tokio::test]
async fn rusqlite_and_sqlx_link_into_one_program() {
    let store = Sqlite::in_memory().unwrap();
    let row = Row {
        kind: "both",
        key: "k".into(),
        version: 1,
        value: (&b"v"[..]).into(),
        expires_at: None,
        due_at: None,
    };
    assert!(store.insert(row.clone(), 0).await.unwrap());
    let mut other: SqliteConnection = "sqlite::memory:"
        .parse::<SqliteConnectOptions>()
        .unwrap()
        .connect()
        .await
        .unwrap();
    let answer: i64 = sqlx::query_scalar("SELECT 6 * 7")
        .fetch_one(&mut other)
        .await
        .unwrap();
    other.close().await.unwrap();
    assert_eq!(
        (answer, store.get("both", "k", 0).await.unwrap()),
        (42, Some(row))
    );
}
