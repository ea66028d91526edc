//! Finds connections that are idle or hang.
//!
//! A timer per read or request would cost more than the rest of a small call. Instead each
//! connection keeps a few flags, and a [`Watchdog`] compares them at intervals.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Bounds of the interval between two checks.
const MAX_TICK: Duration = Duration::from_secs(5);
const MIN_TICK: Duration = Duration::from_millis(5);

/// Bytes that a client with a full buffer has to accept within the limit. Any progress at all would
/// not do: with a byte at a time, a client could hold a response and its handler forever.
pub(super) const MIN_PROGRESS: u64 = 16 * 1024;

/// Flags of one connection.
#[derive(Debug, Default)]
pub(super) struct Activity {
    /// Number of requests that began. Written by the connection's task only.
    begun: AtomicU32,
    /// Number of requests that ended, answered or cancelled.
    ended: AtomicU32,
    /// Bytes arrived while no request was in flight: the head of the next request.
    pub(super) in_head: AtomicBool,
    /// The last write was pending.
    pub(super) stalled: AtomicBool,
    /// Number of bytes written. Written by the connection's task only.
    pub(super) written: AtomicU64,
}

impl Activity {
    pub(super) fn has_requests_in_flight(&self) -> bool {
        self.begun.load(Relaxed) != self.ended.load(Relaxed)
    }

    /// Counts a request as in flight until the guard is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> RequestGuard {
        // A load and a store suffice for a single writer, and are cheaper than `fetch_add`.
        self.begun
            .store(self.begun.load(Relaxed).wrapping_add(1), Relaxed);
        self.in_head.store(false, Relaxed);
        RequestGuard(Arc::clone(self))
    }
}

/// Counts a request as in flight.
#[derive(Debug)]
pub(super) struct RequestGuard(Arc<Activity>);

impl Drop for RequestGuard {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Relaxed);
    }
}

/// The timeouts of a connection, in ticks.
#[derive(Clone, Copy, Debug)]
pub(super) struct TickLimits {
    /// Interval between two checks.
    pub(super) tick: Duration,
    head: u32,
    idle: u32,
    stalled: u32,
    /// Over HTTP/2, bytes outside of requests (pings, window updates, acknowledgements) do not
    /// begin a request.
    multiplexed: bool,
}

impl TickLimits {
    pub(super) fn new(head: Duration, idle: Duration, stalled: Duration) -> Self {
        let tick = (head.min(idle).min(stalled) / 2).clamp(MIN_TICK, MAX_TICK);
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

    /// The same limits for an HTTP/2 connection.
    pub(super) fn multiplexed(self) -> Self {
        Self {
            multiplexed: true,
            ..self
        }
    }
}

/// What to do with a connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum WatchdogVerdict {
    Keep,
    /// The connection is idle: close it gracefully.
    Retire,
    /// The connection hangs: drop it.
    Close,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ConnectionState {
    InFlight,
    ReadingHead,
    Idle,
    Stalled,
}

/// Counts the ticks that a connection has spent in its state without progress.
#[derive(Debug)]
pub(super) struct Watchdog {
    limits: TickLimits,
    state: ConnectionState,
    /// Requests begun, and multiples of [`MIN_PROGRESS`] written.
    progress: (u32, u64),
    ticks: u32,
}

impl Watchdog {
    pub(super) fn new(limits: TickLimits) -> Self {
        Self {
            limits,
            state: ConnectionState::InFlight,
            progress: (0, 0),
            ticks: 0,
        }
    }

