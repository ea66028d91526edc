//! Event streams that outlive their connection: what a stream has sent is kept for a while, so that
//! a client whose connection broke, or was closed on purpose, goes on where it was (2025-11-25
//! `basic/transports#resumability-and-redelivery`).
//!
//! A stream is written by one task and read by one response body at a time. The writer waits when
//! the reader is behind, or away; it gives up when nobody has read for the grace time.

use super::super::conversation::Outgoing;
use super::store::Store;
use bytes::{BufMut as _, Bytes, BytesMut};
use carryall_proto::budget::Amount;
use carryall_proto::sync::Mutex;
use carryall_proto::{Caller, sse};
use carryall_types::RequestId;
use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, MutexGuard, OnceLock};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// About so much is handed to a connection at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// How much is kept, and for how long. The numbers are in `docs/deployment-limits.md`.
#[derive(Clone, Copy, Debug)]
pub(super) struct StreamLimits {
    /// Events of one stream.
    pub(super) events: usize,
    /// Bytes of one stream.
    pub(super) bytes: usize,
    /// Streams of a process.
    pub(super) streams: usize,
    /// Bytes of all streams of a process.
    pub(super) all_bytes: usize,
    /// What one caller may have of the streams and of their bytes.
    pub(super) share: Amount,
    /// How long a finished stream can still be read again.
    pub(super) kept: Duration,
    /// How long a call goes on while nobody reads its stream.
    pub(super) grace: Duration,
    /// When a client should come back to a stream that was closed to be polled.
    pub(super) retry: Duration,
}

/// Which request a stream answers; `None` for the stream of changes.
pub(super) type Subject = Option<RequestId>;

/// One stream.
pub(super) struct ResumableStream {
    /// How it is called in event ids.
    pub(super) id: Arc<str>,
    /// Whose it is.
    pub(super) session: Arc<str>,
    /// Whether it begins with an id and no data, and may be closed to be polled: from 2025-11-25
    /// on. Clients of earlier revisions take the empty event for a broken message.
    polls: bool,
    state: Mutex<State>,
    /// The reader took something, came or went.
    moved: Notify,
    /// A pause was asked for or has begun.
    paused: Notify,
    limits: StreamLimits,
    /// What the streams of its caller hold together, once it is kept.
    usage: OnceLock<Arc<CallerUsage>>,
}

/// What the streams of one caller hold together.
#[derive(Debug)]
pub(super) struct CallerUsage {
    pub(super) caller: Caller,
    pub(super) streams: AtomicUsize,
    pub(super) bytes: AtomicUsize,
}

#[derive(Default)]
struct State {
    events: VecDeque<Event>,
    bytes: usize,
    /// The number of the last event. The first is 1; 0 is the one without data at the beginning.
    last: u64,
    /// The number of the last event that a reader was given.
    read: u64,
    /// Nothing comes after `last`.
    complete: bool,
    /// Counts readers; only the newest one is served.
    reader: u64,
    attached: bool,
    left_at: Option<Instant>,
    pausing: bool,
    waker: Option<Waker>,
}

struct Event {
    number: u64,
    text: Bytes,
}

/// What a reader gets.
pub(super) enum Read {
    Text(Bytes),
    End,
}

impl ResumableStream {
    pub(super) fn new(
        id: Arc<str>,
        session: Arc<str>,
        polls: bool,
        limits: StreamLimits,
    ) -> Arc<Self> {
        Arc::new(Self {
            id,
            session,
            polls,
            state: Mutex::default(),
            moved: Notify::new(),
            paused: Notify::new(),
            limits,
            usage: OnceLock::new(),
        })
    }

    /// Whose share it counts against. Only the first time has an effect.
    pub(super) fn set_usage(&self, usage: Arc<CallerUsage>) {
        self.usage.get_or_init(|| usage);
    }

    pub(super) fn usage(&self) -> Option<&Arc<CallerUsage>> {
        self.usage.get()
    }

    /// Adds a message, evicting what was read already where it would be too much. Returns by how
    /// much the stream grew (or shrank).
    pub(super) fn append(&self, message: &Outgoing) -> isize {
        let mut state = self.lock();
        if state.complete {
            return 0;
        }
        let before = state.bytes;
        state.last += 1;
        let number = state.last;
        let json = message.encode();
        let mut text = BytesMut::with_capacity(json.len() + self.id.len() + 48);
        put_id(&mut text, &self.id, number);
        sse::encode_event(&json, &mut text);
        state.bytes += text.len();
        state.events.push_back(Event {
            number,
            text: text.freeze(),
        });
        while state.events.len() > self.limits.events || state.bytes > self.limits.bytes {
            if !state.evict() {
                break;
            }
        }
        state.wake();
        state.bytes.cast_signed() - before.cast_signed()
    }

    /// Forgets what was read already.
    pub(super) fn shed(&self) -> usize {
        let mut state = self.lock();
        let before = state.bytes;
        while state.evict() {}
        before - state.bytes
    }

    /// Nothing comes any more.
    pub(super) fn complete(&self) {
        let mut state = self.lock();
        state.complete = true;
        state.wake();
    }

