//! What a connection is doing, so that one that hangs can be closed.
//!
//! A timer per read or request would cost more than the rest of a small call. Instead each
//! connection keeps a few flags, and looks at them now and then.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;
use std::{io, mem};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The longest time between two looks.
const TICK: Duration = Duration::from_secs(5);
/// The shortest.
const MIN_TICK: Duration = Duration::from_millis(5);

/// What a client that keeps the connection's buffer full has to take within the limit, in bytes:
/// one that reads slowly is not one that has stopped, but a byte now and then would hold a
/// response, and the handler behind it, for ever.
const LEAST: u64 = 16 * 1024;

/// The flags of one connection.
#[derive(Debug, Default)]
pub(super) struct Activity {
    /// Requests so far. Written by the task of the connection alone.
    begun: AtomicU32,
    /// Those of them that are through, completely answered or given up.
    ended: AtomicU32,
    /// Bytes came while no request was active: a head is on its way.
    in_head: AtomicBool,
    /// The last write could not go out.
    stalled: AtomicBool,
    /// How many bytes were written. Written by the task of the connection alone.
    written: AtomicU64,
}

impl Activity {
    /// Whether a request has no complete answer yet.
    fn is_busy(&self) -> bool {
        self.begun.load(Relaxed) != self.ended.load(Relaxed)
    }

    /// Counts a request until the guard is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> Busy {
        self.begun
            .store(self.begun.load(Relaxed).wrapping_add(1), Relaxed);
        self.in_head.store(false, Relaxed);
        Busy(Arc::clone(self))
    }
}

/// A request is being answered.
#[derive(Debug)]
pub(super) struct Busy(Arc<Activity>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Relaxed);
    }
}

/// How long a connection may stay in one state, in ticks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// How often a connection is looked at.
    pub(super) tick: Duration,
    head: u32,
    idle: u32,
    stalled: u32,
    /// Over HTTP/2, bytes outside of requests are no head on its way: pings, window updates and
    /// acknowledgements.
    multiplexed: bool,
}

impl Patience {
    pub(super) fn new(head: Duration, idle: Duration, stalled: Duration) -> Self {
        let tick = (head.min(idle).min(stalled) / 2).clamp(MIN_TICK, TICK);
        let ticks = |limit: Duration| {
            (limit.as_millis().div_ceil(tick.as_millis())).clamp(1, u32::MAX.into()) as u32
        };
        Self {
            tick,
            head: ticks(head),
            idle: ticks(idle),
            stalled: ticks(stalled),
            multiplexed: false,
        }
    }

    /// The same for a connection that carries many requests at once.
    pub(super) fn multiplexed(self) -> Self {
        Self {
            multiplexed: true,
            ..self
        }
    }
}

/// What to do with a connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Keep,
    /// It is idle: close it once nothing is under way.
    Retire,
    /// It hangs.
    Close,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Busy,
    Head,
    Idle,
    Stalled,
}

/// Counts for how many ticks a connection has been in the same state.
#[derive(Debug)]
pub(super) struct Watchdog {
    patience: Patience,
    state: State,
    /// What counts as having got on: requests, and multiples of [`LEAST`] written.
    progress: (u32, u64),
    ticks: u32,
}

impl Watchdog {
    pub(super) fn new(patience: Patience) -> Self {
        Self {
            patience,
            state: State::Busy,
            progress: (0, 0),
            ticks: 0,
        }
    }

    pub(super) fn tick(&mut self, activity: &Activity) -> Verdict {
        let begun = activity.begun.load(Relaxed);
        let state = if activity.stalled.load(Relaxed) {
            State::Stalled
        } else if activity.is_busy() {
            State::Busy
        } else if begun == 0 || (activity.in_head.load(Relaxed) && !self.patience.multiplexed) {
            State::Head
        } else {
            State::Idle
        };
        let progress = (begun, activity.written.load(Relaxed) / LEAST);
        let same = mem::replace(&mut self.progress, progress) == progress;
        let same = mem::replace(&mut self.state, state) == state && same;
        self.ticks = if same { self.ticks + 1 } else { 0 };
        match state {
            State::Head if self.ticks >= self.patience.head => Verdict::Close,
            State::Stalled if self.ticks >= self.patience.stalled => Verdict::Close,
            // One that was asked to end and does not is closed.
            State::Idle
                if self.ticks >= self.patience.idle.saturating_add(self.patience.stalled) =>
            {
                Verdict::Close
            }
            State::Idle if self.ticks >= self.patience.idle => Verdict::Retire,
            _ => Verdict::Keep,
        }
    }
}

/// A connection's I/O, which notes what happens on it.
#[derive(Debug)]
pub(super) struct Watched<I> {
    io: I,
    activity: Arc<Activity>,
}

impl<I> Watched<I> {
    pub(super) fn new(io: I, activity: &Arc<Activity>) -> Self {
        Self {
            io,
            activity: Arc::clone(activity),
        }
    }

    fn noted<T>(&self, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        let stalled = written.is_pending();
        if self.activity.stalled.load(Relaxed) != stalled {
            self.activity.stalled.store(stalled, Relaxed);
        }
        written
    }

