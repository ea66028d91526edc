//! Rows in PostgreSQL, for replicas on many machines.
//!
//! ```no_run
//! # async fn example() -> Result<(), carryall_store::StoreError> {
//! use carryall_store_postgres::Postgres;
//!
//! let store = Postgres::builder("postgres://carryall@db.internal/carryall").schema("mcp").connections(16).connect().await?;
//! # let _ = store;
//! # Ok(())
//! # }
//! ```
//!
//! A store is one schema of a database in UTF-8; its tables are made when the first replica
//! connects. Keys and kinds hold no NUL, as text in PostgreSQL does not, and together they are
//! bounded by what an index takes: 2,600 bytes are always fine.
//!
//! Each operation is one statement and so one transaction: durable as the server's
//! `synchronous_commit` says, done completely or not at all, and never repeated by this crate. One
//! that gets no answer in time fails; what it did is not known then.
//!
//! `sslmode` in the URL says whether the connection is encrypted, as in `libpq`: if the server can,
//! unless it is set. Only `verify-ca` and `verify-full` find out who the server is.
//!
//! Changes come by `LISTEN` and `NOTIFY` on one connection for all listeners of a store. A pooler
//! that hands a connection to others between two statements cannot be in front of it. When the
//! connection is lost, it is made anew, and all listeners hear
//! [`Changed::Some`](carryall_store::Changed::Some).

mod builder;
mod change_listener;
mod schema;
mod sql;

pub use builder::PostgresBuilder;

use carryall_store::{BoxFuture, ChangeListeners, Changes, Row, Store, StoreError, StoreResult};
use sql::{Sql, most, number, time};
use sqlx::{AssertSqlSafe, PgPool};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::AbortHandle;

/// Keeps rows in PostgreSQL. Clones are the same store, and so are all that use the same schema.
#[derive(Clone)]
pub struct Postgres(Arc<Inner>);

struct Inner {
    pool: PgPool,
    sql: Sql,
    listeners: ChangeListeners,
    patience: Duration,
    schema: String,
    /// The task that hears of changes.
    ear: AbortHandle,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.ear.abort();
    }
}

impl Postgres {
    /// A store to be set up. The URL is one of `libpq`'s:
    /// `postgres://user:password@host:port/database`.
    pub fn builder(url: impl Into<String>) -> PostgresBuilder {
        PostgresBuilder::new(url.into())
    }

    /// The store in the schema `carryall` of this database, as [`Postgres::builder`] makes it by
    /// default.
    ///
    /// # Errors
    /// See [`PostgresBuilder::connect`].
    pub async fn connect(url: impl Into<String>) -> StoreResult<Self> {
        Self::builder(url).connect().await
    }

    /// Ends in bounded time, with the connection given up if it takes too long.
    fn act<'a, T: 'a>(
        &'a self,
        work: impl Future<Output = sqlx::Result<T>> + Send + 'a,
    ) -> BoxFuture<'a, StoreResult<T>> {
        Box::pin(async move { within(self.0.patience, work).await })
    }

    /// Runs a statement that changes rows, and returns how many.
    fn change<'a>(
        &'a self,
        text: &'a Arc<str>,
        bind: impl FnOnce(Query) -> sqlx::Result<Query> + Send + 'a,
    ) -> BoxFuture<'a, StoreResult<u64>> {
        self.act(async move {
            let query = bind(sqlx::query(AssertSqlSafe(Arc::clone(text))))?;
            Ok(query.execute(&self.0.pool).await?.rows_affected())
        })
    }
}

type Query = sqlx::query::Query<'static, sqlx::Postgres, sqlx::postgres::PgArguments>;

async fn within<T>(
    patience: Duration,
    work: impl Future<Output = sqlx::Result<T>>,
) -> StoreResult<T> {
    match tokio::time::timeout(patience, work).await {
        Ok(done) => done.map_err(StoreError::new),
        Err(_) => Err(StoreError::new(format!(
            "PostgreSQL did not answer within {patience:?}"
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
        let changed = self.change(&self.0.sql.insert, move |query| {
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
        self.act(async move {
            let query = sqlx::query_as(AssertSqlSafe(Arc::clone(&self.0.sql.get)))
                .bind(kind)
                .bind(key)
                .bind(time(now));
            query
                .fetch_optional(&self.0.pool)
                .await?
                .map(|found| sql::read(kind, found))
                .transpose()
        })
    }

    fn replace(&self, row: Row) -> BoxFuture<'_, StoreResult<bool>> {
        let changed = self.change(&self.0.sql.replace, move |query| sql::bind(query, row));
        Box::pin(async move { Ok(changed.await? > 0) })
    }

    fn reschedule<'a>(
        &'a self,
        kind: &'static str,
        key: &'a str,
        version: u64,
        due_at: Option<u64>,
    ) -> BoxFuture<'a, StoreResult<bool>> {
        let changed = self.change(&self.0.sql.reschedule, move |query| {
            Ok(query
                .bind(kind)
                .bind(key.to_owned())
                .bind(number(version)?)
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
        let changed = self.change(&self.0.sql.remove, move |query| {
            Ok(query.bind(kind).bind(key.to_owned()).bind(number(version)?))
        });
        Box::pin(async move { Ok(changed.await? > 0) })
    }

    fn due(
        &self,
        kind: &'static str,
        now: u64,
        limit: usize,
    ) -> BoxFuture<'_, StoreResult<Vec<Row>>> {
        self.act(async move {
            let query = sqlx::query_as(AssertSqlSafe(Arc::clone(&self.0.sql.due)));
            let rows = query
                .bind(kind)
                .bind(time(now))
                .bind(most(limit))
                .fetch_all(&self.0.pool)
                .await?;
            rows.into_iter()
                .map(|found| sql::read(kind, found))
                .collect()
        })
    }

    fn expire(&self, now: u64, limit: usize) -> BoxFuture<'_, StoreResult<usize>> {
        let changed = self.change(&self.0.sql.expire, move |query| {
            Ok(query.bind(time(now)).bind(most(limit)))
        });
        Box::pin(async move { Ok(usize::try_from(changed.await?).unwrap_or(usize::MAX)) })
    }

    fn changes(&self, kind: &'static str) -> Changes {
        // `connect` has waited for `LISTEN`, so this begins now. While the connection is lost, the
        // listener hears that something was as soon as it is there again.
        self.0.listeners.listen(kind)
    }

    fn is_shared(&self) -> bool {
        true
    }
}
