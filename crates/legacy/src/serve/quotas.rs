//! What the clients of one server may hold beyond a request, in total and each caller.

use super::options::LegacyOptions;
use carryall_proto::budget::{Amount, Budget};

/// Maximum number of calls that go on after their client has disconnected before the response
/// started.
const MAX_DETACHED: usize = 1024;
/// Maximum number of open HTTP+SSE streams.
const MAX_SSE_STREAMS: usize = 1024;
/// Maximum number of messages queued for busy HTTP+SSE streams, and their bytes.
const MAX_QUEUED: Amount = Amount::new(65_536, 64 * 1024 * 1024);

/// The budgets of one endpoint, or of all channels of one server.
#[derive(Debug)]
pub(crate) struct ServerQuotas {
    /// Tasks: their arguments while they run, then their results.
    pub(crate) tasks: Budget,
    /// Subscribed URIs.
    pub(crate) subscriptions: Budget,
    /// Calls whose client has disconnected before the response started.
    pub(crate) detached: Budget,
    /// Open HTTP+SSE streams.
    pub(crate) sse_streams: Budget,
    /// Messages queued for busy HTTP+SSE streams.
    pub(crate) queued: Budget,
    /// Ended sessions that a shared store keeps until their ids expire.
    pub(crate) stored_ends: Budget,
    /// Session events published to other replicas in the last minute.
    pub(crate) published: Budget,
}

impl ServerQuotas {
    pub(crate) fn new(options: &LegacyOptions) -> Self {
        let budget = |total: Amount| Budget::new(total, caller_share(total, options.caller_share));
        Self {
            tasks: budget(options.max_tasks),
            subscriptions: budget(options.max_total_subscriptions),
            detached: budget(Amount::new(MAX_DETACHED, usize::MAX)),
            sse_streams: budget(Amount::new(MAX_SSE_STREAMS, usize::MAX)),
            queued: budget(MAX_QUEUED),
            stored_ends: budget(Amount::new(options.max_stored_ends, usize::MAX)),
            published: budget(options.max_published),
        }
    }
}

/// Returns the part of a total that one caller may hold; not zero unless the total is.
pub(crate) fn caller_share(total: Amount, divisor: usize) -> Amount {
    let part = |whole: usize| (whole / divisor.max(1)).max(whole.min(1));
    Amount::new(part(total.items), part(total.bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_zero_only_if_the_total_is() {
        assert_eq!(caller_share(Amount::new(1000, 64), 4), Amount::new(250, 16));
        assert_eq!(caller_share(Amount::new(2, 2), 4), Amount::new(1, 1));
        assert_eq!(caller_share(Amount::new(0, 0), 4), Amount::new(0, 0));
        assert_eq!(caller_share(Amount::new(10, 10), 1), Amount::new(10, 10));
    }
}
