//! How a store is set up.

use crate::change_subscriber::ChangeSubscriber;
use crate::connection::{RedisConnection, within};
use crate::{Inner, Names, Redis};
use carryall_store::{ChangeListeners, StoreError, StoreResult};
use redis::Client;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Sets up a [`Redis`].
#[must_use]
pub struct RedisBuilder {
    url: String,
    prefix: String,
    patience: Duration,
}

impl RedisBuilder {
    pub(crate) fn new(url: String) -> Self {
        Self {
            url,
            prefix: "carryall".to_owned(),
            patience: Duration::from_secs(10),
        }
    }

    /// What all keys of the store begin with, and its channel, followed by a colon. `carryall`
    /// unless set.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// How long an operation may take, a wait for a connection included, before it fails. 10 s
    /// unless set.
    pub fn timeout(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Connects and begins to listen. Belongs into the tokio runtime that is to use the store.
    ///
    /// # Errors
    /// When the URL is not one of Redis, or the server cannot be reached or refuses.
    pub async fn connect(self) -> StoreResult<Redis> {
        let Self {
            url,
            prefix,
            patience,
        } = self;
        let client = Client::open(url).map_err(StoreError::new)?;
        let names = Names::new(prefix);
        let link = RedisConnection::new(client.clone(), patience)?;
        let listeners = ChangeListeners::new();
        let ear = ChangeSubscriber {
            client,
            channel: names.channel.clone(),
            listeners: listeners.clone(),
            patience,
        };
        let subscribed = within(patience, ear.open()).await?;
        link.ask::<String>(&redis::cmd("PING")).await?;
        let ear = tokio::spawn(ear.hear(subscribed)).abort_handle();
        Ok(Redis(Arc::new(Inner {
            link,
            names,
            listeners,
            ear,
        })))
    }
}

impl fmt::Debug for RedisBuilder {
    /// Without the URL, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("RedisBuilder");
        shown
            .field("prefix", &self.prefix)
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}
