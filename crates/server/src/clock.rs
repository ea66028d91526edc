//! The time of day, as rows and tokens have it: milliseconds since the epoch.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The most that the clocks of two replicas may differ, in milliseconds. A row that has to outlive a
/// token is kept this much longer.
pub(crate) const MAX_SKEW_MS: u64 = 10 * 60 * 1000;

/// Milliseconds since the epoch.
pub(crate) fn now() -> u64 {
    millis(
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default(),
    )
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
