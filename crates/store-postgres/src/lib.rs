//! A [`Store`] in PostgreSQL, for replicas on several machines.
//!
//! ```no_run
//! # async fn example() -> Result<(), carryall_store::StoreError> {
//! use carryall_store_postgres::Postgres;
//!
//! let store = Postgres::builder("postgres://carryall@db.internal/carryall")
//!     .schema("mcp")
//!     .connections(16)
//!     .connect()
//!     .await?;
//! # let _ = store;
//! # Ok(())
//! # }
//! ```
//!
//! A store is one schema of a database with the encoding UTF-8; the first replica that connects
//! creates its tables. Kinds and keys must not contain NUL, which PostgreSQL's `text` does not
//! allow. A kind and a key have to fit into one index entry, which 2,600 bytes together always do.
//!
//! Each operation is one statement and therefore one transaction: it is atomic, and as durable as
//! the server's `synchronous_commit` makes it. This crate never retries it. An operation that times
//! out may or may not have happened.
//!
//! `sslmode` in the URL selects the encryption, as in `libpq`; the default `prefer` encrypts if the
//! server supports it. Only `verify-ca` and `verify-full` authenticate the server.
//!
//! Changes arrive by `LISTEN` and `NOTIFY` on one connection shared by all listeners of a store.
//! This does not work through a pooler in statement or transaction mode. When the connection is
//! lost, the store reconnects and all listeners receive
//! [`RowChange::Lagged`](carryall_store::RowChange::Lagged).

mod builder;
mod change_listener;
mod schema;
mod sql;

pub use builder::PostgresBuilder;

use carryall_store::{BoxFuture, ChangeListeners, Changes, Row, Store, StoreError, StoreResult};
use sql::{Statements, limit_to_i64, time, version_to_i64};
use sqlx::{AssertSqlSafe, PgPool};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::AbortHandle;

/// Keeps rows in PostgreSQL. Clones, and all stores connected to the same schema, share the rows.
#[derive(Clone)]
pub struct Postgres(Arc<Inner>);

struct Inner {
    pool: PgPool,
    statements: Statements,
    listeners: ChangeListeners,
    timeout: Duration,
    schema: String,
    /// The task that receives changes.
    listener_task: AbortHandle,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.listener_task.abort();
    }
}

impl Postgres {
    /// Returns a builder for a store. The URL has the format of `libpq`:
    /// `postgres://user:password@host:port/database`.
    pub fn builder(url: impl Into<String>) -> PostgresBuilder {
        PostgresBuilder::new(url.into())
    }

    /// Connects with the defaults of [`Postgres::builder`], to the schema `carryall`.
    ///
    /// # Errors
    /// See [`PostgresBuilder::connect`].
    pub async fn connect(url: impl Into<String>) -> StoreResult<Self> {
        Self::builder(url).connect().await
    }

    /// Runs an operation within the timeout.
    fn run<'a, T: 'a>(
        &'a self,
        operation: impl Future<Output = sqlx::Result<T>> + Send + 'a,
    ) -> BoxFuture<'a, StoreResult<T>> {
        Box::pin(within(self.0.timeout, operation))
    }

    /// Runs a statement that changes rows. Returns the number of changed rows.
    fn change<'a>(
        &'a self,
        sql: &'a Arc<str>,
        bind: impl FnOnce(PgQuery) -> sqlx::Result<PgQuery> + Send + 'a,
    ) -> BoxFuture<'a, StoreResult<u64>> {
        self.run(async move {
            let query = bind(sqlx::query(AssertSqlSafe(Arc::clone(sql))))?;
            Ok(query.execute(&self.0.pool).await?.rows_affected())
        })
    }
}

type PgQuery = sqlx::query::Query<'static, sqlx::Postgres, sqlx::postgres::PgArguments>;

/// Completes with the result of `operation`, or with an error after `timeout`.
async fn within<T>(
    timeout: Duration,
    operation: impl Future<Output = sqlx::Result<T>>,
) -> StoreResult<T> {
    match tokio::time::timeout(timeout, operation).await {
        Ok(result) => result.map_err(StoreError::new),
        Err(_) => Err(StoreError::new(format!(
            "PostgreSQL did not answer within {timeout:?}"
        ))),
    }
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres")
            .field("schema", &self.0.schema)
            .finish_non_exhaustive()
    }
}

impl Store for Postgres {
    fn insert(&self, row: Row, now: u64) -> BoxFuture<'_, StoreResult<bool>> {
        let changed = self.change(&self.0.statements.insert, move |query| {
            Ok(sql::bind(query, row)?.bind(time(now)))
        });
        Box::pin(async move { Ok(changed.await? > 0) })
    }

    fn get<'a>(
        &'a self,
        kind: &'static str,
        key: &'a str,
        now: u64,
    ) -> BoxFuture<'a, StoreResult<Option<Row>>> {
        self.run(async move {
            let query = sqlx::query_as(AssertSqlSafe(Arc::clone(&self.0.statements.get)))
                .bind(kind)
                .bind(key)
                .bind(time(now));
            query
                .fetch_optional(&self.0.pool)
                .await?
                .map(|found| sql::read_row(kind, found))
                .transpose()
        })
    }

    fn replace(&self, row: Row) -> BoxFuture<'_, StoreResult<bool>> {
        let changed = self.change(&self.0.statements.replace, move |query| {
            sql::bind(query, row)
        });
        Box::pin(async move { Ok(changed.await? > 0) })
    }

    fn reschedule<'a>(
        &'a self,
        kind: &'static str,
        key: &'a str,
        version: u64,
        due_at: Option<u64>,
    ) -> BoxFuture<'a, StoreResult<bool>> {
        let changed = self.change(&self.0.statements.reschedule, move |query| {
            Ok(query
                .bind(kind)
                .bind(key.to_owned())
                .bind(version_to_i64(version)?)
                .bind(due_at.map(time)))
        });
        Box::pin(async move { Ok(changed.await? > 0) })
    }

    fn remove<'a>(
        &'a self,
        kind: &'static str,
        key: &'a str,
        version: u64,
    ) -> BoxFuture<'a, StoreResult<bool>> {
        let changed = self.change(&self.0.statements.remove, move |query| {
            Ok(query
                .bind(kind)
                .bind(key.to_owned())
                .bind(version_to_i64(version)?))
        });
        Box::pin(async move { Ok(changed.await? > 0) })
    }

    fn due(
        &self,
        kind: &'static str,
        now: u64,
        limit: usize,
    ) -> BoxFuture<'_, StoreResult<Vec<Row>>> {
        self.run(async move {
            let query = sqlx::query_as(AssertSqlSafe(Arc::clone(&self.0.statements.due)));
            let rows = query
                .bind(kind)
                .bind(time(now))
                .bind(limit_to_i64(limit))
                .fetch_all(&self.0.pool)
                .await?;
            rows.into_iter()
                .map(|found| sql::read_row(kind, found))
                .collect()
        })
    }

    fn expire(&self, now: u64, limit: usize) -> BoxFuture<'_, StoreResult<usize>> {
        let changed = self.change(&self.0.statements.expire, move |query| {
            Ok(query.bind(time(now)).bind(limit_to_i64(limit)))
        });
        Box::pin(async move { Ok(usize::try_from(changed.await?).unwrap_or(usize::MAX)) })
    }

    fn changes(&self, kind: &'static str) -> Changes {
        // `PostgresBuilder::connect` has waited for `LISTEN`, so no change after this call is
        // missed. If the connection is down, the listener receives `Lagged` once it is restored.
        self.0.listeners.listen(kind)
    }

    fn is_shared(&self) -> bool {
        true
    }
}
