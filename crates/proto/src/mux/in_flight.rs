//! The server's end: the requests in flight.

use crate::{Notification, Response, listen};
use carryall_types::{ErrorObject, RawJson, RequestId, code};
use serde_json::json;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;

/// The requests in flight on one channel, each with a value that is dropped to stop its work.
#[derive(Debug)]
pub struct InFlightRequests<T> {
    requests: HashMap<RequestId, InFlightRequest<T>>,
    limit: usize,
    next_serial: u64,
}

#[derive(Debug)]
struct InFlightRequest<T> {
    serial: u64,
    listen: bool,
    value: T,
}

/// Identifies one admitted request. A client may reuse the id of a cancelled request; the ticket
/// distinguishes the two.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ticket {
    id: RequestId,
    serial: u64,
}

impl Ticket {
    /// Returns the id of the request.
    #[must_use]
    pub fn id(&self) -> &RequestId {
        &self.id
    }
}

/// Why a request was not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdmitError {
    /// A request with this id is in flight; it is not affected.
    Duplicate,
    /// The limit of requests in flight is reached.
    Full,
}

impl AdmitError {
    /// Returns the error to answer with.
    #[must_use]
    pub fn to_error(self) -> ErrorObject {
        match self {
            Self::Duplicate => ErrorObject::new(code::INVALID_REQUEST, self.to_string()),
            Self::Full => ErrorObject::new(code::INTERNAL_ERROR, self.to_string()),
        }
    }
}

impl fmt::Display for AdmitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Duplicate => "A request with this id is still in flight",
            Self::Full => "Too many requests in flight",
        })
    }
}

impl std::error::Error for AdmitError {}

/// The messages that end a subscription from the server's side, to be sent in this order (clients
/// accept any order).
#[derive(Debug)]
pub struct EndedSubscription<T> {
    /// The value that the listen request was admitted with.
    pub value: T,
    /// `notifications/cancelled` for it (`basic/patterns/cancellation`).
    pub cancelled: Notification,
    /// Its completion result (`basic/patterns/subscriptions#graceful-closure`).
    pub response: Response,
}

impl<T> InFlightRequests<T> {
    /// Creates an empty set for at most `limit` requests.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            requests: HashMap::new(),
            limit,
            next_serial: 0,
        }
    }

    /// Admits a request. `listen`: it is a `subscriptions/listen`.
    ///
    /// # Errors
    /// When its id is in use or the limit is reached; `value` is dropped.
    pub fn admit(&mut self, id: RequestId, listen: bool, value: T) -> Result<Ticket, AdmitError> {
        let full = self.is_full();
        let Entry::Vacant(entry) = self.requests.entry(id.clone()) else {
            return Err(AdmitError::Duplicate);
        };
        if full {
            return Err(AdmitError::Full);
        }
        let serial = self.next_serial;
        self.next_serial += 1;
        entry.insert(InFlightRequest {
            serial,
            listen,
            value,
        });
        Ok(Ticket { id, serial })
    }

    /// Whether a notification for the request may still be sent: it was neither answered nor
    /// cancelled.
    #[must_use]
    pub fn may_send(&self, ticket: &Ticket) -> bool {
        self.requests
            .get(&ticket.id)
            .is_some_and(|request| request.serial == ticket.serial)
    }

    /// Returns the value of a request in flight.
    pub fn get_mut(&mut self, ticket: &Ticket) -> Option<&mut T> {
        self.requests
            .get_mut(&ticket.id)
            .filter(|request| request.serial == ticket.serial)
            .map(|request| &mut request.value)
    }

    /// Removes an answered request. `Some` exactly once; only then may the response be sent.
    pub fn complete(&mut self, ticket: &Ticket) -> Option<T> {
        if !self.may_send(ticket) {
            return None;
        }
        self.requests
            .remove(&ticket.id)
            .map(|request| request.value)
    }

    /// Removes a request that the client cancelled. Drop the returned value and send nothing more.
    /// `None` for unknown and finished requests, which is not an error
    /// (`basic/patterns/cancellation#behavior-requirements`).
    pub fn cancel(&mut self, id: &RequestId) -> Option<T> {
        self.requests.remove(id).map(|request| request.value)
    }

    /// Ends one subscription. `None` if it has ended, or the request is not a listen.
    pub fn end_subscription(&mut self, ticket: &Ticket) -> Option<EndedSubscription<T>> {
        let listens = self
            .requests
            .get(&ticket.id)
            .is_some_and(|request| request.listen);
        let value = if listens {
            self.complete(ticket)?
        } else {
            return None;
        };
        Some(ended(&ticket.id, value))
    }

    /// Ends every subscription, oldest first, for example to shut down. Other requests stay in
    /// flight.
    pub fn end_all_subscriptions(&mut self) -> Vec<EndedSubscription<T>> {
        let listens = self.requests.iter().filter(|(_, request)| request.listen);
        let mut tickets: Vec<_> = listens
            .map(|(id, request)| Ticket {
                id: id.clone(),
                serial: request.serial,
            })
            .collect();
        tickets.sort_unstable_by_key(|ticket| ticket.serial);
        tickets
            .iter()
            .filter_map(|ticket| self.end_subscription(ticket))
            .collect()
    }

    /// Removes all requests, because the channel is closed. Drop everything that is returned.
    pub fn drain(&mut self) -> impl Iterator<Item = (RequestId, T)> + '_ {
        self.requests
            .drain()
            .map(|(id, request)| (id, request.value))
    }

    /// Returns the number of requests in flight.
    #[must_use]
    pub fn len(&self) -> usize {
        self.requests.len()
    }

    /// Whether no request is in flight.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// Whether the next request would be refused.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.requests.len() >= self.limit
    }
}

