//! A [`Store`] in Redis or Valkey, for replicas on several machines.
//!
//! ```no_run
//! # async fn example() -> Result<(), carryall_store::StoreError> {
//! use carryall_store_redis::Redis;
//!
//! let store = Redis::builder("redis://cache.internal/0").prefix("mcp").connect().await?;
//! # let _ = store;
//! # Ok(())
//! # }
//! ```
//!
//! A store consists of the keys with its prefix in one database of one server. Each write is one
//! Lua script and therefore atomic. This crate never retries it. An operation that times out may or
//! may not have happened.
//!
//! Writes are as durable as the server makes them: with `appendonly yes` they survive a restart,
//! with `appendfsync always` also a power failure. After a failover to a Redis replica the latest
//! writes may be missing. The server must not evict keys (`maxmemory-policy noeviction`). Rows
//! expire by the time that the caller passes in, not by the server's clock, so no key has a TTL.
//!
//! Redis Cluster and encrypted connections (`rediss://`) are not supported.
//!
//! Changes arrive by publish/subscribe on one connection shared by all listeners of a store. When
//! it is lost, the store reconnects and all listeners receive
//! [`RowChange::Lagged`](carryall_store::RowChange::Lagged).

mod builder;
mod change_subscriber;
mod connection;
mod scripts;

pub use builder::RedisBuilder;

use carryall_store::{BoxFuture, ChangeListeners, Changes, Row, Store, StoreResult};
use connection::RedisConnection;
use scripts::FetchedRow;
use std::fmt;
use std::sync::Arc;
use tokio::task::AbortHandle;

/// Keeps rows in Redis or Valkey. Clones, and all stores with the same prefix in the same database,
/// share the rows.
#[derive(Clone)]
pub struct Redis(Arc<Inner>);

struct Inner {
    connection: RedisConnection,
    names: KeyNames,
    listeners: ChangeListeners,
    /// The task that receives changes.
    subscriber_task: AbortHandle,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.subscriber_task.abort();
    }
}

impl Redis {
    /// Returns a builder for a store. The URL has the format
    /// `redis://user:password@host:port/database`.
    pub fn builder(url: impl Into<String>) -> RedisBuilder {
        RedisBuilder::new(url.into())
    }

    /// Connects with the defaults of [`Redis::builder`], to the store with the prefix `carryall`.
    ///
    /// # Errors
    /// See [`RedisBuilder::connect`].
    pub async fn connect(url: impl Into<String>) -> StoreResult<Self> {
        Self::builder(url).connect().await
    }

    /// Runs a script that writes a row. `condition` is its last argument: for [`scripts::INSERT`]
    /// the time `now`, for [`scripts::REPLACE`] the version to replace.
    async fn put(&self, script: &redis::Script, row: Row, condition: u64) -> StoreResult<bool> {
        let KeyNames {
            channel, expiries, ..
        } = &self.0.names;
        let name = row_name(row.kind, &row.key);
        let mut call = script.key(self.0.names.row(&name));
        call.key(self.0.names.due(row.kind))
            .key(expiries)
            .arg(channel)
            .arg(name)
            .arg(row.key)
            .arg(row.version)
            .arg(&row.value[..])
            .arg(scripts::format_time(row.expires_at))
            .arg(scripts::format_time(row.due_at))
            .arg(condition);
        self.0.connection.run_script(&call).await
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis")
            .field("prefix", &self.0.names.prefix)
            .finish_non_exhaustive()
    }
}

/// The names of a store's keys in Redis.
struct KeyNames {
    prefix: String,
    /// The channel that changes are published on.
    channel: String,
    /// The sorted set of rows by `expires_at`.
    expiries: String,
}

impl KeyNames {
    fn new(prefix: String) -> Self {
        let (channel, expiries) = (format!("{prefix}:changes"), format!("{prefix}:ends"));
        Self {
            prefix,
            channel,
            expiries,
        }
    }

    /// Returns the key of a row's hash, from its [`row_name`].
    fn row(&self, row_name: &str) -> String {
        format!("{}:row:{row_name}", self.prefix)
    }

    /// Returns the key of the sorted set of a kind's rows by `due_at`.
    fn due(&self, kind: &str) -> String {
        format!("{}:due:{kind}", self.prefix)
    }
}

/// Joins kind and key to a row name, such as `4:task:the key`, where 4 is the length of the kind. A
/// row name identifies a row in key names, in the index of expiry times and in notifications.
fn row_name(kind: &str, key: &str) -> String {
    format!("{}:{kind}:{key}", kind.len())
}

