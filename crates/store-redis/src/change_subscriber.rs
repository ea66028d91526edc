//! The connection that hears of changes, for all listeners of a store.

use crate::parts;
use carryall_store::ChangeListeners;
use futures_util::StreamExt as _;
use redis::aio::PubSub;
use redis::{Client, RedisResult};
use std::time::Duration;

/// After so long without a word the connection is asked whether it is there. A connection that a
/// firewall forgot, say, never says that it has ended.
const QUIET: Duration = Duration::from_secs(20);
/// The first wait before another try, and the longest.
const WAITS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

pub(crate) struct ChangeSubscriber {
    pub(crate) client: Client,
    pub(crate) channel: String,
    pub(crate) listeners: ChangeListeners,
    pub(crate) patience: Duration,
}

impl ChangeSubscriber {
    /// A connection that has subscribed.
    pub(crate) async fn open(&self) -> RedisResult<PubSub> {
        let mut subscribed = self.client.get_async_pubsub().await?;
        subscribed.subscribe(&self.channel).await?;
        Ok(subscribed)
    }

    /// Listens as long as the store is there.
    pub(crate) async fn hear(self, mut subscribed: PubSub) {
        loop {
            self.pass_on(subscribed).await;
            subscribed = self.open_again().await;
            // Not before: what happens from now on is heard, and what happened until now is found
            // by looking.
            self.listeners.notify_lagged();
        }
    }

    /// Passes changes on until the connection is lost.
    async fn pass_on(&self, subscribed: PubSub) {
        let (mut sink, mut messages) = subscribed.split();
        loop {
            match tokio::time::timeout(QUIET, messages.next()).await {
                Ok(Some(message)) => match std::str::from_utf8(message.get_payload_bytes())
                    .ok()
                    .and_then(parts)
                {
                    Some((kind, key)) => self.listeners.notify(kind, key),
                    None => self.listeners.notify_lagged(),
                },
                Ok(None) => return,
                Err(_) => {
                    let asked = tokio::time::timeout(self.patience, sink.ping::<redis::Value>());
                    if !matches!(asked.await, Ok(Ok(_))) {
                        return;
                    }
                }
            }
        }
    }

    async fn open_again(&self) -> PubSub {
        let (mut wait, longest) = WAITS;
        loop {
            if let Ok(Ok(subscribed)) = tokio::time::timeout(self.patience, self.open()).await {
                return subscribed;
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(longest);
        }
    }
}
