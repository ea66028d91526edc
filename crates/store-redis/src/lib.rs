//! Rows in Redis or Valkey, for replicas on many machines.
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
//! A store is what begins with its prefix in one database of one server. A change is one script,
//! which is done completely or not at all, and never repeated by this crate; one that gets no
//! answer in time fails, and what it did is not known then.
//!
//! What was answered is as durable as the server is: with `appendonly yes` it outlives a restart,
//! with `appendfsync always` a power cut too; a replica that takes over may lack the last writes.
//! The server must not evict (`maxmemory-policy noeviction`). When rows end is decided by the time
//! that is handed in, and not by the server's clock: it gives no key a time to live. Clusters are
//! not supported, and neither are encrypted connections (`rediss://`).
//!
//! Changes come by publish and subscribe on one connection for all listeners of a store. When it is
//! lost, it is made anew, and all listeners hear [`Changed::Some`](carryall_store::Changed::Some).

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

/// Keeps rows in Redis or Valkey. Clones are the same store, and so are all with the same prefix in
/// the same database.
#[derive(Clone)]
pub struct Redis(Arc<Inner>);

struct Inner {
    link: RedisConnection,
    names: Names,
    listeners: ChangeListeners,
    /// The task that hears of changes.
    ear: AbortHandle,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.ear.abort();
    }
}

impl Redis {
    /// A store to be set up. The URL says where the server is:
    /// `redis://user:password@host:port/database`.
    pub fn builder(url: impl Into<String>) -> RedisBuilder {
        RedisBuilder::new(url.into())
    }

    /// The store with the prefix `carryall`, as [`Redis::builder`] makes it by default.
    ///
    /// # Errors
    /// See [`RedisBuilder::connect`].
    pub async fn connect(url: impl Into<String>) -> StoreResult<Self> {
        Self::builder(url).connect().await
    }

    async fn put(&self, script: &redis::Script, row: Row, seen: u64) -> StoreResult<bool> {
        let Names { channel, ends, .. } = &self.0.names;
        let name = name(row.kind, &row.key);
        let mut call = script.key(self.0.names.row(&name));
        call.key(self.0.names.due(row.kind))
            .key(ends)
            .arg(channel)
            .arg(name)
            .arg(row.key)
            .arg(row.version);
        call.arg(&row.value[..])
            .arg(scripts::time(row.expires_at))
            .arg(scripts::time(row.due_at))
            .arg(seen);
        self.0.link.run(&call).await
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis")
            .field("prefix", &self.0.names.prefix)
            .finish_non_exhaustive()
    }
}

/// What the keys of a store are called.
struct Names {
    prefix: String,
    /// What changes are published on.
    channel: String,
    /// The rows that end, by their end.
    ends: String,
}

impl Names {
    fn new(prefix: String) -> Self {
        let (channel, ends) = (format!("{prefix}:changes"), format!("{prefix}:ends"));
        Self {
            prefix,
            channel,
            ends,
        }
    }

    /// A row, by its [`name`].
    fn row(&self, name: &str) -> String {
        format!("{}:row:{name}", self.prefix)
    }

    /// The rows of a kind that are due some time, by that time.
    fn due(&self, kind: &str) -> String {
        format!("{}:due:{kind}", self.prefix)
    }
}

/// Kind and key in one, `4:task:the key`. The length of the kind tells where the key begins,
/// whatever they hold.
fn name(kind: &str, key: &str) -> String {
    format!("{}:{kind}:{key}", kind.len())
}

/// Kind and key of such a name.
fn parts(name: &str) -> Option<(&str, &str)> {
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
            let mut read = redis::cmd("HMGET");
            read.arg(self.0.names.row(&name(kind, key)))
                .arg(&scripts::FIELDS);
            let found = self.0.link.ask(&read).await?;
            let row = scripts::read(kind, key.to_owned(), found)?;
            Ok(row.filter(|row| row.expires_at.is_none_or(|end| end > now)))
        })
    }

    fn replace(&self, row: Row) -> BoxFuture<'_, StoreResult<bool>> {
        Box::pin(async move {
            match row.version.checked_sub(1) {
                Some(before) => self.put(&scripts::REPLACE, row, before).await,
                // No version comes before the first.
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
            let mut call = scripts::RESCHEDULE.key(self.0.names.row(&name(kind, key)));
            call.key(self.0.names.due(kind))
                .arg(key)
                .arg(version)
                .arg(next)
                .arg(scripts::time(due_at));
            self.0.link.run(&call).await
        })
    }

    fn remove<'a>(
        &'a self,
        kind: &'static str,
        key: &'a str,
        version: u64,
    ) -> BoxFuture<'a, StoreResult<bool>> {
        Box::pin(async move {
            let Names { channel, ends, .. } = &self.0.names;
            let name = name(kind, key);
            let mut call = scripts::REMOVE.key(self.0.names.row(&name));
            call.key(self.0.names.due(kind))
                .key(ends)
                .arg(channel)
                .arg(name)
                .arg(key)
                .arg(version);
            self.0.link.run(&call).await
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
            call.arg(self.0.names.row(&name(kind, "")))
                .arg(now)
                .arg(scripts::most(limit));
            let found: Vec<(String, FetchedRow)> = self.0.link.run(&call).await?;
            let rows = found
                .into_iter()
                .map(|(key, found)| scripts::read(kind, key, found));
            rows.filter_map(Result::transpose).collect()
        })
    }

    fn expire(&self, now: u64, limit: usize) -> BoxFuture<'_, StoreResult<usize>> {
        Box::pin(async move {
            let Names {
                prefix,
                channel,
                ends,
            } = &self.0.names;
            let mut call = scripts::EXPIRE.key(ends);
            call.arg(channel)
                .arg(prefix)
                .arg(now)
                .arg(scripts::most(limit));
            self.0.link.run(&call).await
        })
    }

    fn changes(&self, kind: &'static str) -> Changes {
        // `connect` has waited until the subscription stood, so this begins now. While the
        // connection is lost, the listener hears that something was as soon as it is there again.
        self.0.listeners.listen(kind)
    }

    fn is_shared(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::{name, parts};

    #[test]
    fn a_name_holds_kind_and_key_whatever_they_are() {
        for (kind, key) in [
            ("task", "1"),
            ("a: b:", "c:d"),
            ("", ""),
            ("é", "\0 \n"),
            ("1:1", ":"),
        ] {
            assert_eq!(parts(&name(kind, key)), Some((kind, key)));
        }
        for unclear in ["", "task", "9:task:1", "x:task:1", "3:task:1", "1:é:1"] {
            assert_eq!(parts(unclear), None, "{unclear}");
        }
    }
}
