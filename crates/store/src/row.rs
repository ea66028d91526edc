//! Rows, and what a store does with them.

use bytes::Bytes;
use futures_core::Stream;
use std::fmt;
use std::pin::Pin;

/// A boxed future that can move between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What a store answers.
pub type StoreResult<T> = Result<T, StoreError>;

/// One row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// What it is, for example `task`. Keys are unique within a kind.
    pub kind: &'static str,
    /// Its name.
    pub key: String,
    /// Grows by one with each replacement. Whoever replaces a row names the version it has seen.
    pub version: u64,
    /// What it says.
    pub value: Bytes,
    /// When it ends: from then on it is as good as removed. `None` for never.
    pub expires_at: Option<u64>,
    /// When somebody should look at it, see [`Store::due`]. `None` for never.
    pub due_at: Option<u64>,
}

/// The store could not do what it was asked to. Unless it [is full](Self::is_full), what has
/// happened is not known.
#[derive(Debug)]
pub struct StoreError(Cause);

#[derive(Debug)]
enum Cause {
    Failed(Box<dyn std::error::Error + Send + Sync>),
    /// The limit, in bytes.
    Full(usize),
}

impl StoreError {
    /// An error with this cause.
    pub fn new(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(Cause::Failed(cause.into()))
    }

    /// The write would take the store beyond its limit of `max_bytes`. Nothing has been written.
    #[must_use]
    pub fn full(max_bytes: usize) -> Self {
        Self(Cause::Full(max_bytes))
    }

    /// Whether the write was refused because the store is at its limit. Trying again helps only
    /// after rows have expired or were removed.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self.0, Cause::Full(_))
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Cause::Failed(cause) => write!(f, "the store failed: {cause}"),
            Cause::Full(max_bytes) => {
                write!(f, "the store is full: it holds at most {max_bytes} bytes")
            }
        }
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0 {
            Cause::Failed(cause) => Some(cause.as_ref()),
            Cause::Full(_) => None,
        }
    }
}

/// What listeners of a store are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changed {
    /// The row of this key was inserted, replaced or removed.
    Row(String),
    /// Some were; which ones was lost, because this listener was too slow or not connected.
    Some,
}

/// Changes as they come.
pub type Changes = Pin<Box<dyn Stream<Item = Changed> + Send>>;

/// Keeps rows for all replicas of a server.
///
/// All operations are durable when their future has ended, as far as the backend is durable at all,
/// and each of them is done completely or not at all. `now` is milliseconds since the epoch. No
/// future is cancel safe in the sense that a dropped write may or may not have happened.
pub trait Store: fmt::Debug + Send + Sync {
    /// Adds a row. `false`, and nothing has happened, if there is one of this kind and key that has
    /// not ended by `now`.
    fn insert(&self, row: Row, now: u64) -> BoxFuture<'_, StoreResult<bool>>;

    /// The row of this key, if there is one that has not ended by `now`.
    fn get<'a>(
        &'a self,
        kind: &'static str,
        key: &'a str,
        now: u64,
    ) -> BoxFuture<'a, StoreResult<Option<Row>>>;

    /// Puts `row` in the place of the one with its key and the version before its own. `false`, and
    /// nothing has happened, if the version there is another one, or there is no row.
    fn replace(&self, row: Row) -> BoxFuture<'_, StoreResult<bool>>;

    /// Sets `due_at` of the row with this key if its version is `version`, and increments the
    /// version. `false`, and nothing has happened, if the version is another one, or there is no
    /// row.
    ///
    /// It is how a lease is renewed: the value is neither transferred nor written again, however
    /// large it is, and listeners are not notified, since nothing that they could read has changed.
    fn reschedule<'a>(
        &'a self,
        kind: &'static str,
        key: &'a str,
        version: u64,
        due_at: Option<u64>,
    ) -> BoxFuture<'a, StoreResult<bool>>;

    /// Removes the row of this key if its version is `version`. `false` if it is another one, or
    /// there is no row. So of many who remove the same row exactly one is told `true`.
    fn remove<'a>(
        &'a self,
        kind: &'static str,
        key: &'a str,
        version: u64,
    ) -> BoxFuture<'a, StoreResult<bool>>;

    /// Up to `limit` rows whose `due_at` is not later than `now`, the longest due first.
    fn due(
        &self,
        kind: &'static str,
        now: u64,
        limit: usize,
    ) -> BoxFuture<'_, StoreResult<Vec<Row>>>;

    /// Removes up to `limit` rows that have ended by `now`. Returns how many there were.
    fn expire(&self, now: u64, limit: usize) -> BoxFuture<'_, StoreResult<usize>>;

    /// Tells of changes to rows of one kind from now on, on whichever replica they were made. A
    /// listener that is too slow gets [`Changed::Some`]; it never holds up a writer and never
    /// grows.
    fn changes(&self, kind: &'static str) -> Changes;

    /// Whether what one process writes is there for others.
    fn is_shared(&self) -> bool;
}
