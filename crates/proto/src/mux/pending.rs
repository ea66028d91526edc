//! The client's end: the requests that wait for a response.

use super::{Abandoned, NotificationTarget};
use crate::CallerId;
use carryall_types::{ProgressToken, RequestId};
use std::collections::{BTreeMap, HashMap};
use std::fmt;

/// The requests that wait for a response on one channel, each with a value that receives its
/// messages.
///
/// Ids are never reused, so that a late response cannot be taken for that of another request.
#[derive(Debug)]
pub struct PendingRequests<T> {
    /// In the order in which they were sent.
    requests: BTreeMap<i64, PendingRequest<T>>,
    tokens: HashMap<ProgressToken, i64>,
    abandoned: Abandoned,
    limit: usize,
    limit_per_caller: usize,
    next_id: i64,
    late: u64,
    unknown: u64,
}

#[derive(Debug)]
struct PendingRequest<T> {
    listen: bool,
    logs: bool,
    token: Option<ProgressToken>,
    caller: CallerId,
    value: T,
}

/// A request that is about to be sent.
#[derive(Clone, Debug, Default)]
pub struct NewRequest {
    /// It is a `subscriptions/listen`.
    pub listen: bool,
    /// It asked for log messages (`io.modelcontextprotocol/logLevel`).
    pub logs: bool,
    /// The token under which it asked for progress.
    pub token: TokenChoice,
    /// Its caller.
    pub caller: CallerId,
}

/// The progress token of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TokenChoice {
    /// No progress is wanted.
    #[default]
    None,
    /// The request id, which is unique.
    Id,
    /// Chosen by the caller.
    Given(ProgressToken),
}

/// Why a request was not started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartError {
    /// The limit of waiting requests is reached.
    Full,
    /// The limit of waiting requests of this caller is reached.
    CallerFull,
    /// Another active request has the progress token (`basic/patterns/progress#progress-flow`).
    TokenInUse,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "too many requests are waiting for a response",
            Self::CallerFull => "too many requests of this caller are waiting for a response",
            Self::TokenInUse => "another active request has this progress token",
        })
    }
}

impl std::error::Error for StartError {}

