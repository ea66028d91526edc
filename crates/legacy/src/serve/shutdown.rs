//! The signal that the server is shutting down.

use std::sync::Arc;
use tokio::sync::watch;

/// The shutdown signal of one server. Cheap to clone; clones are one signal.
#[derive(Clone, Debug)]
pub(crate) struct Shutdown(Arc<watch::Sender<bool>>);

impl Default for Shutdown {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }
}

impl Shutdown {
    /// Begins the shutdown, for good.
    pub(crate) fn begin(&self) {
        self.0.send_replace(true);
    }

    pub(crate) fn has_begun(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until the shutdown has begun. Cancel safe.
    pub(crate) fn begun(&self) -> impl Future<Output = ()> + Send + use<> {
        let signal = self.clone();
        async move {
            // The sender is in `signal`, so the channel stays open.
            let _ = signal.0.subscribe().wait_for(|begun| *begun).await;
        }
    }
}
