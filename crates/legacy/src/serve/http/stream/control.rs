//! What a handler can do about the event stream on which its client waits.

use super::resumable::{PAUSE_TIMEOUT, ResumableStream};
use std::fmt;
use std::sync::Arc;
use tokio::sync::{Notify, SetOnce};
use tokio::time::timeout;

/// The response stream of a legacy client's call, in the extensions of that call.
///
/// A call that takes minutes occupies a connection for minutes, which proxies and clients may not
/// tolerate. From 2025-11-25 on the server may close such a stream: the client resumes it later.
///
/// ```no_run
/// # use carryall_legacy::serve::StreamControl;
/// # async fn handler(extensions: &http::Extensions) {
/// if let Some(stream) = extensions.get::<StreamControl>() {
///     stream.pause().await;
/// }
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct StreamControl(Arc<DeferredStream>);

impl StreamControl {
    pub(crate) fn new(stream: &Arc<DeferredStream>) -> Self {
        Self(Arc::clone(stream))
    }

    /// Closes the stream, after a hint when to resume it. The call goes on, and its messages are
    /// kept until the client is back (2025-11-25
    /// `basic/transports#sending-messages-to-the-server`).
    ///
    /// Returns when the stream is closed, or after 2 s. Does nothing for clients of earlier
    /// revisions, which do not know that they have to resume it.
    pub async fn pause(&self) {
        self.0.pause().await;
    }
}

/// The event stream that a response may become. It is only created if it does: most calls are
/// answered with one body.
pub(crate) struct DeferredStream {
    /// See [`ResumableStream::new`].
    polls: bool,
    /// Holds a permit if a pause was requested before anybody waits for it.
    pause_requested: Notify,
    stream: SetOnce<Arc<ResumableStream>>,
}

impl DeferredStream {
    pub(crate) fn new(polls: bool) -> Arc<Self> {
        Arc::new(Self {
            polls,
            pause_requested: Notify::new(),
            stream: SetOnce::new(),
        })
    }

    /// Waits until a handler requests a pause, which requires a stream.
    pub(crate) async fn pause_requested(&self) {
        self.pause_requested.notified().await;
    }

    /// Sets the stream that the response has become.
    pub(crate) fn set(&self, stream: &Arc<ResumableStream>) {
        // There is one response, which becomes a stream once.
        let _ = self.stream.set(Arc::clone(stream));
    }

    async fn pause(&self) {
        if !self.polls {
            return;
        }
        if self.stream.get().is_none() {
            self.pause_requested.notify_one();
        }
        if let Ok(stream) = timeout(PAUSE_TIMEOUT, self.stream.wait()).await {
            stream.pause().await;
        }
    }
}

impl fmt::Debug for DeferredStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeferredStream")
            .field("stream", &self.stream.get())
            .finish_non_exhaustive()
    }
}
