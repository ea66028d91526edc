//! The [`Store`] trait, its rows, changes and errors.

use bytes::Bytes;
use futures_core::Stream;
use futures_core::future::BoxFuture;
use std::fmt;
use std::pin::Pin;

/// The result of a store operation.
pub type StoreResult<T> = Result<T, StoreError>;

/// A versioned row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The namespace of the key, for example `task`. Keys are unique within a kind.
    pub kind: &'static str,
    /// The key.
    pub key: String,
    /// The version, for compare-and-swap. Every [`replace`](Store::replace) and
    /// [`reschedule`](Store::reschedule) increments it by one.
    pub version: u64,
    /// The payload, opaque to the store.
    pub value: Bytes,
    /// The expiry time in milliseconds since the Unix epoch; `None` for never. To
    /// [`insert`](Store::insert) and [`get`](Store::get), an expired row does not exist.
    pub expires_at: Option<u64>,
    /// The time from which [`Store::due`] returns the row, in milliseconds since the Unix epoch;
    /// `None` for never.
    pub due_at: Option<u64>,
}

/// The error of a store operation. A write that failed may or may not have happened, unless
/// [`is_full`](Self::is_full) returns `true`: then nothing was written.
#[derive(Debug)]
pub struct StoreError(Cause);

#[derive(Debug)]
enum Cause {
    Backend(Box<dyn std::error::Error + Send + Sync>),
    /// With the limit, in bytes.
    Full(usize),
}

impl StoreError {
    /// Creates an error of the backend.
    pub fn new(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(Cause::Backend(cause.into()))
    }

    /// Creates the error of a write that would exceed the store's limit of `max_bytes`. Nothing has
    /// been written.
    #[must_use]
    pub fn full(max_bytes: usize) -> Self {
        Self(Cause::Full(max_bytes))
    }

    /// Returns whether the write was refused because the store is at its limit. A retry succeeds
    /// only after rows have expired or were removed.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self.0, Cause::Full(_))
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Cause::Backend(cause) => write!(f, "the store failed: {cause}"),
            Cause::Full(max_bytes) => {
                write!(f, "the store is full: it holds at most {max_bytes} bytes")
            }
        }
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0 {
            Cause::Backend(cause) => Some(cause.as_ref()),
            Cause::Full(_) => None,
        }
    }
}

/// A change notification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowChange {
    /// The row with this key was inserted, replaced or removed.
    Row(String),
    /// Notifications were lost: the listener was too slow, or the connection to the store was
    /// interrupted. Any row may have changed.
    Lagged,
}

/// A stream of change notifications, see [`Store::changes`].
pub type Changes = Pin<Box<dyn Stream<Item = RowChange> + Send>>;

/// Keeps versioned rows for all replicas of a server.
///
/// Each operation is atomic. A write is as durable as the backend makes it once its future has
/// completed. `now` is in milliseconds since the Unix epoch.
///
/// # Cancel safety
/// A write whose future is dropped has either happened completely or not at all; which of the two
/// is unknown. Dropping a read has no effect.
pub trait Store: fmt::Debug + Send + Sync {
    /// Inserts a row. Returns `false`, and changes nothing, if there is a row of this kind and key
    /// that has not expired by `now`.
    fn insert(&self, row: Row, now: u64) -> BoxFuture<'_, StoreResult<bool>>;

    /// Returns the row with this key, if there is one that has not expired by `now`.
    fn get<'a>(
        &'a self,
        kind: &'static str,
        key: &'a str,
        now: u64,
    ) -> BoxFuture<'a, StoreResult<Option<Row>>>;

    /// Replaces the row with the same key, whose version must be `row.version - 1`. Returns
    /// `false`, and changes nothing, if the row has another version or does not exist.
    fn replace(&self, row: Row) -> BoxFuture<'_, StoreResult<bool>>;

    /// Sets `due_at` of the row with this key, whose version must be `version`, and increments the
    /// version. Returns `false`, and changes nothing, if the row has another version or does not
    /// exist.
    ///
    /// A worker leases a row by moving its `due_at` into the future, and calls this method
    /// repeatedly to renew the lease. The value is therefore neither transferred nor rewritten, and
    /// listeners are not notified.
    fn reschedule<'a>(
        &'a self,
        kind: &'static str,
        key: &'a str,
        version: u64,
        due_at: Option<u64>,
    ) -> BoxFuture<'a, StoreResult<bool>>;

    /// Removes the row with this key, whose version must be `version`. Returns `false` if the row
    /// has another version or does not exist: of several concurrent removals, exactly one returns
    /// `true`.
    fn remove<'a>(
        &'a self,
        kind: &'static str,
        key: &'a str,
        version: u64,
    ) -> BoxFuture<'a, StoreResult<bool>>;

    /// Returns up to `limit` rows whose `due_at` is not later than `now`, earliest first. They may
    /// include expired rows that [`expire`](Self::expire) has not removed yet.
    fn due(
        &self,
        kind: &'static str,
        now: u64,
        limit: usize,
    ) -> BoxFuture<'_, StoreResult<Vec<Row>>>;

    /// Removes up to `limit` rows that have expired by `now`. Returns the number of removed rows.
    fn expire(&self, now: u64, limit: usize) -> BoxFuture<'_, StoreResult<usize>>;

    /// Subscribes to changes of rows of one kind, made by any replica from now on.
    ///
    /// A listener never delays a writer, and its queue is bounded: one that falls behind receives
    /// [`RowChange::Lagged`]. The stream does not end.
    fn changes(&self, kind: &'static str) -> Changes;

    /// Returns whether other processes can read what this one writes.
    fn is_shared(&self) -> bool;
}
