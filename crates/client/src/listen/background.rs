//! Listening in a background task.

/// A [`ChangeStream`](crate::ChangeStream) that is read by a task of its own. Dropping it aborts
/// that task and cancels the subscription.
#[derive(Debug)]
#[must_use = "dropping it ends the subscription"]
pub struct BackgroundListener(tokio::task::JoinHandle<()>);

impl BackgroundListener {
    pub(super) fn spawn(listen: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(listen))
    }

    /// Waits until the subscription has ended.
    pub async fn ended(mut self) {
        // A panicking callback ends the subscription too; the panic was reported by the runtime.
        let _ = (&mut self.0).await;
    }
}

impl Drop for BackgroundListener {
    fn drop(&mut self) {
        self.0.abort();
    }
}
