//! Whether a replica is worth trying.

use carryall_proto::CallError;
use carryall_proto::backoff::Backoff;
use std::time::Duration;
use tokio::time::Instant;

const BACKOFF: Backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(10));

/// What failures in a row mean for a replica.
#[derive(Debug, Default)]
pub(super) struct Health {
    failures: u32,
    /// Not to be tried before.
    due: Option<Instant>,
    /// One request is trying it nevertheless.
    lent: bool,
}

impl Health {
    pub(super) fn is_alive(&self) -> bool {
        self.failures == 0
    }

    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Whether a request may go to the replica now. A dead one whose time has come is lent to one
    /// request; the next ones wait for what becomes of it.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        match self.due {
            None => true,
            Some(due) if now < due => false,
            Some(_) => {
                self.put_off(now);
                self.lent = true;
                true
            }
        }
    }

    /// Returns whether it was alive before. A hundred calls that fail together are one failure.
    pub(super) fn failed(&mut self, now: Instant) -> bool {
        if !std::mem::take(&mut self.lent) && self.due.is_some_and(|due| now < due) {
            return false;
        }
        let was_alive = self.is_alive();
        self.failures = self.failures.saturating_add(1);
        self.put_off(now);
        was_alive
    }

    /// Returns whether it was dead before.
    pub(super) fn succeeded(&mut self) -> bool {
        let was_dead = !self.is_alive();
        *self = Self::default();
        was_dead
    }

    fn put_off(&mut self, now: Instant) {
        self.due =
            Some(now + BACKOFF.delay(self.failures.saturating_sub(1), crate::random::bits()));
    }
}

/// Whether the error says that the replica, and not the request, is at fault.
pub(super) fn blames_replica(error: &CallError) -> bool {
    match error {
        CallError::Unreachable(_) | CallError::Broken(_) => true,
        // What a proxy says for a server that is not there.
        CallError::NotMcp { status, .. } => matches!(status, 502..=504),
        // One slow call says nothing about others; a probe that gets no answer does.
        CallError::Timeout(_) => false,
        CallError::Malformed(_) | CallError::TooLarge(_) | CallError::Layer(_) => false,
        // It is there, and will refuse each handshake that is like this one.
        CallError::HandshakeRefused(_) => false,
        // The limit is one of this side.
        CallError::Refused(_) | CallError::Busy(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_dead_replica_is_lent_to_one_request_at_a_time() {
        let mut health = Health::default();
        let start = Instant::now();
        assert!(health.take(start) && health.take(start));
        assert!(health.failed(start), "it was alive");
        assert!(!health.failed(start), "not any more");
        assert!(!health.take(start));
        let later = start + Duration::from_secs(1);
        assert!(health.take(later));
        assert!(!health.take(later), "one at a time");
        assert!(health.succeeded());
        assert!(health.take(later) && health.take(later));
    }

    #[tokio::test(start_paused = true)]
    async fn a_replica_that_stays_dead_is_tried_ever_less_often() {
        let mut health = Health::default();
        let mut now = Instant::now();
        let mut delays = Vec::new();
        for _ in 0..12 {
            for _ in 0..100 {
                health.failed(now);
            }
            let due = health.due().unwrap();
            delays.push(due - now);
            now = due;
        }
        assert!(delays[0] <= Duration::from_millis(250) && delays[1] <= Duration::from_millis(500));
        assert!(delays[11] >= Duration::from_secs(5) && delays[11] <= Duration::from_secs(10));
    }
}
