//! How much callers may hold of what outlives their requests, and what they are told of failures.

use crate::server::ServerBuilder;
use carryall_proto::budget::Amount;

impl ServerBuilder {
    /// How many subscriptions may be open at once; 20,000 by default. Further ones are refused.
    pub fn max_subscriptions(mut self, subscriptions: usize) -> Self {
        self.settings.max_listeners = subscriptions;
        self
    }

    /// How many subscriptions one caller may have open at once; 5,000 by default. Further ones are
    /// refused, while those of others are not.
    ///
    /// A caller is a principal, else a network address, so that clients behind one proxy without
    /// authorization are one caller.
    pub fn max_subscriptions_per_caller(mut self, subscriptions: usize) -> Self {
        self.settings.max_listeners_per_caller = subscriptions;
        self
    }

    /// How many [handles](crate::Ctx::handle) may be stored, with how many bytes of state, for all
    /// callers together and for each; 100,000 with 256 MiB and 25,000 with 64 MiB by default. Marks
    /// of used single-use handles count too. What is beyond that is refused
    /// ([`HandleError::Full`](crate::HandleError::Full)), until handles are removed or expire.
    ///
    /// Each replica counts what it has written itself: in a shared store, a caller can keep its
    /// share once for each replica.
    pub fn handle_limits(mut self, total: Amount, per_caller: Amount) -> Self {
        self.settings.handle_limits = (total, per_caller);
        self
    }

    /// Whether models and clients are told why a handler failed unexpectedly, that is, with an
    /// error that came by `?`; `false` by default: a model reads the message of the error, and can
    /// act on it.
    ///
    /// With `true` it reads `The tool failed (reference 2f6c...)` instead, and the reference stands
    /// in the log beside the error with its causes. So it does for prompts, resources and
    /// completions, whose errors are never told. What a handler says deliberately, with
    /// [`HandlerError::new`](crate::HandlerError::new) for example, is told in any case.
    pub fn mask_errors(mut self, mask: bool) -> Self {
        self.settings.mask_errors = mask;
        self
    }
}
