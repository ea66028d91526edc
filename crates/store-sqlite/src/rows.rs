//! The store's operations as SQL statements.

use crate::database::Database;
use bytes::Bytes;
use carryall_store::Row;
use rusqlite::types::ValueRef;
use rusqlite::{OptionalExtension, params};

pub(crate) fn insert(database: &mut Database, row: &Row, now: u64) -> rusqlite::Result<bool> {
    let sql = "
        INSERT INTO rows (kind, key, version, value, expires_at, due_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
        ON CONFLICT (kind, key) DO UPDATE SET
            version = excluded.version, value = excluded.value,
            expires_at = excluded.expires_at, due_at = excluded.due_at
        WHERE expires_at <= ?7";
    database.write(|transaction, changed| {
        let mut statement = transaction.prepare_cached(sql)?;
        let (expiry, due) = (row.expires_at.map(time_to_i64), row.due_at.map(time_to_i64));
        let version = version_to_i64(row.version)?;
        let count = statement.execute(params![
            row.kind,
            row.key,
            version,
            row.value.as_ref(),
            expiry,
            due,
            time_to_i64(now)
        ])?;
        Ok(record_change(count, row.kind, &row.key, changed))
    })
}

pub(crate) fn get(
    database: &Database,
    kind: &'static str,
    key: String,
    now: u64,
) -> rusqlite::Result<Option<Row>> {
    let sql = "
        SELECT version, value, expires_at, due_at FROM rows
        WHERE kind = ?1 AND key = ?2 AND (expires_at IS NULL OR expires_at > ?3)";
    let mut statement = database.connection().prepare_cached(sql)?;
    let found = statement
        .query_row(params![kind, key, time_to_i64(now)], |row| {
            // The key is set below: it is moved instead of read.
            read_row(row, kind, String::new())
        })
        .optional()?;
    Ok(found.map(|row| Row { key, ..row }))
}

pub(crate) fn replace(database: &mut Database, row: &Row) -> rusqlite::Result<bool> {
    let sql = "
        UPDATE rows SET version = ?3, value = ?4, expires_at = ?5, due_at = ?6
        WHERE kind = ?1 AND key = ?2 AND version = ?3 - 1";
    database.write(|transaction, changed| {
        let mut statement = transaction.prepare_cached(sql)?;
        let (expiry, due) = (row.expires_at.map(time_to_i64), row.due_at.map(time_to_i64));
        let version = version_to_i64(row.version)?;
        let count = statement.execute(params![
            row.kind,
            row.key,
            version,
            row.value.as_ref(),
            expiry,
            due
        ])?;
        Ok(record_change(count, row.kind, &row.key, changed))
    })
}

/// Sets `due_at`. SQLite overwrites a row of the same size in place and writes only the pages that
/// differ, so the pages of a large value are not written. Listeners are not notified, so nothing is
/// added to the table of changes.
pub(crate) fn reschedule(
    database: &mut Database,
    (kind, key): (&str, &str),
    version: u64,
    due_at: Option<u64>,
) -> rusqlite::Result<bool> {
    let sql = "UPDATE rows SET version = version + 1, due_at = ?4 WHERE kind = ?1 AND key = ?2 AND version = ?3";
    let params = params![kind, key, version_to_i64(version)?, due_at.map(time_to_i64)];
    database.write_silently(sql, params)
}

pub(crate) fn remove(
    database: &mut Database,
    kind: &str,
    key: &str,
    version: u64,
) -> rusqlite::Result<bool> {
    let sql = "DELETE FROM rows WHERE kind = ?1 AND key = ?2 AND version = ?3";
    database.write(|transaction, changed| {
        let count = transaction.prepare_cached(sql)?.execute(params![
            kind,
            key,
            version_to_i64(version)?
        ])?;
        Ok(record_change(count, kind, key, changed))
    })
}

pub(crate) fn due(
    database: &Database,
    kind: &'static str,
    now: u64,
    limit: usize,
) -> rusqlite::Result<Vec<Row>> {
    let sql = "
        SELECT version, value, expires_at, due_at, key FROM rows
        WHERE kind = ?1 AND due_at <= ?2 ORDER BY due_at, key LIMIT ?3";
    let mut statement = database.connection().prepare_cached(sql)?;
    let rows = statement.query_map(
        params![kind, time_to_i64(now), limit_to_i64(limit)],
        |row| read_row(row, kind, row.get(4)?),
    )?;
    rows.collect()
}

pub(crate) fn expire(database: &mut Database, now: u64, limit: usize) -> rusqlite::Result<usize> {
    let sql = "
        DELETE FROM rows WHERE rowid IN
            (SELECT rowid FROM rows WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2)
        RETURNING kind, key";
    database.write(|transaction, changed| {
        let mut statement = transaction.prepare_cached(sql)?;
        let expired = statement.query_map([time_to_i64(now), limit_to_i64(limit)], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
        *changed = expired.collect::<rusqlite::Result<_>>()?;
        Ok(changed.len())
    })
}

/// Records the change for the listeners, if the statement changed a row. Returns whether it did.
fn record_change(count: usize, kind: &str, key: &str, changed: &mut Vec<(String, String)>) -> bool {
    if count > 0 {
        changed.push((kind.to_owned(), key.to_owned()));
    }
    count > 0
}

/// Reads a row from the columns version, value, `expires_at` and `due_at`.
fn read_row(row: &rusqlite::Row<'_>, kind: &'static str, key: String) -> rusqlite::Result<Row> {
    let time_in = |column| -> rusqlite::Result<_> {
        Ok(row.get::<_, Option<i64>>(column)?.map(time_from_i64))
    };
    let value = match row.get_ref(1)? {
        ValueRef::Blob(value) => Bytes::copy_from_slice(value),
        other => {
            return Err(rusqlite::Error::InvalidColumnType(
                1,
                "value".into(),
                other.data_type(),
            ));
        }
    };
    let version = row.get::<_, i64>(0)?;
    let version =
        u64::try_from(version).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(0, version))?;
    Ok(Row {
        kind,
        key,
        version,
        value,
        expires_at: time_in(2)?,
        due_at: time_in(3)?,
    })
}

/// Converts a time to a SQLite integer. Times beyond `i64::MAX`, in about three hundred million
/// years, become `i64::MAX`, which is read as `u64::MAX`.
fn time_to_i64(at: u64) -> i64 {
    i64::try_from(at).unwrap_or(i64::MAX)
}

fn time_from_i64(at: i64) -> u64 {
    if at == i64::MAX {
        u64::MAX
    } else {
        u64::try_from(at).unwrap_or(0)
    }
}

fn limit_to_i64(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

fn version_to_i64(version: u64) -> rusqlite::Result<i64> {
    i64::try_from(version).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}
