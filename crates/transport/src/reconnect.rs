//! Opens a channel with the first call, and again after it has failed.

use crate::lines::Channel;
use carryall_proto::backoff::Backoff;
use carryall_proto::sync::Mutex;
use carryall_proto::{Call, CallError, Reply};
use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// Pause between attempts, so that a server that cannot start is not started in a tight loop.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10));
/// The end of a channel that was open for this long does not count as a failure.
const STABLE_AFTER: Duration = Duration::from_secs(5);

/// Opens channels.
pub(crate) trait OpenChannel: Send + Sync + 'static {
    /// Opens a channel. Errors are [`CallError::Unreachable`].
    fn open(&self) -> impl Future<Output = Result<Channel, CallError>> + Send;
}

/// The current channel of a client.
pub(crate) struct Reconnecting<O> {
    opener: O,
    current: Mutex<Option<Channel>>,
    /// Locked while a channel is opened, so that only one is.
    attempts: tokio::sync::Mutex<OpenAttempts>,
}

#[derive(Default)]
struct OpenAttempts {
    failures: u32,
    opened: Option<Instant>,
    not_before: Option<Instant>,
}

impl<O: OpenChannel> Reconnecting<O> {
    pub(crate) fn new(opener: O) -> Self {
        Self {
            opener,
            current: Mutex::default(),
            attempts: tokio::sync::Mutex::default(),
        }
    }

    pub(crate) fn opener(&self) -> &O {
        &self.opener
    }

    /// Calls on the current channel. A call whose channel fails is not sent again, because it may
    /// have been executed.
    pub(crate) async fn call(&self, call: Call) -> Result<Reply, CallError> {
        let channel = match self.current() {
            Some(channel) => channel,
            None => self.open().await?,
        };
        channel.call(call).await
    }

    /// Returns the channel, if it is open.
    pub(crate) fn current(&self) -> Option<Channel> {
        let mut current = self.current.lock();
        current.take_if(|channel| channel.failure().is_some());
        current.clone()
    }

    /// Returns the channel, opening it if necessary.
    pub(crate) async fn open(&self) -> Result<Channel, CallError> {
        let mut attempts = self.attempts.lock().await;
        if let Some(channel) = self.current() {
            return Ok(channel);
        }
        if let Some(opened) = attempts.opened.take() {
            attempts.record(opened.elapsed() >= STABLE_AFTER);
        }
        if let Some(time) = attempts.not_before {
            sleep_until(time).await;
        }
        let opened = self.opener.open().await;
        match &opened {
            Ok(channel) => {
                attempts.opened = Some(Instant::now());
                *self.current.lock() = Some(channel.clone());
            }
            Err(_) => attempts.record(false),
        }
        opened
    }
}

impl OpenAttempts {
    fn record(&mut self, success: bool) {
        if success {
            (self.failures, self.not_before) = (0, None);
            return;
        }
        // The first retry is immediate; only repeated failures cause a pause.
        self.not_before = self.failures.checked_sub(1).map(|repeated| {
            let random = RandomState::new().hash_one(repeated);
            Instant::now() + BACKOFF.delay(repeated, random)
        });
        self.failures = self.failures.saturating_add(1);
    }
}
