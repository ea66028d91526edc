//! The in-memory store of a single process.

use crate::{BoxFuture, ChangeListeners, Changes, Row, Store, StoreError, StoreResult};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The default limit for all rows together.
const MAX_BYTES: usize = 512 * 1024 * 1024;
/// The estimated memory of a row in addition to its value and the copies of its key: one in the
/// row, one as the key of the map, and one in each index.
const ROW_OVERHEAD: usize = 256;

/// Keeps rows in memory. Clones share one store.
///
/// Holds at most 512 MiB by default, see [`with_max_bytes`](Self::with_max_bytes). A write beyond
/// the limit fails with [`StoreError::full`]; rows are never evicted to make room.
#[derive(Clone, Debug)]
pub struct Memory {
    rows: Arc<Mutex<Rows>>,
    max_bytes: usize,
    listeners: ChangeListeners,
}

impl Default for Memory {
    fn default() -> Self {
        Self::with_max_bytes(MAX_BYTES)
    }
}

type RowKey = (&'static str, String);

#[derive(Debug, Default)]
struct Rows {
    by_key: HashMap<RowKey, Row>,
    /// The sum of [`size`] over all rows.
    bytes: usize,
    /// The index of `due_at`, per kind.
    due: BTreeSet<(&'static str, u64, String)>,
    /// The index of `expires_at`.
    expiries: BTreeSet<(u64, &'static str, String)>,
}

impl Memory {
    /// Creates an empty store with the default limit of 512 MiB.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates an empty store that holds at most `max_bytes`: keys, values and an estimated
    /// overhead per row.
    #[must_use]
    pub fn with_max_bytes(max_bytes: usize) -> Self {
        Self {
            rows: Arc::default(),
            max_bytes,
            listeners: ChangeListeners::new(),
        }
    }

    /// Returns the size of all rows in bytes, counted as for
    /// [`with_max_bytes`](Self::with_max_bytes).
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.lock().bytes
    }

    /// Returns the number of rows, including expired ones that were not yet removed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().by_key.len()
    }

    /// Returns whether there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Applies a change synchronously, then notifies the listeners of the changed rows.
    fn write<'a, T: Send + 'a>(
        &self,
        change: impl FnOnce(&mut Rows) -> StoreResult<(T, Vec<RowKey>)>,
    ) -> BoxFuture<'a, StoreResult<T>> {
        let mut rows = self.lock();
        let done = change(&mut rows);
        drop(rows);
        Box::pin(std::future::ready(done.map(|(value, changed)| {
            for (kind, key) in &changed {
                self.listeners.notify(kind, key);
            }
            value
        })))
    }
}

/// The number of places that hold a row's key, see [`ROW_OVERHEAD`].
const KEY_COPIES: usize = 4;

/// Returns the estimated memory of a row, in bytes.
fn size(row: &Row) -> usize {
    ROW_OVERHEAD + KEY_COPIES * row.key.len() + row.value.len()
}

fn ready<'a, T: Send + 'a>(value: T) -> BoxFuture<'a, StoreResult<T>> {
    Box::pin(std::future::ready(Ok(value)))
}

impl Rows {
    /// Inserts or replaces a row. A replacement that is not larger always fits.
    fn put(&mut self, row: Row, max_bytes: usize) -> StoreResult<()> {
        let key = (row.kind, row.key.clone());
        let (new, old) = (size(&row), self.by_key.get(&key).map_or(0, size));
        if new > old && (self.bytes - old).saturating_add(new) > max_bytes {
            return Err(StoreError::full(max_bytes));
        }
        self.take(&key);
        self.bytes += new;
        self.due
            .extend(row.due_at.map(|at| (row.kind, at, row.key.clone())));
        self.expiries
            .extend(row.expires_at.map(|at| (at, row.kind, row.key.clone())));
        self.by_key.insert(key, row);
        Ok(())
    }

    /// Removes a row, also from the indexes.
    fn take(&mut self, key: &RowKey) -> Option<Row> {
        let row = self.by_key.remove(key)?;
        self.bytes -= size(&row);
        if let Some(at) = row.due_at {
            self.due.remove(&(row.kind, at, row.key.clone()));
        }
        if let Some(at) = row.expires_at {
            self.expiries.remove(&(at, row.kind, row.key.clone()));
        }
        Some(row)
    }
}

fn is_expired(row: &Row, now: u64) -> bool {
    row.expires_at.is_some_and(|end| end <= now)
}

