//! A channel that is opened when it is needed, and again when it was lost.

use crate::lines::Channel;
use carryall_proto::backoff::Backoff;
use carryall_proto::sync::Mutex;
use carryall_proto::{Call, CallError, Reply};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::MutexGuard;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// Between attempts, so that a server that cannot start is not started in a loop.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10));
/// A channel that lived this long was fine; its end does not count as a failure.
const FINE_AFTER: Duration = Duration::from_secs(5);

/// What opens channels.
pub(crate) trait Connect: Send + Sync + 'static {
    /// Opens one. Errors are [`CallError::Unreachable`].
    fn connect(&self) -> impl Future<Output = Result<Channel, CallError>> + Send;
}

/// The current channel of a client.
pub(crate) struct Reconnecting<C> {
    connect: C,
    current: Mutex<Option<Channel>>,
    /// Held while a channel is opened, so that only one is.
    opening: tokio::sync::Mutex<Attempts>,
}

#[derive(Default)]
struct Attempts {
    failures: u32,
    opened: Option<Instant>,
    not_before: Option<Instant>,
}

impl<C: Connect> Reconnecting<C> {
    pub(crate) fn new(connect: C) -> Self {
        Self {
            connect,
            current: Mutex::default(),
            opening: tokio::sync::Mutex::default(),
        }
    }

    pub(crate) fn connect(&self) -> &C {
        &self.connect
    }

    /// Calls on the current channel. A call that was lost with its channel is not sent again: what
    /// it did is unknown.
    pub(crate) async fn call(&self, call: Call) -> Result<Reply, CallError> {
        let channel = match self.current() {
            Some(channel) => channel,
            None => self.open().await?,
        };
        channel.call(call).await
    }

    /// The channel, if it is there and alive.
    pub(crate) fn current(&self) -> Option<Channel> {
        self.lock().take_if(|channel| channel.lost().is_some());
        self.lock().clone()
    }

    pub(crate) async fn open(&self) -> Result<Channel, CallError> {
        let mut attempts = self.opening.lock().await;
        if let Some(channel) = self.current() {
            return Ok(channel);
        }
        if let Some(opened) = attempts.opened.take() {
            attempts.note(opened.elapsed() >= FINE_AFTER);
        }
        if let Some(time) = attempts.not_before {
            sleep_until(time).await;
        }
        let opened = self.connect.connect().await;
        match &opened {
            Ok(channel) => {
                attempts.opened = Some(Instant::now());
                *self.lock() = Some(channel.clone());
            }
            Err(_) => attempts.note(false),
        }
        opened
    }

    fn lock(&self) -> MutexGuard<'_, Option<Channel>> {
        self.current.lock()
    }
}

impl Attempts {
    fn note(&mut self, fine: bool) {
        if fine {
            (self.failures, self.not_before) = (0, None);
            return;
        }
        // The first restart is immediate; a server that fails again has to wait.
        self.not_before = self.failures.checked_sub(1).map(|repeated| {
            let random = RandomState::new().hash_one(repeated);
            Instant::now() + BACKOFF.delay(repeated, random)
        });
        self.failures = self.failures.saturating_add(1);
    }
}
