//! Refused names in the log, so that an operator who put a proxy in front learns what to allow.

use carryall_proto::Printable;
use carryall_proto::sync::Mutex;
use std::time::Duration;
use tokio::time::Instant;

/// One event in this time; the others are counted. Anybody can send requests that are refused.
const INTERVAL: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
pub(super) struct RefusalLog {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    last: Option<Instant>,
    suppressed: u64,
}

impl RefusalLog {
    /// Logs that `value` was refused as `header`, and what would allow it.
    pub(super) fn refused(&self, header: &str, value: &str, remedy: &str) {
        let Some(suppressed) = self.due() else { return };
        let value = Printable(value);
        tracing::warn!(header, %value, suppressed, "request refused: if this name is one of this server's own, {remedy}");
    }

    /// How many were suppressed before this one; `None` for one that is suppressed itself.
    fn due(&self) -> Option<u64> {
        let mut state = self.state.lock();
        if state.last.is_some_and(|last| last.elapsed() < INTERVAL) {
            state.suppressed += 1;
            return None;
        }
        state.last = Some(Instant::now());
        Some(std::mem::take(&mut state.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_refused_requests_is_one_event_in_ten_seconds() {
        let log = RefusalLog::default();
        assert_eq!(log.due(), Some(0));
        assert_eq!((0..1000).filter_map(|_| log.due()).count(), 0);
        tokio::time::advance(INTERVAL).await;
        assert_eq!(log.due(), Some(1000));
        assert_eq!(log.due(), None);
    }
}
