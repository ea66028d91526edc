//! The connection: how it is set up, how a write becomes a transaction, and the table of changes.

use carryall_store::{ChangeListeners, StoreError, StoreResult};
use rusqlite::{
    Connection, OpenFlags, OptionalExtension, Params, Transaction, TransactionBehavior,
};
use std::path::Path;
use std::time::{Duration, Instant};

/// How long an operation waits for another process that writes.
const BUSY: Duration = Duration::from_secs(5);
/// How long a look at the last change may wait. It waits only while another process repairs the
/// file.
const GLANCE: Duration = Duration::from_millis(100);
/// How many changes are kept for other processes. Who is further behind learns only that there were
/// some.
pub(crate) const KEPT: i64 = 4096;
/// How many changes are read in one go.
const AT_ONCE: i64 = 512;
/// "carr": marks the file as ours.
const APPLICATION: i32 = 0x6361_7272;
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

/// What the thread owns.
pub(crate) struct Database {
    connection: Connection,
    /// Whether something was written since [`Database::has_changed`] was asked.
    wrote: bool,
    /// What `PRAGMA data_version` said last: it changes with each commit of another connection.
    seen: Option<i64>,
}

impl Database {
    pub(crate) fn open(path: &Path) -> StoreResult<Self> {
        make(path).map_err(StoreError::new)?;
        // Without SQLITE_OPEN_URI: a path is a path, whatever it begins with.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        Self::set_up(Connection::open_with_flags(path, flags).map_err(StoreError::new)?)
    }

    pub(crate) fn in_memory() -> StoreResult<Self> {
        Self::set_up(Connection::open_in_memory().map_err(StoreError::new)?)
    }

    fn set_up(connection: Connection) -> StoreResult<Self> {
        connection.busy_timeout(BUSY).map_err(StoreError::new)?;
        patiently(|| connection.pragma_update(None, "journal_mode", "wal"))
            .map_err(StoreError::new)?;
        connection
            .pragma_update(None, "synchronous", "normal")
            .map_err(StoreError::new)?;
        connection.set_prepared_statement_cache_capacity(32);
        let mut database = Self {
            connection,
            wrote: false,
            seen: None,
        };
        database.make_tables()?;
        Ok(database)
    }

    fn make_tables(&mut self) -> StoreResult<()> {
        let begin = || Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate);
        let transaction = patiently(begin).map_err(StoreError::new)?;
        let number =
            |pragma| transaction.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0));
        let whose = number("application_id").map_err(StoreError::new)?;
        let version = number("user_version").map_err(StoreError::new)?;
        match (whose, version) {
            (0, 0) => {}
            (APPLICATION, VERSION) => return Ok(()),
            (APPLICATION, later) => {
                return Err(StoreError::new(format!(
                    "the file is a store of version {later}, this program knows {VERSION}"
                )));
            }
            _ => {
                return Err(StoreError::new(
                    "the file is a SQLite database of another program",
                ));
            }
        }
        let make = || {
            transaction.execute_batch(TABLES)?;
            transaction.pragma_update(None, "application_id", APPLICATION)?;
            transaction.pragma_update(None, "user_version", VERSION)
        };
        make().map_err(StoreError::new)?;
        transaction.commit().map_err(StoreError::new)
    }

    /// For what only reads.
    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// One transaction: a change of rows, and for each row changed a line for those who listen.
    pub(crate) fn write<T>(
        &mut self,
        change: impl FnOnce(&Transaction<'_>, &mut Vec<(String, String)>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        // Immediate, because a transaction that begins by reading fails without a wait when another
        // one writes first.
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut changed = Vec::new();
        let value = change(&transaction, &mut changed)?;
        if changed.is_empty() {
            // Nothing was written, so there is nothing to commit.
            return Ok(value);
        }
        {
            let mut note =
                transaction.prepare_cached("INSERT INTO changes (kind, key) VALUES (?1, ?2)")?;
            for (kind, key) in &changed {
                note.execute((kind, key))?;
            }
            let oldest = transaction.last_insert_rowid() - KEPT;
            transaction
                .prepare_cached("DELETE FROM changes WHERE seq <= ?1")?
                .execute([oldest])?;
        }
        transaction.commit()?;
        self.wrote = true;
        Ok(value)
    }

    /// One statement of which listeners are not told. Returns whether it has changed a row.
    pub(crate) fn write_silently(
        &mut self,
        text: &str,
        params: impl Params,
    ) -> rusqlite::Result<bool> {
        // A single statement is a transaction of its own.
        Ok(self.connection.prepare_cached(text)?.execute(params)? > 0)
    }

    /// Whether anybody has written since this was asked last, this connection included.
    pub(crate) fn has_changed(&mut self) -> rusqlite::Result<bool> {
        let version: i64 = self
            .connection
            .prepare_cached("PRAGMA data_version")?
            .query_row([], |row| row.get(0))?;
        let others = self.seen.replace(version) != Some(version);
        Ok(std::mem::take(&mut self.wrote) || others)
    }

    /// Whether this connection has written since [`Database::has_changed`] was asked.
    pub(crate) fn wrote(&self) -> bool {
        self.wrote
    }

    /// The number of the last change.
    pub(crate) fn last_change(&self) -> rusqlite::Result<i64> {
        last_change(&self.connection)
    }

    /// Tells what has changed after `from`. Returns the number of the last change told of.
    pub(crate) fn notify(&self, from: i64, listeners: &ChangeListeners) -> rusqlite::Result<i64> {
        let text = "SELECT seq, kind, key FROM changes WHERE seq > ?1 ORDER BY seq LIMIT ?2";
        let mut statement = self.connection.prepare_cached(text)?;
        let mut told = from;
        loop {
            let mut rows = statement.query([told, AT_ONCE])?;
            let before = told;
            while let Some(row) = rows.next()? {
                let seq: i64 = row.get(0)?;
                if seq != told + 1 {
                    // Numbers have no gaps, so what was in between has been cut off.
                    listeners.notify_lagged();
                }
                listeners.notify(row.get_ref(1)?.as_str()?, row.get_ref(2)?.as_str()?);
                told = seq;
            }
            if told - before < AT_ONCE {
                return Ok(told);
            }
        }
    }
}

/// The number of the last change, also when the table of changes was emptied.
pub(crate) fn last_change(connection: &Connection) -> rusqlite::Result<i64> {
    let text = "SELECT seq FROM sqlite_sequence WHERE name = 'changes'";
    let last = connection
        .prepare_cached(text)?
        .query_row([], |row| row.get(0))
        .optional()?;
    Ok(last.unwrap_or(0))
}

/// A second connection, which only looks.
pub(crate) fn beside(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(GLANCE)?;
    Ok(connection)
}

/// Makes the file if it is not there. What is in it concerns nobody else on the machine; SQLite
/// gives the files beside it the same mode.
fn make(path: &Path) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

/// Some steps of opening a file fail at once, whatever the busy timeout, while another process does
/// the same.
fn patiently<T>(mut step: impl FnMut() -> rusqlite::Result<T>) -> rusqlite::Result<T> {
    let end = Instant::now() + BUSY;
    loop {
        match step() {
            Err(error) if is_busy(&error) && Instant::now() < end => {
                std::thread::sleep(Duration::from_millis(10))
            }
            done => return done,
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
