//! Calls that wait until their caller has answered a question of the server.
//!
//! A legacy server asks in the middle of a call and keeps the call open. A client of 2026-07-28
//! receives the question as the result of one round and brings the answer with the next. Between
//! the two rounds the call is suspended here.

use super::legacy_call::{CallUpdate, LegacyCall};
use super::options::DualEraOptions;
use super::transport::OneWayMessage;
use crate::abort_on_drop::AbortOnDrop;
use crate::generate;
use carryall_proto::budget::{Amount, Budget, Reservation};
use carryall_proto::sync::Mutex;
use carryall_proto::{Call, CallError, Caller, CallerId, Message, Outcome, Reply, Response};
use carryall_types::{
    ErrorObject, InputRequest, InputRequests, InputRequiredResult, JsonObject, RawJson, RequestId,
    code,
};
use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// The key of the one question in a round.
const QUESTION_KEY: &str = "question";
/// How the `requestState` of a suspended call begins.
const STATE_PREFIX: &str = "suspended-";
/// One caller may have this fraction of what all callers may have together.
const CALLERS_SHARE: usize = 4;

/// The suspended calls of one server.
///
/// A suspended call keeps its session open, so sessions must not own this. Calls and their streams
/// have a [`Weak`] reference to it: when the adapter is dropped, so are the suspended calls, and
/// with them their sessions.
pub(crate) struct SuspendedCalls {
    budget: Budget,
    timeout: Duration,
    /// By the `requestState` that their callers bring back.
    calls: Mutex<HashMap<String, SuspendedCall>>,
}

struct SuspendedCall {
    call: LegacyCall,
    /// The id of the server's request.
    request_id: RequestId,
    question: InputRequest,
    _reservation: Reservation,
    _expiry: Option<AbortOnDrop>,
}

impl SuspendedCalls {
    pub(crate) fn new(options: &DualEraOptions) -> Arc<Self> {
        let total = Amount::new(options.max_suspended_calls, options.max_suspended_bytes);
        // Rounded up, so that a share is at least one call.
        let share = Amount::new(
            total.items.div_ceil(CALLERS_SHARE),
            total.bytes.div_ceil(CALLERS_SHARE),
        );
        Arc::new(Self {
            budget: Budget::new(total, share),
            timeout: options.suspension_timeout,
            calls: Mutex::default(),
        })
    }

    /// Waits for the reply to a call: a response if that comes first, else a stream. A question of
    /// the server suspends the call, and is the result of this round.
    pub(crate) async fn reply(self: &Arc<Self>, mut call: LegacyCall) -> Result<Reply, CallError> {
        let this = Arc::downgrade(self);
        let first = match call.next().await? {
            CallUpdate::Notification(notification) => notification,
            last => return Ok(Reply::Once(respond(&this, call, last))),
        };
        Ok(Reply::Stream(generate::stream(move |out| async move {
            out.emit(Ok(Message::Notification(first))).await;
            loop {
                match call.next().await {
                    Ok(CallUpdate::Notification(notification)) => {
                        out.emit(Ok(Message::Notification(notification))).await;
                    }
                    Ok(last) => {
                        let response = respond(&this, call, last);
                        return out.emit(Ok(Message::Response(response))).await;
                    }
                    Err(error) => return out.emit(Err(error)).await,
                }
            }
        })))
    }

    /// Suspends a call and returns the result that asks its caller.
    ///
    /// # Errors
    /// When there are too many. The call is then cancelled, and its server told that nobody
    /// answers.
    fn suspend(
        self: Arc<Self>,
        call: LegacyCall,
        request_id: RequestId,
        question: InputRequest,
    ) -> Result<RawJson, ErrorObject> {
        let admitted = self
            .reserve(&call, &question)
            .and_then(|reservation| Ok((reservation, new_state()?)));
        let (reservation, state) = match admitted {
            Ok(admitted) => admitted,
            Err(error) => {
                let response = Response::error(request_id, error.clone());
                call.session().respond(response);
                return Err(error);
            }
        };
        let result = input_required(&state, &question);
        let expiry = tokio::runtime::Handle::try_current().ok().map(|_| {
            let expiry = expire(Arc::downgrade(&self), state.clone(), self.timeout);
            AbortOnDrop::spawn(expiry)
        });
        self.calls.lock().insert(
            state,
            SuspendedCall {
                call,
                request_id,
                question,
                _reservation: reservation,
                _expiry: expiry,
            },
        );
        Ok(result)
    }

    /// Drops all suspended calls.
    pub(crate) fn clear(&self) {
        let calls = std::mem::take(&mut *self.calls.lock());
        // Dropped outside of the lock.
        drop(calls);
    }

    fn reserve(
        &self,
        call: &LegacyCall,
        question: &InputRequest,
    ) -> Result<Reservation, ErrorObject> {
        let call = call.call();
        let bytes = call.params().raw().as_bytes().len()
            + RawJson::from_value(question).map_or(0, |it| it.as_bytes().len());
        let reserved = self.budget.reserve(&Caller::accountable(call), bytes);
        reserved.map_err(|exceeded| {
            tracing::warn!(bytes, %exceeded, "refused a question of the server: too many calls are suspended");
            let why = format!(
                "The server asks a question in the middle of the call, and too many calls wait for \
                 answers already ({exceeded}): the call was cancelled, answer others first or try \
                 again later"
            );
            ErrorObject::new(code::INTERNAL_ERROR, why)
        })
    }

