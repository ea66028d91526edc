//! When to reconnect to a stream that has ended.

use std::time::Duration;

/// The delay unless the server names one.
const DEFAULT_DELAY: Duration = Duration::from_secs(1);
/// The longest delay that a server may ask for.
const MAX_REQUESTED_DELAY: Duration = Duration::from_secs(60);
/// The shortest delay, whatever a server asks for.
const MIN_DELAY: Duration = Duration::from_millis(100);
/// A stream that ends sooner than this counts as short, and doubles the next delay.
const SHORT_STREAM: Duration = Duration::from_secs(1);
/// The longest delay because of short streams.
const MAX_DOUBLED_DELAY: Duration = Duration::from_secs(10);

/// The delays before a stream is resumed.
///
/// Not [`Backoff`](carryall_proto::backoff::Backoff), because the server sets the first delay.
#[derive(Debug, Default)]
pub(super) struct ReconnectDelays {
    /// How many streams in a row were short.
    short_streams: u32,
}

impl ReconnectDelays {
    /// The delay after a stream that was `open` so long: what the server `requested`, within bounds,
    /// and doubled for each short stream in a row, so that no server makes the client reconnect in
    /// a loop.
    pub(super) fn after(&mut self, open: Duration, requested: Option<Duration>) -> Duration {
        let delay = requested
            .unwrap_or(DEFAULT_DELAY)
            .clamp(MIN_DELAY, MAX_REQUESTED_DELAY);
        if open >= SHORT_STREAM {
            self.short_streams = 0;
            return delay;
        }
        // The first short stream does not count: a server may close it to let the client poll.
        let factor = 1_u32.checked_shl(self.short_streams).unwrap_or(u32::MAX);
        self.short_streams = self.short_streams.saturating_add(1);
        delay
            .saturating_mul(factor)
            .min(delay.max(MAX_DOUBLED_DELAY))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_streams_double_the_delay() {
        let (mut delays, zero) = (ReconnectDelays::default(), Some(Duration::ZERO));
        let given: Vec<_> = (0..9)
            .map(|_| delays.after(Duration::ZERO, zero).as_millis())
            .collect();
        assert_eq!(
            given,
            [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]
        );
        assert_eq!(
            delays.after(SHORT_STREAM, zero),
            MIN_DELAY,
            "a stream that lasted resets the delay"
        );
        for _ in 0..100 {
            assert!(delays.after(Duration::ZERO, zero) <= MAX_DOUBLED_DELAY);
        }
    }

    #[test]
    fn the_requested_delay_is_bounded() {
        let after = |requested| ReconnectDelays::default().after(SHORT_STREAM, requested);
        assert_eq!(after(None), DEFAULT_DELAY);
        assert_eq!(
            after(Some(Duration::from_millis(1500))),
            Duration::from_millis(1500)
        );
        assert_eq!(
            after(Some(Duration::from_millis(u64::MAX))),
            MAX_REQUESTED_DELAY
        );
        let mut delays = ReconnectDelays::default();
        let long = Duration::from_secs(30);
        assert_eq!(
            [0; 3].map(|_| delays.after(Duration::ZERO, Some(long))),
            [long; 3]
        );
    }
}
