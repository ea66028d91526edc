//! The connection that receives changes for all listeners of a store.

use carryall_store::ChangeListeners;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use std::time::Duration;

/// The connection is probed after this time without a notification, since a connection that a
/// firewall has dropped, for example, reports no error.
const PROBE_INTERVAL: Duration = Duration::from_secs(20);
/// The delay after the first failed attempt to reconnect. It doubles with each further one.
const MIN_RECONNECT_DELAY: Duration = Duration::from_millis(100);
/// The maximum delay between attempts to reconnect.
const MAX_RECONNECT_DELAY: Duration = Duration::from_secs(5);

/// The settings of the listening connection, to reconnect with.
pub(crate) struct ChangeListener {
    pub(crate) options: PgConnectOptions,
    pub(crate) channel: String,
    pub(crate) listeners: ChangeListeners,
    pub(crate) timeout: Duration,
}

impl ChangeListener {
    /// Opens a connection and executes `LISTEN`. The connection is not taken from the store's pool,
    /// where it would occupy a slot even when it is dead.
    pub(crate) async fn connect(&self) -> sqlx::Result<PgListener> {
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(self.timeout)
            .max_lifetime(None)
            .idle_timeout(None)
            .connect_with(self.options.clone())
            .await?;
        let mut listener = PgListener::connect_with(&pool).await?;
        // `run` reconnects, so that it can report the lost changes.
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
            // After `LISTEN`: a listener that reads all rows now misses no later change.
            self.listeners.notify_lagged();
        }
    }

    /// Forwards changes to the listeners until the connection is lost.
    async fn forward(&self, listener: &mut PgListener) {
        loop {
            match tokio::time::timeout(PROBE_INTERVAL, listener.try_recv()).await {
                Ok(Ok(Some(notification))) => match parse_payload(notification.payload()) {
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
        let mut delay = MIN_RECONNECT_DELAY;
        loop {
            if let Ok(Ok(listener)) = tokio::time::timeout(self.timeout, self.connect()).await {
                return listener;
            }
            tokio::time::sleep(delay).await;
            delay = (delay * 2).min(MAX_RECONNECT_DELAY);
        }
    }
}

/// Parses the kind and key of a payload such as `4:task:the key`, where 4 is the length of the
/// kind. Returns `None` if the payload names no row.
fn parse_payload(payload: &str) -> Option<(&str, &str)> {
    let (length, rest) = payload.split_once(':')?;
    let (kind, key) = rest.split_at_checked(length.parse().ok()?)?;
    Some((kind, key.strip_prefix(':')?))
}

#[cfg(test)]
mod tests {
    use super::parse_payload;

    #[test]
    fn a_payload_can_contain_any_kind_and_key() {
        assert_eq!(parse_payload("4:task:1"), Some(("task", "1")));
        assert_eq!(parse_payload("5:a: b::c:d"), Some(("a: b:", "c:d")));
        assert_eq!(parse_payload("0::"), Some(("", "")));
        for malformed in ["", "task", "9:task:1", "x:task:1", "3:task:1", "1:é:1"] {
            assert_eq!(parse_payload(malformed), None, "{malformed}");
        }
    }
}
