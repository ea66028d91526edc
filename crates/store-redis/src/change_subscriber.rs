//! The connection that receives changes for all listeners of a store.

use crate::parse_row_name;
use carryall_store::ChangeListeners;
use futures_util::StreamExt as _;
use redis::aio::PubSub;
use redis::{Client, RedisResult};
use std::time::Duration;

/// The connection is probed after this long without a message. A connection that a firewall has
/// dropped, for example, reports no error by itself.
const PROBE_INTERVAL: Duration = Duration::from_secs(20);
/// The first and the longest delay between attempts to reconnect.
const RECONNECT_DELAY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

pub(crate) struct ChangeSubscriber {
    pub(crate) client: Client,
    pub(crate) channel: String,
    pub(crate) listeners: ChangeListeners,
    pub(crate) timeout: Duration,
}

impl ChangeSubscriber {
    /// Opens a connection and subscribes.
    pub(crate) async fn subscribe(&self) -> RedisResult<PubSub> {
        let mut subscription = self.client.get_async_pubsub().await?;
        subscription.subscribe(&self.channel).await?;
        Ok(subscription)
    }

    /// Receives changes until the task is aborted.
    pub(crate) async fn run(self, mut subscription: PubSub) {
        loop {
            self.forward(subscription).await;
            subscription = self.resubscribe().await;
            // Only now, so that a listener that then reads all rows misses no later change.
            self.listeners.notify_lagged();
        }
    }

    /// Forwards changes to the listeners until the connection is lost.
    async fn forward(&self, subscription: PubSub) {
        let (mut sink, mut messages) = subscription.split();
        loop {
            match tokio::time::timeout(PROBE_INTERVAL, messages.next()).await {
                Ok(Some(message)) => match std::str::from_utf8(message.get_payload_bytes())
                    .ok()
                    .and_then(parse_row_name)
                {
                    Some((kind, key)) => self.listeners.notify(kind, key),
                    None => self.listeners.notify_lagged(),
                },
                Ok(None) => return,
                Err(_) => {
                    let probe = tokio::time::timeout(self.timeout, sink.ping::<redis::Value>());
                    if !matches!(probe.await, Ok(Ok(_))) {
                        return;
                    }
                }
            }
        }
    }

    async fn resubscribe(&self) -> PubSub {
        let (mut delay, longest) = RECONNECT_DELAY;
        loop {
            if let Ok(Ok(subscription)) = tokio::time::timeout(self.timeout, self.subscribe()).await
            {
                return subscription;
            }
            tokio::time::sleep(delay).await;
            delay = (delay * 2).min(longest);
        }
    }
}
