//! Listens for changes (`basic/patterns/subscriptions`).

mod background;
mod missing;
mod notifications;
mod open;
mod stream;

pub use background::BackgroundListener;
pub use stream::ChangeStream;

use crate::ClientError;
use crate::core::ScopedCore;
use carryall_proto::BoxFuture;
use carryall_proto::backoff::Backoff;
use carryall_types::SubscriptionFilter;
use std::future::IntoFuture;
use std::time::Duration;
use stream::ListenSettings;

/// A request to open a subscription. Awaiting it resolves to a [`ChangeStream`] once the server has
/// acknowledged it; dropping its future cancels.
///
/// ```no_run
/// # use carryall_client::{Client, ClientError};
/// # use carryall_types::SubscriptionFilter;
/// # async fn example(client: Client) -> Result<(), ClientError> {
/// let filter = SubscriptionFilter::new().with_resource_subscriptions(vec!["notes://1".into()]);
/// let mut changes = client.listen(filter).reopen_after_close().await?;
/// while let Some(change) = changes.next().await {
///     println!("{:?}", change?);
/// }
/// # Ok(())
/// # }
/// ```
#[must_use = "a subscription is opened when it is awaited"]
#[derive(Debug)]
pub struct ListenRequest {
    core: ScopedCore,
    filter: SubscriptionFilter,
    settings: ListenSettings,
}

impl ListenRequest {
    pub(crate) fn new(core: &ScopedCore, filter: SubscriptionFilter) -> Self {
        let settings = ListenSettings {
            backoff: Backoff::new(Duration::from_millis(500), Duration::from_secs(30)),
            max_failures: 20,
            reopen_after_close: false,
            timeout: core.config.timeout,
        };
        Self {
            core: core.clone(),
            filter,
            settings,
        }
    }

    /// Opens a new subscription when the server closes one gracefully. By default the stream of
    /// changes ends then.
    pub fn reopen_after_close(mut self) -> Self {
        self.settings.reopen_after_close = true;
        self
    }

    /// Sets how many consecutive failures are tolerated. Default: 20. With 0, a broken connection
    /// ends the subscription.
    pub fn max_failures(mut self, failures: u32) -> Self {
        self.settings.max_failures = failures;
        self
    }

    /// Sets the delays before opening again, which double from `base` up to `max`, with jitter.
    /// Default: 500 ms and 30 s.
    pub fn backoff(mut self, base: Duration, max: Duration) -> Self {
        self.settings.backoff = Backoff::new(base, max);
        self
    }

    /// Sets how long the server may take to acknowledge. Default: the client's timeout.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.settings.timeout = timeout;
        self
    }
}

impl IntoFuture for ListenRequest {
    type Output = Result<ChangeStream, ClientError>;
    type IntoFuture = BoxFuture<Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(ChangeStream::open(self.core, self.filter, self.settings))
    }
}
