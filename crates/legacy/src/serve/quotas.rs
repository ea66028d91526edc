//! What the clients of earlier revisions may hold beyond a request: in total, and each of them.

use super::options::Options;
use carryall_proto::budget::{Amount, Budget};

/// How many calls whose client went away before anything was sent go on, per process.
const MAX_DETACHED: usize = 1024;
/// How many streams of HTTP+SSE are open in a process.
const MAX_CHANNELS: usize = 1024;
/// How many messages wait for streams of HTTP+SSE that are busy, and how many bytes of them.
const MAX_WAITING: Amount = Amount::new(65_536, 64 * 1024 * 1024);

/// The budgets of one endpoint, or of all channels of a server.
#[derive(Debug)]
pub(crate) struct ServerQuotas {
    /// Tasks: their arguments while they run, then their results.
    pub(crate) tasks: Budget,
    /// URIs that clients have subscribed to.
    pub(crate) subscriptions: Budget,
    /// Calls whose client went away before the response began.
    pub(crate) detached: Budget,
    /// Streams of HTTP+SSE.
    pub(crate) channels: Budget,
    /// Messages for streams of HTTP+SSE that are busy.
    pub(crate) waiting: Budget,
    /// Ended sessions that are kept in a store for replicas that come later, until their tokens
    /// expire.
    pub(crate) ended: Budget,
    /// What was told to other replicas in the last minute.
    pub(crate) published: Budget,
}

impl ServerQuotas {
    pub(crate) fn new(options: &Options) -> Self {
        let budget = |total: Amount| Budget::new(total, share_of(total, options.caller_share));
        Self {
            tasks: budget(options.max_tasks),
            subscriptions: budget(options.max_total_subscriptions),
            detached: budget(Amount::new(MAX_DETACHED, usize::MAX)),
            channels: budget(Amount::new(MAX_CHANNELS, usize::MAX)),
            waiting: budget(MAX_WAITING),
            ended: budget(Amount::new(options.max_stored_ends, usize::MAX)),
            published: budget(options.max_published),
        }
    }
}

/// What one caller may hold of a total.
pub(crate) fn share_of(total: Amount, divisor: usize) -> Amount {
    let part = |whole: usize| (whole / divisor.max(1)).max(whole.min(1));
    Amount::new(part(total.items), part(total.bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_part_of_the_total_and_never_nothing() {
        assert_eq!(share_of(Amount::new(1000, 64), 4), Amount::new(250, 16));
        assert_eq!(share_of(Amount::new(2, 2), 4), Amount::new(1, 1));
        assert_eq!(share_of(Amount::new(0, 0), 4), Amount::new(0, 0));
        assert_eq!(share_of(Amount::new(10, 10), 1), Amount::new(10, 10));
    }
}