    /// As [`complete`](Self::complete), and whoever reads gets no more either: the session has
    /// ended.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.complete = true;
        state.reader += 1;
        state.attached = false;
        state.wake();
        drop(state);
        self.moved.notify_waiters();
    }

    pub(super) fn is_complete(&self) -> bool {
        self.lock().complete
    }

    /// Empties the stream, which is not kept any more. Returns how much was on it.
    pub(super) fn take(&self) -> usize {
        let mut state = self.lock();
        state.events.clear();
        std::mem::take(&mut state.bytes)
    }

    /// Waits until there is room for one more event.
    pub(super) async fn room(&self, store: &Store) {
        loop {
            let moved = self.moved.notified();
            {
                let state = self.lock();
                let unread = state
                    .events
                    .iter()
                    .rev()
                    .take_while(|event| event.number > state.read);
                let (count, bytes) = unread.fold((0, 0), |(count, bytes), event| {
                    (count + 1, bytes + event.text.len())
                });
                let fits =
                    count < self.limits.events && bytes < self.limits.bytes && !store.is_full(self);
                if count == 0 || fits || state.complete {
                    return;
                }
            }
            moved.await;
        }
    }

    /// Completes when nobody has read for the grace time, or when the stream was closed.
    pub(super) async fn abandoned(&self) {
        loop {
            let moved = self.moved.notified();
            let left_at = {
                let state = self.lock();
                if state.complete {
                    return;
                }
                state.left_at.filter(|_| !state.attached)
            };
            match left_at {
                None => moved.await,
                Some(left_at) => {
                    let end = left_at + self.limits.grace;
                    if tokio::time::timeout_at(end, moved).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    /// A reader from after event `after` on. It takes the place of the one before.
    pub(super) fn read(self: &Arc<Self>, after: Option<u64>) -> StreamCursor {
        let mut state = self.lock();
        state.reader += 1;
        state.attached = true;
        state.left_at = None;
        state.wake();
        if let Some(after) = after {
            state.read = after.min(state.last);
            // The number is the client's: it may be any.
            if state
                .events
                .front()
                .is_some_and(|oldest| oldest.number - 1 > after)
            {
                tracing::warn!(stream = %self.id, "a client comes back for events that are not kept any more");
            }
        }
        let cursor = StreamCursor {
            stream: Arc::clone(self),
            reader: state.reader,
            opening: self.polls && after.is_none(),
        };
        drop(state);
        self.moved.notify_waiters();
        cursor
    }

    /// Closes the stream to be polled, once its reader has got what there is. Returns when that is
    /// done.
    pub(super) async fn pause(&self) {
        {
            let mut state = self.lock();
            if !self.polls || state.complete || (state.reader > 0 && !state.attached) {
                return;
            }
            state.pausing = true;
            state.wake();
        }
        self.paused.notify_waiters();
        let closed = async {
            loop {
                let changed = self.paused.notified();
                if !self.lock().pausing {
                    return;
                }
                changed.await;
            }
        };
        // A reader that is stuck is as good as gone.
        drop(tokio::time::timeout(Duration::from_secs(2), closed).await);
    }

    /// Waits until a pause is asked for.
    pub(super) async fn pause_asked(&self) {
        loop {
            let changed = self.paused.notified();
            if self.lock().pausing {
                return;
            }
            changed.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

impl State {
    /// Forgets the oldest event if it was read.
    fn evict(&mut self) -> bool {
        let read = self.read;
        let Some(event) = self.events.pop_front_if(|event| event.number <= read) else {
            return false;
        };
        self.bytes -= event.text.len();
        true
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// The place of one reader in a stream. Dropping it means that its connection is gone.
pub(super) struct StreamCursor {
    stream: Arc<ResumableStream>,
    reader: u64,
    /// The event without data has yet to be sent.
    opening: bool,
}

impl StreamCursor {
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Read> {
        let stream = &self.stream;
        let mut state = stream.lock();
        if state.reader != self.reader {
            return Poll::Ready(Read::End);
        }
        let mut text = BytesMut::new();
        if std::mem::take(&mut self.opening) {
            put_id(&mut text, &stream.id, 0);
            text.put_slice(b"data: \n\n");
        }
        let read = state.read;
        let skip = state.events.partition_point(|event| event.number <= read);
        let mut reached = read;
        let mut single = None;
        for event in state.events.range(skip..) {
            if text.is_empty() && single.is_none() && event.text.len() >= CHUNK_BYTES {
                single = Some(event.text.clone());
            } else if single.is_some()
                || (!text.is_empty() && text.len() + event.text.len() > CHUNK_BYTES)
            {
                break;
            } else {
                text.put_slice(&event.text);
            }
            reached = event.number;
        }
        state.read = reached;
        let all = state.read == state.last;
        if state.pausing && all && !state.complete {
            text.put_slice(format!("retry: {}\n\n", stream.limits.retry.as_millis()).as_bytes());
            state.detach();
            drop(state);
            stream.paused.notify_waiters();
            stream.moved.notify_waiters();
            return Poll::Ready(Read::Text(text.freeze()));
        }
        let text = single.unwrap_or_else(|| text.freeze());
        if !text.is_empty() {
            drop(state);
            stream.moved.notify_waiters();
            return Poll::Ready(Read::Text(text));
        }
        if state.complete {
            return Poll::Ready(Read::End);
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl State {
    /// The reader is gone, and the next one has another number.
    fn detach(&mut self) {
        self.reader += 1;
        self.attached = false;
        self.pausing = false;
        self.left_at = Some(Instant::now());
    }
}

impl Drop for StreamCursor {
    fn drop(&mut self) {
        let mut state = self.stream.lock();
        if state.reader != self.reader {
            return;
        }
        state.detach();
        drop(state);
        self.stream.paused.notify_waiters();
        self.stream.moved.notify_waiters();
    }
}

impl fmt::Debug for ResumableStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResumableStream")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

fn put_id(out: &mut BytesMut, stream: &str, number: u64) {
    for piece in ["id: ", stream, "-", &number.to_string(), "\n"] {
        out.put_slice(piece.as_bytes());
    }
}
