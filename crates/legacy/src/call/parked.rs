//! Calls that wait for an answer to a question which their caller was handed.
//!
//! A legacy server asks in the middle of a call and keeps the call; a client of this revision gets
//! the question as the result of one round and comes back with the answer in the next. In between
//! the call is parked here.

use super::options::Options;
use super::quotas::SessionBudgets;
use super::running::LegacyCall;
use super::wire::OneWayMessage;
use carryall_proto::budget::{Amount, Budget, Reservation};
use carryall_proto::sync::Mutex;
use carryall_proto::{Call, CallError, Caller, CallerId, Outcome, Reply, Response};
use carryall_types::{
    ErrorObject, InputRequest, InputRequests, InputRequiredResult, JsonObject, RawJson, RequestId,
    code,
};
use std::collections::HashMap;
use std::sync::{Arc, MutexGuard, Weak};
use std::time::Duration;
use tokio::task::AbortHandle;

/// The key of the one question in a round.
const KEY: &str = "question";
/// What a `requestState` of ours begins with.
const PREFIX: &str = "parked-";
/// One caller may have this part of what all callers together may have.
const SHARE: usize = 4;

/// The parked calls of one server.
pub(crate) struct SuspendedCalls {
    budget: Budget,
    /// What the sessions with this server account for besides.
    pub(crate) quotas: SessionBudgets,
    limit: Duration,
    /// By the state that their callers bring back.
    waiting: Mutex<HashMap<String, Waiting>>,
    this: Weak<Self>,
}

struct Waiting {
    running: LegacyCall,
    /// The id of the server's request.
    id: RequestId,
    question: InputRequest,
    _room: Reservation,
    _expiry: Option<AbortOnDrop>,
}

struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl SuspendedCalls {
    pub(crate) fn new(options: &Options) -> Arc<Self> {
        let total = Amount::new(options.max_suspended_calls, options.max_suspended_bytes);
        // A share is worth at least one call, whatever its size.
        let share = Amount::new(total.items.div_ceil(SHARE), total.bytes.div_ceil(SHARE));
        Arc::new_cyclic(|this| Self {
            budget: Budget::new(total, share),
            quotas: SessionBudgets::default(),
            limit: options.suspension_timeout,
            waiting: Mutex::default(),
            this: this.clone(),
        })
    }

    /// Parks a call, and gives the result with which its caller is asked. A call that cannot be
    /// parked is given up: its server is told that nobody answers.
    pub(crate) fn park(
        &self,
        running: LegacyCall,
        id: RequestId,
        question: InputRequest,
    ) -> Result<RawJson, ErrorObject> {
        let parked = self
            .reserve(&running, &question)
            .and_then(|room| Ok((room, state()?)));
        let (room, state) = match parked {
            Ok(parked) => parked,
            Err(error) => {
                running.session.reply(Response::error(id, error.clone()));
                return Err(error);
            }
        };
        let result = asking(&state, &question);
        let expiry = tokio::runtime::Handle::try_current().ok().map(|runtime| {
            let (this, limit, state) = (self.this.clone(), self.limit, state.clone());
            let expiry = runtime.spawn(async move {
                tokio::time::sleep(limit).await;
                if let Some(expired) = this
                    .upgrade()
                    .and_then(|parked| parked.lock().remove(&state))
                {
                    tracing::debug!("a question was not answered in time; its call is given up");
                    let error = ErrorObject::new(
                        code::INTERNAL_ERROR,
                        "the question was not answered in time",
                    );
                    expired
                        .running
                        .session
                        .reply(Response::error(expired.id.clone(), error));
                }
            });
            AbortOnDrop(expiry.abort_handle())
        });
        self.lock().insert(
            state,
            Waiting {
                running,
                id,
                question,
                _room: room,
                _expiry: expiry,
            },
        );
        Ok(result)
    }

    /// Room for a call and its question. None that waits is given up for another.
    fn reserve(
        &self,
        running: &LegacyCall,
        question: &InputRequest,
    ) -> Result<Reservation, ErrorObject> {
        let call = running.call();
        let bytes = call.params().raw().as_bytes().len()
            + RawJson::from_value(question).map_or(0, |it| it.as_bytes().len());
        self.budget.reserve(&Caller::accountable(call), bytes).map_err(|exceeded| {
            tracing::warn!(bytes, %exceeded, "a question of a server was refused: too many wait for their answers");
            let why = format!(
                "The server asks a question in the middle of the call, and too many calls wait for answers already \
                 ({exceeded}): the call was cancelled, answer others first or try again later"
            );
            ErrorObject::new(code::INTERNAL_ERROR, why)
        })
    }

    /// The state that a call brings back, if it is one of these.
    pub(crate) fn state_of(call: &Call) -> Option<String> {
        let state = call.params().string("requestState")?;
        state.starts_with(PREFIX).then(|| state.into_owned())
    }

    /// Goes on with a parked call.
    pub(crate) async fn go_on(&self, state: &str, call: Call) -> Result<Reply, CallError> {
        let invalid = |why: &str| {
            Ok(Reply::Once(Response::error(
                call.id().clone(),
                ErrorObject::invalid_params(why),
            )))
        };
        let unknown = "requestState is not known any more: the question was answered, or not in time. Call again";
        let answers = call
            .params()
            .get("inputResponses")
            .map_or(Ok(JsonObject::new()), |answers| answers.decode());
        let Ok(mut answers) = answers else {
            return invalid("Invalid params: inputResponses is not an object");
        };
        let taken = {
            // Under one lock: what stays here must not be away for a moment, in which its time
            // might be over.
            let mut waiting = self.lock();
            let caller = CallerId::of(&call);
            // Somebody else's, or for something else, looks as if it were not there.
            let found = waiting.get(state).filter(|one| {
                CallerId::of(one.running.call()).has_same_principal(&caller)
                    && one.running.is_of(&call)
            });
            let Some(found) = found else {
                return invalid(unknown);
            };
            match answers.remove(KEY) {
                Some(answer) => waiting.remove(state).map(|waiting| (waiting, answer)),
                None => {
                    // A missing answer is asked for again
                    // (`basic/patterns/mrtr#server-requirements-basic-workflow`).
                    let result = asking(state, &found.question);
                    return Ok(Reply::Once(Response::result(call.id().clone(), result)));
                }
            }
        };
        let Some((waiting, answer)) = taken else {
            return invalid(unknown);
        };
        let Waiting {
            mut running, id, ..
        } = waiting;
        let answer = Response {
            id,
            outcome: Outcome::Result(RawJson::from(&answer)),
        };
        running.go_on(call);
        if let Err(error) = running
            .session
            .wire
            .send(OneWayMessage::Response(answer))
            .await
        {
            return Err(error.into_call_error());
        }
        running.reply().await
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Waiting>> {
        self.waiting.lock()
    }
}

/// A state that cannot be guessed: otherwise a stranger might answer.
fn state() -> Result<String, ErrorObject> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|error| {
        tracing::error!(%error, "the system has no random bytes; a question cannot be asked");
        ErrorObject::internal()
    })?;
    Ok(format!("{PREFIX}{:032x}", u128::from_le_bytes(random)))
}

fn asking(state: &str, question: &InputRequest) -> RawJson {
    let requests = InputRequests::new().with(KEY, question.clone());
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