impl Store for Memory {
    fn insert(&self, row: Row, now: u64) -> BoxFuture<'_, StoreResult<bool>> {
        self.write(|rows| {
            let key = (row.kind, row.key.clone());
            let current = rows.by_key.get(&key);
            if current.is_some_and(|current| !is_expired(current, now)) {
                return Ok((false, Vec::new()));
            }
            rows.put(row, self.max_bytes)?;
            Ok((true, vec![key]))
        })
    }

    fn get<'a>(
        &'a self,
        kind: &'static str,
        key: &'a str,
        now: u64,
    ) -> BoxFuture<'a, StoreResult<Option<Row>>> {
        ready(
            self.lock()
                .by_key
                .get(&(kind, key.to_owned()))
                .filter(|row| !is_expired(row, now))
                .cloned(),
        )
    }

    fn replace(&self, row: Row) -> BoxFuture<'_, StoreResult<bool>> {
        self.write(|rows| {
            let key = (row.kind, row.key.clone());
            let current = rows.by_key.get(&key);
            if current.is_none_or(|current| current.version.checked_add(1) != Some(row.version)) {
                return Ok((false, Vec::new()));
            }
            rows.put(row, self.max_bytes)?;
            Ok((true, vec![key]))
        })
    }

    fn reschedule<'a>(
        &'a self,
        kind: &'static str,
        key: &'a str,
        version: u64,
        due_at: Option<u64>,
    ) -> BoxFuture<'a, StoreResult<bool>> {
        // Not `write`, which notifies the listeners.
        let mut rows = self.lock();
        let rows = &mut *rows;
        let Some(row) = rows
            .by_key
            .get_mut(&(kind, key.to_owned()))
            .filter(|row| row.version == version)
        else {
            return ready(false);
        };
        let Some(next) = version.checked_add(1) else {
            return ready(false);
        };
        row.version = next;
        if let Some(at) = std::mem::replace(&mut row.due_at, due_at) {
            rows.due.remove(&(kind, at, key.to_owned()));
        }
        rows.due.extend(due_at.map(|at| (kind, at, key.to_owned())));
        ready(true)
    }

    fn remove<'a>(
        &'a self,
        kind: &'static str,
        key: &'a str,
        version: u64,
    ) -> BoxFuture<'a, StoreResult<bool>> {
        self.write(|rows| {
            let key = (kind, key.to_owned());
            let current = rows.by_key.get(&key);
            if current.is_none_or(|current| current.version != version) {
                return Ok((false, Vec::new()));
            }
            rows.take(&key);
            Ok((true, vec![key]))
        })
    }

    fn due(
        &self,
        kind: &'static str,
        now: u64,
        limit: usize,
    ) -> BoxFuture<'_, StoreResult<Vec<Row>>> {
        let rows = self.lock();
        let from = (kind, 0, String::new());
        let due = rows
            .due
            .range(from..)
            .take_while(|(of, at, _)| *of == kind && *at <= now)
            .take(limit);
        ready(
            due.filter_map(|(kind, _, key)| rows.by_key.get(&(*kind, key.clone())).cloned())
                .collect(),
        )
    }

    fn expire(&self, now: u64, limit: usize) -> BoxFuture<'_, StoreResult<usize>> {
        self.write(|rows| {
            let expired = rows
                .expiries
                .iter()
                .take_while(|(at, ..)| *at <= now)
                .take(limit);
            let keys: Vec<RowKey> = expired.map(|(_, kind, key)| (*kind, key.clone())).collect();
            for key in &keys {
                rows.take(key);
            }
            Ok((keys.len(), keys))
        })
    }

    fn changes(&self, kind: &'static str) -> Changes {
        self.listeners.listen(kind)
    }

    fn is_shared(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::{Memory, ROW_OVERHEAD};
    use crate::{Row, Store};
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    fn completed<T>(future: impl Future<Output = T>) -> T {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => value,
            Poll::Pending => panic!("a future of the in-memory store is always ready"),
        }
    }

    fn row(key: &str, bytes: usize, version: u64) -> Row {
        let value = vec![0; bytes].into();
        Row {
            kind: "k",
            key: key.to_owned(),
            version,
            value,
            expires_at: Some(100),
            due_at: None,
        }
    }

    #[test]
    fn a_full_store_refuses_writes_and_evicts_nothing() {
        let store = Memory::with_max_bytes(2 * (ROW_OVERHEAD + 4) + 1000);
        assert!(completed(store.insert(row("a", 600, 1), 0)).unwrap());
        let refused = completed(store.insert(row("b", 401, 1), 0)).unwrap_err();
        assert!(refused.is_full(), "{refused}");
        assert!(completed(store.insert(row("b", 400, 1), 0)).unwrap());
        assert!(
            completed(store.replace(row("b", 401, 2)))
                .unwrap_err()
                .is_full()
        );
        assert_eq!(
            completed(store.get("k", "b", 0)).unwrap().unwrap(),
            row("b", 400, 1),
            "nothing was written"
        );
        assert!(
            completed(store.replace(row("b", 300, 2))).unwrap(),
            "a smaller value always fits"
        );
        assert!(
            completed(store.replace(row("a", 700, 2))).unwrap(),
            "freed space is available again"
        );
        assert_eq!(completed(store.expire(100, 9)).unwrap(), 2);
        assert_eq!((store.bytes(), store.len()), (0, 0));
    }
}
