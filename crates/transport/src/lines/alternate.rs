//! Another protocol on the same channel, such as the earlier revisions of this one.

use bytes::Bytes;
use carryall_proto::CallSource;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

/// What else is spoken on one channel.
///
/// It is offered each line that is no request of this revision: what the door refuses, and
/// notifications.
pub trait FallbackChannel: Send {
    /// Takes a line, or leaves it (`false`) to be refused or ignored as if there were no alternate.
    fn take(&mut self, line: &Bytes) -> bool;

    /// The next message to write, without its newline. Pending while there is none.
    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Bytes>;

    /// Nothing more comes: the client has closed its end, or the server stops. What only ends with
    /// the channel, such as a stream of changes, ends now.
    fn close(&mut self);

    /// Whether nothing is in work, so that after [`close`](Self::close) the channel need not wait.
    fn is_idle(&self) -> bool;
}

/// Makes an [`FallbackChannel`] for each channel.
#[derive(Clone)]
pub struct FallbackChannels(Arc<dyn Fn(CallSource) -> Box<dyn FallbackChannel> + Send + Sync>);

impl FallbackChannels {
    /// With `make` for each channel that is opened. Its argument is the source of the channel's
    /// calls.
    pub fn new(
        make: impl Fn(CallSource) -> Box<dyn FallbackChannel> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(make))
    }

    pub(crate) fn make(&self, source: CallSource) -> Box<dyn FallbackChannel> {
        (self.0)(source)
    }
}

impl fmt::Debug for FallbackChannels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FallbackChannels")
    }
}
