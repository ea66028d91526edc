//! The tables and their migrations.

use carryall_store::{StoreError, StoreResult};
use sqlx::{AssertSqlSafe, PgPool};

/// The migrations from each version to the next. Migrations are added, never changed. `{schema}` is
/// replaced by the schema name.
///
/// The collation `C` compares keys by their bytes, so that rows due at the same time have the same
/// order in every database.
const MIGRATIONS: [&str; 1] = [r#"
    CREATE TABLE "{schema}".rows (
        kind text COLLATE "C" NOT NULL,
        key text COLLATE "C" NOT NULL,
        version bigint NOT NULL,
        value bytea NOT NULL,
        expires_at bigint,
        due_at bigint,
        PRIMARY KEY (kind, key)
    );
    CREATE INDEX rows_due ON "{schema}".rows (kind, due_at, key) WHERE due_at IS NOT NULL;
    CREATE INDEX rows_ends ON "{schema}".rows (expires_at) WHERE expires_at IS NOT NULL;
"#];

/// The advisory lock for migrations of all schemas: "carryall" as a number.
const LOCK: i64 = i64::from_be_bytes(*b"carryall");

/// The maximum length of a schema name. The channel is named after it, and channel names are
/// shorter than 64 bytes.
const MAX_NAME: usize = 40;

/// Checks that a schema name needs no quoting, since it becomes part of statements.
pub(crate) fn check_name(schema: &str) -> StoreResult<()> {
    let plain = schema
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if plain && !schema.is_empty() && schema.len() <= MAX_NAME {
        return Ok(());
    }
    let rule = "use at most 40 lower-case letters, digits and underscores";
    Err(StoreError::new(format!(
        "{schema:?} is not a valid schema name: {rule}"
    )))
}

/// Migrates the tables to the current version, in one transaction. The outer error is one of the
/// database; the inner one says that the database cannot be used.
///
/// A role without the privilege to create schemas or tables can connect if they are up to date.
pub(crate) async fn migrate(pool: &PgPool, schema: &str) -> sqlx::Result<StoreResult<()>> {
    let mut transaction = pool.begin().await?;
    // Held until the transaction commits or rolls back.
    sqlx::query("SELECT pg_advisory_xact_lock($1)")
        .bind(LOCK)
        .execute(&mut *transaction)
        .await?;
    let encoding: String = sqlx::query_scalar("SELECT getdatabaseencoding()::text")
        .fetch_one(&mut *transaction)
        .await?;
    if encoding != "UTF8" {
        return Ok(Err(StoreError::new(format!(
            "the encoding of the database is {encoding}, not UTF8"
        ))));
    }
    let exists = "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)";
    if !sqlx::query_scalar::<_, bool>(exists)
        .bind(schema)
        .fetch_one(&mut *transaction)
        .await?
    {
        sqlx::raw_sql(AssertSqlSafe(format!(r#"CREATE SCHEMA "{schema}""#)))
            .execute(&mut *transaction)
            .await?;
    }
    let table = format!(r#""{schema}".schema_version"#);
    let exists = "SELECT to_regclass($1) IS NOT NULL";
    if !sqlx::query_scalar::<_, bool>(exists)
        .bind(&table)
        .fetch_one(&mut *transaction)
        .await?
    {
        let create = format!(
            "CREATE TABLE {table} (version integer NOT NULL); INSERT INTO {table} VALUES (0)"
        );
        sqlx::raw_sql(AssertSqlSafe(create))
            .execute(&mut *transaction)
            .await?;
    }
    let version = AssertSqlSafe(format!("SELECT version FROM {table}"));
    let version: i32 = sqlx::query_scalar(version)
        .fetch_one(&mut *transaction)
        .await?;
    let done = usize::try_from(version).unwrap_or(0);
    if done > MIGRATIONS.len() {
        return Ok(Err(StoreError::new(format!(
            "the schema {schema} has version {version}, but this program supports {}",
            MIGRATIONS.len()
        ))));
    }
    for migration in &MIGRATIONS[done..] {
        let migration = AssertSqlSafe(migration.replace("{schema}", schema));
        sqlx::raw_sql(migration).execute(&mut *transaction).await?;
    }
    if done < MIGRATIONS.len() {
        let update = AssertSqlSafe(format!("UPDATE {table} SET version = {}", MIGRATIONS.len()));
        sqlx::raw_sql(update).execute(&mut *transaction).await?;
    }
    transaction.commit().await?;
    Ok(Ok(()))
}

#[cfg(test)]
mod tests {
    use super::check_name;

    #[test]
    fn names_that_need_quoting_are_rejected() {
        assert!(check_name("carryall_2").is_ok());
        for name in ["", "Carryall", "a\"b", "a b", "a.b", "é", &"a".repeat(41)] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }
}
