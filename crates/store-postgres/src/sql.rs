//! The store's operations as SQL statements.

use crate::PgQuery;
use carryall_store::Row;
use std::sync::Arc;

/// The statements for one schema. Except for `reschedule`, those that change rows return one row
/// per changed row and send a notification for each, which PostgreSQL delivers on commit.
pub(crate) struct Statements {
    pub(crate) insert: Arc<str>,
    pub(crate) get: Arc<str>,
    pub(crate) replace: Arc<str>,
    pub(crate) reschedule: Arc<str>,
    pub(crate) remove: Arc<str>,
    pub(crate) due: Arc<str>,
    pub(crate) expire: Arc<str>,
}

impl Statements {
    pub(crate) fn new(schema: &str, channel: &str) -> Self {
        let rows = format!(r#""{schema}".rows"#);
        // The payload is parsed by `change_listener`. PostgreSQL limits it to less than 8000 bytes.
        // For a longer key it is empty, which `change_listener` treats as a change of any row.
        let notify = format!(
            "SELECT pg_notify('{channel}', CASE WHEN octet_length(kind) + octet_length(key) < 7900
                THEN octet_length(kind) || ':' || kind || ':' || key ELSE '' END) FROM changed"
        );
        Self {
            insert: format!(
                "WITH changed AS (
                    INSERT INTO {rows} AS existing (kind, key, version, value, expires_at, due_at)
                    VALUES ($1, $2, $3, $4, $5, $6)
                    ON CONFLICT (kind, key) DO UPDATE SET
                        version = excluded.version, value = excluded.value,
                        expires_at = excluded.expires_at, due_at = excluded.due_at
                    WHERE existing.expires_at <= $7
                    RETURNING existing.kind, existing.key
                ) {notify}"
            )
            .into(),
            get: format!(
                "SELECT key, version, value, expires_at, due_at FROM {rows}
                WHERE kind = $1 AND key = $2 AND (expires_at IS NULL OR expires_at > $3)"
            )
            .into(),
            replace: format!(
                "WITH changed AS (
                    UPDATE {rows} SET version = $3, value = $4, expires_at = $5, due_at = $6
                    WHERE kind = $1 AND key = $2 AND version = $3 - 1
                    RETURNING kind, key
                ) {notify}"
            )
            .into(),
            // A value stored out of line (TOAST) is not rewritten unless its column is assigned.
            reschedule: format!(
                "UPDATE {rows} SET version = version + 1, due_at = $4
                WHERE kind = $1 AND key = $2 AND version = $3"
            )
            .into(),
            remove: format!(
                "WITH changed AS (
                    DELETE FROM {rows} WHERE kind = $1 AND key = $2 AND version = $3 RETURNING kind, key
                ) {notify}"
            )
            .into(),
            // Not `FOR UPDATE SKIP LOCKED`: two replicas may read the same rows, and the version
            // decides which of them claims a row. The lock could not, since it ends with the
            // statement. It would only cost a write and a flush per query that finds rows, and hide
            // rows from concurrent queries.
            due: format!(
                "SELECT key, version, value, expires_at, due_at FROM {rows}
                WHERE kind = $1 AND due_at <= $2 ORDER BY due_at, key LIMIT $3"
            )
            .into(),
            // With `SKIP LOCKED`, replicas that expire rows at the same time remove different rows
            // instead of waiting for each other. If a row that another transaction has locked is
            // still expired afterwards, the next call removes it. `MATERIALIZED` ensures that the
            // subquery with the limit runs once.
            expire: format!(
                "WITH expired AS MATERIALIZED (
                    SELECT kind, key FROM {rows} WHERE expires_at <= $1
                    ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED
                ), changed AS (
                    DELETE FROM {rows} AS existing USING expired
                    WHERE existing.kind = expired.kind AND existing.key = expired.key
                    RETURNING existing.kind, existing.key
                ) {notify}"
            )
            .into(),
        }
    }
}

/// Binds the columns of a row to the parameters `$1` to `$6`.
pub(crate) fn bind(query: PgQuery, row: Row) -> sqlx::Result<PgQuery> {
    let version = version_to_i64(row.version)?;
    let query = query
        .bind(row.kind)
        .bind(row.key)
        .bind(version)
        .bind(Vec::from(row.value));
    Ok(query
        .bind(row.expires_at.map(time))
        .bind(row.due_at.map(time)))
}

/// A selected row without its kind: key, version, value, `expires_at`, `due_at`.
pub(crate) type SelectedRow = (String, i64, Vec<u8>, Option<i64>, Option<i64>);

/// Converts a selected row.
pub(crate) fn read_row(
    kind: &'static str,
    (key, version, value, expires_at, due_at): SelectedRow,
) -> sqlx::Result<Row> {
    let version = u64::try_from(version).map_err(|error| sqlx::Error::Decode(error.into()))?;
    let (expires_at, due_at) = (expires_at.map(from_time), due_at.map(from_time));
    Ok(Row {
        kind,
        key,
        version,
        value: value.into(),
        expires_at,
        due_at,
    })
}

/// Converts a time to a `bigint`. Times beyond `i64::MAX`, in about three hundred million years,
/// become `i64::MAX`, which is read as `u64::MAX`.
pub(crate) fn time(at: u64) -> i64 {
    i64::try_from(at).unwrap_or(i64::MAX)
}

fn from_time(at: i64) -> u64 {
    if at == i64::MAX {
        u64::MAX
    } else {
        u64::try_from(at).unwrap_or(0)
    }
}

pub(crate) fn limit_to_i64(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

pub(crate) fn version_to_i64(version: u64) -> sqlx::Result<i64> {
    i64::try_from(version).map_err(|error| sqlx::Error::Encode(error.into()))
}
