//! The body of a response.

use super::sse_body::SseBody;
use bytes::Bytes;
use carryall_proto::Encoded;
use futures_core::Stream;
use http_body::{Body, Frame, SizeHint};
use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

/// The body of a response. Dropping it cancels the call whose reply it carries.
pub struct ReplyBody(BodyState);

enum BodyState {
    /// The rest of one message.
    Message([Bytes; 3]),
    Events(Box<SseBody>),
    /// Written by a [`FallbackProtocol`](super::FallbackProtocol).
    Stream(Pin<Box<dyn Stream<Item = Bytes> + Send>>),
}

impl ReplyBody {
    /// A body that is complete, for a [`FallbackProtocol`](super::FallbackProtocol).
    pub fn full(text: impl Into<Bytes>) -> Self {
        Self(BodyState::Message([
            text.into(),
            Bytes::new(),
            Bytes::new(),
        ]))
    }

    /// A body whose chunks come from a stream, for a [`FallbackProtocol`](super::FallbackProtocol).
    /// The stream is dropped when the client is gone.
    pub fn stream(chunks: impl Stream<Item = Bytes> + Send + 'static) -> Self {
        Self(BodyState::Stream(Box::pin(chunks)))
    }

    pub(super) fn empty() -> Self {
        Self(BodyState::Message(Default::default()))
    }

    pub(super) fn once(message: Encoded) -> Self {
        Self(BodyState::Message(message.into_pieces()))
    }

    pub(super) fn events(events: SseBody) -> Self {
        Self(BodyState::Events(Box::new(events)))
    }
}

impl fmt::Debug for ReplyBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            BodyState::Message(_) => "ReplyBody(message)",
            BodyState::Events(_) => "ReplyBody(events)",
            BodyState::Stream(_) => "ReplyBody(stream)",
        })
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = match &mut self.0 {
            BodyState::Message(pieces) => take_piece(pieces),
            BodyState::Events(events) => std::task::ready!(events.poll(cx)),
            BodyState::Stream(stream) => std::task::ready!(stream.as_mut().poll_next(cx)),
        };
        Poll::Ready(next.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            BodyState::Message(pieces) => pieces.iter().all(Bytes::is_empty),
            BodyState::Events(events) => events.is_done(),
            BodyState::Stream(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            BodyState::Message(pieces) => {
                SizeHint::with_exact(pieces.iter().map(|piece| piece.len() as u64).sum())
            }
            BodyState::Events(_) | BodyState::Stream(_) => SizeHint::default(),
        }
    }
}

fn take_piece(pieces: &mut [Bytes; 3]) -> Option<Bytes> {
    pieces
        .iter_mut()
        .find(|piece| !piece.is_empty())
        .map(std::mem::take)
}
