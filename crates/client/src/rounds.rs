//! Multi round-trip requests (`basic/patterns/mrtr`).

use crate::ClientError;
use crate::client::Client;
use crate::options::CallOptions;
use crate::run::Answered;
use crate::tasks::{CancelOnDrop, TaskHandle};
use crate::wire::{RequestSpec, RoundAnswer};
use carryall_proto::backoff::Backoff;
use carryall_proto::json::{self, Scanner};
use carryall_types::{
    ClientCapabilities, ElicitRequestParams, InputRequest, InputRequests, JsonValue, Method,
    RawJson, Task,
};
use serde::Deserialize;
use std::borrow::Cow;
use std::time::Duration;

/// More requests for input than this in one round are refused.
const MAX_INPUTS: usize = 64;
/// Between rounds in which the server asks for nothing but to be asked again. The first goes out at
/// once.
const STATE_ONLY_BACKOFF: Backoff = Backoff::new(Duration::from_millis(25), Duration::from_secs(1));

/// A result by its `resultType`.
#[derive(Debug)]
pub(crate) enum Kind {
    Complete(RawJson),
    InputRequired(InterimResult),
    /// The promise of a result (Tasks extension).
    Task(Box<Task>),
}

/// An `InputRequiredResult`.
#[derive(Debug)]
pub(crate) struct InterimResult {
    pub(crate) requests: InputRequests,
    /// The JSON string as it came. Nothing ever looks into it
    /// (`basic/patterns/mrtr#client-requirements-basic-workflow`).
    pub(crate) state: Option<RawJson>,
}

impl Kind {
    /// Absent means complete, as servers of earlier revisions answer; unknown is an invalid
    /// response (`basic/index#result-responses`).
    ///
    /// `added` are the types of declared extensions, where they may come; `tasks` says whether a
    /// task may.
    pub(crate) fn of(
        method: &Method,
        result: RawJson,
        added: &[Box<str>],
        tasks: bool,
    ) -> Result<Self, ClientError> {
        let kind = result_type(&result).map_err(|why| ClientError::protocol(method, why))?;
        let is_complete = match kind.as_deref() {
            None | Some("complete") => true,
            Some("input_required") if method.allows_rounds() => false,
            Some("task") if tasks && *method == Method::ToolsCall => {
                let task = result
                    .decode()
                    .map_err(|error| ClientError::decode(method, error))?;
                return Ok(Self::Task(task));
            }
            Some("input_required") => {
                return Err(ClientError::protocol(
                    method,
                    "this method cannot require input",
                ));
            }
            Some(kind) if added.iter().any(|known| **known == *kind) => true,
            Some(unknown) => {
                return Err(ClientError::protocol(
                    method,
                    format!("unknown resultType {unknown:?}"),
                ));
            }
        };
        if is_complete {
            Ok(Self::Complete(result))
        } else {
            InterimResult::read(method, &result).map(Self::InputRequired)
        }
    }
}

/// The value of `resultType`. Most servers write it first, so that the scan ends there.
fn result_type(result: &RawJson) -> Result<Option<Cow<'_, str>>, String> {
    let text = result.as_str();
    let mut scanner = Scanner::new(text);
    let not_an_object = |_| "the result is not an object".to_owned();
    let mut members = scanner.object().map_err(not_an_object)?;
    while let Some(key) = members.next_key(&mut scanner).map_err(not_an_object)? {
        let value = scanner.skip_value().map_err(not_an_object)?;
        if &text[key] == "resultType" {
            let value = &text[value];
            let plain = value
                .strip_prefix('"')
                .and_then(|rest| rest.strip_suffix('"'));
            return match plain.filter(|kind| !kind.contains('\\')) {
                Some(kind) => Ok(Some(Cow::Borrowed(kind))),
                None => match carryall_types::decode_text(value) {
                    Ok(JsonValue::String(kind)) => Ok(Some(Cow::Owned(kind))),
                    Ok(JsonValue::Null) => Ok(None),
                    _ => Err("resultType is not a string".into()),
                },
            };
        }
    }
    Ok(None)
}

impl InterimResult {
    fn read(method: &Method, result: &RawJson) -> Result<Self, ClientError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Wire {
            #[serde(default)]
            input_requests: Option<InputRequests>,
            #[serde(default)]
            request_state: Option<RawJson>,
        }
        let wire: Wire = result
            .decode()
            .map_err(|error| ClientError::protocol(method, error.to_string()))?;
        let state = wire.request_state.filter(|state| state.as_str() != "null");
        if state
            .as_ref()
            .is_some_and(|state| !state.as_str().starts_with('"'))
        {
            return Err(ClientError::protocol(
                method,
                "requestState is not a string",
            ));
        }
        if wire.input_requests.is_none() && state.is_none() {
            return Err(ClientError::protocol(
                method,
                "input is required, but neither inputRequests nor requestState is there",
            ));
        }
        let requests = wire.input_requests.unwrap_or_default();
        if requests.len() > MAX_INPUTS {
            return Err(ClientError::protocol(
                method,
                format!("{} inputs are asked for at once", requests.len()),
            ));
        }
        Ok(Self { requests, state })
    }
}

