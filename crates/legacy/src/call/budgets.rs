//! What callers may hold of one legacy server besides their calls.

use carryall_proto::budget::{Amount, Budget};

const MIB: usize = 1024 * 1024;
/// Notifications and questions of the server that their caller has not read yet, in total and per
/// caller.
const EVENTS: (Amount, Amount) = (Amount::new(65_536, 64 * MIB), Amount::new(32_768, 16 * MIB));
/// Subscriptions with the URIs of their resources, in total and per caller.
const SUBSCRIPTIONS: (Amount, Amount) = (Amount::new(4096, 64 * MIB), Amount::new(2048, 16 * MIB));

/// The budgets that all sessions with one server share.
pub(crate) struct SessionBudgets {
    pub(crate) events: Budget,
    pub(crate) subscriptions: Budget,
}

impl Default for SessionBudgets {
    fn default() -> Self {
        let budget = |(total, per_caller)| Budget::new(total, per_caller);
        Self {
            events: budget(EVENTS),
            subscriptions: budget(SUBSCRIPTIONS),
        }
    }
}
