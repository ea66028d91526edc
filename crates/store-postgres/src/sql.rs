//! The store's operations as SQL statements.

use crate::PgQuery;
use carryall_store::Row;
use std::sync::Arc;

/// The statements for one schema. Those that change rows return one row per changed row, and send
/// a notification for it, which PostgreSQL delivers on commit.
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
        // The payload starts with the length of the kind, see `change_listener`. Payloads are
        // shorter than 8000 bytes; for a longer key the payload is empty, which means any row.
        let notify = format!(
            "SELECT pg_notify('{channel}', CASE WHEN octet_length(kind) + octet_length(key) < 7900
                THEN octet_length(kind) || ':' || kind || ':' || key ELSE '' END) FROM changed"
        );
        Self {
            insert: format!(
                "WITH changed AS (
                    INSERT INTO {rows} AS there (kind, key, version, value, expires_at, due_at)
                    VALUES ($1, $2, $3, $4, $5, $6)
                    ON CONFLICT (kind, key) DO UPDATE SET
                        version = excluded.version, value = excluded.value,
                        expires_at = excluded.expires_at, due_at = excluded.due_at
                    WHERE there.expires_at <= $7
                    RETURNING there.kind, there.key
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
            // A value stored out of line (TOAST) is not rewritten unless its column is assigned. No
            // notification: to listeners, a renewed lease is no change.
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
            // Without `FOR UPDATE SKIP LOCKED`: the lock would end with the statement, before the
            // caller claims a row, so two replicas could still read the same rows. It would cost a
            // write and a flush per query that finds rows, and hide rows from concurrent queries.
            // The version decides which replica claims a row.
            due: format!(
                "SELECT key, version, value, expires_at, due_at FROM {rows}
                WHERE kind = $1 AND due_at <= $2 ORDER BY due_at, key LIMIT $3"
            )
            .into(),
            // Here the lock helps: replicas that expire rows at the same time take different rows
            // instead of waiting for each other. A skipped row is being changed; if it is still
            // expired afterwards, the next call removes it. `MATERIALIZED` applies the limit once.
            expire: format!(
                "WITH expired AS MATERIALIZED (
                    SELECT kind, key FROM {rows} WHERE expires_at <= $1
                    ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED
                ), changed AS (
                    DELETE FROM {rows} AS there USING expired
                    WHERE there.kind = expired.kind AND there.key = expired.key
                    RETURNING there.kind, there.key
                ) {notify}"
            )
            .into(),
        }
    }
}

/// Binds a row to the parameters `$1` to `$6`.
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

pub(crate) fn read(
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
