//! Rate limits of tools and completions (`server/tools#security-considerations`).

use carryall_proto::sync::Mutex;
use std::time::{Duration, Instant};

/// A token bucket that starts full.
#[derive(Debug)]
pub(crate) struct RateLimit {
    capacity: f64,
    per_second: f64,
    state: Mutex<(f64, Option<Instant>)>,
}

impl RateLimit {
    pub(crate) fn new(calls: u32, period: Duration) -> Self {
        let capacity = f64::from(calls.max(1));
        let per_second = capacity / period.as_secs_f64().max(0.001);
        Self {
            capacity,
            per_second,
            state: Mutex::new((capacity, None)),
        }
    }

    /// Takes one token.
    ///
    /// # Errors
    /// When there is none: the time until there is.
    pub(crate) fn admit(&self, now: Instant) -> Result<(), Duration> {
        let mut state = self.state.lock();
        let (tokens, last) = &mut *state;
        if let Some(last) = last {
            let refill = now.saturating_duration_since(*last).as_secs_f64() * self.per_second;
            *tokens = (*tokens + refill).min(self.capacity);
        }
        *last = Some(now);
        if *tokens >= 1.0 {
            *tokens -= 1.0;
            return Ok(());
        }
        Err(Duration::from_secs_f64((1.0 - *tokens) / self.per_second))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_up_to_the_limit_passes_and_tokens_refill() {
        let limit = RateLimit::new(2, Duration::from_secs(1));
        let start = Instant::now();
        assert!(limit.admit(start).is_ok() && limit.admit(start).is_ok());
        assert_eq!(limit.admit(start).unwrap_err(), Duration::from_millis(500));
        assert!(limit.admit(start + Duration::from_millis(501)).is_ok());
        assert!(limit.admit(start + Duration::from_millis(502)).is_err());
    }
}