/// Splits a [`row_name`] into kind and key.
fn parse_row_name(name: &str) -> Option<(&str, &str)> {
    let (length, rest) = name.split_once(':')?;
    let (kind, key) = rest.split_at_checked(length.parse().ok()?)?;
    Some((kind, key.strip_prefix(':')?))
}

impl Store for Redis {
    fn insert(&self, row: Row, now: u64) -> BoxFuture<'_, StoreResult<bool>> {
        Box::pin(self.put(&scripts::INSERT, row, now))
    }

    fn get<'a>(
        &'a self,
        kind: &'static str,
        key: &'a str,
        now: u64,
    ) -> BoxFuture<'a, StoreResult<Option<Row>>> {
        Box::pin(async move {
            let mut command = redis::cmd("HMGET");
            command
                .arg(self.0.names.row(&row_name(kind, key)))
                .arg(&scripts::FIELDS);
            let found = self.0.connection.query(&command).await?;
            let row = scripts::decode_row(kind, key.to_owned(), found)?;
            Ok(row.filter(|row| row.expires_at.is_none_or(|end| end > now)))
        })
    }

    fn replace(&self, row: Row) -> BoxFuture<'_, StoreResult<bool>> {
        Box::pin(async move {
            match row.version.checked_sub(1) {
                Some(replaced) => self.put(&scripts::REPLACE, row, replaced).await,
                // Version 0 replaces nothing.
                None => Ok(false),
            }
        })
    }

    fn reschedule<'a>(
        &'a self,
        kind: &'static str,
        key: &'a str,
        version: u64,
        due_at: Option<u64>,
    ) -> BoxFuture<'a, StoreResult<bool>> {
        Box::pin(async move {
            let Some(next) = version.checked_add(1) else {
                return Ok(false);
            };
            let mut call = scripts::RESCHEDULE.key(self.0.names.row(&row_name(kind, key)));
            call.key(self.0.names.due(kind))
                .arg(key)
                .arg(version)
                .arg(next)
                .arg(scripts::format_time(due_at));
            self.0.connection.run_script(&call).await
        })
    }

    fn remove<'a>(
        &'a self,
        kind: &'static str,
        key: &'a str,
        version: u64,
    ) -> BoxFuture<'a, StoreResult<bool>> {
        Box::pin(async move {
            let KeyNames {
                channel, expiries, ..
            } = &self.0.names;
            let name = row_name(kind, key);
            let mut call = scripts::REMOVE.key(self.0.names.row(&name));
            call.key(self.0.names.due(kind))
                .key(expiries)
                .arg(channel)
                .arg(name)
                .arg(key)
                .arg(version);
            self.0.connection.run_script(&call).await
        })
    }

    fn due(
        &self,
        kind: &'static str,
        now: u64,
        limit: usize,
    ) -> BoxFuture<'_, StoreResult<Vec<Row>>> {
        Box::pin(async move {
            let mut call = scripts::DUE.key(self.0.names.due(kind));
            call.arg(self.0.names.row(&row_name(kind, "")))
                .arg(now)
                .arg(scripts::limit_to_i64(limit));
            let found: Vec<(String, FetchedRow)> = self.0.connection.run_script(&call).await?;
            let rows = found
                .into_iter()
                .map(|(key, found)| scripts::decode_row(kind, key, found));
            rows.filter_map(Result::transpose).collect()
        })
    }

    fn expire(&self, now: u64, limit: usize) -> BoxFuture<'_, StoreResult<usize>> {
        Box::pin(async move {
            let KeyNames {
                prefix,
                channel,
                expiries,
            } = &self.0.names;
            let mut call = scripts::EXPIRE.key(expiries);
            call.arg(channel)
                .arg(prefix)
                .arg(now)
                .arg(scripts::limit_to_i64(limit));
            self.0.connection.run_script(&call).await
        })
    }

    fn changes(&self, kind: &'static str) -> Changes {
        // `RedisBuilder::connect` has waited for the subscription, so no change after this call is
        // missed. If the connection is down, the listener receives `Lagged` once it is restored.
        self.0.listeners.listen(kind)
    }

    fn is_shared(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::{parse_row_name, row_name};

    #[test]
    fn a_row_name_can_contain_any_kind_and_key() {
        for (kind, key) in [
            ("task", "1"),
            ("a: b:", "c:d"),
            ("", ""),
            ("é", "\0 \n"),
            ("1:1", ":"),
        ] {
            assert_eq!(parse_row_name(&row_name(kind, key)), Some((kind, key)));
        }
        for malformed in ["", "task", "9:task:1", "x:task:1", "3:task:1", "1:é:1"] {
            assert_eq!(parse_row_name(malformed), None, "{malformed}");
        }
    }
}
