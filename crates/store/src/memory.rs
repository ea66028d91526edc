//! The store of one process.

use crate::{BoxFuture, Changes, Listeners, Row, Store, StoreResult};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Keeps rows in memory. Clones are the same store.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    rows: Arc<Mutex<Rows>>,
    listeners: Listeners,
}

type Key = (&'static str, String);

#[derive(Debug, Default)]
struct Rows {
    rows: HashMap<Key, Row>,
    /// By kind and time, so that nobody has to look at all rows.
    due: BTreeSet<(&'static str, u64, String)>,
    ends: BTreeSet<(u64, &'static str, String)>,
}

impl Memory {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many rows there are, ended ones that were not yet removed included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().rows.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something at once, and then tells whose row has changed.
    fn write<'a, T: Send + 'a>(
        &self,
        change: impl FnOnce(&mut Rows) -> (T, Vec<Key>),
    ) -> BoxFuture<'a, StoreResult<T>> {
        let mut rows = self.lock();
        let (value, changed) = change(&mut rows);
        drop(rows);
        for (kind, key) in &changed {
            self.listeners.tell(kind, key);
        }
        ready(value)
    }
}

fn ready<'a, T: Send + 'a>(value: T) -> BoxFuture<'a, StoreResult<T>> {
    Box::pin(std::future::ready(Ok(value)))
}

impl Rows {
    fn put(&mut self, row: Row) {
        self.take(&(row.kind, row.key.clone()));
        self.due.extend(row.due_at.map(|at| (row.kind, at, row.key.clone())));
        self.ends.extend(row.expires_at.map(|at| (at, row.kind, row.key.clone())));
        self.rows.insert((row.kind, row.key.clone()), row);
    }

    fn take(&mut self, key: &Key) -> Option<Row> {
        let row = self.rows.remove(key)?;
        if let Some(at) = row.due_at {
            self.due.remove(&(row.kind, at, row.key.clone()));
        }
        if let Some(at) = row.expires_at {
            self.ends.remove(&(at, row.kind, row.key.clone()));
        }
        Some(row)
    }
}

fn has_ended(row: &Row, now: u64) -> bool {
    row.expires_at.is_some_and(|end| end <= now)
}

impl Store for Memory {
    fn insert(&self, row: Row, now: u64) -> BoxFuture<'_, StoreResult<bool>> {
        self.write(|rows| {
            let key = (row.kind, row.key.clone());
            if rows.rows.get(&key).is_some_and(|row| !has_ended(row, now)) {
                return (false, Vec::new());
            }
            rows.put(row);
            (true, vec![key])
        })
    }

    fn get<'a>(&'a self, kind: &'static str, key: &'a str, now: u64) -> BoxFuture<'a, StoreResult<Option<Row>>> {
        ready(self.lock().rows.get(&(kind, key.to_owned())).filter(|row| !has_ended(row, now)).cloned())
    }

    fn replace(&self, row: Row) -> BoxFuture<'_, StoreResult<bool>> {
        self.write(|rows| {
            let key = (row.kind, row.key.clone());
            if rows.rows.get(&key).is_none_or(|there| there.version.checked_add(1) != Some(row.version)) {
                return (false, Vec::new());
            }
            rows.put(row);
            (true, vec![key])
        })
    }

    fn remove<'a>(&'a self, kind: &'static str, key: &'a str, version: u64) -> BoxFuture<'a, StoreResult<bool>> {
        self.write(|rows| {
            let key = (kind, key.to_owned());
            if rows.rows.get(&key).is_none_or(|there| there.version != version) {
                return (false, Vec::new());
            }
            rows.take(&key);
            (true, vec![key])
        })
    }

    fn due(&self, kind: &'static str, now: u64, limit: usize) -> BoxFuture<'_, StoreResult<Vec<Row>>> {
        let rows = self.lock();
        let from = (kind, 0, String::new());
        let due = rows.due.range(from..).take_while(|(of, at, _)| *of == kind && *at <= now).take(limit);
        ready(due.filter_map(|(kind, _, key)| rows.rows.get(&(*kind, key.clone())).cloned()).collect())
    }

    fn expire(&self, now: u64, limit: usize) -> BoxFuture<'_, StoreResult<usize>> {
        self.write(|rows| {
            let ended = rows.ends.iter().take_while(|(at, ..)| *at <= now).take(limit);
            let keys: Vec<Key> = ended.map(|(_, kind, key)| (*kind, key.clone())).collect();
            for key in &keys {
                rows.take(key);
            }
            (keys.len(), keys)
        })
    }

    fn changes(&self, kind: &'static str) -> Changes {
        self.listeners.listen(kind)
    }

    fn is_shared(&self) -> bool {
        false
    }
}
