//! Builder methods: quotas of callers, and what they are told of errors.

use crate::call::error_policy::{ErrorAction, ErrorPolicy, FailedCall};
use crate::server::ServerBuilder;
use carryall_proto::budget::Amount;
use std::sync::Arc;

impl ServerBuilder {
    /// Sets how many subscriptions may be open at once; 20,000 by default. Further ones are refused.
    pub fn max_subscriptions(mut self, subscriptions: usize) -> Self {
        self.limits.max_subscriptions = subscriptions;
        self
    }

    /// Sets how many subscriptions one caller may have open at once; 5,000 by default. Further ones
    /// of this caller are refused.
    ///
    /// A caller is a principal, or else a network address. Clients behind one proxy without
    /// authorization are therefore one caller.
    pub fn max_subscriptions_per_caller(mut self, subscriptions: usize) -> Self {
        self.limits.max_subscriptions_per_caller = subscriptions;
        self
    }

    /// Sets how many [handles](crate::Ctx::handle) may be stored, and with how many bytes of state,
    /// for all callers together and for each; by default 100,000 with 256 MiB, and 25,000 with
    /// 64 MiB. Marks of used single-use handles count too. Further ones are refused
    /// ([`HandleError::Full`](crate::HandleError::Full)) until others are removed or expire.
    ///
    /// Each replica counts what it has written itself: in a shared store, a caller can keep its
    /// share once per replica.
    pub fn handle_limits(mut self, total: Amount, per_caller: Amount) -> Self {
        (self.limits.handles, self.limits.handles_per_caller) = (total, per_caller);
        self
    }

    /// Masks the errors that handlers return by `?`; `false` by default, and then the model reads
    /// the message of such an error and can act on it, while the clients of prompts, resources and
    /// completions read `Internal error`.
    ///
    /// With `true` they read `The tool failed (reference 2f6c...)` or
    /// `Internal error (reference ...)`, and the log has the reference beside the error with its
    /// causes. What a handler says deliberately ([`HandlerError::new`](crate::HandlerError::new)) is
    /// shown in any case. This replaces the policy of [`on_error`](Self::on_error).
    pub fn mask_errors(mut self, mask: bool) -> Self {
        self.errors = if mask {
            ErrorPolicy::Masked
        } else {
            ErrorPolicy::Standard
        };
        self
    }

    /// Decides for all handlers what the client is told of an error that came by `?`, and how it is
    /// logged. The default is that of [`mask_errors(false)`](Self::mask_errors).
    ///
    /// A handler overrides it for one error with
    /// [`HandlerError::masked`](crate::HandlerError::masked) and
    /// [`HandlerError::disclosing`](crate::HandlerError::disclosing). Errors of the server itself
    /// are logged as the policy says, and never disclosed.
    ///
    /// ```
    /// use carryall_server::{Disclosure, ErrorAction, Server};
    ///
    /// let server = Server::new("files", "1.0.0").on_error(|failed| {
    ///     if failed.error.is::<std::io::Error>() {
    ///         ErrorAction::new(Disclosure::Reference)
    ///     } else {
    ///         ErrorAction::new(Disclosure::Message).without_log()
    ///     }
    /// });
    /// ```
    pub fn on_error(
        mut self,
        policy: impl Fn(&FailedCall<'_>) -> ErrorAction + Send + Sync + 'static,
    ) -> Self {
        self.errors = ErrorPolicy::Custom(Arc::new(policy));
        self
    }
}
