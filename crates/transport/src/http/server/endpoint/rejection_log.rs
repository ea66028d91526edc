//! Logs rejected `Host` and `Origin` headers, so that the operator of a server behind a proxy
//! learns what to allow.

use carryall_proto::Printable;
use carryall_proto::sync::Mutex;
use std::time::Duration;
use tokio::time::Instant;

/// Minimum interval between two events. Others are counted only: anybody can send such requests.
const INTERVAL: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
pub(super) struct RejectionLog {
    last: Mutex<LastEvent>,
}

#[derive(Debug, Default)]
struct LastEvent {
    time: Option<Instant>,
    suppressed: u64,
}

impl RejectionLog {
    /// Logs that `value` was rejected as `header`, and what would allow it.
    pub(super) fn log(&self, header: &str, value: &str, remedy: &str) {
        let Some(suppressed) = self.next_event() else {
            return;
        };
        let value = Printable(value);
        tracing::warn!(header, %value, suppressed, "request rejected: if this server has this name, {remedy}");
    }

    /// Returns the number of events suppressed since the last one; `None` when this one is
    /// suppressed too.
    fn next_event(&self) -> Option<u64> {
        let mut last = self.last.lock();
        if last.time.is_some_and(|time| time.elapsed() < INTERVAL) {
            last.suppressed += 1;
            return None;
        }
        last.time = Some(Instant::now());
        Some(std::mem::take(&mut last.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_rejected_requests_is_one_event_in_ten_seconds() {
        let log = RejectionLog::default();
        assert_eq!(log.next_event(), Some(0));
        assert_eq!((0..1000).filter_map(|_| log.next_event()).count(), 0);
        tokio::time::advance(INTERVAL).await;
        assert_eq!(log.next_event(), Some(1000));
        assert_eq!(log.next_event(), None);
    }
}