    fn wrote(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(count)) = &written {
            let before = self.activity.written.load(Relaxed);
            self.activity
                .written
                .store(before.wrapping_add(*count as u64), Relaxed);
        }
        self.noted(written)
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Watched<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.io).poll_read(cx, buf);
        if buf.filled().len() > before && !self.activity.is_busy() {
            self.activity.in_head.store(true, Relaxed);
        }
        read
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Watched<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, buf);
        self.wrote(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.wrote(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // TLS takes what is written and keeps it; only flushing shows that nobody reads.
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        self.noted(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.io).poll_shutdown(cx);
        self.noted(shut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience {
        tick: TICK,
        head: 2,
        idle: 4,
        stalled: 3,
        multiplexed: false,
    };

    fn ticks_until_verdict(activity: &Activity) -> (u32, Verdict) {
        let mut dog = Watchdog::new(PATIENCE);
        (1..20)
            .find_map(|tick| match dog.tick(activity) {
                Verdict::Keep => None,
                verdict => Some((tick, verdict)),
            })
            .unwrap_or((20, Verdict::Keep))
    }

    #[test]
    fn a_connection_that_never_sends_a_whole_head_is_closed() {
        let activity = Arc::new(Activity::default());
        assert_eq!(ticks_until_verdict(&activity), (3, Verdict::Close));
        drop(activity.begin());
        activity.in_head.store(true, Relaxed);
        assert_eq!(
            ticks_until_verdict(&activity),
            (3, Verdict::Close),
            "also on a later request"
        );
    }

    #[test]
    fn a_connection_with_a_request_in_work_is_kept_and_an_idle_one_retired() {
        let activity = Arc::new(Activity::default());
        let busy = activity.begin();
        assert_eq!(ticks_until_verdict(&activity), (20, Verdict::Keep));
        drop(busy);
        assert_eq!(ticks_until_verdict(&activity), (5, Verdict::Retire));
    }

    #[test]
    fn a_client_that_stops_reading_is_closed() {
        let activity = Arc::new(Activity::default());
        let _busy = activity.begin();
        activity.stalled.store(true, Relaxed);
        assert_eq!(ticks_until_verdict(&activity), (4, Verdict::Close));
    }

    #[test]
    fn a_client_that_reads_slowly_is_kept() {
        let activity = Arc::new(Activity::default());
        let _busy = activity.begin();
        let mut dog = Watchdog::new(PATIENCE);
        let mut pipe = Pipe::full(&activity, LEAST as usize / 2);
        for _ in 0..20 {
            assert_eq!(dog.tick(&activity), Verdict::Keep);
            pipe.read_and_write();
        }
        let verdicts: Vec<_> = (0..4).map(|_| dog.tick(&activity)).collect();
        assert_eq!(verdicts[3], Verdict::Close, "{verdicts:?}");
    }

    #[test]
    fn a_client_that_reads_a_byte_now_and_then_is_closed() {
        let activity = Arc::new(Activity::default());
        let _busy = activity.begin();
        let mut dog = Watchdog::new(PATIENCE);
        let mut pipe = Pipe::full(&activity, 1);
        let closed = (1..20).find(|_| {
            pipe.read_and_write();
            dog.tick(&activity) == Verdict::Close
        });
        assert_eq!(closed, Some(4));
    }

    /// A connection whose buffer is full whenever anybody looks.
    struct Pipe {
        reader: tokio::io::DuplexStream,
        watched: Watched<tokio::io::DuplexStream>,
        size: usize,
    }

    impl Pipe {
        fn full(activity: &Arc<Activity>, size: usize) -> Self {
            let (reader, writer) = tokio::io::duplex(size);
            let mut pipe = Self {
                reader,
                watched: Watched::new(writer, activity),
                size,
            };
            pipe.write();
            pipe
        }

        fn write(&mut self) {
            let mut cx = Context::from_waker(std::task::Waker::noop());
            let bytes = vec![0; self.size];
            assert!(
                Pin::new(&mut self.watched)
                    .poll_write(&mut cx, &bytes)
                    .is_ready()
            );
            assert!(
                Pin::new(&mut self.watched)
                    .poll_write(&mut cx, &bytes)
                    .is_pending()
            );
        }

        fn read_and_write(&mut self) {
            let (mut bytes, mut cx) = (
                vec![0; self.size],
                Context::from_waker(std::task::Waker::noop()),
            );
            assert!(
                Pin::new(&mut self.reader)
                    .poll_read(&mut cx, &mut ReadBuf::new(&mut bytes))
                    .is_ready()
            );
            self.write();
        }
    }

    #[test]
    fn pings_between_requests_are_no_head_over_http2() {
        let activity = Arc::new(Activity::default());
        drop(activity.begin());
        activity.in_head.store(true, Relaxed);
        let mut dog = Watchdog::new(PATIENCE.multiplexed());
        let verdicts: Vec<_> = (0..9).map(|_| dog.tick(&activity)).collect();
        assert_eq!(
            verdicts[..4],
            [Verdict::Keep, Verdict::Keep, Verdict::Keep, Verdict::Keep]
        );
        assert_eq!(
            verdicts[4..7],
            [Verdict::Retire, Verdict::Retire, Verdict::Retire]
        );
        assert_eq!(verdicts[7], Verdict::Close, "it did not end by itself");
    }

    #[test]
    fn requests_reset_the_clock() {
        let activity = Arc::new(Activity::default());
        let mut dog = Watchdog::new(PATIENCE);
        for _ in 0..20 {
            drop(activity.begin());
            activity.in_head.store(true, Relaxed);
            assert_eq!(dog.tick(&activity), Verdict::Keep);
        }
    }
}
