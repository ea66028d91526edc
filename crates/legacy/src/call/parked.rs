//! Calls that wait for an answer to a question which their caller was handed.
//!
//! A legacy server asks in the middle of a call and keeps the call; a client of this revision gets the question as the
//! result of one round and comes back with the answer in the next. In between the call is parked here.

use super::running::Running;
use super::wire::Unanswered;
use carryall_proto::{Call, CallError, Outcome, Principal, Reply, Response};
use carryall_types::{ErrorObject, InputRequest, InputRequests, InputRequiredResult, JsonObject, RawJson, RequestId};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

/// The key of the one question in a round.
const KEY: &str = "question";
/// What a `requestState` of ours begins with.
const PREFIX: &str = "parked-";

/// The parked calls of one way to a server.
pub(crate) struct Parked {
    max: usize,
    patience: Duration,
    /// The one that has waited longest is at the front.
    waiting: Mutex<VecDeque<Waiting>>,
    this: Weak<Self>,
}

struct Waiting {
    state: String,
    running: Running,
    /// The id of the server's request.
    id: RequestId,
    question: InputRequest,
    principal: Option<Arc<Principal>>,
}

impl Parked {
    pub(crate) fn new(max: usize, patience: Duration) -> Arc<Self> {
        Arc::new_cyclic(|this| Self { max, patience, waiting: Mutex::default(), this: this.clone() })
    }

    /// Parks a call, and gives the result with which its caller is asked.
    pub(crate) fn park(
        &self,
        running: Running,
        id: RequestId,
        question: InputRequest,
        principal: Option<Arc<Principal>>,
    ) -> Result<RawJson, ErrorObject> {
        let mut random = [0; 16];
        // A state that can be guessed would let a stranger answer.
        getrandom::fill(&mut random).map_err(|error| {
            tracing::error!(%error, "the system has no random bytes; a question cannot be asked");
            ErrorObject::internal()
        })?;
        let state = format!("{PREFIX}{:032x}", u128::from_le_bytes(random));
        let result = asking(&state, &question);
        let gone = {
            let mut waiting = self.lock();
            let gone = if waiting.len() >= self.max { waiting.pop_front() } else { None };
            waiting.push_back(Waiting { state: state.clone(), running, id, question, principal });
            gone
        };
        drop(gone);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let (this, patience) = (self.this.clone(), self.patience);
            runtime.spawn(async move {
                tokio::time::sleep(patience).await;
                if this.upgrade().and_then(|parked| parked.take(&state)).is_some() {
                    tracing::debug!("a question was not answered in time; its call is given up");
                }
            });
        }
        Ok(result)
    }

    /// The state that a call brings back, if it is one of these.
    pub(crate) fn state_of(call: &Call) -> Option<String> {
        let state = call.params.string("requestState")?;
        state.starts_with(PREFIX).then(|| state.into_owned())
    }

    /// Goes on with a parked call.
    pub(crate) async fn go_on(&self, state: &str, call: Call) -> Result<Reply, CallError> {
        let invalid = |why: &str| Ok(Reply::Once(Response::error(call.id.clone(), ErrorObject::invalid_params(why))));
        let unknown = "requestState is not known any more: the question was answered, or not in time. Call again";
        let answers = call.params.get("inputResponses").map_or(Ok(JsonObject::new()), |answers| answers.decode());
        let Ok(mut answers) = answers else { return invalid("Invalid params: inputResponses is not an object") };
        let taken = {
            // Under one lock: what stays here must not be away for a moment, in which its time might be over.
            let mut waiting = self.lock();
            // Somebody else's, or for something else, looks as if it were not there.
            let is_this =
                |one: &Waiting| one.state == state && one.principal == call.principal && one.running.is_of(&call);
            let Some(at) = waiting.iter().position(is_this) else { return invalid(unknown) };
            match answers.remove(KEY) {
                Some(answer) => waiting.remove(at).map(|waiting| (waiting, answer)),
                None => {
                    // A missing answer is asked for again (`basic/patterns/mrtr#server-requirements-basic-workflow`).
                    let result = asking(state, &waiting[at].question);
                    return Ok(Reply::Once(Response::result(call.id.clone(), result)));
                }
            }
        };
        let Some((waiting, answer)) = taken else { return invalid(unknown) };
        let Waiting { mut running, id, .. } = waiting;
        let answer = Response { id, outcome: Outcome::Result(RawJson::from(&answer)) };
        running.go_on(call);
        if let Err(error) = running.session.wire.send(Unanswered::Response(answer)).await {
            return Err(error.into_call_error());
        }
        running.reply().await
    }

    fn take(&self, state: &str) -> Option<Waiting> {
        let mut waiting = self.lock();
        let at = waiting.iter().position(|one| one.state == state)?;
        waiting.remove(at)
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn asking(state: &str, question: &InputRequest) -> RawJson {
    let requests = InputRequests::new().with(KEY, question.clone());
    let result = InputRequiredResult::new().with_input_requests(requests).with_request_state(state);
    let mut object = match serde_json::to_value(&result) {
        Ok(serde_json::Value::Object(object)) => object,
        _ => JsonObject::new(),
    };
    object.insert("resultType".into(), "input_required".into());
    RawJson::from(&serde_json::Value::Object(object))
}