/// The receivers of a notification.
#[derive(Debug, PartialEq, Eq)]
pub enum Delivery<'a, T> {
    /// This request.
    To(&'a mut T),
    /// Several requests of the same caller, see [`PendingRequests::route`]; never empty.
    ToAll(Vec<&'a mut T>),
    /// This listen request, whose subscription the server has ended with it.
    Ended(RequestId, T),
    /// None.
    Ignored,
}

impl<T> PendingRequests<T> {
    /// Creates an empty set for at most `limit` requests, of one caller at most `limit_per_caller`.
    /// A caller in process shares the channel with nobody, and is bound by `limit` alone.
    #[must_use]
    pub fn new(limit: usize, limit_per_caller: usize) -> Self {
        Self {
            requests: BTreeMap::new(),
            tokens: HashMap::new(),
            abandoned: Abandoned::default(),
            limit,
            limit_per_caller,
            next_id: 1,
            late: 0,
            unknown: 0,
        }
    }

    /// Adds a request that is about to be sent and assigns its id.
    ///
    /// # Errors
    /// When a limit is reached or its progress token is in use; `value` is dropped.
    pub fn start(&mut self, start: NewRequest, value: T) -> Result<RequestId, StartError> {
        if self.requests.len() >= self.limit {
            return Err(StartError::Full);
        }
        if self.has_used_its_share(&start.caller) {
            return Err(StartError::CallerFull);
        }
        let id = self.next_id;
        let token = match start.token {
            TokenChoice::None => None,
            TokenChoice::Id => Some(ProgressToken::Number(id)),
            TokenChoice::Given(token) => Some(token),
        };
        if let Some(token) = &token {
            if self.tokens.contains_key(token) {
                return Err(StartError::TokenInUse);
            }
            self.tokens.insert(token.clone(), id);
        }
        self.next_id += 1;
        let NewRequest {
            listen,
            logs,
            caller,
            ..
        } = start;
        self.requests.insert(
            id,
            PendingRequest {
                listen,
                logs,
                token,
                caller,
                value,
            },
        );
        Ok(RequestId::Number(id))
    }

    /// Removes the request that a response answers. `None` for a response to no waiting request, for
    /// example one that crossed a cancellation; these are counted.
    pub fn response(&mut self, id: &RequestId) -> Option<T> {
        let request = self.remove(id);
        if request.is_none() {
            match id {
                RequestId::Number(number) if (1..self.next_id).contains(number) => {
                    self.late += 1;
                    self.abandoned.answered(*number);
                }
                _ => self.unknown += 1,
            }
        }
        request.map(|request| request.value)
    }

    /// Removes a request that the caller gave up. `Some` if it was waiting; only then is
    /// `notifications/cancelled` sent.
    pub fn cancel(&mut self, id: &RequestId) -> Option<T> {
        let request = self.remove(id)?;
        // A listen does no work that could be logged, unless it asked for logs.
        if let (Some(id), true) = (number(id), !request.listen || request.logs) {
            self.abandoned.insert(id, request.caller);
        }
        Some(request.value)
    }

    /// Returns the receivers of a notification.
    ///
    /// Progress goes to the request with the token, and a notification with a subscription id to
    /// that listen request. A log message names no request: it goes to every request that asked for
    /// log messages, but only if all requests that the server may be working on were provably made
    /// by one caller. Otherwise it may belong to another caller's request and is ignored. Requests
    /// that were cancelled and not answered count, because the server may still be working on them;
    /// listen requests count if they asked for log messages. `notifications/cancelled` ends a
    /// subscription and is ignored for other requests.
    pub fn route(&mut self, target: &NotificationTarget) -> Delivery<'_, T> {
        let id = match target {
            NotificationTarget::Progress(token) => self.tokens.get(token).copied(),
            NotificationTarget::Subscription(id) => number(id).filter(|id| self.listens(*id)),
            NotificationTarget::Cancelled { id, .. } => return self.ended(id),
            NotificationTarget::Log => return self.log(),
            NotificationTarget::Other => None,
        };
        match id {
            Some(id) => self
                .requests
                .get_mut(&id)
                .map_or(Delivery::Ignored, |request| {
                    Delivery::To(&mut request.value)
                }),
            None => {
                self.unknown += 1;
                Delivery::Ignored
            }
        }
    }

    /// Removes all requests, because the channel is closed: in the order in which they were sent,
    /// with whether each is a listen request (which is sent again on the next channel).
    pub fn drain(&mut self) -> impl Iterator<Item = (RequestId, bool, T)> + use<T> {
        self.tokens.clear();
        self.abandoned.clear();
        std::mem::take(&mut self.requests)
            .into_iter()
            .map(|(id, request)| (id.into(), request.listen, request.value))
    }

    /// Returns the number of waiting requests.
    #[must_use]
    pub fn len(&self) -> usize {
        self.requests.len()
    }

    /// Whether no request waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// Returns the number of responses to requests that had ended.
    #[must_use]
    pub fn late(&self) -> u64 {
        self.late
    }

    /// Returns the number of messages for requests that never existed.
    #[must_use]
    pub fn unknown(&self) -> u64 {
        self.unknown
    }

    fn ended(&mut self, id: &RequestId) -> Delivery<'_, T> {
        if number(id).is_some_and(|id| self.listens(id))
            && let Some(request) = self.remove(id)
        {
            return Delivery::Ended(id.clone(), request.value);
        }
        // Often a subscription that its result ended just before.
        self.late += 1;
        Delivery::Ignored
    }

    /// Whether the caller has reached its limit. Counts only if there are enough requests at all.
    fn has_used_its_share(&self, caller: &CallerId) -> bool {
        !caller.is_in_process()
            && self.requests.len() >= self.limit_per_caller
            && self
                .requests
                .values()
                .filter(|request| request.caller.shares_quota_with(caller))
                .count()
                >= self.limit_per_caller
    }

    /// Whether every request that could be logged was provably made by one caller.
    fn are_of_one_caller(&self) -> bool {
        let mut working = self
            .requests
            .values()
            .filter(|request| !request.listen || request.logs);
        let Some(first) = working.next() else {
            return false;
        };
        working.all(|request| request.caller.is_provably_same(&first.caller))
            && self.abandoned.are_provably_of(&first.caller)
    }

    fn log(&mut self) -> Delivery<'_, T> {
        if !self.are_of_one_caller() {
            return Delivery::Ignored;
        }
        let mut wanting: Vec<_> = self
            .requests
            .values_mut()
            .filter(|request| request.logs && !request.listen)
            .map(|request| &mut request.value)
            .collect();
        match wanting.len() {
            0 => Delivery::Ignored,
            1 => Delivery::To(wanting.remove(0)),
            _ => Delivery::ToAll(wanting),
        }
    }

    fn listens(&self, id: i64) -> bool {
        self.requests.get(&id).is_some_and(|request| request.listen)
    }

    fn remove(&mut self, id: &RequestId) -> Option<PendingRequest<T>> {
        let request = self.requests.remove(&number(id)?)?;
        if let Some(token) = &request.token {
            self.tokens.remove(token);
        }
        Some(request)
    }
}

