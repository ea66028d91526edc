//! What a store does, in SQL.

use crate::Query;
use carryall_store::Row;
use std::sync::Arc;

/// The statements for one schema. Those that change rows return one line for each row changed, and
/// tell of it: the notification leaves with the commit, or not at all.
pub(crate) struct Sql {
    pub(crate) insert: Arc<str>,
    pub(crate) get: Arc<str>,
    pub(crate) replace: Arc<str>,
    pub(crate) reschedule: Arc<str>,
    pub(crate) remove: Arc<str>,
    pub(crate) due: Arc<str>,
    pub(crate) expire: Arc<str>,
}

impl Sql {
    pub(crate) fn new(schema: &str, channel: &str) -> Self {
        let rows = format!(r#""{schema}".rows"#);
        // The length of the kind tells where the key begins (see `ear`). A payload must stay below
        // 8000 bytes; an empty one says that something changed.
        let told = format!(
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
                ) {told}"
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
                ) {told}"
            )
            .into(),
            // A value that is stored out of line (TOAST) is not written again when its column is
            // not assigned. No notification: a renewed lease is no change to listeners.
            reschedule: format!(
                "UPDATE {rows} SET version = version + 1, due_at = $4
                WHERE kind = $1 AND key = $2 AND version = $3"
            )
            .into(),
            remove: format!(
                "WITH changed AS (
                    DELETE FROM {rows} WHERE kind = $1 AND key = $2 AND version = $3 RETURNING kind, key
                ) {told}"
            )
            .into(),
            // No `FOR UPDATE SKIP LOCKED`: such a lock ends with the statement, before any row is
            // claimed, so two replicas that look one after the other would see the same rows all
            // the same. It would cost a write and a flush for each look that finds something, and
            // hide rows from whoever looks in the same moment. That only one of them gets a row is
            // decided by its version.
            due: format!(
                "SELECT key, version, value, expires_at, due_at FROM {rows}
                WHERE kind = $1 AND due_at <= $2 ORDER BY due_at, key LIMIT $3"
            )
            .into(),
            // Here the lock lasts as long as it is needed: replicas that clean up at the same time
            // take different rows instead of waiting for each other. A row that is skipped is being
            // changed at this moment; if it has still ended after that, the next step finds it.
            // Materialized, so that the limit is applied once.
            expire: format!(
                "WITH ended AS MATERIALIZED (
                    SELECT kind, key FROM {rows} WHERE expires_at <= $1
                    ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED
                ), changed AS (
                    DELETE FROM {rows} AS there USING ended
                    WHERE there.kind = ended.kind AND there.key = ended.key
                    RETURNING there.kind, there.key
                ) {told}"
            )
            .into(),
        }
    }
}

/// A row as parameters `$1` to `$6`.
pub(crate) fn bind(query: Query, row: Row) -> sqlx::Result<Query> {
    let version = number(row.version)?;
    let query = query
        .bind(row.kind)
        .bind(row.key)
        .bind(version)
        .bind(Vec::from(row.value));
    Ok(query
        .bind(row.expires_at.map(time))
        .bind(row.due_at.map(time)))
}

/// A row as it is selected, without its kind.
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

/// A `bigint` ends at `i64::MAX`. As a time that is three hundred million years away, so it stands
/// for all that is later.
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

pub(crate) fn most(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

pub(crate) fn number(version: u64) -> sqlx::Result<i64> {
    i64::try_from(version).map_err(|error| sqlx::Error::Encode(error.into()))
}
