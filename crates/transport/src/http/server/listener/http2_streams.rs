//! Bounds how long a stream of an HTTP/2 connection may be left unread.
//!
//! Each stream has its own flow-control window, so a client can stop reading one stream while the
//! connection as a whole makes progress. hyper does not poll a body whose stream waits for its
//! window: whatever the body holds, such as the rest of a response, or a handler with its permit
//! and timeout, would be held for as long as the client likes. So the task of a stream that waits
//! for too long is ended, which drops the body and resets the stream.

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use hyper::rt::Executor;
use std::cell::Cell;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep};

/// Limit on what a body hands to the connection at once. What was handed over stays in memory until
/// the window lets it out, even when the stream is reset.
const CHUNK: usize = 16 * 1024;
/// Bodies above this size end with a chunk of one byte, which waits until there is a window for
/// everything before it. Otherwise the connection would buffer the last chunk, and the stream's
/// task, which enforces the limit, would end before that chunk is sent.
const HOLD_BACK_ABOVE: usize = 1024;
/// Limit on what the connection buffers for a stream that has a window, while the socket is full.
pub(super) const SEND_BUFFER: usize = 32 * 1024;
/// Limit on concurrent streams per connection.
pub(super) const MAX_STREAMS: u32 = 128;

/// What the body of a stream did when the stream's task was last polled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    /// The body was not polled.
    Untouched,
    /// The body returned a chunk and was not polled again: the chunk waits for the window.
    Blocked,
    /// The body was pending.
    Idle,
}

tokio::task_local! {
    static FLOW: Cell<Flow>;
}

fn record(flow: Flow) {
    // Fails outside of a `StreamTask`, where nothing reads it.
    let _ = FLOW.try_with(|cell| cell.set(flow));
}

/// Spawns the tasks of streams. Ends a task whose stream waits for its window for longer than
/// `stalled`.
#[derive(Clone, Debug)]
pub(super) struct StreamExecutor {
    pub(super) stalled: Duration,
}

impl<F> Executor<F> for StreamExecutor
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        tokio::spawn(StreamTask {
            stream,
            stalled: self.stalled,
            blocked: None,
        });
    }
}

pin_project_lite::pin_project! {
    struct StreamTask<F> {
        #[pin]
        stream: F,
        stalled: Duration,
        // Runs while a chunk waits for the window.
        blocked: Option<Pin<Box<Sleep>>>,
    }
}

impl<F: Future<Output = ()>> Future for StreamTask<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        let (polled, flow) = FLOW.sync_scope(Cell::new(Flow::Untouched), || {
            (this.stream.poll(cx), FLOW.with(Cell::get))
        });
        if polled.is_ready() {
            return Poll::Ready(());
        }
        match (flow, this.blocked.as_mut()) {
            (Flow::Untouched, _) => {}
            (Flow::Idle, _) => *this.blocked = None,
            // The client has taken the chunk before this one.
            (Flow::Blocked, Some(timer)) => timer.as_mut().reset(Instant::now() + *this.stalled),
            (Flow::Blocked, None) => *this.blocked = Some(Box::pin(sleep(*this.stalled))),
        }
        let Some(timer) = this.blocked else {
            return Poll::Pending;
        };
        ready!(timer.as_mut().poll(cx));
        tracing::debug!(stalled = ?this.stalled, "HTTP/2 stream reset: the client does not read it");
        Poll::Ready(())
    }
}

pin_project_lite::pin_project! {
    /// The body of one stream, in chunks of up to [`CHUNK`] bytes.
    pub(super) struct Chunked<B: Body> {
        #[pin]
        body: B,
        rest: Option<B::Data>,
    }
}

impl<B: Body> Chunked<B> {
    pub(super) fn new(body: B) -> Self {
        Self { body, rest: None }
    }
}

impl<B: Body> Body for Chunked<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let mut this = self.project();
        record(Flow::Idle);
        if this.rest.is_none() {
            match ready!(this.body.as_mut().poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => *this.rest = Some(data),
                    Err(frame) => return Poll::Ready(Some(Ok(frame.map_data(|_| Bytes::new())))),
                },
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
        let Some(rest) = this.rest.as_mut() else {
            return Poll::Ready(None);
        };
        record(Flow::Blocked);
        let left = rest.remaining();
        let is_last = left > HOLD_BACK_ABOVE && left <= CHUNK;
        let chunk = rest.copy_to_bytes(if is_last { left - 1 } else { left.min(CHUNK) });
        if !rest.has_remaining() {
            *this.rest = None;
        }
        Poll::Ready(Some(Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.as_ref().map_or(0, |rest| rest.remaining() as u64);
        let mut hint = self.body.size_hint();
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + rest);
        }
        hint.set_lower(hint.lower() + rest);
        hint
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    const STALLED: Duration = Duration::from_secs(30);

    /// Runs a stream whose window opens at each `interval`, until `chunks` were sent.
    async fn run(interval: Duration, chunks: u32) -> Duration {
        let started = Instant::now();
        let mut window = Box::pin(sleep(interval));
        let (mut left, mut begun) = (chunks, false);
        let stream = poll_fn(move |cx| {
            if !std::mem::replace(&mut begun, true) {
                record(Flow::Blocked);
            }
            while window.as_mut().poll(cx).is_ready() {
                left -= 1;
                if left == 0 {
                    return Poll::Ready(());
                }
                record(Flow::Blocked);
                window.as_mut().reset(Instant::now() + interval);
            }
            Poll::Pending
        });
        StreamTask {
            stream,
            stalled: STALLED,
            blocked: None,
        }
        .await;
        started.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_reader_is_kept_and_one_that_stops_is_not() {
        assert!(run(Duration::from_secs(29), 100).await >= Duration::from_secs(2900));
        assert!(run(Duration::from_secs(31), 100).await < Duration::from_secs(31));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_has_nothing_to_send_is_kept() {
        let quiet = async {
            poll_fn(|_| {
                record(Flow::Blocked);
                Poll::Ready(())
            })
            .await;
            tokio::task::yield_now().await;
            record(Flow::Idle);
            sleep(STALLED * 10).await;
        };
        let started = Instant::now();
        StreamTask {
            stream: quiet,
            stalled: STALLED,
            blocked: None,
        }
        .await;
        assert!(started.elapsed() >= STALLED * 10);
    }
}
