//! The connection that receives changes for all listeners of a store.

use carryall_store::ChangeListeners;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use std::time::Duration;

/// The connection is probed after this long without a notification. A connection that a firewall
/// has dropped, for example, reports no error by itself.
const PROBE_INTERVAL: Duration = Duration::from_secs(20);
/// The first and the longest delay between attempts to reconnect.
const RECONNECT_DELAY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

pub(crate) struct ChangeListener {
    pub(crate) options: PgConnectOptions,
    pub(crate) channel: String,
    pub(crate) listeners: ChangeListeners,
    pub(crate) timeout: Duration,
}

impl ChangeListener {
    /// Opens a connection and starts to listen. It is not taken from the store's pool, where a dead
    /// connection would keep its slot.
    pub(crate) async fn connect(&self) -> sqlx::Result<PgListener> {
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(self.timeout)
            .max_lifetime(None);
        let pool = pool
            .idle_timeout(None)
            .connect_with(self.options.clone())
            .await?;
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.eager_reconnect(false);
        listener.listen(&self.channel).await?;
        Ok(listener)
    }

    /// Receives changes until the task is aborted.
    pub(crate) async fn run(self, mut listener: PgListener) {
        loop {
            self.forward(&mut listener).await;
            drop(listener);
            listener = self.reconnect().await;
            // Only now, so that a listener that then reads all rows misses no later change.
            self.listeners.notify_lagged();
        }
    }

    /// Forwards changes to the listeners until the connection is lost.
    async fn forward(&self, listener: &mut PgListener) {
        loop {
            match tokio::time::timeout(PROBE_INTERVAL, listener.try_recv()).await {
                Ok(Ok(Some(notification))) => match parse(notification.payload()) {
                    Some((kind, key)) => self.listeners.notify(kind, key),
                    None => self.listeners.notify_lagged(),
                },
                Ok(Ok(None) | Err(_)) => return,
                Err(_) => {
                    let probe = sqlx::query("SELECT 1").execute(&mut *listener);
                    if !matches!(tokio::time::timeout(self.timeout, probe).await, Ok(Ok(_))) {
                        return;
                    }
                }
            }
        }
    }

    async fn reconnect(&self) -> PgListener {
        let (mut delay, longest) = RECONNECT_DELAY;
        loop {
            if let Ok(Ok(listener)) = tokio::time::timeout(self.timeout, self.connect()).await {
                return listener;
            }
            tokio::time::sleep(delay).await;
            delay = (delay * 2).min(longest);
        }
    }
}

/// Parses the kind and key of a payload such as `4:task:the key`; `None` if it names no row.
fn parse(payload: &str) -> Option<(&str, &str)> {
    let (length, rest) = payload.split_once(':')?;
    let (kind, key) = rest.split_at_checked(length.parse().ok()?)?;
    Some((kind, key.strip_prefix(':')?))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn a_payload_can_contain_any_kind_and_key() {
        assert_eq!(parse("4:task:1"), Some(("task", "1")));
        assert_eq!(parse("5:a: b::c:d"), Some(("a: b:", "c:d")));
        assert_eq!(parse("0::"), Some(("", "")));
        for malformed in ["", "task", "9:task:1", "x:task:1", "3:task:1", "1:é:1"] {
            assert_eq!(parse(malformed), None, "{malformed}");
        }
    }
}
