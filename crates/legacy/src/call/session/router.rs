//! Routes what the server sends in the middle of a call to that call.

use crate::message::LegacyRequest;
use carryall_proto::budget::{Budget, Reservation};
use carryall_proto::mux::Abandoned;
use carryall_proto::{Call, CallError, CallerId, Notification};
use carryall_types::{ClientCapabilities, InputRequest, LoggingLevel, ProgressToken};
use std::collections::BTreeMap;
use tokio::sync::mpsc;

/// Maximum number of calls in flight on one session.
const MAX_CALLS: usize = 4096;
/// How many of them one caller may have. Calls of this process itself are not limited.
const MAX_CALLS_PER_CALLER: usize = MAX_CALLS / 2;

/// The calls in flight on one session, by the id of their request.
#[derive(Debug, Default)]
pub(crate) struct CallRouter {
    calls: BTreeMap<i64, CallRoute>,
    /// Calls that were given up. The server may still be working on them.
    abandoned: Abandoned,
}

/// A call in flight, and where to deliver its events.
#[derive(Debug)]
pub(crate) struct CallRoute {
    events: mpsc::Sender<QueuedEvent>,
    progress_token: Option<ProgressToken>,
    log_level: Option<LoggingLevel>,
    caller: CallerId,
    capabilities: ClientCapabilities,
    /// Whether the method can return a question to its caller (`basic/patterns/mrtr`).
    allows_rounds: bool,
}

/// What the server sends to a call before the response.
#[derive(Debug)]
pub(crate) enum ServerEvent {
    Notification(Notification),
    /// A question, and the request that it came in.
    Question(LegacyRequest, Box<InputRequest>),
}

/// An event that its call has not read yet.
#[derive(Debug)]
pub(crate) struct QueuedEvent {
    pub(crate) event: ServerEvent,
    pub(crate) _reservation: Reservation,
}

/// Who is asked a question that names no call.
#[derive(Debug)]
pub(crate) enum QuestionTarget<'a> {
    /// The caller of this call: no other call can have caused it.
    Call(&'a CallRoute),
    /// Calls of several callers can have caused it.
    Ambiguous {
        /// Some of them were given up. The server may never answer those, so this may not change
        /// for the rest of the session.
        abandoned: bool,
    },
    /// No call accepts it.
    Nobody,
}

impl ServerEvent {
    /// The size in bytes.
    fn size(&self) -> usize {
        match self {
            Self::Notification(Notification { method, params }) => {
                method.len() + params.as_ref().map_or(0, |params| params.as_bytes().len())
            }
            // Held twice: as text and decoded.
            Self::Question(request, _) => 2 * request.size(),
        }
    }
}

impl CallRouter {
    /// Adds a call, whose events go to `events`.
    ///
    /// # Errors
    /// [`CallError::Busy`] when too many calls are in flight, in total or of this caller.
    pub(crate) fn insert(
        &mut self,
        id: i64,
        events: mpsc::Sender<QueuedEvent>,
        call: &Call,
    ) -> Result<(), CallError> {
        let caller = CallerId::of(call);
        if self.calls.len() >= MAX_CALLS {
            return Err(CallError::Busy(format!(
                "{MAX_CALLS} calls are in flight in this session"
            )));
        }
        let caller_has_too_many = || {
            let own = self
                .calls
                .values()
                .filter(|route| route.caller.shares_quota_with(&caller));
            own.count() >= MAX_CALLS_PER_CALLER
        };
        // The first comparison saves counting in nearly all cases.
        if self.calls.len() >= MAX_CALLS_PER_CALLER
            && !caller.is_in_process()
            && caller_has_too_many()
        {
            return Err(CallError::Busy(format!(
                "{MAX_CALLS_PER_CALLER} calls of this caller are in flight in this session"
            )));
        }
        let route = CallRoute {
            events,
            progress_token: call.meta().progress_token().cloned(),
            log_level: call.meta().log_level(),
            caller,
            capabilities: call.meta().client_capabilities().clone(),
            allows_rounds: call.method().allows_rounds(),
        };
        self.calls.insert(id, route);
        Ok(())
    }

    /// Updates a call with its next round.
    pub(crate) fn update(&mut self, id: i64, call: &Call) {
        if let Some(route) = self.calls.get_mut(&id) {
            route.log_level = call.meta().log_level();
            route.progress_token = call.meta().progress_token().cloned();
            route.caller = CallerId::of(call);
        }
    }

    /// Removes a call. Unless it was `answered`, the server may still be working on it.
    pub(crate) fn remove(&mut self, id: i64, answered: bool) {
        if let (Some(route), false) = (self.calls.remove(&id), answered) {
            self.abandoned.insert(id, route.caller);
        }
    }

    /// Notes that the server is done with a call that was given up. Returns whether it was one.
    pub(crate) fn abandoned_call_ended(&mut self, id: i64) -> bool {
        self.abandoned.answered(id)
    }

    pub(crate) fn get(&self, id: i64) -> Option<&CallRoute> {
        self.calls.get(&id)
    }