    pub(super) fn tick(&mut self, activity: &Activity) -> WatchdogVerdict {
        let begun = activity.begun.load(Relaxed);
        let reads_head = begun == 0 || (activity.in_head.load(Relaxed) && !self.limits.multiplexed);
        let state = if activity.stalled.load(Relaxed) {
            ConnectionState::Stalled
        } else if activity.has_requests_in_flight() {
            ConnectionState::InFlight
        } else if reads_head {
            ConnectionState::ReadingHead
        } else {
            ConnectionState::Idle
        };
        let progress = (begun, activity.written.load(Relaxed) / MIN_PROGRESS);
        let same_progress = mem::replace(&mut self.progress, progress) == progress;
        let same_state = mem::replace(&mut self.state, state) == state;
        self.ticks = if same_state && same_progress {
            self.ticks + 1
        } else {
            0
        };
        let TickLimits {
            head,
            idle,
            stalled,
            ..
        } = self.limits;
        match state {
            ConnectionState::ReadingHead if self.ticks >= head => WatchdogVerdict::Close,
            ConnectionState::Stalled if self.ticks >= stalled => WatchdogVerdict::Close,
            // The graceful shutdown of the connection did not end it.
            ConnectionState::Idle if self.ticks >= idle.saturating_add(stalled) => {
                WatchdogVerdict::Close
            }
            ConnectionState::Idle if self.ticks >= idle => WatchdogVerdict::Retire,
            _ => WatchdogVerdict::Keep,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::watched_io::WatchedIo;
    use super::*;
    use std::pin::Pin;
    use std::task::{Context, Waker};
    use tokio::io::{AsyncRead as _, AsyncWrite as _, DuplexStream, ReadBuf};

    const LIMITS: TickLimits = TickLimits {
        tick: MAX_TICK,
        head: 2,
        idle: 4,
        stalled: 3,
        multiplexed: false,
    };

    fn ticks_until_verdict(activity: &Activity) -> (u32, WatchdogVerdict) {
        let mut watchdog = Watchdog::new(LIMITS);
        (1..20)
            .find_map(|tick| match watchdog.tick(activity) {
                WatchdogVerdict::Keep => None,
                verdict => Some((tick, verdict)),
            })
            .unwrap_or((20, WatchdogVerdict::Keep))
    }

    #[test]
    fn a_connection_that_never_sends_a_whole_head_is_closed() {
        let activity = Arc::new(Activity::default());
        assert_eq!(ticks_until_verdict(&activity), (3, WatchdogVerdict::Close));
        drop(activity.begin());
        activity.in_head.store(true, Relaxed);
        assert_eq!(
            ticks_until_verdict(&activity),
            (3, WatchdogVerdict::Close),
            "also on a later request"
        );
    }

    #[test]
    fn a_connection_with_a_request_in_flight_is_kept_and_an_idle_one_retired() {
        let activity = Arc::new(Activity::default());
        let request = activity.begin();
        assert_eq!(ticks_until_verdict(&activity), (20, WatchdogVerdict::Keep));
        drop(request);
        assert_eq!(ticks_until_verdict(&activity), (5, WatchdogVerdict::Retire));
    }

    #[test]
    fn a_client_that_stops_reading_is_closed() {
        let activity = Arc::new(Activity::default());
        let _request = activity.begin();
        activity.stalled.store(true, Relaxed);
        assert_eq!(ticks_until_verdict(&activity), (4, WatchdogVerdict::Close));
    }

    #[test]
    fn a_client_that_reads_slowly_is_kept() {
        let activity = Arc::new(Activity::default());
        let _request = activity.begin();
        let mut watchdog = Watchdog::new(LIMITS);
        let mut pipe = FullPipe::new(&activity, MIN_PROGRESS as usize / 2);
        for _ in 0..20 {
            assert_eq!(watchdog.tick(&activity), WatchdogVerdict::Keep);
            pipe.read_and_write();
        }
        let verdicts: Vec<_> = (0..4).map(|_| watchdog.tick(&activity)).collect();
        assert_eq!(verdicts[3], WatchdogVerdict::Close, "{verdicts:?}");
    }

    #[test]
    fn a_client_that_reads_a_byte_at_a_time_is_closed() {
        let activity = Arc::new(Activity::default());
        let _request = activity.begin();
        let mut watchdog = Watchdog::new(LIMITS);
        let mut pipe = FullPipe::new(&activity, 1);
        let closed = (1..20).find(|_| {
            pipe.read_and_write();
            watchdog.tick(&activity) == WatchdogVerdict::Close
        });
        assert_eq!(closed, Some(4));
    }

    /// A connection whose buffer is full at each check.
    struct FullPipe {
        reader: DuplexStream,
        watched: WatchedIo<DuplexStream>,
        size: usize,
    }

    impl FullPipe {
        fn new(activity: &Arc<Activity>, size: usize) -> Self {
            let (reader, writer) = tokio::io::duplex(size);
            let mut pipe = Self {
                reader,
                watched: WatchedIo::new(writer, activity),
                size,
            };
            pipe.write();
            pipe
        }

        fn write(&mut self) {
            let mut cx = Context::from_waker(Waker::noop());
            let bytes = vec![0; self.size];
            let writer = &mut self.watched;
            let first = Pin::new(&mut *writer).poll_write(&mut cx, &bytes);
            assert!(first.is_ready());
            let second = Pin::new(writer).poll_write(&mut cx, &bytes);
            assert!(second.is_pending());
        }

        fn read_and_write(&mut self) {
            let mut cx = Context::from_waker(Waker::noop());
            let mut bytes = vec![0; self.size];
            let mut buffer = ReadBuf::new(&mut bytes);
            let read = Pin::new(&mut self.reader).poll_read(&mut cx, &mut buffer);
            assert!(read.is_ready());
            self.write();
        }
    }

    #[test]
    fn http2_pings_between_requests_do_not_begin_a_request() {
        let activity = Arc::new(Activity::default());
        drop(activity.begin());
        activity.in_head.store(true, Relaxed);
        let mut watchdog = Watchdog::new(LIMITS.multiplexed());
        let mut count = |expected: WatchdogVerdict, times: usize| {
            (0..times).for_each(|_| assert_eq!(watchdog.tick(&activity), expected));
        };
        count(WatchdogVerdict::Keep, 4);
        count(WatchdogVerdict::Retire, 3);
        // It did not end by itself.
        count(WatchdogVerdict::Close, 1);
    }

    #[test]
    fn requests_reset_the_ticks() {
        let activity = Arc::new(Activity::default());
        let mut watchdog = Watchdog::new(LIMITS);
        for _ in 0..20 {
            drop(activity.begin());
            activity.in_head.store(true, Relaxed);
            assert_eq!(watchdog.tick(&activity), WatchdogVerdict::Keep);
        }
    }
}