impl Client {
    /// Asks until the result is complete, providing what the server asks for on the way. Tells as
    /// well whether the result came from the cache.
    pub(crate) async fn answer(
        &self,
        ask: &mut RequestSpec,
        mut round: Option<RoundAnswer>,
        options: &CallOptions,
    ) -> Result<(RawJson, bool), ClientError> {
        let limit = options.max_rounds.unwrap_or(self.inner.config.max_rounds);
        let (mut rounds, mut state_only) = (0, 0);
        loop {
            let interim = match self.answer_once(ask, round.as_ref(), options).await? {
                Answered::Complete { result, cached } => return Ok((result, cached)),
                Answered::InputRequired(interim) => interim,
                Answered::Task(task) => {
                    let handle = self.taken(*task, options, ask.reached);
                    let result = CancelOnDrop::new(handle).result().await?;
                    self.check_output(ask, &result, options)?;
                    return Ok((result, false));
                }
            };
            if rounds == limit {
                return Err(ClientError::Rounds { limit });
            }
            rounds += 1;
            if interim.requests.is_empty() {
                if state_only > 0 {
                    tokio::time::sleep(
                        STATE_ONLY_BACKOFF.delay(state_only - 1, crate::random::bits()),
                    )
                    .await;
                }
                state_only += 1;
            } else {
                state_only = 0;
            }
            round = Some(self.provide(interim).await?);
        }
    }

    /// Has the handlers provide what one round asks for, one after the other: a person is asked one
    /// thing at a time.
    async fn provide(&self, interim: InterimResult) -> Result<RoundAnswer, ClientError> {
        if interim.requests.is_empty() {
            return Ok(RoundAnswer {
                responses: None,
                state: interim.state,
            });
        }
        let responses = self.provide_inputs(interim.requests).await?;
        Ok(RoundAnswer {
            responses: Some(responses),
            state: interim.state,
        })
    }

    /// The answers of the handlers, by the keys of what they answer.
    pub(crate) async fn provide_inputs(
        &self,
        requests: InputRequests,
    ) -> Result<RawJson, ClientError> {
        self.check_declared(&requests)?;
        let mut responses = vec![b'{'];
        for (key, request) in requests {
            let response = self.inner.config.handlers.provide(&key, request).await?;
            if responses.len() > 1 {
                responses.push(b',');
            }
            json::write_str(&mut responses, &key);
            responses.push(b':');
            responses.extend_from_slice(response.as_bytes());
        }
        responses.push(b'}');
        Ok(RawJson::from_trusted(responses.into()))
    }

    /// The handle of a task that a call was answered with, having `reached` this progress before.
    pub(crate) fn taken(&self, task: Task, options: &CallOptions, reached: f64) -> TaskHandle {
        let handle = self.task_with(task.task_id.clone(), options.clone(), reached);
        if let Some(callback) = &options.on_task {
            callback(&task);
        }
        handle.tell_progress(task.status, task.status_message.as_deref());
        handle
    }

    /// A request for something that was not declared is refused, whoever would have answered it.
    fn check_declared(&self, requests: &InputRequests) -> Result<(), ClientError> {
        let declared = &self.inner.config.capabilities;
        let undeclared = requests
            .iter()
            .find_map(|(_, request)| undeclared(declared, request));
        match undeclared {
            Some(capability) => Err(ClientError::Unsupported {
                capability: capability.into(),
            }),
            None => Ok(()),
        }
    }

    /// What one round asks for, for answering by hand.
    pub(crate) fn by_hand(&self, interim: InterimResult) -> Result<InterimResult, ClientError> {
        self.check_declared(&interim.requests)?;
        Ok(interim)
    }
}

/// The capability that a request for input takes and that is not declared.
fn undeclared(declared: &ClientCapabilities, request: &InputRequest) -> Option<&'static str> {
    let (supported, capability) = match request {
        InputRequest::Elicit(ElicitRequestParams::Form(_)) => {
            (declared.supports_elicitation_form(), "elicitation.form")
        }
        InputRequest::Elicit(ElicitRequestParams::Url(_)) => {
            (declared.supports_elicitation_url(), "elicitation.url")
        }
        // `tools` and `toolChoice` take a capability of their own (`client/sampling#capabilities`).
        InputRequest::CreateMessage(params) if params.uses_tools() => {
            (declared.supports_sampling_tools(), "sampling.tools")
        }
        InputRequest::CreateMessage(_) => (declared.supports_sampling(), "sampling"),
        InputRequest::ListRoots(_) => (declared.supports_roots(), "roots"),
    };
    (!supported).then_some(capability)
}
