//! The calls in flight on one session, and to which of them a message belongs that does not say so.

use super::session::{Event, QueuedEvent};
use carryall_proto::budget::Budget;
use carryall_proto::mux::Abandoned;
use carryall_proto::{Call, CallError, CallerId, Notification, Params};
use carryall_types::{ClientCapabilities, InputRequest, LoggingLevel, ProgressToken};
use std::collections::BTreeMap;
use tokio::sync::mpsc;

/// How many calls may be in flight on one session.
const MAX_CALLS: usize = 4096;
/// How many of these may be of one caller, unless it is this process itself.
const MAX_CALLS_PER_CALLER: usize = MAX_CALLS / 2;

/// The calls that the server works on, as far as is known here.
#[derive(Debug, Default)]
pub(crate) struct CallRouter {
    calls: BTreeMap<i64, CallRoute>,
    /// Calls that nobody waits for any more. The server may not have stopped working on them.
    abandoned: Abandoned,
}

/// A call in flight: where what comes for it goes.
#[derive(Debug)]
pub(crate) struct CallRoute {
    events: mpsc::Sender<QueuedEvent>,
    pub(crate) token: Option<ProgressToken>,
    level: Option<LoggingLevel>,
    caller: CallerId,
    capabilities: ClientCapabilities,
    /// Whether it may come back with a question (`basic/patterns/mrtr`).
    rounds: bool,
}

/// ClientIdentity is asked what a request of the server's asks that names no call.
#[derive(Debug)]
pub(crate) enum QuestionTarget<'a> {
    /// The caller of this call: it can be nobody else.
    Call(&'a CallRoute),
    /// Several callers' calls could have caused it.
    Ambiguous {
        /// Some of these are calls that nobody waits for, which may stay so for as long as the
        /// session lasts.
        abandoned: bool,
    },
    /// No call can take it.
    Nobody,
}

impl CallRouter {
    /// Takes a call in.
    ///
    /// # Errors
    /// [`CallError::Busy`] when there are too many, or too many of its caller.
    pub(crate) fn enter(
        &mut self,
        id: i64,
        events: mpsc::Sender<QueuedEvent>,
        call: &Call,
    ) -> Result<(), CallError> {
        let caller = CallerId::of(call);
        if self.calls.len() >= MAX_CALLS {
            return Err(CallError::Busy(format!(
                "{MAX_CALLS} calls wait for answers in this session"
            )));
        }
        // There cannot be so many of one caller where there are not so many at all.
        let share_is_used_up = || {
            let own = self
                .calls
                .values()
                .filter(|routed| routed.caller.shares_quota_with(&caller));
            own.count() >= MAX_CALLS_PER_CALLER
        };
        if self.calls.len() >= MAX_CALLS_PER_CALLER && !caller.is_in_process() && share_is_used_up()
        {
            let why = format!(
                "{MAX_CALLS_PER_CALLER} calls of this caller wait for answers in this session"
            );
            return Err(CallError::Busy(why));
        }
        let routed = CallRoute {
            events,
            token: call.meta().progress_token().cloned(),
            level: call.meta().log_level(),
            caller,
            capabilities: call.meta().client_capabilities().clone(),
            rounds: call.method().allows_rounds(),
        };
        self.calls.insert(id, routed);
        Ok(())
    }

    /// Another round of the same call.
    pub(crate) fn go_on(&mut self, id: i64, call: &Call) {
        if let Some(routed) = self.calls.get_mut(&id) {
            routed.level = call.meta().log_level();
            routed.token = call.meta().progress_token().cloned();
            routed.caller = CallerId::of(call);
        }
    }

    /// Nobody waits for a call any more.
    pub(crate) fn leave(&mut self, id: i64, answered: bool) {
        if let (Some(routed), false) = (self.calls.remove(&id), answered) {
            self.abandoned.insert(id, routed.caller);
        }
    }

    /// A response arrived that nobody waits for.
    pub(crate) fn answered_late(&mut self, id: i64) -> bool {
        self.abandoned.answered(id)
    }

    pub(crate) fn get(&self, id: i64) -> Option<&CallRoute> {
        self.calls.get(&id)
    }

