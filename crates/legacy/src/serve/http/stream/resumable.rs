//! One event stream and its reader.
//!
//! The writer waits while the reader is behind or disconnected, and gives up when nobody has read
//! for the grace period.

use crate::serve::exchange::Outgoing;
use crate::serve::options::LegacyOptions;
use crate::serve::quotas::caller_share;
use bytes::{BufMut as _, Bytes, BytesMut};
use carryall_proto::budget::Amount;
use carryall_proto::sync::Mutex;
use carryall_proto::{Caller, sse};
use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout, timeout_at};

/// A connection is given about this much at once, in bytes.
const CHUNK_BYTES: usize = 64 * 1024;

/// How long a pause waits for the reader. A reader that is stuck for longer is treated as gone.
pub(super) const PAUSE_TIMEOUT: Duration = Duration::from_secs(2);

/// How much is kept, and for how long. The defaults are in `docs/deployment-limits.md`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StreamLimits {
    /// Maximum number of events of one stream.
    pub(crate) events: usize,
    /// Maximum bytes of one stream.
    pub(crate) bytes: usize,
    /// Maximum number of streams of a process.
    pub(crate) streams: usize,
    /// Maximum bytes of all streams of a process.
    pub(crate) all_bytes: usize,
    /// How many of these streams and bytes one caller may have.
    pub(crate) share: Amount,
    /// How long a finished stream can still be resumed.
    pub(crate) retention: Duration,
    /// How long the writer goes on while nobody reads.
    pub(crate) grace: Duration,
    /// When a client should resume a stream that was paused.
    pub(crate) retry: Duration,
}

impl StreamLimits {
    pub(crate) fn new(options: &LegacyOptions) -> Self {
        Self {
            events: options.max_events,
            bytes: options.max_event_bytes,
            streams: options.max_streams,
            all_bytes: options.max_all_event_bytes,
            share: caller_share(
                Amount::new(options.max_streams, options.max_all_event_bytes),
                options.caller_share,
            ),
            retention: options.event_retention,
            grace: options.grace,
            retry: options.retry,
        }
    }
}

/// One event stream.
pub(crate) struct ResumableStream {
    /// The stream id, which event ids begin with.
    pub(crate) id: Arc<str>,
    /// The name of its session.
    pub(crate) session: Arc<str>,
    /// See [`ResumableStream::new`].
    polls: bool,
    state: Mutex<ResumableStreamState>,
    /// The reader has read something, or was attached or detached.
    reader_changed: Notify,
    /// A pause has begun.
    paused: Notify,
    limits: StreamLimits,
    /// Set once the stream is in the store.
    usage: OnceLock<Arc<CallerUsage>>,
}

/// What the streams of one caller hold.
#[derive(Debug)]
pub(crate) struct CallerUsage {
    pub(crate) caller: Caller,
    pub(crate) streams: AtomicUsize,
    pub(crate) bytes: AtomicUsize,
}

#[derive(Default)]
struct ResumableStreamState {
    events: VecDeque<StoredEvent>,
    bytes: usize,
    /// The number of the last event. The first one is 1; 0 is the opening event without data.
    last: u64,
    /// The number of the last event that was given to a reader.
    read: u64,
    /// No event follows `last`.
    complete: bool,
    /// The number of the newest reader, the only one that is served.
    reader: u64,
    attached: bool,
    detached_at: Option<Instant>,
    pausing: bool,
    waker: Option<Waker>,
}

struct StoredEvent {
    number: u64,
    text: Bytes,
}

