//! The database connection: setup, write transactions and the table of changes.

use carryall_store::{ChangeListeners, StoreError, StoreResult};
use rusqlite::{
    Connection, OpenFlags, OptionalExtension, Params, Transaction, TransactionBehavior,
};
use std::path::Path;
use std::time::{Duration, Instant};

/// How long an operation waits while another process writes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long reading the last sequence number may block, which happens only while another process
/// recovers the file.
const READER_BUSY_TIMEOUT: Duration = Duration::from_millis(100);
/// The number of changes kept for other processes. The listeners of a process that is further
/// behind receive `RowChange::Lagged`.
const MAX_CHANGES: i64 = 4096;
/// The number of changes read per query.
const BATCH: i64 = 512;
/// The `application_id` of our files: "carr".
const APPLICATION_ID: i32 = 0x6361_7272;
/// The version of the tables below.
const VERSION: i32 = 1;

const TABLES: &str = "
    CREATE TABLE rows (
        kind TEXT NOT NULL,
        key TEXT NOT NULL,
        version INTEGER NOT NULL,
        value BLOB NOT NULL,
        expires_at INTEGER,
        due_at INTEGER,
        PRIMARY KEY (kind, key)
    ) STRICT;
    CREATE INDEX rows_due ON rows (kind, due_at, key) WHERE due_at IS NOT NULL;
    CREATE INDEX rows_ends ON rows (expires_at) WHERE expires_at IS NOT NULL;
    CREATE TABLE changes (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        kind TEXT NOT NULL,
        key TEXT NOT NULL
    ) STRICT;
";

/// The connection of the worker thread.
pub(crate) struct Database {
    connection: Connection,
    /// Whether this connection has written since the last [`Database::has_changed`].
    wrote: bool,
    /// The last value of `PRAGMA data_version`, which changes with each commit of another
    /// connection.
    data_version: Option<i64>,
}

impl Database {
    pub(crate) fn open(path: &Path) -> StoreResult<Self> {
        create_file(path).map_err(StoreError::new)?;
        // Without SQLITE_OPEN_URI, so that a path that starts with `file:` is not read as a URI.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        Self::set_up(Connection::open_with_flags(path, flags).map_err(StoreError::new)?)
    }

    pub(crate) fn in_memory() -> StoreResult<Self> {
        Self::set_up(Connection::open_in_memory().map_err(StoreError::new)?)
    }

    fn set_up(connection: Connection) -> StoreResult<Self> {
        connection
            .busy_timeout(BUSY_TIMEOUT)
            .map_err(StoreError::new)?;
        retry_while_busy(|| connection.pragma_update(None, "journal_mode", "wal"))
            .map_err(StoreError::new)?;
        connection
            .pragma_update(None, "synchronous", "normal")
            .map_err(StoreError::new)?;
        connection.set_prepared_statement_cache_capacity(32);
        let mut database = Self {
            connection,
            wrote: false,
            data_version: None,
        };
        database.create_tables()?;
        Ok(database)
    }

