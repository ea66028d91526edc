//! Ctrl-C and SIGTERM for a server: the first one drains, the second one stops at once.

use crate::signals;
use tokio::sync::watch;

/// Counts shutdown signals. Clones see the same count.
#[derive(Clone)]
pub(super) struct ShutdownSignals(watch::Receiver<u32>);

impl ShutdownSignals {
    /// Starts to count the signals of this process, in a task of its own.
    pub(super) fn listen() -> Self {
        let (count, received) = watch::channel(0);
        tokio::spawn(async move {
            loop {
                signals::shutdown_requested().await;
                count.send_modify(|count| *count += 1);
            }
        });
        Self(received)
    }

    /// Whether a signal has arrived.
    pub(super) fn is_requested(&self) -> bool {
        *self.0.borrow() > 0
    }

    /// Waits for the first signal.
    pub(super) async fn requested(self) {
        self.received(1).await;
    }

    /// Waits for the second signal.
    pub(super) async fn forced(self) {
        self.received(2).await;
    }

    async fn received(mut self, signals: u32) {
        if self.0.wait_for(|count| *count >= signals).await.is_err() {
            std::future::pending().await
        }
    }

    /// Returns a shutdown that a test requests by sending the number of signals.
    #[cfg(test)]
    pub(super) fn for_test() -> (watch::Sender<u32>, Self) {
        let (count, received) = watch::channel(0);
        (count, Self(received))
    }
}