    /// Which call a question belongs to that names none. Where several callers' calls could have
    /// caused it, that cannot be known: a stranger would read the question, and its answer would
    /// count as the caller's. Among calls of one caller the latest that can take it gets it.
    pub(crate) fn addressee(&self, question: &InputRequest) -> QuestionTarget<'_> {
        let Some((id, taker)) = self
            .calls
            .iter()
            .rev()
            .find(|(_, routed)| routed.takes(question))
        else {
            return QuestionTarget::Nobody;
        };
        let certain = self
            .calls
            .iter()
            .all(|(other, routed)| other == id || routed.caller.is_provably_same(&taker.caller));
        let abandoned = !self.abandoned.are_provably_of(&taker.caller);
        if certain && !abandoned {
            QuestionTarget::Call(taker)
        } else {
            QuestionTarget::Ambiguous { abandoned }
        }
    }

    /// The calls that get a log message which names none: those that asked for it, where all that
    /// the server could be logging about is certainly of one caller. `listening` are the callers of
    /// the session's subscriptions.
    pub(crate) fn loggers<'a>(
        &'a self,
        message: &'a Notification,
        listening: &[CallerId],
    ) -> impl Iterator<Item = &'a CallRoute> {
        let mut callers = self
            .calls
            .values()
            .map(|routed| &routed.caller)
            .chain(listening);
        let certain = callers.next().is_some_and(|first| {
            callers.all(|caller| caller.is_provably_same(first))
                && self.abandoned.are_provably_of(first)
        });
        self.calls
            .values()
            .filter(move |routed| certain && routed.wants(message))
    }
}

impl CallRoute {
    /// Hands something to the call. It is given back when there is no room for it, for the call or
    /// within `budget`.
    pub(crate) fn offer(&self, event: Event, budget: &Budget) -> Result<(), Event> {
        // A single one fits, whatever its size.
        let bytes = event.size().min(budget.share().bytes);
        let room = match budget.reserve(&self.caller.accountable(), bytes) {
            Ok(room) => room,
            Err(exceeded) => {
                tracing::debug!(bytes, %exceeded, "something that came for a call was dropped, nobody takes it");
                return Err(event);
            }
        };
        self.events
            .try_send(QueuedEvent { event, _room: room })
            .map_err(|unsent| unsent.into_inner().event)
    }

    /// Whether the call asked for a log message of this level.
    pub(crate) fn wants(&self, message: &Notification) -> bool {
        let level = message
            .params
            .clone()
            .and_then(|params| Params::parse(params).ok());
        let level = level
            .and_then(|params| params.get("level"))
            .and_then(|level| level.decode::<LoggingLevel>().ok());
        self.level
            .zip(level)
            .is_some_and(|(least, level)| level >= least)
    }

    /// Whether its caller can be asked this.
    pub(crate) fn takes(&self, question: &InputRequest) -> bool {
        self.rounds && question.is_supported_by(&self.capabilities)
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
        let mut flight = CallRouter::default();
        let (first, second) = (call(1), call(2));
        let mut enter = |id: usize, call: &Call| flight.enter(id as i64, events.clone(), call);
        (0..MAX_CALLS_PER_CALLER).for_each(|id| enter(id, &first).unwrap());
        assert!(
            matches!(enter(MAX_CALLS, &first), Err(CallError::Busy(why)) if why.contains("this caller"))
        );
        (MAX_CALLS_PER_CALLER..MAX_CALLS).for_each(|id| enter(id, &second).unwrap());
        assert!(matches!(
            enter(MAX_CALLS, &call(3)),
            Err(CallError::Busy(_))
        ));
        flight.leave(0, true);
        assert!(flight.enter(0, events.clone(), &call(3)).is_ok());
    }

    #[test]
    fn what_waits_for_a_caller_is_bounded_in_bytes() {
        let budget = Budget::new(Amount::new(100, 4000), Amount::new(100, 2000));
        let mut flight = CallRouter::default();
        let mut receivers = Vec::new();
        for (id, session) in [(1, 1), (2, 1), (3, 2)] {
            let (events, receiver) = mpsc::channel(100);
            flight.enter(id, events, &call(session)).unwrap();
            receivers.push(receiver);
        }
        let offer = |id: i64, bytes: usize| {
            let params = carryall_types::RawJson::from(&json!({"text": "x".repeat(bytes)}));
            flight
                .get(id)
                .unwrap()
                .offer(Event::Notification(Notification::new("n", params)), &budget)
                .is_ok()
        };
        assert!(offer(1, 9000), "a single one fits, whatever its size");
        assert!(
            !offer(1, 1) && !offer(2, 1),
            "that was the share of this caller"
        );
        assert!(offer(3, 1), "others have their own");
        drop(receivers[0].try_recv().unwrap());
        assert!(offer(2, 900) && offer(1, 900) && !offer(2, 900));
    }

    #[test]
    fn calls_in_process_share_with_nobody() {
        let (events, _receiver) = mpsc::channel(1);
        let mut flight = CallRouter::default();
        let own = testkit::call("tools/call", json!({"name": "x"}));
        (0..MAX_CALLS as i64).for_each(|id| flight.enter(id, events.clone(), &own).unwrap());
        assert!(flight.enter(-1, events, &own).is_err());
    }
}
