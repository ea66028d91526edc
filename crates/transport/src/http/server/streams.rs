//! The streams of an HTTP/2 connection: each has a flow-control window of its own, so that the
//! connection may be in good order while nobody reads one of them.
//!
//! A body is not polled while its stream waits for the window. Whatever it holds, such as the rest
//! of a response and a handler with its permit and its timeout, would be held for as long as the
//! client likes. So the task of a stream that waits for too long is ended, which drops the body and
//! resets the stream.

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use hyper::rt::Executor;
use std::cell::Cell;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep};

/// The most that a stream hands to the connection at once. What was handed over is out of reach of
/// a reset until the window lets it out.
const CHUNK: usize = 16 * 1024;
/// Bodies above this size end with a chunk of one byte, which waits until there is a window for all
/// that precedes it. Without it the last chunk would be buffered by the connection after the
/// stream's task has ended.
const HOLD_BACK_ABOVE: usize = 1024;
/// What the connection buffers for a stream that has a window while its socket does not take it.
pub(super) const SEND_BUFFER: usize = 32 * 1024;
/// Streams per HTTP/2 connection.
pub(super) const MAX_STREAMS: u32 = 128;

/// What the body of a stream did when the stream was last polled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    /// It was not polled.
    Untouched,
    /// It gave a chunk, and was not asked for the next one: the chunk waits for the window.
    Blocked,
    /// It had nothing to give.
    Idle,
}

tokio::task_local! {
    static FLOW: Cell<Flow>;
}

fn note(flow: Flow) {
    // Outside of a stream's task nobody wants to know.
    let _ = FLOW.try_with(|cell| cell.set(flow));
}

/// Spawns the tasks of streams, and ends those that wait for their window for longer than
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
            // Another chunk: the client has taken the one before.
            (Flow::Blocked, Some(timer)) => timer.as_mut().reset(Instant::now() + *this.stalled),
            (Flow::Blocked, None) => *this.blocked = Some(Box::pin(sleep(*this.stalled))),
        }
        let Some(timer) = this.blocked else {
            return Poll::Pending;
        };
        ready!(timer.as_mut().poll(cx));
        tracing::debug!(stalled = ?this.stalled, "a stream that nobody reads was reset");
        Poll::Ready(())
    }
}

pin_project_lite::pin_project! {
    /// The body of one stream, in chunks that do not exceed [`CHUNK`].
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
        note(Flow::Idle);
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
        note(Flow::Blocked);
        let left = rest.remaining();
        let ends = left > HOLD_BACK_ABOVE && left <= CHUNK;
        let chunk = rest.copy_to_bytes(if ends { left - 1 } else { left.min(CHUNK) });
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

    /// A stream that is polled when its window opens, each `every`, for so many chunks.
    async fn run(every: Duration, chunks: u32) -> Duration {
        let started = Instant::now();
        let mut window = Box::pin(sleep(every));
        let (mut left, mut begun) = (chunks, false);
        let stream = poll_fn(move |cx| {
            if !std::mem::replace(&mut begun, true) {
                note(Flow::Blocked);
            }
            while window.as_mut().poll(cx).is_ready() {
                left -= 1;
                if left == 0 {
                    return Poll::Ready(());
                }
                note(Flow::Blocked);
                window.as_mut().reset(Instant::now() + every);
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
                note(Flow::Blocked);
                Poll::Ready(())
            })
            .await;
            tokio::task::yield_now().await;
            note(Flow::Idle);
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
