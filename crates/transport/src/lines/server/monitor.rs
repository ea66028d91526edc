//! Finds channels that are idle or whose client does not read.
//!
//! A timer per message would cost more than a small call. Instead the channel keeps counters, and a
//! [`ChannelMonitor`] compares them at intervals.

use super::options::LineOptions;
use std::pin::Pin;
use std::task::Context;
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep};

/// Bounds of the interval between two checks.
const MAX_TICK: Duration = Duration::from_secs(5);
const MIN_TICK: Duration = Duration::from_millis(5);
/// Limit on the time until the first message, if there is an idle timeout.
const FIRST_MESSAGE_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes that a client with unread output has to read within the write timeout. Any progress at all
/// would not do: with a byte at a time, a client could hold the calls of the channel forever.
const MIN_PROGRESS: u64 = 16 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MonitorVerdict {
    Keep,
    Idle,
    Unread,
}

pub(super) struct ChannelMonitor {
    timer: Pin<Box<Sleep>>,
    tick: Duration,
    idle_timeout: Option<Duration>,
    write_timeout: Option<Duration>,
    /// Messages received, at the last check.
    received: u64,
    /// Bytes written, when the client last made progress.
    written: u64,
    idle_for: Duration,
    unread_for: Duration,
}

impl ChannelMonitor {
    /// Returns `None` when nothing is limited.
    pub(super) fn new(options: &LineOptions) -> Option<Self> {
        let shortest = [options.idle_timeout, options.write_timeout]
            .into_iter()
            .flatten()
            .min()?;
        let tick = (shortest / 2).clamp(MIN_TICK, MAX_TICK);
        Some(Self {
            timer: Box::pin(sleep(tick)),
            tick,
            idle_timeout: options.idle_timeout,
            write_timeout: options.write_timeout,
            received: 0,
            written: 0,
            idle_for: Duration::ZERO,
            unread_for: Duration::ZERO,
        })
    }

    /// Compares the counters when a tick has passed: messages `received`, whether no call is in
    /// flight (`idle`), bytes `written`, and whether there is `unread` output.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        received: u64,
        idle: bool,
        written: u64,
        unread: bool,
    ) -> MonitorVerdict {
        while self.timer.as_mut().poll(cx).is_ready() {
            self.timer.as_mut().reset(Instant::now() + self.tick);
            let verdict = self.check(received, idle, written, unread);
            if verdict != MonitorVerdict::Keep {
                return verdict;
            }
        }
        MonitorVerdict::Keep
    }

    fn check(&mut self, received: u64, idle: bool, written: u64, unread: bool) -> MonitorVerdict {
        let is_quiet =
            idle && !unread && std::mem::replace(&mut self.received, received) == received;
        self.idle_for = if is_quiet {
            self.idle_for + self.tick
        } else {
            Duration::ZERO
        };
        if !unread || written - self.written >= MIN_PROGRESS {
            self.written = written;
            self.unread_for = Duration::ZERO;
        } else {
            self.unread_for += self.tick;
        }
        let exceeds =
            |time: Duration, limit: Option<Duration>| limit.is_some_and(|limit| time >= limit);
        if exceeds(self.unread_for, self.write_timeout) {
            return MonitorVerdict::Unread;
        }
        let idle_timeout = match self.idle_timeout {
            Some(limit) if received == 0 => Some(limit.min(FIRST_MESSAGE_TIMEOUT)),
            limit => limit,
        };
        if exceeds(self.idle_for, idle_timeout) {
            MonitorVerdict::Idle
        } else {
            MonitorVerdict::Keep
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn monitor() -> ChannelMonitor {
        let options = LineOptions {
            idle_timeout: Some(Duration::from_secs(100)),
            write_timeout: Some(Duration::from_secs(30)),
            ..LineOptions::default()
        };
        ChannelMonitor::new(&options).unwrap()
    }

    #[tokio::test]
    async fn a_channel_without_messages_is_idle_and_sooner_before_the_first() {
        let ticks = |monitor: &mut ChannelMonitor, received| {
            (1..100)
                .find(|_| monitor.check(received, true, 0, false) == MonitorVerdict::Idle)
                .unwrap_or(100)
        };
        assert_eq!(ticks(&mut monitor(), 0), 6);
        assert_eq!(
            ticks(&mut monitor(), 1),
            21,
            "the first check sees a message"
        );
        let mut used = monitor();
        assert!(
            (1..100).all(|received| used.check(received, true, 0, false) == MonitorVerdict::Keep)
        );
        assert!(
            (1..100).all(|_| used.check(99, false, 0, false) == MonitorVerdict::Keep),
            "a call is in flight"
        );
    }

    #[tokio::test]
    async fn a_client_that_reads_too_little_is_one_that_does_not_read() {
        let until = |step: u64| {
            let mut monitor = monitor();
            (1..100).find(|n| monitor.check(1, false, n * step, true) == MonitorVerdict::Unread)
        };
        assert_eq!(until(0), Some(6));
        assert_eq!(until(1), Some(6));
        assert_eq!(until(MIN_PROGRESS / 5), None);
        let mut reading = monitor();
        assert!(
            (1..100).all(|_| reading.check(1, false, 0, false) == MonitorVerdict::Keep),
            "there is no unread output"
        );
    }
}
