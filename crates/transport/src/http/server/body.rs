//! Response bodies: one message, or a stream of events that goes on polling the call.

use super::answer::failed;
use crate::guard;
use bytes::{Bytes, BytesMut};
use carryall_proto::{BoxFuture, CallError, Encoded, Message, MessageStream, Reply, sse};
use carryall_types::RequestId;
use futures_core::Stream;
use http_body::{Body, Frame, SizeHint};
use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

/// Messages up to this size are copied into their event: one buffer beats three.
const COPY_UP_TO: usize = 8 * 1024;

/// The body of a response. Dropping it cancels the call whose answer it carries.
pub struct ReplyBody(Kind);

enum Kind {
    /// What is left of one message.
    Pieces([Bytes; 3]),
    Events(Box<Events>),
    /// Of another protocol behind the same door.
    Stream(Pin<Box<dyn Stream<Item = Bytes> + Send>>),
}

impl ReplyBody {
    /// A body that is there at once, for an [`FallbackProtocol`](super::FallbackProtocol).
    pub fn full(text: impl Into<Bytes>) -> Self {
        Self(Kind::Pieces([text.into(), Bytes::new(), Bytes::new()]))
    }

    /// A body that comes in pieces, for an [`FallbackProtocol`](super::FallbackProtocol). It is dropped when the
    /// client is gone.
    pub fn stream(pieces: impl Stream<Item = Bytes> + Send + 'static) -> Self {
        Self(Kind::Stream(Box::pin(pieces)))
    }

    pub(super) fn empty() -> Self {
        Self(Kind::Pieces(Default::default()))
    }

    pub(super) fn once(message: Encoded) -> Self {
        Self(Kind::Pieces(message.into_pieces()))
    }

    pub(super) fn events(events: Events) -> Self {
        Self(Kind::Events(Box::new(events)))
    }
}

impl fmt::Debug for ReplyBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::Pieces(_) => "ReplyBody(message)",
            Kind::Events(_) => "ReplyBody(events)",
            Kind::Stream(_) => "ReplyBody(stream)",
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
            Kind::Pieces(pieces) => take_piece(pieces),
            Kind::Events(events) => std::task::ready!(events.poll(cx)),
            Kind::Stream(stream) => std::task::ready!(stream.as_mut().poll_next(cx)),
        };
        Poll::Ready(next.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Pieces(pieces) => pieces.iter().all(Bytes::is_empty),
            Kind::Events(events) => events.is_done(),
            Kind::Stream(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Pieces(pieces) => {
                SizeHint::with_exact(pieces.iter().map(|piece| piece.len() as u64).sum())
            }
            Kind::Events(_) | Kind::Stream(_) => SizeHint::default(),
        }
    }
}

fn take_piece(pieces: &mut [Bytes; 3]) -> Option<Bytes> {
    pieces
        .iter_mut()
        .find(|piece| !piece.is_empty())
        .map(std::mem::take)
}

/// The events of one call.
pub(super) struct Events {
    id: RequestId,
    source: Source,
    /// The rest of a large event.
    pieces: Option<Box<[Bytes; 3]>>,
    keep_alive: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    last_event: Option<Instant>,
}

enum Source {
    /// The call has not settled yet.
    Waiting(BoxFuture<Result<Reply, CallError>>),
    Streaming(MessageStream),
    Done,
}

impl Events {
    pub(super) fn waiting(
        future: BoxFuture<Result<Reply, CallError>>,
        id: RequestId,
        keep_alive: Duration,
    ) -> Self {
        Self::new(Source::Waiting(future), id, keep_alive)
    }

    pub(super) fn streaming(stream: MessageStream, id: RequestId, keep_alive: Duration) -> Self {
        Self::new(Source::Streaming(stream), id, keep_alive)
    }

    fn new(source: Source, id: RequestId, keep_alive: Duration) -> Self {
        Self {
            id,
            source,
            pieces: None,
            keep_alive,
            timer: None,
            last_event: None,
        }
    }

    fn is_done(&self) -> bool {
        matches!(self.source, Source::Done) && self.pieces.is_none()
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let Some(piece) = self.next_piece() {
            return Poll::Ready(Some(piece));
        }
        loop {
            let message = match &mut self.source {
                Source::Waiting(future) => match guard::poll_call(future, cx) {
                    Poll::Pending => return self.poll_keep_alive(cx),
                    Poll::Ready(Ok(Reply::Stream(stream))) => {
                        self.source = Source::Streaming(stream);
                        continue;
                    }
                    Poll::Ready(Ok(Reply::Once(response))) => Message::Response(response),
                    Poll::Ready(Err(error)) => Message::Response(failed(self.id.clone(), &error)),
                },
                Source::Streaming(stream) => match guard::poll_message(stream, cx) {
                    Poll::Pending => return self.poll_keep_alive(cx),
                    Poll::Ready(Some(Ok(message))) => message,
                    // The client sees a stream without a response, and takes the call for lost.
                    // That is what it is.
                    Poll::Ready(Some(Err(error))) => {
                        tracing::error!(id = %self.id, %error, "the reply broke off");
                        self.source = Source::Done;
                        return Poll::Ready(None);
                    }
                    Poll::Ready(None) => {
                        tracing::error!(id = %self.id, "the reply ended without a response");
                        self.source = Source::Done;
                        return Poll::Ready(None);
                    }
                },
                Source::Done => return Poll::Ready(None),
            };
            return Poll::Ready(Some(self.event(&message)));
        }
    }

    /// The first buffer of the event; the others wait in `pieces`.
    fn event(&mut self, message: &Message) -> Bytes {
        // The response is the last message (`#receiving-messages`); nothing of the call runs on
        // behind it.
        if matches!(message, Message::Response(_)) {
            self.source = Source::Done;
        }
        if self.timer.is_some() {
            self.last_event = Some(Instant::now());
        }
        let text = message.encode().into_bytes();
        if text.len() <= COPY_UP_TO {
            let mut event = BytesMut::with_capacity(text.len() + 16);
            sse::encode_event(&text, &mut event);
            return event.freeze();
        }
        self.pieces = Some(Box::new(sse::event_pieces(text)));
        self.next_piece().unwrap_or_default()
    }

    fn next_piece(&mut self) -> Option<Bytes> {
        let pieces = self.pieces.as_mut()?;
        let next = take_piece(pieces);
        if pieces.iter().all(Bytes::is_empty) {
            self.pieces = None;
        }
        next
    }

    fn poll_keep_alive(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let interval = self.keep_alive;
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(interval)));
        while timer.as_mut().poll(cx).is_ready() {
            // Moving the timer at each event would cost more than looking at the clock when it
            // fires.
            match self.last_event.take() {
                Some(last) => timer.as_mut().reset(last + interval),
                None => {
                    timer.as_mut().reset(Instant::now() + interval);
                    return Poll::Ready(Some(Bytes::from_static(sse::KEEP_ALIVE)));
                }
            }
        }
        Poll::Pending
    }
}
