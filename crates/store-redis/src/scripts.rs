//! The store's operations as Lua scripts, which the server runs atomically.
//!
//! A row is a hash with [`FIELDS`]: the version and the times as text, with an empty text for
//! never. Two kinds of sorted sets index it: one set per kind by `due_at`, whose members are keys,
//! and one set by `expires_at`, whose members are [row names](crate::row_name). Versions are
//! compared as text, which is exact. Times are doubles in Lua and in sorted sets, which are exact
//! up to 2^53 milliseconds, for the next 285,000 years.

use carryall_store::{Row, StoreError, StoreResult};
use redis::Script;
use std::sync::LazyLock;

/// The fields of a row's hash.
pub(crate) const FIELDS: [&str; 4] = ["version", "value", "expires_at", "due_at"];

/// The [`FIELDS`] of a row; all `None` if there is no such row.
pub(crate) type FetchedRow = (Option<u64>, Option<Vec<u8>>, Option<String>, Option<String>);

/// Inserts a row, unless there is one that has not expired.
///
/// KEYS: row, due, expiries. ARGV: channel, name, key, version, value, expires_at, due_at, now.
pub(crate) static INSERT: LazyLock<Script> = LazyLock::new(|| {
    write_script(
        "local expires_at = redis.call('HGET', KEYS[1], 'expires_at')
        if expires_at and (expires_at == '' or tonumber(expires_at) > tonumber(ARGV[8])) then return 0 end",
    )
});

/// Replaces a row, if it has the version to replace.
///
/// KEYS and ARGV: as for [`INSERT`], with the version to replace instead of now.
pub(crate) static REPLACE: LazyLock<Script> = LazyLock::new(|| {
    write_script("if redis.call('HGET', KEYS[1], 'version') ~= ARGV[8] then return 0 end")
});

/// Returns a script that writes a row and publishes the change, unless `guard` returns first. KEYS
/// and ARGV are those of [`INSERT`].
fn write_script(guard: &str) -> Script {
    let write = "
        redis.call('HSET', KEYS[1], 'version', ARGV[4], 'value', ARGV[5], 'expires_at', ARGV[6], 'due_at', ARGV[7])
        if ARGV[6] == '' then redis.call('ZREM', KEYS[3], ARGV[2]) else redis.call('ZADD', KEYS[3], ARGV[6], ARGV[2]) end
        if ARGV[7] == '' then redis.call('ZREM', KEYS[2], ARGV[3]) else redis.call('ZADD', KEYS[2], ARGV[7], ARGV[3]) end
        redis.call('PUBLISH', ARGV[1], ARGV[2])
        return 1";
    Script::new(&format!("{guard}{write}"))
}

/// Sets `due_at` and the next version, if the row has this version. Publishes nothing.
///
/// KEYS: row, due. ARGV: key, version, next version, due_at.
pub(crate) static RESCHEDULE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "if redis.call('HGET', KEYS[1], 'version') ~= ARGV[2] then return 0 end
        redis.call('HSET', KEYS[1], 'version', ARGV[3], 'due_at', ARGV[4])
        if ARGV[4] == '' then redis.call('ZREM', KEYS[2], ARGV[1]) else redis.call('ZADD', KEYS[2], ARGV[4], ARGV[1]) end
        return 1",
    )
});

/// Removes a row, if it has this version.
///
/// KEYS: row, due, expiries. ARGV: channel, name, key, version.
pub(crate) static REMOVE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "if redis.call('HGET', KEYS[1], 'version') ~= ARGV[4] then return 0 end
        redis.call('DEL', KEYS[1])
        redis.call('ZREM', KEYS[2], ARGV[3])
        redis.call('ZREM', KEYS[3], ARGV[2])
        redis.call('PUBLISH', ARGV[1], ARGV[2])
        return 1",
    )
});

/// Returns rows that are due, as keys and [`FIELDS`].
///
/// Removes keys without a row from the index, which only an eviction leaves behind. Otherwise every
/// call would find them again, and they could use up the limit.
///
/// KEYS: due. ARGV: prefix of the row keys of this kind, now, limit.
pub(crate) static DUE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local rows = {}
        for _, key in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[2], 'LIMIT', 0, ARGV[3])) do
            local row = redis.call('HMGET', ARGV[1] .. key, 'version', 'value', 'expires_at', 'due_at')
            if row[1] then rows[#rows + 1] = {key, row} else redis.call('ZREM', KEYS[1], key) end
        end
        return rows",
    )
});

/// Removes expired rows. Returns their number.
///
/// KEYS: expiries. ARGV: channel, prefix of the store, now, limit.
pub(crate) static EXPIRE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local names = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[3], 'LIMIT', 0, ARGV[4])
        for _, name in ipairs(names) do
            local colon = string.find(name, ':', 1, true)
            local length = tonumber(string.sub(name, 1, colon - 1))
            local kind = string.sub(name, colon + 1, colon + length)
            redis.call('DEL', ARGV[2] .. ':row:' .. name)
            redis.call('ZREM', ARGV[2] .. ':due:' .. kind, string.sub(name, colon + length + 2))
            redis.call('ZREM', KEYS[1], name)
            redis.call('PUBLISH', ARGV[1], name)
        end
        return #names",
    )
});

/// Formats a time for a script; never is the empty text.
pub(crate) fn format_time(at: Option<u64>) -> String {
    at.map(|at| at.to_string()).unwrap_or_default()
}

fn parse_time(text: Option<String>) -> StoreResult<Option<u64>> {
    text.filter(|text| !text.is_empty())
        .map(|text| text.parse().map_err(StoreError::new))
        .transpose()
}

/// Decodes the fields of a row. Returns `None` if there is no such row.
pub(crate) fn decode_row(
    kind: &'static str,
    key: String,
    found: FetchedRow,
) -> StoreResult<Option<Row>> {
    let (Some(version), Some(value), expires_at, due_at) = found else {
        return Ok(None);
    };
    let (expires_at, due_at) = (parse_time(expires_at)?, parse_time(due_at)?);
    Ok(Some(Row {
        kind,
        key,
        version,
        value: value.into(),
        expires_at,
        due_at,
    }))
}

pub(crate) fn limit_to_i64(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
