//! The tables, and how they come to be.

use carryall_store::{StoreError, StoreResult};
use sqlx::{AssertSqlSafe, PgPool};

/// What leads from one version to the next, the first from nothing. Steps are added, never changed.
/// `{schema}` stands for the schema.
///
/// Keys are compared by their bytes, so that rows due at the same time have the same order in every
/// database.
const STEPS: [&str; 1] = [r#"
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

/// One lock for all schemas: they are made seldom. "carryall" as a number.
const LOCK: i64 = i64::from_be_bytes(*b"carryall");

/// The longest name of a schema. Its channel, which is named after it, has to stay below 64 bytes.
const LONGEST: usize = 40;

/// The name becomes a part of statements, so it is held to what needs no quoting anywhere.
pub(crate) fn check_name(schema: &str) -> StoreResult<()> {
    let plain = schema
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if plain && !schema.is_empty() && schema.len() <= LONGEST {
        return Ok(());
    }
    let rule = "use at most 40 lower-case letters, digits and underscores";
    Err(StoreError::new(format!(
        "{schema:?} cannot be the name of the schema: {rule}"
    )))
}

/// Brings the tables to the version of this program, in one transaction. The outer error is the
/// database's, the inner one says that this database is not for us.
///
/// A role that may not make schemas or tables can connect to one where they are up to date.
pub(crate) async fn migrate(pool: &PgPool, schema: &str) -> sqlx::Result<StoreResult<()>> {
    let mut transaction = pool.begin().await?;
    // Held until the end of the transaction, whichever it is.
    sqlx::query("SELECT pg_advisory_xact_lock($1)")
        .bind(LOCK)
        .execute(&mut *transaction)
        .await?;
    let encoding: String = sqlx::query_scalar("SELECT getdatabaseencoding()::text")
        .fetch_one(&mut *transaction)
        .await?;
    if encoding != "UTF8" {
        return Ok(Err(StoreError::new(format!(
            "the database is in {encoding}, and has to be in UTF8"
        ))));
    }
    let there = "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)";
    if !sqlx::query_scalar::<_, bool>(there)
        .bind(schema)
        .fetch_one(&mut *transaction)
        .await?
    {
        sqlx::raw_sql(AssertSqlSafe(format!(r#"CREATE SCHEMA "{schema}""#)))
            .execute(&mut *transaction)
            .await?;
    }
    let table = format!(r#""{schema}".schema_version"#);
    let there = "SELECT to_regclass($1) IS NOT NULL";
    if !sqlx::query_scalar::<_, bool>(there)
        .bind(&table)
        .fetch_one(&mut *transaction)
        .await?
    {
        let make = format!(
            "CREATE TABLE {table} (version integer NOT NULL); INSERT INTO {table} VALUES (0)"
        );
        sqlx::raw_sql(AssertSqlSafe(make))
            .execute(&mut *transaction)
            .await?;
    }
    let version = AssertSqlSafe(format!("SELECT version FROM {table}"));
    let version: i32 = sqlx::query_scalar(version)
        .fetch_one(&mut *transaction)
        .await?;
    let done = usize::try_from(version).unwrap_or(0);
    if done > STEPS.len() {
        let known = STEPS.len();
        let why =
            format!("the schema {schema} is of version {version}, this program knows {known}");
        return Ok(Err(StoreError::new(why)));
    }
    for step in &STEPS[done..] {
        let step = AssertSqlSafe(step.replace("{schema}", schema));
        sqlx::raw_sql(step).execute(&mut *transaction).await?;
    }
    if done < STEPS.len() {
        let now = AssertSqlSafe(format!("UPDATE {table} SET version = {}", STEPS.len()));
        sqlx::raw_sql(now).execute(&mut *transaction).await?;
    }
    transaction.commit().await?;
    Ok(Ok(()))
}

#[cfg(test)]
mod tests {
    use super::check_name;

    #[test]
    fn names_that_would_need_quotes_are_refused() {
        assert!(check_name("carryall_2").is_ok());
        for name in ["", "Carryall", "a\"b", "a b", "a.b", "é", &"a".repeat(41)] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }
}
