//! Errors without an id, on a channel that several requests share.
//!
//! JSON-RPC answers a message whose id cannot be read with an error that has none. The request gets
//! no other response, so its caller would wait until it times out. The request is known if only one
//! can be meant: because only one is waiting, or by elimination as others are answered. If the
//! error may be about a one-way message or a request that was given up, it is dropped: failing
//! every waiting request would do more harm.

use carryall_types::{ErrorObject, RequestId, code};
use std::collections::HashSet;

/// Maximum number of errors kept until their request is known.
const MAX_ERRORS: usize = 16;
/// Errors are dropped while more requests than this are waiting.
const MAX_CANDIDATES: usize = 64;

/// The unattributed errors of one channel, on which the server reads messages in order.
#[derive(Debug, Default)]
pub(super) struct UnattributedErrors {
    /// How many messages were sent.
    sent: u64,
    /// The number of the last message that was one-way or given up.
    last_unanswerable: u64,
    /// The server has read all messages up to this number.
    read: u64,
    /// Each with the requests that it may be about.
    errors: Vec<(ErrorObject, HashSet<RequestId>)>,
}

impl UnattributedErrors {
    /// Counts a request and returns its number for [`answered`](Self::answered).
    pub(super) fn count_request(&mut self) -> u64 {
        self.sent += 1;
        self.sent
    }

    /// Counts a message that has no response.
    pub(super) fn count_one_way(&mut self) {
        self.sent += 1;
        self.last_unanswerable = self.sent;
    }

    /// Notes that nobody waits for the response to `id` any more.
    pub(super) fn abandoned(&mut self, id: &RequestId) {
        // The server may not have read it yet, so it counts as if it were sent now.
        self.count_one_way();
        self.errors
            .retain(|(_, candidates)| !candidates.contains(id));
    }

    /// Notes that request `number` was answered.
    pub(super) fn answered(&mut self, id: &RequestId, number: u64) {
        self.read = self.read.max(number);
        self.errors
            .iter_mut()
            .for_each(|(_, candidates)| _ = candidates.remove(id));
        self.errors.retain(|(_, candidates)| !candidates.is_empty());
    }

    /// Adds an error that arrived while these requests were waiting.
    pub(super) fn insert<'a>(
        &mut self,
        error: &ErrorObject,
        waiting: impl ExactSizeIterator<Item = &'a RequestId>,
    ) {
        // A server that does not know a method has read the message, so it was a notification.
        let may_be_one_way =
            self.last_unanswerable > self.read || error.code == code::METHOD_NOT_FOUND;
        if may_be_one_way || waiting.len() > MAX_CANDIDATES || self.errors.len() == MAX_ERRORS {
            return;
        }
        let candidates: HashSet<_> = waiting.cloned().collect();
        if !candidates.is_empty() {
            self.errors.push((error.clone(), candidates));
        }
    }

    /// Removes and returns requests with their error: `n` requests to which `n` errors are
    /// confined.
    pub(super) fn take_attributed(&mut self) -> Vec<(RequestId, ErrorObject)> {
        let certain = self.errors.iter().position(|(_, candidates)| {
            let confined = self
                .errors
                .iter()
                .filter(|(_, others)| others.is_subset(candidates));
            confined.count() >= candidates.len()
        });
        let Some(at) = certain else { return Vec::new() };
        let (error, candidates) = self.errors.swap_remove(at);
        for (_, others) in &mut self.errors {
            others.retain(|id| !candidates.contains(id));
        }
        self.errors.retain(|(_, others)| !others.is_empty());
        candidates
            .into_iter()
            .map(|id| (id, error.clone()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unreadable() -> ErrorObject {
        ErrorObject::new(code::PARSE_ERROR, "cannot read it")
    }

    fn ids(ids: &[i64]) -> Vec<RequestId> {
        ids.iter().copied().map(RequestId::from).collect()
    }

    fn attributed(errors: &mut UnattributedErrors) -> Vec<RequestId> {
        let mut ids: Vec<_> = errors
            .take_attributed()
            .into_iter()
            .map(|(id, _)| id)
            .collect();
        ids.sort_by_key(ToString::to_string);
        ids
    }

    #[test]
    fn an_error_is_attributed_to_the_only_possible_request() {
        let mut errors = UnattributedErrors::default();
        let first = errors.count_request();
        errors.insert(&unreadable(), ids(&[1]).iter());
        assert_eq!(attributed(&mut errors), ids(&[1]));
        // By elimination.
        let second = errors.count_request();
        errors.insert(&unreadable(), ids(&[1, 2]).iter());
        assert!(attributed(&mut errors).is_empty());
        errors.answered(&1.into(), first);
        assert_eq!(attributed(&mut errors), ids(&[2]));
        assert!(attributed(&mut errors).is_empty());
        // Two errors about two requests.
        errors.answered(&2.into(), second);
        errors.insert(&unreadable(), ids(&[3, 4]).iter());
        assert!(attributed(&mut errors).is_empty());
        errors.insert(&unreadable(), ids(&[3, 4]).iter());
        assert_eq!(attributed(&mut errors), ids(&[3, 4]));
    }

    #[test]
    fn an_error_that_may_be_about_another_message_is_not_attributed() {
        let mut errors = UnattributedErrors::default();
        errors.count_request();
        errors.count_one_way();
        errors.insert(&unreadable(), ids(&[1]).iter());
        assert!(
            attributed(&mut errors).is_empty(),
            "it may be about the notification"
        );
        let next = errors.count_request();
        errors.answered(&2.into(), next);
        errors.insert(
            &ErrorObject::method_not_found("notifications/x"),
            ids(&[1]).iter(),
        );
        assert!(
            attributed(&mut errors).is_empty(),
            "the message that was read is not a request"
        );
        errors.insert(&unreadable(), ids(&[1, 3]).iter());
        errors.abandoned(&3.into());
        assert!(
            attributed(&mut errors).is_empty(),
            "it may be about the abandoned request"
        );
        errors.insert(&unreadable(), ids(&[1]).iter());
        assert!(attributed(&mut errors).is_empty(), "still");
        let last = errors.count_request();
        errors.answered(&4.into(), last);
        errors.insert(&unreadable(), ids(&[1]).iter());
        assert_eq!(
            attributed(&mut errors),
            ids(&[1]),
            "all other messages were read"
        );
    }

    #[test]
    fn the_number_of_kept_errors_is_bounded() {
        let mut errors = UnattributedErrors::default();
        for _ in 0..2 * MAX_ERRORS {
            errors.insert(
                &unreadable(),
                ids(&(0..MAX_CANDIDATES as i64).collect::<Vec<_>>()).iter(),
            );
        }
        assert_eq!(errors.errors.len(), MAX_ERRORS);
        let mut errors = UnattributedErrors::default();
        errors.insert(
            &unreadable(),
            ids(&(0..=MAX_CANDIDATES as i64).collect::<Vec<_>>()).iter(),
        );
        assert!(errors.errors.is_empty());
    }
}
