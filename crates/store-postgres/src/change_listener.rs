//! The connection that hears of changes, for all listeners of a store.

use carryall_store::ChangeListeners;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use std::time::Duration;

/// After so long without a word the connection is asked whether it is there. A connection that a
/// firewall forgot, say, never says that it has ended.
const QUIET: Duration = Duration::from_secs(20);
/// The first wait before another try, and the longest.
const WAITS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

pub(crate) struct ChangeListener {
    pub(crate) options: PgConnectOptions,
    pub(crate) channel: String,
    pub(crate) listeners: ChangeListeners,
    pub(crate) patience: Duration,
}

impl ChangeListener {
    /// A connection that listens. It is not one of the store's pool: one that has gone silent would
    /// keep its place there.
    pub(crate) async fn open(&self) -> sqlx::Result<PgListener> {
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(self.patience)
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

    /// Listens as long as the store is there.
    pub(crate) async fn hear(self, mut listener: PgListener) {
        loop {
            self.pass_on(&mut listener).await;
            drop(listener);
            listener = self.open_again().await;
            // Not before: what happens from now on is heard, and what happened until now is found
            // by looking.
            self.listeners.notify_lagged();
        }
    }

    /// Passes changes on until the connection is lost.
    async fn pass_on(&self, listener: &mut PgListener) {
        loop {
            match tokio::time::timeout(QUIET, listener.try_recv()).await {
                Ok(Ok(Some(notification))) => match parse(notification.payload()) {
                    Some((kind, key)) => self.listeners.notify(kind, key),
                    None => self.listeners.notify_lagged(),
                },
                Ok(Ok(None) | Err(_)) => return,
                Err(_) => {
                    let asked = sqlx::query("SELECT 1").execute(&mut *listener);
                    if !matches!(tokio::time::timeout(self.patience, asked).await, Ok(Ok(_))) {
                        return;
                    }
                }
            }
        }
    }

    async fn open_again(&self) -> PgListener {
        let (mut wait, longest) = WAITS;
        loop {
            if let Ok(Ok(listener)) = tokio::time::timeout(self.patience, self.open()).await {
                return listener;
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(longest);
        }
    }
}

/// Kind and key of a payload, `4:task:the key`. `None` when it does not say which.
fn parse(payload: &str) -> Option<(&str, &str)> {
    let (length, rest) = payload.split_once(':')?;
    let (kind, key) = rest.split_at_checked(length.parse().ok()?)?;
    Some((kind, key.strip_prefix(':')?))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn a_payload_names_kind_and_key_whatever_they_hold() {
        assert_eq!(parse("4:task:1"), Some(("task", "1")));
        assert_eq!(parse("5:a: b::c:d"), Some(("a: b:", "c:d")));
        assert_eq!(parse("0::"), Some(("", "")));
        for unclear in ["", "task", "9:task:1", "x:task:1", "3:task:1", "1:é:1"] {
            assert_eq!(parse(unclear), None, "{unclear}");
        }
    }
}
