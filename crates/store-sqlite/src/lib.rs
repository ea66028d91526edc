//! A [`Store`] in a SQLite file, for replicas on one machine.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), carryall_store::StoreError> {
//! use carryall_store::{Row, Store};
//! use carryall_store_sqlite::Sqlite;
//!
//! let store = Sqlite::in_memory()?;
//! let row = Row {
//!     kind: "note",
//!     key: "1".into(),
//!     version: 1,
//!     value: "hello".into(),
//!     expires_at: None,
//!     due_at: None,
//! };
//! assert!(store.insert(row.clone(), 0).await?);
//! assert_eq!(store.get("note", "1", 0).await?, Some(row));
//! # Ok(())
//! # }
//! ```
//!
//! The file is in WAL mode with `synchronous=NORMAL`: writes survive a crash of the process; a
//! power failure may lose the latest writes, but never part of one. The file has to be on a local
//! disk, which WAL mode requires.
//!
//! A dedicated worker thread owns the connection: SQLite allows one writer at a time, and waiting
//! for the file's lock must block neither the async runtime nor its pool of blocking threads.
//!
//! Each write appends the changed rows to a table with ascending sequence numbers. While there are
//! listeners, the thread polls this table every 50 ms for changes made by other processes.

mod database;
mod rows;
mod worker;

use carryall_store::{BoxFuture, ChangeListeners, Changes, Row, Store, StoreError, StoreResult};
use database::Database;
use rusqlite::Connection;
use std::fmt;
use std::path::Path;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Semaphore, oneshot};
use worker::Job;

/// The maximum number of queued operations. Further callers wait for a permit.
const MAX_QUEUED: usize = 1024;

/// Keeps rows in a SQLite database. Clones, and all stores opened on the same file, share the rows.
#[derive(Clone)]
pub struct Sqlite(Arc<Inner>);

struct Inner {
    /// The queue of the worker thread.
    jobs: Sender<Job>,
    /// One permit per queued operation.
    permits: Arc<Semaphore>,
    listeners: ChangeListeners,
    /// A second connection, which reads the sequence number of the last change without waiting for
    /// the worker thread. `None` in memory, where only the worker thread writes.
    reader: Option<Mutex<Connection>>,
}

impl Sqlite {
    /// Opens the store in this file. A missing file is created, with access for this user only.
    ///
    /// Blocks on file I/O, up to 5 s while another process holds the lock: call it at startup.
    ///
    /// # Errors
    /// When the file cannot be opened, is not a store, or was written by a later version.
    pub fn open(path: impl AsRef<Path>) -> StoreResult<Self> {
        // SQLite treats some relative names specially, for example `:memory:`. An absolute path is
        // always a file, and both connections open the same one.
        let path = std::path::absolute(path).map_err(StoreError::new)?;
        let database = Database::open(&path)?;
        let reader = database::open_reader(&path).map_err(StoreError::new)?;
        Self::start(database, Some(reader))
    }

    /// Creates an empty store in memory, dropped with its last clone.
    ///
    /// # Errors
    /// When memory cannot be allocated or the thread cannot be started.
    pub fn in_memory() -> StoreResult<Self> {
        Self::start(Database::in_memory()?, None)
    }

    fn start(database: Database, reader: Option<Connection>) -> StoreResult<Self> {
        let listeners = ChangeListeners::new();
        let jobs = worker::start(database, listeners.clone()).map_err(StoreError::new)?;
        let permits = Arc::new(Semaphore::new(MAX_QUEUED));
        Ok(Self(Arc::new(Inner {
            jobs,
            permits,
            listeners,
            reader: reader.map(Mutex::new),
        })))
    }

    /// Runs `operation` on the worker thread. If the future is dropped before it has a permit, the
    /// operation does not run; afterwards it runs to completion.
    fn run<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&mut Database) -> rusqlite::Result<T> + Send + 'static,
    ) -> BoxFuture<'_, StoreResult<T>> {
        Box::pin(async move {
            let permit = Arc::clone(&self.0.permits)
                .acquire_owned()
                .await
                .map_err(StoreError::new)?;
            let (sender, result) = oneshot::channel();
            let job = Job::Run(Box::new(move |database| {
                // Fails if the future has been dropped.
                drop(sender.send(operation(database)));
                drop(permit);
            }));
            self.0.jobs.send(job).map_err(|_| thread_ended())?;
            result
                .await
                .map_err(|_| thread_ended())?
                .map_err(StoreError::new)
        })
    }
}

fn thread_ended() -> StoreError {
    StoreError::new("the thread of the SQLite store has ended")
}

impl fmt::Debug for Sqlite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sqlite")
            .field("is_shared", &self.is_shared())
            .finish_non_exhaustive()
    }
}

impl Store for Sqlite {
    fn insert(&self, row: Row, now: u64) -> BoxFuture<'_, StoreResult<bool>> {
        self.run(move |database| rows::insert(database, &row, now))
    }

    fn get<'a>(
        &'a self,
        kind: &'static str,
        key: &'a str,
        now: u64,
    ) -> BoxFuture<'a, StoreResult<Option<Row>>> {
        let key = key.to_owned();
        self.run(move |database| rows::get(database, kind, key, now))
    }

    fn replace(&self, row: Row) -> BoxFuture<'_, StoreResult<bool>> {
        self.run(move |database| rows::replace(database, &row))
    }

    fn reschedule<'a>(
        &'a self,
        kind: &'static str,
        key: &'a str,
        version: u64,
        due_at: Option<u64>,
    ) -> BoxFuture<'a, StoreResult<bool>> {
        let key = key.to_owned();
        self.run(move |database| rows::reschedule(database, (kind, &key), version, due_at))
    }

    fn remove<'a>(
        &'a self,
        kind: &'static str,
        key: &'a str,
        version: u64,
    ) -> BoxFuture<'a, StoreResult<bool>> {
        let key = key.to_owned();
        self.run(move |database| rows::remove(database, kind, &key, version))
    }

    fn due(
        &self,
        kind: &'static str,
        now: u64,
        limit: usize,
    ) -> BoxFuture<'_, StoreResult<Vec<Row>>> {
        self.run(move |database| rows::due(database, kind, now, limit))
    }

    fn expire(&self, now: u64, limit: usize) -> BoxFuture<'_, StoreResult<usize>> {
        self.run(move |database| rows::expire(database, now, limit))
    }

    fn changes(&self, kind: &'static str) -> Changes {
        let changes = self.0.listeners.listen(kind);
        // The subscription starts at this call, not when the worker thread handles the job, so the
        // last change is read here. A reader in WAL mode does not wait for a writer.
        let last_change = self.0.reader.as_ref().map(|reader| {
            let reader = reader.lock().unwrap_or_else(PoisonError::into_inner);
            database::last_change(&reader)
        });
        let after = match last_change {
            None => None,
            Some(Ok(last)) => Some(last),
            Some(Err(_)) => {
                // The changes before the job is handled may be missed.
                self.0.listeners.notify_lagged();
                None
            }
        };
        // Fails if the worker thread has ended: then there are no more changes.
        drop(self.0.jobs.send(Job::Listen { after }));
        changes
    }

    fn is_shared(&self) -> bool {
        self.0.reader.is_some()
    }
}