fn ended<T>(id: &RequestId, value: T) -> EndedSubscription<T> {
    let params = json!({"requestId": id, "reason": "The server ends this subscription"});
    let cancelled = Notification::new("notifications/cancelled", RawJson::from(&params));
    EndedSubscription {
        value,
        cancelled,
        response: listen::closing_response(id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::rc::Rc;

    fn id(number: i64) -> RequestId {
        number.into()
    }

    // spec: cancellation-13, stdio-11, stdio-12
    #[test]
    fn a_cancelled_request_is_dropped_and_sends_nothing_more() {
        let mut flying = InFlightRequests::new(9);
        let work = Rc::new(());
        let ticket = flying.admit(id(1), false, Rc::clone(&work)).unwrap();
        assert!(flying.may_send(&ticket));
        drop(flying.cancel(&id(1)));
        assert_eq!(Rc::strong_count(&work), 1, "the work is gone");
        assert!(!flying.may_send(&ticket));
        assert!(flying.complete(&ticket).is_none());
    }

    // spec: cancellation-14, cancellation-16, cancellation-19
    #[test]
    fn cancelling_what_is_unknown_or_finished_does_nothing() {
        let mut flying = InFlightRequests::new(9);
        let ticket = flying.admit(id(1), false, "a").unwrap();
        let other = flying.admit(RequestId::from("1"), false, "b").unwrap();
        assert_eq!(flying.complete(&ticket), Some("a"));
        assert_eq!((flying.cancel(&id(1)), flying.cancel(&id(7))), (None, None));
        assert!(flying.may_send(&other), "the string is another id");
        assert_eq!(flying.complete(&ticket), None, "answered once");
    }

    #[test]
    fn a_second_request_with_the_id_is_refused_and_the_first_goes_on() {
        let mut flying = InFlightRequests::new(1);
        let ticket = flying.admit(id(1), false, "first").unwrap();
        let refused = flying.admit(id(1), false, "second").unwrap_err();
        assert_eq!(
            (refused, refused.to_error().code),
            (AdmitError::Duplicate, -32600)
        );
        assert_eq!(flying.complete(&ticket), Some("first"));
    }

    #[test]
    fn an_id_used_again_after_cancellation_is_another_request() {
        let mut flying = InFlightRequests::new(9);
        let old = flying.admit(id(1), false, "old").unwrap();
        flying.cancel(&id(1));
        let new = flying.admit(id(1), false, "new").unwrap();
        assert!(
            !flying.may_send(&old)
                && flying.complete(&old).is_none()
                && flying.get_mut(&old).is_none()
        );
        assert_eq!(flying.complete(&new), Some("new"));
    }

    #[test]
    fn the_number_in_flight_is_bounded() {
        let mut flying = InFlightRequests::new(2);
        let first = flying.admit(id(1), false, ()).unwrap();
        flying.admit(id(2), true, ()).unwrap();
        assert!(flying.is_full());
        let refused = flying.admit(id(3), false, ()).unwrap_err();
        assert_eq!(
            (refused, refused.to_error().code),
            (AdmitError::Full, -32603)
        );
        flying.complete(&first);
        assert!(flying.admit(id(3), false, ()).is_ok());
    }

    // spec: cancellation-02, cancellation-03, cancellation-12, subscriptions-09
    #[test]
    fn only_subscriptions_are_ended_with_both_messages() {
        let mut flying = InFlightRequests::new(9);
        let call = flying.admit(id(1), false, "call").unwrap();
        flying.admit(RequestId::from("b"), true, "second").unwrap();
        flying.admit(id(0), true, "third").unwrap();
        assert!(flying.end_subscription(&call).is_none());
        let ended = flying.end_all_subscriptions();
        assert_eq!(
            ended.iter().map(|one| one.value).collect::<Vec<_>>(),
            ["second", "third"]
        );
        assert_eq!(ended[0].cancelled.method, "notifications/cancelled");
        let params: serde_json::Value = ended[0]
            .cancelled
            .params
            .as_ref()
            .unwrap()
            .decode()
            .unwrap();
        assert_eq!(params["requestId"], "b");
        assert_eq!(
            ended[0].response,
            listen::closing_response(&RequestId::from("b"))
        );
        assert!(flying.may_send(&call) && flying.len() == 1);
        assert!(flying.end_all_subscriptions().is_empty());
    }

    #[test]
    fn a_lost_channel_drops_everything() {
        let mut flying = InFlightRequests::new(9);
        let ticket = flying.admit(id(1), false, ()).unwrap();
        flying.admit(id(2), true, ()).unwrap();
        assert_eq!(flying.drain().count(), 2);
        assert!(flying.is_empty() && !flying.may_send(&ticket));
    }

    proptest! {
        #[test]
        fn each_admission_ends_once_whatever_happens(steps in proptest::collection::vec((0u8..4, 0i64..4), 0..60)) {
            let mut flying = InFlightRequests::new(3);
            let mut tickets = Vec::new();
            let (mut admitted, mut ended) = (0, 0);
            for (step, number) in steps {
                match step {
                    0 | 1 => if let Ok(ticket) = flying.admit(id(number), step == 1, ()) {
                        admitted += 1;
                        tickets.push(ticket);
                    },
                    2 => ended += usize::from(flying.cancel(&id(number)).is_some()),
                    _ => ended += tickets.get(number as usize).map_or(0, |ticket| usize::from(flying.complete(ticket).is_some())),
                }
                prop_assert!(flying.len() <= 3);
                prop_assert_eq!(flying.len(), admitted - ended);
                prop_assert_eq!(tickets.iter().filter(|ticket| flying.may_send(ticket)).count(), flying.len());
            }
        }
    }
}
