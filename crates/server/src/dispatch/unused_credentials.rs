//! A hint for operators whose authorization layer does not say who the caller is.

use carryall_proto::Call;
use std::sync::atomic::{AtomicBool, Ordering};

/// Warns once when a call has an `Authorization` header and no principal, while some entries are
/// restricted: probably a layer has verified the credentials, and did not insert a principal.
#[derive(Debug, Default)]
pub(super) struct UnusedCredentialsWarning(AtomicBool);

impl UnusedCredentialsWarning {
    pub(super) fn check(&self, call: &Call, is_restricted: impl FnOnce() -> bool) {
        let has_credentials = || {
            call.headers()
                .is_some_and(|headers| headers.contains_key(http::header::AUTHORIZATION))
        };
        let was_given = self.0.load(Ordering::Relaxed);
        if was_given || call.principal().is_some() || !has_credentials() || !is_restricted() {
            return;
        }
        if !self.0.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "a request has an Authorization header and no principal, so its caller is anonymous and does not see \
                 entries that need a scope or have an access rule; an authorization layer has to insert a \
                 `carryall::proto::Principal` (or `Arc<Principal>`) into the extensions of the HTTP request"
            );
        }
    }
}
