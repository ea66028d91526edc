//! The client side of a channel: many calls share it.
//!
//! A call writes its own line. One task per channel reads the replies and puts each message into
//! the mailbox of its call. Nothing here connects or reconnects: a channel that has failed stays
//! failed.

mod mailbox;
mod pending_call;
mod reader;
mod state;

use carryall_proto::sync::Mutex;
use carryall_proto::{Call, CallError, Reply};
use pending_call::PendingCall;
use state::ChannelState;
use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, MutexGuard};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;

/// Limits of one channel, on the client side.
///
/// ```
/// use carryall_transport::lines::ChannelOptions;
///
/// let mut options = ChannelOptions::default();
/// options.max_message = 1024 * 1024;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChannelOptions {
    /// Maximum length of a message in bytes. A response that exceeds it fails its call with
    /// [`CallError::TooLarge`]. Default: 16 MiB.
    pub max_message: usize,
    /// Maximum number of calls in flight; further calls fail with [`CallError::Busy`]. Default:
    /// 4,096.
    pub max_in_flight: usize,
    /// Maximum number of calls in flight of one caller
    /// ([`Caller::accountable`](carryall_proto::Caller::accountable)). Calls made in process have
    /// no such limit. Default: half of `max_in_flight`.
    pub max_in_flight_per_caller: Option<usize>,
}

impl Default for ChannelOptions {
    fn default() -> Self {
        Self {
            max_message: 16 * 1024 * 1024,
            max_in_flight: 4096,
            max_in_flight_per_caller: None,
        }
    }
}

/// One connection to a server. Cheap to clone.
///
/// The task that reads ends when the channel fails: at the latest when the server closes it, or
/// when [`fail`](Self::fail) is called.
#[derive(Clone)]
pub struct Channel {
    inner: Arc<ChannelInner>,
}

struct ChannelInner {
    state: Mutex<ChannelState>,
    /// Notified when there is room for output, and when the channel fails.
    changed: Arc<Notify>,
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel")
            .field("failure", &self.inner.lock().failure())
            .finish_non_exhaustive()
    }
}

impl Channel {
    /// Opens a channel to a server that reads lines from `writer` and writes lines to `reader`.
    /// Spawns the task that reads.
    ///
    /// # Panics
    /// When called outside of a tokio runtime.
    pub fn open<R, W>(reader: R, writer: W, options: ChannelOptions) -> Self
    where
        R: AsyncRead + Send + 'static,
        W: AsyncWrite + Send + 'static,
    {
        let changed = Arc::new(Notify::new());
        let state = ChannelState::new(Box::pin(writer), &options, Arc::clone(&changed));
        let inner = Arc::new(ChannelInner {
            state: Mutex::new(state),
            changed,
        });
        tokio::spawn(reader::run(Arc::clone(&inner), reader, options.max_message));
        Self { inner }
    }

    /// Sends a call and waits for the first message of its reply. Dropping the future, or the
    /// stream of the reply, sends `notifications/cancelled`.
    ///
    /// # Errors
    /// [`CallError::Unreachable`] when the channel had failed before, [`CallError::Broken`] when it
    /// fails meanwhile, [`CallError::Busy`] when too many calls are in flight.
    pub async fn call(&self, call: Call) -> Result<Reply, CallError> {
        self.inner
            .wait_for(|state| (!state.is_full()).then_some(()))
            .await;
        PendingCall::start(&self.inner, call)?.reply().await
    }

    /// Returns why the channel has failed, if it has.
    #[must_use]
    pub fn failure(&self) -> Option<CallError> {
        self.inner.lock().failure().cloned()
    }

    /// Closes the channel's output once everything is written. A server on stdio exits then.
    pub async fn close(&self) {
        poll_fn(|cx| self.inner.lock().poll_close(cx)).await;
    }

    /// Fails the channel and all calls in flight with `error`.
    pub fn fail(&self, error: CallError) {
        self.inner.lock().fail(error);
    }

    /// Waits until the channel has failed.
    pub async fn until_failed(&self) -> CallError {
        self.inner.wait_for(|state| state.failure().cloned()).await
    }
}

impl ChannelInner {
    fn lock(&self) -> MutexGuard<'_, ChannelState> {
        self.state.lock()
    }

    async fn wait_for<T>(&self, condition: impl Fn(&ChannelState) -> Option<T>) -> T {
        loop {
            if let Some(value) = condition(&self.lock()) {
                return value;
            }
            let mut changed = pin!(self.changed.notified());
            // From here on no change is missed, so the condition is checked again before waiting.
            changed.as_mut().enable();
            if let Some(value) = condition(&self.lock()) {
                return value;
            }
            changed.await;
        }
    }
}
