//! Decides from failures whether a replica receives requests.

use carryall_proto::CallError;
use carryall_proto::backoff::Backoff;
use std::time::Duration;
use tokio::time::Instant;

const BACKOFF: Backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(10));

/// The health of a replica: a circuit breaker with exponential backoff.
#[derive(Debug, Default)]
pub(super) struct Health {
    /// Consecutive failures.
    failures: u32,
    /// When the replica may be tried again; `None` while it is healthy.
    retry_at: Option<Instant>,
    /// Whether a request is trying the unhealthy replica.
    trial: bool,
}

impl Health {
    pub(super) fn is_alive(&self) -> bool {
        self.failures == 0
    }

    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.retry_at
    }

    /// Returns whether a request may be sent to the replica now. After its backoff, an unhealthy
    /// replica is tried with a single request.
    pub(super) fn acquire(&mut self, now: Instant) -> bool {
        match self.retry_at {
            None => true,
            Some(retry_at) if now < retry_at => false,
            Some(_) => {
                self.back_off(now);
                self.trial = true;
                true
            }
        }
    }

    /// Records a failure. Returns whether the replica was healthy before. Requests that fail
    /// together count as one failure.
    pub(super) fn failed(&mut self, now: Instant) -> bool {
        if !std::mem::take(&mut self.trial) && self.retry_at.is_some_and(|at| now < at) {
            return false;
        }
        let was_alive = self.is_alive();
        self.failures = self.failures.saturating_add(1);
        self.back_off(now);
        was_alive
    }

    /// Records a success. Returns whether the replica was unhealthy before.
    pub(super) fn succeeded(&mut self) -> bool {
        let was_unhealthy = !self.is_alive();
        *self = Self::default();
        was_unhealthy
    }

    fn back_off(&mut self, now: Instant) {
        let attempt = self.failures.saturating_sub(1);
        self.retry_at = Some(now + BACKOFF.delay(attempt, crate::random::bits()));
    }
}

/// Returns whether the replica is to blame for an error, rather than the request.
pub(super) fn blames_replica(error: &CallError) -> bool {
    match error {
        CallError::Unreachable(_) | CallError::Broken(_) => true,
        // The answers of a proxy whose server is down.
        CallError::NotMcp { status, .. } => matches!(status, 502..=504),
        // One slow call says nothing about others; an unanswered probe does.
        CallError::Timeout(_) => false,
        CallError::Malformed(_) | CallError::TooLarge(_) | CallError::Layer(_) => false,
        // It is up, and will refuse every such handshake.
        CallError::HandshakeRefused(_) => false,
        // A limit of this side.
        CallError::Refused(_) | CallError::Busy(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_unhealthy_replica_is_tried_with_one_request_at_a_time() {
        let mut health = Health::default();
        let start = Instant::now();
        assert!(health.acquire(start) && health.acquire(start));
        assert!(health.failed(start), "healthy before");
        assert!(!health.failed(start), "unhealthy before");
        assert!(!health.acquire(start));
        let later = start + Duration::from_secs(1);
        assert!(health.acquire(later));
        assert!(!health.acquire(later), "one at a time");
        assert!(health.succeeded());
        assert!(health.acquire(later) && health.acquire(later));
    }

    #[tokio::test(start_paused = true)]
    async fn the_backoff_of_a_replica_grows_up_to_its_maximum() {
        let mut health = Health::default();
        let mut now = Instant::now();
        let mut delays = Vec::new();
        for _ in 0..12 {
            for _ in 0..100 {
                health.failed(now);
            }
            let retry_at = health.retry_at().unwrap();
            delays.push(retry_at - now);
            now = retry_at;
        }
        assert!(delays[0] <= Duration::from_millis(250) && delays[1] <= Duration::from_millis(500));
        assert!(delays[11] >= Duration::from_secs(5) && delays[11] <= Duration::from_secs(10));
    }
}
