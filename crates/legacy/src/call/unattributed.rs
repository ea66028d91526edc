//! Errors of a server that name no request, on a channel that several requests share.
//!
//! JSON-RPC has such errors for messages whose id could not be read. The request that was meant
//! gets no other response, so it would wait until its caller gives up. Which one it was follows
//! where only one is left that it can have been: at once where one request waits, and by
//! elimination as others are answered. Where a message without an id may have been meant, or one
//! that nobody waits for any more, nothing follows; failing all requests would lose more than the
//! one.

use carryall_types::{ErrorObject, RequestId, code};
use std::collections::HashSet;

/// The most errors that wait for their request to be found.
const MAX_ERRORS: usize = 16;
/// With more requests than this, none is looked for.
const MAX_CANDIDATES: usize = 64;

/// What is known about the errors of one channel. The server reads messages in the order in which
/// they were sent.
#[derive(Debug, Default)]
pub(crate) struct UnattributedErrors {
    /// Counts the messages sent.
    sent: u64,
    /// The last one that had no id, or that nobody waits for any more.
    last_other: u64,
    /// The server has read all messages up to this one.
    read: u64,
    errors: Vec<(ErrorObject, HashSet<RequestId>)>,
}

impl UnattributedErrors {
    /// Counts a request; returns its number for [`answered`](Self::answered).
    pub(crate) fn request(&mut self) -> u64 {
        self.sent += 1;
        self.sent
    }

    /// Counts a message that gets no response: it has been sent.
    pub(crate) fn other(&mut self) {
        self.sent += 1;
        self.last_other = self.sent;
    }

    /// Nobody waits for the response to `id` any more.
    pub(crate) fn abandoned(&mut self, id: &RequestId) {
        self.other();
        // It may have been the one.
        self.errors
            .retain(|(_, candidates)| !candidates.contains(id));
    }

    /// The request with this number was answered.
    pub(crate) fn answered(&mut self, id: &RequestId, number: u64) {
        self.read = self.read.max(number);
        self.errors
            .iter_mut()
            .for_each(|(_, candidates)| _ = candidates.remove(id));
        self.errors.retain(|(_, candidates)| !candidates.is_empty());
    }

    /// An error without an id has come while these requests wait.
    pub(crate) fn error<'a>(
        &mut self,
        error: &ErrorObject,
        waiting: impl ExactSizeIterator<Item = &'a RequestId>,
    ) {
        // ClientIdentity does not know a method has read the message; it is a notification then.
        let may_be_other = self.last_other > self.read || error.code == code::METHOD_NOT_FOUND;
        if may_be_other || waiting.len() > MAX_CANDIDATES || self.errors.len() == MAX_ERRORS {
            return;
        }
        let candidates: HashSet<_> = waiting.cloned().collect();
        if !candidates.is_empty() {
            self.errors.push((error.clone(), candidates));
        }
    }

    /// The requests whose error is known by now: as many errors can only be about so many requests.
    pub(crate) fn attributed(&mut self) -> Vec<(RequestId, ErrorObject)> {
        let certain = self.errors.iter().position(|(_, candidates)| {
            let about_these = self
                .errors
                .iter()
                .filter(|(_, others)| others.is_subset(candidates));
            about_these.count() >= candidates.len()
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

    fn found(errors: &mut UnattributedErrors) -> Vec<RequestId> {
        let mut found: Vec<_> = errors.attributed().into_iter().map(|(id, _)| id).collect();
        found.sort_by_key(ToString::to_string);
        found
    }

    #[test]
    fn an_error_is_about_the_only_request_that_it_can_be_about() {
        let mut errors = UnattributedErrors::default();
        let first = errors.request();
        errors.error(&unreadable(), ids(&[1]).iter());
        assert_eq!(found(&mut errors), ids(&[1]));
        // By elimination.
        let second = errors.request();
        errors.error(&unreadable(), ids(&[1, 2]).iter());
        assert!(found(&mut errors).is_empty());
        errors.answered(&1.into(), first);
        assert_eq!(found(&mut errors), ids(&[2]));
        assert!(found(&mut errors).is_empty());
        // Two errors about two requests.
        errors.answered(&2.into(), second);
        errors.error(&unreadable(), ids(&[3, 4]).iter());
        assert!(found(&mut errors).is_empty());
        errors.error(&unreadable(), ids(&[3, 4]).iter());
        assert_eq!(found(&mut errors), ids(&[3, 4]));
    }

    #[test]
    fn nothing_follows_where_another_message_may_be_meant() {
        let mut errors = UnattributedErrors::default();
        errors.request();
        errors.other();
        errors.error(&unreadable(), ids(&[1]).iter());
        assert!(
            found(&mut errors).is_empty(),
            "the notification may be meant"
        );
        let next = errors.request();
        errors.answered(&2.into(), next);
        errors.error(
            &ErrorObject::method_not_found("notifications/x"),
            ids(&[1]).iter(),
        );
        assert!(found(&mut errors).is_empty(), "what was read is no request");
        errors.error(&unreadable(), ids(&[1, 3]).iter());
        errors.abandoned(&3.into());
        assert!(
            found(&mut errors).is_empty(),
            "the abandoned one may be meant"
        );
        errors.error(&unreadable(), ids(&[1]).iter());
        assert!(found(&mut errors).is_empty(), "and still be");
        let last = errors.request();
        errors.answered(&4.into(), last);
        errors.error(&unreadable(), ids(&[1]).iter());
        assert_eq!(found(&mut errors), ids(&[1]), "all others were read");
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut errors = UnattributedErrors::default();
        for _ in 0..2 * MAX_ERRORS {
            errors.error(
                &unreadable(),
                ids(&(0..MAX_CANDIDATES as i64).collect::<Vec<_>>()).iter(),
            );
        }
        assert_eq!(errors.errors.len(), MAX_ERRORS);
        let mut errors = UnattributedErrors::default();
        errors.error(
            &unreadable(),
            ids(&(0..=MAX_CANDIDATES as i64).collect::<Vec<_>>()).iter(),
        );
        assert!(errors.errors.is_empty());
    }
}
