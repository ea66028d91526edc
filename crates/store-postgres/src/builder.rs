//! How a store is set up.

use crate::change_listener::ChangeListener;
use crate::sql::Sql;
use crate::{Inner, Postgres, schema, within};
use carryall_store::{ChangeListeners, StoreError, StoreResult};
use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A connection that was used a moment ago is taken to be there still; another one is asked first.
const FRESH: Duration = Duration::from_secs(1);

/// Sets up a [`Postgres`].
#[must_use]
pub struct PostgresBuilder {
    url: String,
    schema: String,
    connections: u32,
    patience: Duration,
}

impl PostgresBuilder {
    pub(crate) fn new(url: String) -> Self {
        Self {
            url,
            schema: "carryall".to_owned(),
            connections: 8,
            patience: Duration::from_secs(10),
        }
    }

    /// The schema whose tables hold the rows, `carryall` unless set. It is made if it is not there.
    /// Lower-case letters, digits and underscores, at most 40 of them.
    pub fn schema(mut self, schema: impl Into<String>) -> Self {
        self.schema = schema.into();
        self
    }

    /// How many connections operations share, 8 unless set. One more is there for changes.
    pub fn connections(mut self, connections: u32) -> Self {
        self.connections = connections.max(1);
        self
    }

    /// How long an operation may take, a wait for a connection included, before it fails. 10 s
    /// unless set.
    pub fn timeout(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Connects, makes or renews the tables, and begins to listen. Replicas that start at the same
    /// time wait for each other. Belongs into the tokio runtime that is to use the store.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses, the settings are wrong, the database is not in
    /// UTF-8, or the tables were made by a later version.
    pub async fn connect(self) -> StoreResult<Postgres> {
        let Self {
            url,
            schema,
            connections,
            patience,
        } = self;
        schema::check_name(&schema)?;
        let options = url
            .parse::<PgConnectOptions>()
            .map_err(StoreError::new)?
            .application_name("carryall");
        let pool = PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(patience)
            .test_before_acquire(false)
            .before_acquire(|connection, meta| {
                Box::pin(async move {
                    if meta.idle_for >= FRESH {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            .connect_lazy_with(options.clone());
        within(patience, schema::migrate(&pool, &schema)).await??;
        let channel = format!("carryall.{schema}");
        let sql = Sql::new(&schema, &channel);
        let listeners = ChangeListeners::new();
        let ear = ChangeListener {
            options,
            channel,
            listeners: listeners.clone(),
            patience,
        };
        let listener = within(patience, ear.open()).await?;
        let ear = tokio::spawn(ear.hear(listener)).abort_handle();
        Ok(Postgres(Arc::new(Inner {
            pool,
            sql,
            listeners,
            patience,
            schema,
            ear,
        })))
    }
}

impl fmt::Debug for PostgresBuilder {
    /// Without the URL, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("PostgresBuilder");
        shown
            .field("schema", &self.schema)
            .field("connections", &self.connections)
            .field("patience", &self.patience);
        shown.finish_non_exhaustive()
    }
}
