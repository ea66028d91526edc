//! Listening in a task of its own.

/// A listener in a task of its own. Dropping it ends the task and cancels the subscription.
#[derive(Debug)]
#[must_use = "dropping it ends the subscription"]
pub struct BackgroundListener(tokio::task::JoinHandle<()>);

impl BackgroundListener {
    pub(super) fn new(listening: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(listening))
    }

    /// Waits until the subscription has ended.
    pub async fn ended(mut self) {
        // A callback that panicked has ended it too, and was reported by the panic itself.
        let _ = (&mut self.0).await;
    }
}

impl Drop for BackgroundListener {
    fn drop(&mut self) {
        self.0.abort();
    }
}
