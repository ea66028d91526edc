//! The builder of a store.

use crate::change_listener::ChangeListener;
use crate::sql::Statements;
use crate::{Inner, Postgres, schema, within};
use carryall_store::{ChangeListeners, StoreError, StoreResult};
use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A pooled connection that was idle for at least this long is pinged before use.
const PING_AFTER_IDLE: Duration = Duration::from_secs(1);

/// Builds a [`Postgres`] store.
#[must_use]
pub struct PostgresBuilder {
    url: String,
    schema: String,
    connections: u32,
    timeout: Duration,
}

impl PostgresBuilder {
    pub(crate) fn new(url: String) -> Self {
        Self {
            url,
            schema: "carryall".to_owned(),
            connections: 8,
            timeout: Duration::from_secs(10),
        }
    }

    /// Sets the database schema that holds the tables. The default is `carryall`. A missing schema
    /// is created.
    ///
    /// The name consists of at most 40 lower-case letters, digits and underscores; anything else is
    /// an error of [`connect`](Self::connect).
    pub fn schema(mut self, schema: impl Into<String>) -> Self {
        self.schema = schema.into();
        self
    }

    /// Sets the maximum number of pooled connections. The default is 8, the minimum 1. One more
    /// connection receives changes.
    pub fn connections(mut self, connections: u32) -> Self {
        self.connections = connections.max(1);
        self
    }

    /// Sets the timeout of an operation, including the wait for a connection. The default is 10 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Connects, creates or migrates the tables, and spawns the task that receives changes. It ends
    /// when the last clone of the store is dropped. Replicas that start at the same time wait for
    /// each other.
    ///
    /// Call it on the tokio runtime that uses the store.
    ///
    /// # Errors
    /// When the server cannot be reached or rejects the connection, a setting is invalid, the
    /// encoding of the database is not UTF-8, or the tables were created by a later version.
    pub async fn connect(self) -> StoreResult<Postgres> {
        let Self {
            url,
            schema,
            connections,
            timeout,
        } = self;
        schema::check_name(&schema)?;
        let options = url
            .parse::<PgConnectOptions>()
            .map_err(StoreError::new)?
            .application_name("carryall");
        let pool = PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(timeout)
            .test_before_acquire(false)
            .before_acquire(|connection, meta| {
                Box::pin(async move {
                    if meta.idle_for >= PING_AFTER_IDLE {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            .connect_lazy_with(options.clone());
        within(timeout, schema::migrate(&pool, &schema)).await??;
        let channel = format!("carryall.{schema}");
        let statements = Statements::new(&schema, &channel);
        let listeners = ChangeListeners::new();
        let change_listener = ChangeListener {
            options,
            channel,
            listeners: listeners.clone(),
            timeout,
        };
        let connection = within(timeout, change_listener.connect()).await?;
        let listener_task = tokio::spawn(change_listener.run(connection)).abort_handle();
        Ok(Postgres(Arc::new(Inner {
            pool,
            statements,
            listeners,
            timeout,
            schema,
            listener_task,
        })))
    }
}

impl fmt::Debug for PostgresBuilder {
    /// Omits the URL, which may contain a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresBuilder")
            .field("schema", &self.schema)
            .field("connections", &self.connections)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}
