//! Requests that were cancelled and not yet answered: the peer may still be working on them.

use crate::CallerId;
use std::collections::BTreeMap;

/// The maximum number of requests that are tracked one by one. Of the oldest ones beyond it, only
/// the caller is kept.
const MAX_TRACKED: usize = 1024;

/// The cancelled requests of one channel that were not answered.
///
/// Decides who may receive a message that names no request: it may belong to a cancelled request of
/// another caller, since a server may not have read the cancellation yet, or may ignore it. A
/// request is therefore tracked until its response arrives or the channel ends.
#[derive(Debug, Default)]
pub struct Abandoned {
    requests: BTreeMap<i64, CallerId>,
    forgotten: ForgottenCallers,
}

/// The callers of requests that are no longer tracked. Their responses cannot be recognized, so
/// they stay until the channel ends.
#[derive(Debug, Default)]
enum ForgottenCallers {
    #[default]
    None,
    One(CallerId),
    /// Callers that are not provably the same.
    Several,
}

impl Abandoned {
    /// Adds a request.
    pub fn insert(&mut self, id: i64, caller: CallerId) {
        self.requests.insert(id, caller);
        if self.requests.len() <= MAX_TRACKED {
            return;
        }
        let Some((_, oldest)) = self.requests.pop_first() else {
            return;
        };
        self.forgotten = match std::mem::take(&mut self.forgotten) {
            ForgottenCallers::None => ForgottenCallers::One(oldest),
            ForgottenCallers::One(caller) if caller.is_provably_same(&oldest) => {
                ForgottenCallers::One(caller)
            }
            ForgottenCallers::One(_) | ForgottenCallers::Several => ForgottenCallers::Several,
        };
    }

    /// Removes the request that a response answers. Returns whether there was one.
    pub fn answered(&mut self, id: i64) -> bool {
        self.requests.remove(&id).is_some()
    }

    /// Returns whether no cancelled request is unanswered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty() && matches!(self.forgotten, ForgottenCallers::None)
    }

    /// Returns whether all of them were provably made by `caller`.
    #[must_use]
    pub fn are_provably_of(&self, caller: &CallerId) -> bool {
        let forgotten = match &self.forgotten {
            ForgottenCallers::None => true,
            ForgottenCallers::One(forgotten) => forgotten.is_provably_same(caller),
            ForgottenCallers::Several => false,
        };
        forgotten
            && self
                .requests
                .values()
                .all(|abandoned| abandoned.is_provably_same(caller))
    }

    /// Removes all requests, because the channel is closed.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::{Call, CallSource, ClientId, Meta, Params};
    use carryall_types::{Method, ProtocolVersion, RequestId};

    pub(in crate::mux) fn caller(client: u128) -> CallerId {
        let meta = Meta::new(ProtocolVersion::LATEST, Default::default());
        let params = Params::empty();
        let mut call = Call::new(RequestId::from(1), Method::ToolsList, params, meta);
        call.set_source(CallSource::new(Some(ClientId::Legacy(client)), None));
        CallerId::of(&call)
    }

    #[test]
    fn a_request_is_tracked_until_it_is_answered() {
        let mut abandoned = Abandoned::default();
        abandoned.insert(1, caller(1));
        abandoned.insert(2, caller(2));
        assert!(!abandoned.are_provably_of(&caller(1)));
        assert!(abandoned.answered(2) && !abandoned.answered(2));
        assert!(abandoned.are_provably_of(&caller(1)) && !abandoned.are_provably_of(&caller(2)));
        assert!(abandoned.answered(1) && abandoned.is_empty());
        assert!(abandoned.are_provably_of(&caller(2)));
    }

    #[test]
    fn forgotten_requests_are_never_removed() {
        let count = MAX_TRACKED as i64 + 5;
        let mut abandoned = Abandoned::default();
        (0..count).for_each(|id| abandoned.insert(id, caller(1)));
        (0..count).for_each(|id| _ = abandoned.answered(id));
        assert!(abandoned.requests.is_empty() && !abandoned.is_empty());
        assert!(abandoned.are_provably_of(&caller(1)) && !abandoned.are_provably_of(&caller(2)));
        (0..count).for_each(|id| abandoned.insert(id, caller(2)));
        (0..count).for_each(|id| _ = abandoned.answered(id));
        assert!(!abandoned.are_provably_of(&caller(1)) && !abandoned.are_provably_of(&caller(2)));
    }
}
