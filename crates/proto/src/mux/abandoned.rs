//! Requests that were abandoned without a response: the other side may still be working on them.

use crate::CallerId;
use std::collections::BTreeMap;

/// Beyond this many, the oldest requests are merged.
const MAX_KEPT: usize = 1024;

/// The cancelled requests of one channel that were not answered. A server may not have read the
/// cancellation yet, or may ignore it, so each request counts until its response arrives or the
/// channel ends.
#[derive(Debug, Default)]
pub struct Abandoned {
    requests: BTreeMap<i64, CallerId>,
    older: Older,
}

/// The callers of merged requests, which never end.
#[derive(Debug, Default)]
enum Older {
    #[default]
    None,
    Of(CallerId),
    /// Of callers that are not provably the same.
    Mixed,
}

impl Abandoned {
    /// Adds a request.
    pub fn insert(&mut self, id: i64, caller: CallerId) {
        self.requests.insert(id, caller);
        if self.requests.len() <= MAX_KEPT {
            return;
        }
        let Some((_, oldest)) = self.requests.pop_first() else {
            return;
        };
        self.older = match std::mem::take(&mut self.older) {
            Older::None => Older::Of(oldest),
            Older::Of(caller) if caller.is_provably_same(&oldest) => Older::Of(caller),
            Older::Of(_) | Older::Mixed => Older::Mixed,
        };
    }

    /// Removes the request that a response answers. Returns whether there was one.
    pub fn answered(&mut self, id: i64) -> bool {
        self.requests.remove(&id).is_some()
    }

    /// Whether there are no such requests.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty() && matches!(self.older, Older::None)
    }

    /// Whether all of them were provably made by `caller`.
    #[must_use]
    pub fn are_provably_of(&self, caller: &CallerId) -> bool {
        let older = match &self.older {
            Older::None => true,
            Older::Of(older) => older.is_provably_same(caller),
            Older::Mixed => false,
        };
        older
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
    fn each_request_counts_until_it_is_answered() {
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
    fn merged_requests_are_never_removed() {
        let count = MAX_KEPT as i64 + 5;
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
