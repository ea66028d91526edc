//! What a handler can do about the stream on which its client waits.

use super::events::ResumableStream;
use std::sync::Arc;

/// The response stream of a legacy client's call, in the extensions of that call.
///
/// A call that takes minutes keeps a connection busy for minutes, which proxies and clients may not
/// endure. From 2025-11-25 on such a stream can be closed: the client comes back for the rest.
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
pub struct StreamControl {
    stream: Arc<ResumableStream>,
}

impl StreamControl {
    pub(super) fn new(stream: &Arc<ResumableStream>) -> Self {
        Self {
            stream: Arc::clone(stream),
        }
    }

    /// Closes the stream, after a hint when to come back; the call goes on, and what it says is
    /// kept until the client does (2025-11-25 `basic/transports#sending-messages-to-the-server`).
    /// Returns when the stream is closed. Nothing happens for clients of earlier revisions, which
    /// do not know that they would have to come back.
    pub async fn pause(&self) {
        self.stream.pause().await;
    }
}
