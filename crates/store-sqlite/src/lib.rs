//! Rows in a SQLite file, for the replicas of one machine.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), carryall_store::StoreError> {
//! use carryall_store::{Row, Store};
//! use carryall_store_sqlite::Sqlite;
//!
//! let store = Sqlite::in_memory()?;
//! let row = Row { kind: "note", key: "1".into(), version: 1, value: "hello".into(), expires_at: None, due_at: None };
//! assert!(store.insert(row.clone(), 0).await?);
//! assert_eq!(store.get("note", "1", 0).await?, Some(row));
//! # Ok(())
//! # }
//! ```
//!
//! The file is in WAL mode with `synchronous=NORMAL`: what was written is there after the process
//! was killed; after a power cut the last writes may be missing, never a part of one. It has to be
//! on a disk of this machine, as WAL mode asks for.
//!
//! One thread owns the connection: SQLite lets one write at a time, so its channel is the queue
//! there has to be anyway, and neither an async runtime nor its pool of blocking threads is held up
//! by a wait for the file's lock.
//!
//! Changes of other processes are looked for about twenty times a second, while somebody listens.

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

/// How many operations may wait for the thread; more wait for a place first.
const QUEUE: usize = 1024;

/// Keeps rows in a SQLite database. Clones are the same store, and so are all that have the same
/// file open.
#[derive(Clone)]
pub struct Sqlite(Arc<Inner>);

struct Inner {
    jobs: Sender<Job>,
    /// Places in the queue.
    room: Arc<Semaphore>,
    listeners: ChangeListeners,
    /// Looks where the changes are at this moment, beside the thread. Files only: nobody else
    /// writes to memory.
    now: Option<Mutex<Connection>>,
}

impl Sqlite {
    /// The store in this file, which is made if it is not there, readable by this user alone. Looks
    /// at the disk while it is called, so it belongs where a program starts.
    ///
    /// # Errors
    /// When the file cannot be opened, is not a store, or was written by a later version.
    pub fn open(path: impl AsRef<Path>) -> StoreResult<Self> {
        // An absolute path is a file for SQLite whatever it is called, and stays the same file for
        // the second connection.
        let path = std::path::absolute(path).map_err(StoreError::new)?;
        let database = Database::open(&path)?;
        let now = database::beside(&path).map_err(StoreError::new)?;
        Self::start(database, Some(now))
    }

    /// An empty store that is gone with its last clone.
    ///
    /// # Errors
    /// When there is no memory or no thread for it.
    pub fn in_memory() -> StoreResult<Self> {
        Self::start(Database::in_memory()?, None)
    }

    fn start(database: Database, now: Option<Connection>) -> StoreResult<Self> {
        let listeners = ChangeListeners::new();
        let jobs = worker::start(database, listeners.clone()).map_err(StoreError::new)?;
        let room = Arc::new(Semaphore::new(QUEUE));
        Ok(Self(Arc::new(Inner {
            jobs,
            room,
            listeners,
            now: now.map(Mutex::new),
        })))
    }

    /// Has the thread do this. If the future is dropped before there was a place for it, nothing
    /// happens; later it happens all the same.
    fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Database) -> rusqlite::Result<T> + Send + 'static,
    ) -> BoxFuture<'_, StoreResult<T>> {
        Box::pin(async move {
            let place = Arc::clone(&self.0.room)
                .acquire_owned()
                .await
                .map_err(StoreError::new)?;
            let (answer, answered) = oneshot::channel();
            let job = Job::Do(Box::new(move |database| {
                drop(answer.send(work(database)));
                drop(place);
            }));
            self.0.jobs.send(job).map_err(|_| gone())?;
            answered.await.map_err(|_| gone())?.map_err(StoreError::new)
        })
    }
}

fn gone() -> StoreError {
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
        // "From now on" is from here, not from when the thread comes to it: what another process
        // writes in between counts. A reader in WAL mode waits for nobody.
        let from = self.0.now.as_ref().map(|now| {
            let now = now.lock().unwrap_or_else(PoisonError::into_inner);
            database::last_change(&now)
        });
        let from = match from {
            None => None,
            Some(Ok(last)) => Some(last),
            Some(Err(_)) => {
                self.0.listeners.notify_lagged();
                None
            }
        };
        // Without a thread nothing changes any more.
        drop(self.0.jobs.send(Job::Listen(from)));
        changes
    }

    fn is_shared(&self) -> bool {
        self.0.now.is_some()
    }
}
