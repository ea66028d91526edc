//! The builder of a store.

use crate::change_subscriber::ChangeSubscriber;
use crate::connection::{RedisConnection, within};
use crate::{Inner, KeyNames, Redis};
use carryall_store::{ChangeListeners, StoreError, StoreResult};
use redis::Client;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Builds a [`Redis`] store.
#[must_use]
pub struct RedisBuilder {
    url: String,
    prefix: String,
    timeout: Duration,
}

impl RedisBuilder {
    pub(crate) fn new(url: String) -> Self {
        Self {
            url,
            prefix: "carryall".to_owned(),
            timeout: Duration::from_secs(10),
        }
    }

    /// Sets the prefix of the store's keys and channel; a colon follows it. The default is
    /// `carryall`.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Sets the timeout of an operation, including the wait for a connection. The default is 10 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Connects, and spawns the task that receives changes. It ends when the last clone of the
    /// store is dropped.
    ///
    /// Call it on the tokio runtime that uses the store.
    ///
    /// # Errors
    /// When the URL is malformed, or the server cannot be reached or rejects the connection.
    pub async fn connect(self) -> StoreResult<Redis> {
        let Self {
            url,
            prefix,
            timeout,
        } = self;
        let client = Client::open(url).map_err(StoreError::new)?;
        let names = KeyNames::new(prefix);
        let connection = RedisConnection::new(client.clone(), timeout)?;
        let listeners = ChangeListeners::new();
        let subscriber = ChangeSubscriber {
            client,
            channel: names.channel.clone(),
            listeners: listeners.clone(),
            timeout,
        };
        let subscription = within(timeout, subscriber.subscribe()).await?;
        connection.query::<String>(&redis::cmd("PING")).await?;
        let subscriber_task = tokio::spawn(subscriber.run(subscription)).abort_handle();
        Ok(Redis(Arc::new(Inner {
            connection,
            names,
            listeners,
            subscriber_task,
        })))
    }
}

impl fmt::Debug for RedisBuilder {
    /// Omits the URL, which may contain a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisBuilder")
            .field("prefix", &self.prefix)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}