/// Our ids are numbers; a string that looks like one is a mistake of the server.
fn number(id: &RequestId) -> Option<i64> {
    match id {
        RequestId::Number(number) => Some(*number),
        RequestId::String(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mux::abandoned::tests::caller;
    use proptest::prelude::*;

    const CALL: NewRequest = NewRequest {
        listen: false,
        logs: false,
        token: TokenChoice::None,
        caller: CallerId::IN_PROCESS,
    };
    const LISTEN: NewRequest = NewRequest {
        listen: true,
        logs: false,
        token: TokenChoice::None,
        caller: CallerId::IN_PROCESS,
    };
    const LOGGED: NewRequest = NewRequest {
        listen: false,
        logs: true,
        token: TokenChoice::None,
        caller: CallerId::IN_PROCESS,
    };
    const TRACKED: NewRequest = NewRequest {
        listen: false,
        logs: false,
        token: TokenChoice::Id,
        caller: CallerId::IN_PROCESS,
    };

    fn cancelled(id: &RequestId) -> NotificationTarget {
        NotificationTarget::Cancelled {
            id: id.clone(),
            reason: None,
        }
    }

    // spec: base-jsonrpc-03, base-jsonrpc-04, base-jsonrpc-05
    #[test]
    fn ids_are_never_used_twice_and_responses_find_their_request() {
        let mut pending = PendingRequests::new(9, 9);
        let first = pending.start(CALL, "a").unwrap();
        let second = pending.start(CALL, "b").unwrap();
        assert_eq!(
            (pending.response(&second), pending.response(&first)),
            (Some("b"), Some("a"))
        );
        let third = pending.start(CALL, "c").unwrap();
        assert!(third != first && third != second);
    }

    // spec: cancellation-11, cancellation-15, cancellation-16
    #[test]
    fn after_cancelling_the_response_is_ignored() {
        let mut pending = PendingRequests::new(9, 9);
        let id = pending.start(TRACKED, "a").unwrap();
        assert_eq!(pending.cancel(&id), Some("a"));
        assert_eq!(pending.cancel(&id), None, "nothing to cancel any more");
        assert_eq!(pending.response(&id), None);
        assert_eq!(
            pending.route(&NotificationTarget::Progress(1.into())),
            Delivery::Ignored
        );
        assert_eq!(pending.response(&RequestId::from("1")), None);
        assert_eq!((pending.late(), pending.unknown()), (1, 2));
    }

    // spec: progress-03, progress-09
    #[test]
    fn progress_goes_to_the_request_with_the_token_which_is_unique() {
        let mut pending = PendingRequests::new(9, 9);
        let given = NewRequest {
            token: TokenChoice::Given("t".into()),
            ..CALL
        };
        let id = pending.start(given.clone(), "a").unwrap();
        pending.start(TRACKED, "b").unwrap();
        assert_eq!(
            pending.start(given.clone(), "c"),
            Err(StartError::TokenInUse)
        );
        assert_eq!(
            pending.route(&NotificationTarget::Progress("t".into())),
            Delivery::To(&mut "a")
        );
        assert_eq!(
            pending.route(&NotificationTarget::Progress(2.into())),
            Delivery::To(&mut "b")
        );
        assert_eq!(
            pending.route(&NotificationTarget::Progress("2".into())),
            Delivery::Ignored
        );
        pending.response(&id);
        assert_eq!(
            pending.route(&NotificationTarget::Progress("t".into())),
            Delivery::Ignored
        );
        assert!(pending.start(given, "d").is_ok(), "free again");
    }

    // spec: stdio-08, subscriptions-07, subscriptions-08
    #[test]
    fn listen_notifications_go_by_subscription_id() {
        let mut pending = PendingRequests::new(9, 9);
        let call = pending.start(CALL, "call").unwrap();
        let first = pending.start(LISTEN, "first").unwrap();
        let second = pending.start(LISTEN, "second").unwrap();
        assert_eq!(
            pending.route(&NotificationTarget::Subscription(second)),
            Delivery::To(&mut "second")
        );
        assert_eq!(
            pending.route(&NotificationTarget::Subscription(first)),
            Delivery::To(&mut "first")
        );
        for nobody in [call, RequestId::from("2"), RequestId::from(99)] {
            assert_eq!(
                pending.route(&NotificationTarget::Subscription(nobody)),
                Delivery::Ignored
            );
        }
    }

    #[test]
    fn a_listen_ends_with_cancelled_or_its_result_in_any_order() {
        let mut pending = PendingRequests::new(9, 9);
        let call = pending.start(CALL, "call").unwrap();
        let one = pending.start(LISTEN, "one").unwrap();
        let two = pending.start(LISTEN, "two").unwrap();
        assert_eq!(
            pending.route(&cancelled(&one)),
            Delivery::Ended(one.clone(), "one")
        );
        assert_eq!(pending.response(&one), None);
        assert_eq!(pending.response(&two), Some("two"));
        assert_eq!(pending.route(&cancelled(&two)), Delivery::Ignored);
        assert_eq!(
            pending.route(&cancelled(&call)),
            Delivery::Ignored,
            "a server cancels listens only"
        );
        assert_eq!(pending.response(&call), Some("call"));
    }

    #[test]
    fn log_messages_go_to_those_who_asked() {
        let mut pending = PendingRequests::new(9, 9);
        pending.start(CALL, "quiet").unwrap();
        pending.start(LISTEN, "listen").unwrap();
        assert_eq!(pending.route(&NotificationTarget::Log), Delivery::Ignored);
        let one = pending.start(LOGGED, "one").unwrap();
        assert_eq!(
            pending.route(&NotificationTarget::Log),
            Delivery::To(&mut "one")
        );
        pending.start(LOGGED, "two").unwrap();
        assert_eq!(
            pending.route(&NotificationTarget::Log),
            Delivery::ToAll(vec![&mut "one", &mut "two"])
        );
        pending.response(&one);
        assert_eq!(
            pending.route(&NotificationTarget::Log),
            Delivery::To(&mut "two")
        );
    }

    fn logged(client: u128) -> NewRequest {
        NewRequest {
            caller: caller(client),
            ..LOGGED
        }
    }

    #[test]
    fn log_messages_that_may_be_about_a_strangers_request_go_nowhere() {
        let mut pending = PendingRequests::new(9, 9);
        pending.start(logged(1), "a").unwrap();
        pending
            .start(
                NewRequest {
                    caller: caller(2),
                    ..LISTEN
                },
                "listen",
            )
            .unwrap();
        assert_eq!(
            pending.route(&NotificationTarget::Log),
            Delivery::To(&mut "a"),
            "nothing else is worked on"
        );
        let quiet = pending
            .start(
                NewRequest {
                    caller: caller(2),
                    ..CALL
                },
                "b",
            )
            .unwrap();
        assert_eq!(
            pending.route(&NotificationTarget::Log),
            Delivery::Ignored,
            "it may be about a request that wants no logs"
        );
        pending.cancel(&quiet);
        assert_eq!(
            pending.route(&NotificationTarget::Log),
            Delivery::Ignored,
            "the server may not have stopped"
        );
        pending.response(&quiet);
        assert_eq!(
            pending.route(&NotificationTarget::Log),
            Delivery::To(&mut "a")
        );
        pending.start(logged(1), "a again").unwrap();
        assert_eq!(
            pending.route(&NotificationTarget::Log),
            Delivery::ToAll(vec![&mut "a", &mut "a again"])
        );
    }

    #[test]
    fn one_caller_cannot_use_up_what_all_share() {
        let mut pending = PendingRequests::new(5, 2);
        let of = |client| NewRequest {
            caller: caller(client),
            ..CALL
        };
        pending.start(of(3), ()).unwrap();
        let first = pending.start(of(1), ()).unwrap();
        pending.start(of(1), ()).unwrap();
        assert_eq!(pending.start(of(1), ()), Err(StartError::CallerFull));
        assert!(pending.start(of(2), ()).is_ok());
        pending.response(&first);
        assert!(pending.start(of(1), ()).is_ok());
        assert!(pending.start(of(2), ()).is_ok());
        assert_eq!(pending.start(of(4), ()), Err(StartError::Full));
    }

    #[test]
    fn a_lost_channel_gives_everything_back_and_says_what_listened() {
        let mut pending = PendingRequests::new(9, 9);
        let call = pending.start(TRACKED, "call").unwrap();
        let listen = pending.start(LISTEN, "listen").unwrap();
        let lost: Vec<_> = pending.drain().collect();
        assert_eq!(lost, [(call, false, "call"), (listen, true, "listen")]);
        assert!(pending.is_empty());
        assert_eq!(
            pending.route(&NotificationTarget::Progress(1.into())),
            Delivery::Ignored
        );
    }

    #[test]
    fn the_number_waiting_is_bounded() {
        let mut pending = PendingRequests::new(1, 1);
        let id = pending.start(CALL, ()).unwrap();
        assert_eq!(pending.start(CALL, ()), Err(StartError::Full));
        pending.response(&id);
        assert!(pending.start(CALL, ()).is_ok());
    }

    proptest! {
        #[test]
        fn each_request_ends_once_and_tokens_follow(steps in proptest::collection::vec((0u8..4, 0i64..12), 0..60)) {
            let mut pending = PendingRequests::new(5, 5);
            let (mut started, mut ended) = (0, 0);
            for (step, number) in steps {
                let id = RequestId::from(number);
                match step {
                    0 => started += usize::from(pending.start(TRACKED, number).is_ok()),
                    1 => started += usize::from(pending.start(LISTEN, number).is_ok()),
                    2 => ended += usize::from(pending.response(&id).is_some()),
                    _ => ended += usize::from(matches!(pending.route(&cancelled(&id)), Delivery::Ended(..))),
                }
                prop_assert_eq!(pending.len(), started - ended);
                prop_assert!(pending.tokens.len() <= pending.len());
                prop_assert!(pending.tokens.values().all(|id| pending.requests.contains_key(id)));
            }
        }
    }
}