    fn create_tables(&mut self) -> StoreResult<()> {
        let begin = || Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate);
        let transaction = retry_while_busy(begin).map_err(StoreError::new)?;
        let number =
            |pragma| transaction.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0));
        let application_id = number("application_id").map_err(StoreError::new)?;
        let version = number("user_version").map_err(StoreError::new)?;
        match (application_id, version) {
            (0, 0) => {}
            (APPLICATION_ID, VERSION) => return Ok(()),
            (APPLICATION_ID, later) => {
                return Err(StoreError::new(format!(
                    "the file has store version {later}, but this program supports {VERSION}"
                )));
            }
            _ => {
                return Err(StoreError::new(
                    "the file is a SQLite database of another program",
                ));
            }
        }
        let create = || {
            transaction.execute_batch(TABLES)?;
            transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
            transaction.pragma_update(None, "user_version", VERSION)
        };
        create().map_err(StoreError::new)?;
        transaction.commit().map_err(StoreError::new)
    }

    /// Returns the connection for reading.
    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Runs `change` in a transaction, and adds the changed rows it reports to the table of
    /// changes.
    pub(crate) fn write<T>(
        &mut self,
        change: impl FnOnce(&Transaction<'_>, &mut Vec<(String, String)>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        // Immediate: a transaction that starts with a read fails without waiting when another
        // connection writes first.
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut changed = Vec::new();
        let value = change(&transaction, &mut changed)?;
        if changed.is_empty() {
            // Nothing to commit.
            return Ok(value);
        }
        {
            let mut insert =
                transaction.prepare_cached("INSERT INTO changes (kind, key) VALUES (?1, ?2)")?;
            for (kind, key) in &changed {
                insert.execute((kind, key))?;
            }
            let oldest = transaction.last_insert_rowid() - MAX_CHANGES;
            transaction
                .prepare_cached("DELETE FROM changes WHERE seq <= ?1")?
                .execute([oldest])?;
        }
        transaction.commit()?;
        self.wrote = true;
        Ok(value)
    }

    /// Runs one statement without notifying listeners. Returns whether it changed a row.
    pub(crate) fn write_silently(
        &mut self,
        text: &str,
        params: impl Params,
    ) -> rusqlite::Result<bool> {
        // SQLite runs a single statement in a transaction of its own.
        Ok(self.connection.prepare_cached(text)?.execute(params)? > 0)
    }

    /// Returns whether any connection, including this one, has written since the last call.
    pub(crate) fn has_changed(&mut self) -> rusqlite::Result<bool> {
        let version: i64 = self
            .connection
            .prepare_cached("PRAGMA data_version")?
            .query_row([], |row| row.get(0))?;
        let others = self.data_version.replace(version) != Some(version);
        Ok(std::mem::take(&mut self.wrote) || others)
    }

    /// Returns whether this connection has written since the last [`Database::has_changed`].
    pub(crate) fn wrote(&self) -> bool {
        self.wrote
    }

    /// Returns the sequence number of the last change.
    pub(crate) fn last_change(&self) -> rusqlite::Result<i64> {
        last_change(&self.connection)
    }

    /// Notifies the listeners of the changes after the sequence number `from`. Returns the sequence
    /// number of the last one.
    pub(crate) fn notify(&self, from: i64, listeners: &ChangeListeners) -> rusqlite::Result<i64> {
        let text = "SELECT seq, kind, key FROM changes WHERE seq > ?1 ORDER BY seq LIMIT ?2";
        let mut statement = self.connection.prepare_cached(text)?;
        let mut delivered = from;
        loop {
            let mut rows = statement.query([delivered, BATCH])?;
            let before = delivered;
            while let Some(row) = rows.next()? {
                let seq: i64 = row.get(0)?;
                if seq != delivered + 1 {
                    // The numbers have no gaps, so the changes in between were deleted.
                    listeners.notify_lagged();
                }
                listeners.notify(row.get_ref(1)?.as_str()?, row.get_ref(2)?.as_str()?);
                delivered = seq;
            }
            if delivered - before < BATCH {
                return Ok(delivered);
            }
        }
    }
}

/// Returns the sequence number of the last change, even if it has been deleted from the table of
/// changes.
pub(crate) fn last_change(connection: &Connection) -> rusqlite::Result<i64> {
    let text = "SELECT seq FROM sqlite_sequence WHERE name = 'changes'";
    let last = connection
        .prepare_cached(text)?
        .query_row([], |row| row.get(0))
        .optional()?;
    Ok(last.unwrap_or(0))
}

/// Opens a second, read-only connection.
pub(crate) fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(READER_BUSY_TIMEOUT)?;
    Ok(connection)
}

/// Creates the file if it is missing, accessible to its owner only. SQLite creates the WAL files
/// beside it with the same mode.
fn create_file(path: &Path) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

/// Retries a step of opening the file. Some of them fail at once, whatever the busy timeout, while
/// another process opens the same file.
fn retry_while_busy<T>(mut step: impl FnMut() -> rusqlite::Result<T>) -> rusqlite::Result<T> {
    let deadline = Instant::now() + BUSY_TIMEOUT;
    loop {
        match step() {
            Err(error) if is_busy(&error) && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(10))
            }
            result => return result,
        }
    }
}

fn is_busy(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked};
    matches!(
        error.sqlite_error_code(),
        Some(DatabaseBusy | DatabaseLocked)
    )
}
