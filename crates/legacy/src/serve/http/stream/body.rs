//! The body of an event-stream response.

use super::resumable::StreamCursor;
use bytes::Bytes;
use carryall_proto::sse;
use futures_core::Stream;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

/// Reads a stream, and adds a comment when it has been silent for too long.
pub(crate) struct EventBody {
    cursor: StreamCursor,
    keep_alive: Duration,
    timer: Option<Pin<Box<Sleep>>>,
}

impl EventBody {
    pub(crate) fn new(cursor: StreamCursor, keep_alive: Duration) -> Self {
        Self {
            cursor,
            keep_alive,
            timer: None,
        }
    }
}

impl Stream for EventBody {
    type Item = Bytes;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let this = &mut *self;
        match this.cursor.poll_next(cx) {
            Poll::Ready(text) => {
                this.timer = None;
                Poll::Ready(text)
            }
            Poll::Pending => poll_keep_alive(&mut this.timer, this.keep_alive, cx).map(Some),
        }
    }
}

/// Returns a comment when the silence has lasted for `interval`. Reset it by clearing `timer`.
pub(crate) fn poll_keep_alive(
    timer: &mut Option<Pin<Box<Sleep>>>,
    interval: Duration,
    cx: &mut Context<'_>,
) -> Poll<Bytes> {
    let timer = timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(interval)));
    if timer.as_mut().poll(cx).is_ready() {
        timer.as_mut().reset(Instant::now() + interval);
        return Poll::Ready(Bytes::from_static(sse::KEEP_ALIVE));
    }
    Poll::Pending
}