    /// Finds whom to ask a question that names no call.
    ///
    /// If calls of several callers can have caused it, nobody is asked: a stranger would read the
    /// question, and the answer would count as the other caller's. Among the calls of one caller
    /// the latest that accepts the question is chosen.
    pub(crate) fn question_target(&self, question: &InputRequest) -> QuestionTarget<'_> {
        let Some((id, target)) = self
            .calls
            .iter()
            .rev()
            .find(|(_, route)| route.accepts(question))
        else {
            return QuestionTarget::Nobody;
        };
        let is_only_caller = self
            .calls
            .iter()
            .all(|(other, route)| other == id || route.caller.is_provably_same(&target.caller));
        let abandoned = !self.abandoned.are_provably_of(&target.caller);
        if is_only_caller && !abandoned {
            QuestionTarget::Call(target)
        } else {
            QuestionTarget::Ambiguous { abandoned }
        }
    }

    /// The calls that receive a log message of `level` that names no call: all that asked for it,
    /// if everything that the server may be logging about is provably of one caller, else none.
    ///
    /// `subscribers` are the callers with subscriptions in the session.
    pub(crate) fn log_targets<'a>(
        &'a self,
        level: LoggingLevel,
        subscribers: &[CallerId],
    ) -> impl Iterator<Item = &'a CallRoute> {
        let mut callers = self
            .calls
            .values()
            .map(|route| &route.caller)
            .chain(subscribers);
        let is_one_caller = callers.next().is_some_and(|first| {
            callers.all(|caller| caller.is_provably_same(first))
                && self.abandoned.are_provably_of(first)
        });
        self.calls
            .values()
            .filter(move |route| is_one_caller && route.wants_log(level))
    }
}

impl CallRoute {
    /// Queues an event for the call. Returns it if there is no room for it, in the queue or within
    /// `budget`.
    pub(crate) fn offer(&self, event: ServerEvent, budget: &Budget) -> Result<(), ServerEvent> {
        // A single event fits, whatever its size.
        let bytes = event.size().min(budget.share().bytes);
        let reservation = match budget.reserve(&self.caller.accountable(), bytes) {
            Ok(reservation) => reservation,
            Err(exceeded) => {
                tracing::debug!(bytes, %exceeded, "dropped an event of a call that is not read");
                return Err(event);
            }
        };
        self.events
            .try_send(QueuedEvent {
                event,
                _reservation: reservation,
            })
            .map_err(|unsent| unsent.into_inner().event)
    }

    pub(crate) fn progress_token(&self) -> Option<&ProgressToken> {
        self.progress_token.as_ref()
    }

    /// Whether the call asked for log messages of this level.
    pub(crate) fn wants_log(&self, level: LoggingLevel) -> bool {
        self.log_level.is_some_and(|least| level >= least)
    }

    /// Whether the caller can be asked this question.
    pub(crate) fn accepts(&self, question: &InputRequest) -> bool {
        self.allows_rounds && question.is_supported_by(&self.capabilities)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use carryall_proto::budget::Amount;
    use carryall_proto::{CallSource, ClientId};
    use carryall_testkit as testkit;
    use serde_json::json;

    fn call(session: u128) -> Call {
        let mut call = testkit::call("tools/call", json!({"name": "x"}));
        call.set_source(CallSource::new(Some(ClientId::Legacy(session)), None));
        call
    }

    #[test]
    fn one_caller_leaves_room_for_others() {
        let (events, _receiver) = mpsc::channel(1);
        let mut router = CallRouter::default();
        let (first, second) = (call(1), call(2));
        let mut insert = |id: usize, call: &Call| router.insert(id as i64, events.clone(), call);
        (0..MAX_CALLS_PER_CALLER).for_each(|id| insert(id, &first).unwrap());
        assert!(
            matches!(insert(MAX_CALLS, &first), Err(CallError::Busy(why)) if why.contains("this caller"))
        );
        (MAX_CALLS_PER_CALLER..MAX_CALLS).for_each(|id| insert(id, &second).unwrap());
        assert!(matches!(
            insert(MAX_CALLS, &call(3)),
            Err(CallError::Busy(_))
        ));
        router.remove(0, true);
        assert!(router.insert(0, events.clone(), &call(3)).is_ok());
    }

    #[test]
    fn queued_events_of_a_caller_are_bounded_in_bytes() {
        let budget = Budget::new(Amount::new(100, 4000), Amount::new(100, 2000));
        let mut router = CallRouter::default();
        let mut receivers = Vec::new();
        for (id, session) in [(1, 1), (2, 1), (3, 2)] {
            let (events, receiver) = mpsc::channel(100);
            router.insert(id, events, &call(session)).unwrap();
            receivers.push(receiver);
        }
        let offer = |id: i64, bytes: usize| {
            let params = carryall_types::RawJson::from(&json!({"text": "x".repeat(bytes)}));
            router
                .get(id)
                .unwrap()
                .offer(
                    ServerEvent::Notification(Notification::new("n", params)),
                    &budget,
                )
                .is_ok()
        };
        assert!(offer(1, 9000), "a single event fits, whatever its size");
        assert!(
            !offer(1, 1) && !offer(2, 1),
            "the share of this caller is used up"
        );
        assert!(offer(3, 1), "other callers have a share of their own");
        drop(receivers[0].try_recv().unwrap());
        assert!(offer(2, 900) && offer(1, 900) && !offer(2, 900));
    }

    #[test]
    fn calls_in_process_have_no_quota_per_caller() {
        let (events, _receiver) = mpsc::channel(1);
        let mut router = CallRouter::default();
        let own = testkit::call("tools/call", json!({"name": "x"}));
        (0..MAX_CALLS as i64).for_each(|id| router.insert(id, events.clone(), &own).unwrap());
        assert!(router.insert(-1, events, &own).is_err());
    }
}
