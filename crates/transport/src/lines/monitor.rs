//! The limits on a channel that nobody uses, or whose client does not read.
//!
//! A timer per message would cost more than a small call. Instead the channel keeps counters, and
//! they are compared now and then.

use super::server::LineOptions;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep};

/// The longest time between two looks, and the shortest.
const TICK: Duration = Duration::from_secs(5);
const MIN_TICK: Duration = Duration::from_millis(5);
/// The first message of a channel has to come within this time, if there is an idle timeout.
const FIRST_MESSAGE: Duration = Duration::from_secs(30);
/// What a client that keeps the buffer full has to take within the write timeout, in bytes. A byte
/// now and then would hold the calls of the channel for ever.
const LEAST: u64 = 16 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Keep,
    Idle,
    Unread,
}

pub(super) struct Monitor {
    timer: Pin<Box<Sleep>>,
    tick: Duration,
    idle_timeout: Option<Duration>,
    write_timeout: Option<Duration>,
    /// What was counted at the last look.
    lines: u64,
    taken: u64,
    idle_for: Duration,
    unread_for: Duration,
}

impl Monitor {
    /// `None` when nothing is limited.
    pub(super) fn new(options: &LineOptions) -> Option<Self> {
        let shortest = [options.idle_timeout, options.write_timeout]
            .into_iter()
            .flatten()
            .min()?;
        let tick = (shortest / 2).clamp(MIN_TICK, TICK);
        Some(Self {
            timer: Box::pin(sleep(tick)),
            tick,
            idle_timeout: options.idle_timeout,
            write_timeout: options.write_timeout,
            lines: 0,
            taken: 0,
            idle_for: Duration::ZERO,
            unread_for: Duration::ZERO,
        })
    }

    /// Compares the counters when it is time to: `lines` that came, `written` bytes, whether the
    /// channel has nothing to do and whether output is `waiting`.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        lines: u64,
        idle: bool,
        written: u64,
        waiting: bool,
    ) -> Verdict {
        while self.timer.as_mut().poll(cx) == Poll::Ready(()) {
            self.timer.as_mut().reset(Instant::now() + self.tick);
            let verdict = self.look(lines, idle, written, waiting);
            if verdict != Verdict::Keep {
                return verdict;
            }
        }
        Verdict::Keep
    }

    fn look(&mut self, lines: u64, idle: bool, written: u64, waiting: bool) -> Verdict {
        let quiet = idle && !waiting && std::mem::replace(&mut self.lines, lines) == lines;
        self.idle_for = if quiet {
            self.idle_for + self.tick
        } else {
            Duration::ZERO
        };
        if !waiting || written - self.taken >= LEAST {
            self.taken = written;
            self.unread_for = Duration::ZERO;
        } else {
            self.unread_for += self.tick;
        }
        if self
            .write_timeout
            .is_some_and(|limit| self.unread_for >= limit)
        {
            return Verdict::Unread;
        }
        let limit = self.idle_timeout.map(|limit| {
            if lines == 0 {
                limit.min(FIRST_MESSAGE)
            } else {
                limit
            }
        });
        if limit.is_some_and(|limit| self.idle_for >= limit) {
            Verdict::Idle
        } else {
            Verdict::Keep
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn monitor() -> Monitor {
        let options = LineOptions {
            idle_timeout: Some(Duration::from_secs(100)),
            write_timeout: Some(Duration::from_secs(30)),
            ..LineOptions::default()
        };
        Monitor::new(&options).unwrap()
    }

    #[tokio::test]
    async fn a_channel_without_messages_is_idle_and_sooner_before_the_first() {
        let ticks = |monitor: &mut Monitor, lines| {
            (1..100)
                .find(|_| monitor.look(lines, true, 0, false) == Verdict::Idle)
                .unwrap_or(100)
        };
        assert_eq!(ticks(&mut monitor(), 0), 6);
        assert_eq!(
            ticks(&mut monitor(), 1),
            21,
            "the first look sees a message"
        );
        let mut used = monitor();
        assert!((1..100).all(|lines| used.look(lines, true, 0, false) == Verdict::Keep));
        assert!(
            (1..100).all(|_| used.look(99, false, 0, false) == Verdict::Keep),
            "a call is in flight"
        );
    }

    #[tokio::test]
    async fn a_client_that_takes_too_little_is_one_that_does_not_read() {
        let until = |step: u64| {
            let mut monitor = monitor();
            (1..100).find(|n| monitor.look(1, false, n * step, true) == Verdict::Unread)
        };
        assert_eq!(until(0), Some(6));
        assert_eq!(until(1), Some(6));
        assert_eq!(until(LEAST / 5), None);
        let mut reading = monitor();
        assert!(
            (1..100).all(|_| reading.look(1, false, 0, false) == Verdict::Keep),
            "nothing waits"
        );
    }
}
