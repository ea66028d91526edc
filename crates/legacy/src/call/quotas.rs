//! What callers may hold of one legacy server besides their calls.

use carryall_proto::budget::{Amount, Budget};

const MIB: usize = 1024 * 1024;
/// What has come for calls and was not taken by their callers yet: progress, log messages,
/// questions.
const EVENTS: (Amount, Amount) = (Amount::new(65_536, 64 * MIB), Amount::new(32_768, 16 * MIB));
/// Subscriptions, and the URIs of the resources that they are for.
const SUBSCRIPTIONS: (Amount, Amount) = (Amount::new(4096, 64 * MIB), Amount::new(2048, 16 * MIB));

/// The budgets of all sessions with one server, in total and for each caller.
pub(crate) struct SessionBudgets {
    pub(crate) events: Budget,
    pub(crate) subscriptions: Budget,
}

impl Default for SessionBudgets {
    fn default() -> Self {
        let budget = |(total, share)| Budget::new(total, share);
        Self {
            events: budget(EVENTS),
            subscriptions: budget(SUBSCRIPTIONS),
        }
    }
}