impl ResumableStream {
    /// Creates a stream.
    ///
    /// With `polls` it begins with an event without data and may be paused, as from 2025-11-25 on.
    /// Clients of earlier revisions take the empty event for a malformed message.
    pub(crate) fn new(
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
            reader_changed: Notify::new(),
            paused: Notify::new(),
            limits,
            usage: OnceLock::new(),
        })
    }

    /// Sets the usage that it counts against, the first time this is called.
    pub(crate) fn set_usage(&self, usage: Arc<CallerUsage>) {
        self.usage.get_or_init(|| usage);
    }

    pub(crate) fn usage(&self) -> Option<&Arc<CallerUsage>> {
        self.usage.get()
    }

    /// Adds a message, and evicts events that were read if there are too many. Returns by how many
    /// bytes the stream has grown.
    pub(crate) fn append(&self, message: &Outgoing) -> isize {
        let mut state = self.state.lock();
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
        state.events.push_back(StoredEvent {
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

    /// Evicts all events that were read. Returns their bytes.
    pub(crate) fn evict_read(&self) -> usize {
        let mut state = self.state.lock();
        let before = state.bytes;
        while state.evict() {}
        before - state.bytes
    }

    /// Ends the stream: no event follows.
    pub(crate) fn complete(&self) {
        let mut state = self.state.lock();
        state.complete = true;
        state.wake();
    }

    /// Ends the stream, and its reader gets nothing more: the session has ended.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        state.complete = true;
        state.reader += 1;
        state.attached = false;
        state.wake();
        drop(state);
        self.reader_changed.notify_waiters();
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.state.lock().complete
    }

    /// Removes all events. Returns their bytes.
    pub(crate) fn clear(&self) -> usize {
        let mut state = self.state.lock();
        state.events.clear();
        std::mem::take(&mut state.bytes)
    }

    /// Waits until there is room for one more event, or nothing is unread. `is_full` says whether
    /// the streams together are full.
    pub(crate) async fn wait_for_room(&self, is_full: impl Fn() -> bool) {
        loop {
            let changed = self.reader_changed.notified();
            {
                let state = self.state.lock();
                let unread = state
                    .events
                    .iter()
                    .rev()
                    .take_while(|event| event.number > state.read);
                let (count, bytes) = unread.fold((0, 0), |(count, bytes), event| {
                    (count + 1, bytes + event.text.len())
                });
                let fits = count < self.limits.events && bytes < self.limits.bytes && !is_full();
                if count == 0 || fits || state.complete {
                    return;
                }
            }
            changed.await;
        }
    }

    /// Waits until nobody has read for the grace period, or the stream has ended.
    pub(crate) async fn abandoned(&self) {
        loop {
            let changed = self.reader_changed.notified();
            let detached_at = {
                let state = self.state.lock();
                if state.complete {
                    return;
                }
                state.detached_at.filter(|_| !state.attached)
            };
            match detached_at {
                None => changed.await,
                Some(detached_at) => {
                    let end = detached_at + self.limits.grace;
                    if timeout_at(end, changed).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    /// Attaches a reader that starts after the event `after`, in place of the previous reader.
    pub(crate) fn read(self: &Arc<Self>, after: Option<u64>) -> StreamCursor {
        let mut state = self.state.lock();
        state.reader += 1;
        state.attached = true;
        state.detached_at = None;
        state.wake();
        if let Some(after) = after {
            state.read = after.min(state.last);
            // Any number may come from a client.
            if state
                .events
                .front()
                .is_some_and(|oldest| oldest.number - 1 > after)
            {
                tracing::warn!(stream = %self.id, "a client resumes after events that have been evicted");
            }
        }
        let cursor = StreamCursor {
            stream: Arc::clone(self),
            reader: state.reader,
            opening: self.polls && after.is_none(),
        };
        drop(state);
        self.reader_changed.notify_waiters();
        cursor
    }

    /// Closes the stream once its reader has received everything, with a hint when to resume it.
    /// Returns when that is done.
    pub(crate) async fn pause(&self) {
        {
            let mut state = self.state.lock();
            if !self.polls || state.complete || (state.reader > 0 && !state.attached) {
                return;
            }
            state.pausing = true;
            state.wake();
        }
        let closed = async {
            loop {
                let changed = self.paused.notified();
                if !self.state.lock().pausing {
                    return;
                }
                changed.await;
            }
        };
        drop(timeout(PAUSE_TIMEOUT, closed).await);
    }
}

impl ResumableStreamState {
    /// Evicts the oldest event if it was read.
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

/// The position of one reader in a stream. Drop it when the connection is gone.
pub(crate) struct StreamCursor {
    stream: Arc<ResumableStream>,
    reader: u64,
    /// The opening event is still to be sent.
    opening: bool,
}

impl StreamCursor {
    /// Returns the text of the next events; `None` at the end.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let stream = &self.stream;
        let mut state = stream.state.lock();
        if state.reader != self.reader {
            return Poll::Ready(None);
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
            stream.reader_changed.notify_waiters();
            return Poll::Ready(Some(text.freeze()));
        }
        let text = single.unwrap_or_else(|| text.freeze());
        if !text.is_empty() {
            drop(state);
            stream.reader_changed.notify_waiters();
            return Poll::Ready(Some(text));
        }
        if state.complete {
            return Poll::Ready(None);
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl ResumableStreamState {
    /// Detaches the reader. The next one has another number.
    fn detach(&mut self) {
        self.reader += 1;
        self.attached = false;
        self.pausing = false;
        self.detached_at = Some(Instant::now());
    }
}

impl Drop for StreamCursor {
    fn drop(&mut self) {
        let mut state = self.stream.state.lock();
        if state.reader != self.reader {
            return;
        }
        state.detach();
        drop(state);
        self.stream.paused.notify_waiters();
        self.stream.reader_changed.notify_waiters();
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
