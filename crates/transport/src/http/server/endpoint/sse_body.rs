//! The body of an event stream, which continues to poll the call.

use crate::catch_panic;
use crate::internal_error::internal_error;
use bytes::{Bytes, BytesMut};
use carryall_proto::{BoxFuture, CallError, Message, MessageStream, Reply, sse};
use carryall_types::RequestId;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

/// Messages up to this size are copied into one buffer with their framing, which is cheaper than
/// three writes.
const COPY_UP_TO: usize = 8 * 1024;

/// The events of one reply.
pub(super) struct SseBody {
    id: RequestId,
    source: SseSource,
    /// The rest of a large event.
    pieces: Option<Box<[Bytes; 3]>>,
    keep_alive: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    last_event: Option<Instant>,
}

enum SseSource {
    /// The service has not replied yet.
    Call(BoxFuture<Result<Reply, CallError>>),
    Reply(MessageStream),
    Done,
}

impl SseBody {
    /// The events of a call that is still waiting for its reply.
    pub(super) fn waiting(
        future: BoxFuture<Result<Reply, CallError>>,
        id: RequestId,
        keep_alive: Duration,
    ) -> Self {
        Self::new(SseSource::Call(future), id, keep_alive)
    }

    /// The events of a reply.
    pub(super) fn streaming(stream: MessageStream, id: RequestId, keep_alive: Duration) -> Self {
        Self::new(SseSource::Reply(stream), id, keep_alive)
    }

    fn new(source: SseSource, id: RequestId, keep_alive: Duration) -> Self {
        Self {
            id,
            source,
            pieces: None,
            keep_alive,
            timer: None,
            last_event: None,
        }
    }

    pub(super) fn is_done(&self) -> bool {
        matches!(self.source, SseSource::Done) && self.pieces.is_none()
    }

    /// Returns the next bytes: an event, part of a large event, or a comment that keeps the
    /// connection alive.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let Some(piece) = self.next_piece() {
            return Poll::Ready(Some(piece));
        }
        loop {
            let message = match &mut self.source {
                SseSource::Call(future) => match catch_panic::poll_call(future, cx) {
                    Poll::Pending => return self.poll_keep_alive(cx),
                    Poll::Ready(Ok(Reply::Stream(stream))) => {
                        self.source = SseSource::Reply(stream);
                        continue;
                    }
                    Poll::Ready(Ok(Reply::Once(response))) => Message::Response(response),
                    Poll::Ready(Err(error)) => {
                        Message::Response(internal_error(self.id.clone(), &error))
                    }
                },
                SseSource::Reply(stream) => match catch_panic::poll_message(stream, cx) {
                    Poll::Pending => return self.poll_keep_alive(cx),
                    Poll::Ready(Some(Ok(message))) => message,
                    // A stream without a response tells the client that the call failed.
                    Poll::Ready(Some(Err(error))) => {
                        tracing::error!(id = %self.id, %error, "the reply failed");
                        self.source = SseSource::Done;
                        return Poll::Ready(None);
                    }
                    Poll::Ready(None) => {
                        tracing::error!(id = %self.id, "the reply ended without a response");
                        self.source = SseSource::Done;
                        return Poll::Ready(None);
                    }
                },
                SseSource::Done => return Poll::Ready(None),
            };
            return Poll::Ready(Some(self.event(&message)));
        }
    }

    /// Returns the first buffer of an event. The others are kept in `pieces`.
    fn event(&mut self, message: &Message) -> Bytes {
        // The response is the last message (`#receiving-messages`), and the call ends with it.
        if matches!(message, Message::Response(_)) {
            self.source = SseSource::Done;
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
        let mut left = pieces.iter_mut().filter(|piece| !piece.is_empty());
        let next = left.next().map(std::mem::take);
        if left.next().is_none() {
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
            // Resetting the timer at each event would cost more than comparing times when it fires.
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
