//! Another protocol on the same channel, such as earlier revisions of MCP.

use bytes::Bytes;
use carryall_proto::CallSource;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

/// Another protocol that is spoken on a channel.
///
/// It is offered each line that is not a valid request of this revision, and each notification.
pub trait FallbackChannel: Send {
    /// Takes a line. Returns `false` to leave it, as if there were no other protocol.
    fn take(&mut self, line: &Bytes) -> bool;

    /// Returns the next message to write, without its newline.
    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Bytes>;

    /// Called when the client has closed its end or the server shuts down. Ends what would last as
    /// long as the channel, such as a stream of changes. No more lines follow.
    fn close(&mut self);

    /// Returns whether no request is in flight, so that the channel need not wait after
    /// [`close`](Self::close).
    fn is_idle(&self) -> bool;
}

/// Makes a [`FallbackChannel`] for each channel. Cheap to clone.
#[derive(Clone)]
pub struct FallbackChannels(Arc<dyn Fn(CallSource) -> Box<dyn FallbackChannel> + Send + Sync>);

impl FallbackChannels {
    /// Calls `make` for each channel that is opened, with the source of the channel's calls.
    pub fn new(
        make: impl Fn(CallSource) -> Box<dyn FallbackChannel> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(make))
    }

    pub(super) fn make(&self, source: CallSource) -> Box<dyn FallbackChannel> {
        (self.0)(source)
    }
}

impl fmt::Debug for FallbackChannels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FallbackChannels")
    }
}