    /// The `requestState` of `call`, if it is that of a suspended call.
    pub(crate) fn state_of(call: &Call) -> Option<String> {
        let state = call.params().string("requestState")?;
        state.starts_with(STATE_PREFIX).then(|| state.into_owned())
    }

    /// Resumes a suspended call with the answer that `call` brings, and waits for its reply.
    pub(crate) async fn resume(
        self: &Arc<Self>,
        state: &str,
        call: Call,
    ) -> Result<Reply, CallError> {
        let invalid = |why: &str| {
            let error = ErrorObject::invalid_params(why);
            Ok(Reply::Once(Response::error(call.id().clone(), error)))
        };
        let unknown = "requestState is not known any more: the question was answered, or not in time. Call again";
        let answers = call
            .params()
            .get("inputResponses")
            .map_or(Ok(JsonObject::new()), |answers| answers.decode());
        let Ok(mut answers) = answers else {
            return invalid("Invalid params: inputResponses is not an object");
        };
        let resumed = {
            // One critical section: a call that stays must not be missing for a moment.
            let mut calls = self.calls.lock();
            let caller = CallerId::of(&call);
            // A call of somebody else, or with other arguments, looks as if it did not exist.
            let found = calls.get(state).filter(|suspended| {
                CallerId::of(suspended.call.call()).has_same_principal(&caller)
                    && suspended.call.is_round_of(&call)
            });
            let Some(found) = found else {
                return invalid(unknown);
            };
            match answers.remove(QUESTION_KEY) {
                Some(answer) => calls.remove(state).map(|suspended| (suspended, answer)),
                None => {
                    // A missing answer is asked for again
                    // (`basic/patterns/mrtr#server-requirements-basic-workflow`).
                    let result = input_required(state, &found.question);
                    return Ok(Reply::Once(Response::result(call.id().clone(), result)));
                }
            }
        };
        let Some((suspended, answer)) = resumed else {
            return invalid(unknown);
        };
        let SuspendedCall {
            call: mut resumed,
            request_id: id,
            ..
        } = suspended;
        let answer = OneWayMessage::Response(Response {
            id,
            outcome: Outcome::Result(RawJson::from(&answer)),
        });
        resumed.set_round(call);
        let sent = resumed.session().transport().send(answer).await;
        sent.map_err(|error| error.into_call_error())?;
        self.reply(resumed).await
    }
}

/// The response of a round that ends with `last`.
fn respond(suspended: &Weak<SuspendedCalls>, call: LegacyCall, last: CallUpdate) -> Response {
    let id = call.call().id().clone();
    match last {
        CallUpdate::Done(outcome) => Response { id, outcome },
        CallUpdate::Question(request, question) => {
            let result = match suspended.upgrade() {
                Some(suspended) => suspended.suspend(call, request.id, *question),
                None => {
                    call.session().refuse(&request);
                    Err(ErrorObject::internal())
                }
            };
            match result {
                Ok(result) => Response::result(id, result),
                Err(error) => Response::error(id, error),
            }
        }
        // Not the last update of a round.
        CallUpdate::Notification(_) => Response::error(id, ErrorObject::internal()),
    }
}

/// Gives a call up when its question is not answered in time.
async fn expire(suspended: Weak<SuspendedCalls>, state: String, timeout: Duration) {
    tokio::time::sleep(timeout).await;
    let Some(suspended) = suspended.upgrade() else {
        return;
    };
    let Some(expired) = suspended.calls.lock().remove(&state) else {
        return;
    };
    tracing::debug!("a question was not answered in time; its call is cancelled");
    let error = ErrorObject::new(
        code::INTERNAL_ERROR,
        "the question was not answered in time",
    );
    let response = Response::error(expired.request_id.clone(), error);
    expired.call.session().respond(response);
}

/// A `requestState` that cannot be guessed: otherwise a stranger might answer.
fn new_state() -> Result<String, ErrorObject> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|error| {
        tracing::error!(%error, "no random bytes from the system; cannot ask a question");
        ErrorObject::internal()
    })?;
    Ok(format!(
        "{STATE_PREFIX}{:032x}",
        u128::from_le_bytes(random)
    ))
}

fn input_required(state: &str, question: &InputRequest) -> RawJson {
    let requests = InputRequests::new().with(QUESTION_KEY, question.clone());
    let result = InputRequiredResult::new()
        .with_input_requests(requests)
        .with_request_state(state);
    let mut object = match serde_json::to_value(&result) {
        Ok(serde_json::Value::Object(object)) => object,
        _ => JsonObject::new(),
    };
    object.insert("resultType".into(), "input_required".into());
    RawJson::from(&serde_json::Value::Object(object))
}
