//! Classifies a result by its `resultType` (`basic/index#result-responses`).

use crate::ClientError;
use carryall_proto::json::Scanner;
use carryall_types::{InputRequests, JsonValue, Method, RawJson, Task};
use serde::Deserialize;
use std::borrow::Cow;

/// The most input requests accepted in one round.
const MAX_INPUTS: usize = 64;

/// The result of one request, by its `resultType`; a complete one is still text.
#[derive(Debug)]
pub(crate) enum RawOutcome {
    Complete(RawJson),
    InputRequired(InterimResult),
    /// The call became a task (Tasks extension).
    Task(Box<Task>),
}

/// The result types that a request accepts besides those of the specification.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AcceptedTypes<'a> {
    /// Types of declared extensions; such results count as complete.
    pub(crate) extension: &'a [Box<str>],
    /// Whether a `tools/call` may be answered with a task.
    pub(crate) task: bool,
}

impl AcceptedTypes<'static> {
    /// Only the types of the specification.
    pub(crate) const STANDARD: Self = Self {
        extension: &[],
        task: false,
    };
}

/// An `InputRequiredResult` (`basic/patterns/mrtr`).
#[derive(Debug)]
pub(crate) struct InterimResult {
    pub(crate) requests: InputRequests,
    /// `requestState` as the JSON string received. It is opaque to clients
    /// (`basic/patterns/mrtr#client-requirements-basic-workflow`).
    pub(crate) state: Option<RawJson>,
}

impl RawOutcome {
    /// Classifies a result. A missing `resultType` means complete, as servers of earlier revisions
    /// send none; an unknown one is an invalid response.
    pub(crate) fn classify(
        method: &Method,
        result: RawJson,
        accepted: AcceptedTypes<'_>,
    ) -> Result<Self, ClientError> {
        let result_type =
            result_type(&result).map_err(|reason| ClientError::protocol(method, reason))?;
        match result_type.as_deref() {
            None | Some("complete") => {}
            Some("input_required") if method.allows_rounds() => {
                return InterimResult::decode(method, &result).map(Self::InputRequired);
            }
            Some("input_required") => {
                return Err(ClientError::protocol(
                    method,
                    "this method cannot require input",
                ));
            }
            Some("task") if accepted.task && *method == Method::ToolsCall => {
                let task = result
                    .decode()
                    .map_err(|error| ClientError::decode(method, error))?;
                return Ok(Self::Task(task));
            }
            Some(name) if accepted.extension.iter().any(|known| **known == *name) => {}
            Some(unknown) => {
                return Err(ClientError::protocol(
                    method,
                    format!("unknown resultType {unknown:?}"),
                ));
            }
        }
        Ok(Self::Complete(result))
    }

    /// Returns the text of a complete result.
    pub(crate) fn into_complete(self, method: &Method) -> Result<RawJson, ClientError> {
        match self {
            Self::Complete(result) => Ok(result),
            Self::InputRequired(_) | Self::Task(_) => {
                Err(ClientError::protocol(method, "the result is not complete"))
            }
        }
    }
}

/// Returns the value of `resultType`. Most servers write it first, so that the scan ends early.
fn result_type(result: &RawJson) -> Result<Option<Cow<'_, str>>, String> {
    let text = result.as_str();
    let mut scanner = Scanner::new(text);
    let not_an_object = |_| "the result is not an object".to_owned();
    let mut members = scanner.object().map_err(not_an_object)?;
    while let Some(key) = members.next_key(&mut scanner).map_err(not_an_object)? {
        let value = scanner.skip_value().map_err(not_an_object)?;
        if &text[key] == "resultType" {
            let value = &text[value];
            let unquoted = value
                .strip_prefix('"')
                .and_then(|rest| rest.strip_suffix('"'));
            return match unquoted.filter(|name| !name.contains('\\')) {
                Some(name) => Ok(Some(Cow::Borrowed(name))),
                None => match carryall_types::decode_text(value) {
                    Ok(JsonValue::String(name)) => Ok(Some(Cow::Owned(name))),
                    Ok(JsonValue::Null) => Ok(None),
                    _ => Err("resultType is not a string".into()),
                },
            };
        }
    }
    Ok(None)
}

impl InterimResult {
    fn decode(method: &Method, result: &RawJson) -> Result<Self, ClientError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct InputRequiredFields {
            #[serde(default)]
            input_requests: Option<InputRequests>,
            #[serde(default)]
            request_state: Option<RawJson>,
        }
        let fields: InputRequiredFields = result
            .decode()
            .map_err(|error| ClientError::protocol(method, error.to_string()))?;
        let state = fields
            .request_state
            .filter(|state| state.as_str() != "null");
        if state
            .as_ref()
            .is_some_and(|state| !state.as_str().starts_with('"'))
        {
            return Err(ClientError::protocol(
                method,
                "requestState is not a string",
            ));
        }
        if fields.input_requests.is_none() && state.is_none() {
            return Err(ClientError::protocol(
                method,
                "the result requires input, but has neither inputRequests nor requestState",
            ));
        }
        let requests = fields.input_requests.unwrap_or_default();
        if requests.len() > MAX_INPUTS {
            return Err(ClientError::protocol(
                method,
                format!(
                    "{} input requests in one round; at most {MAX_INPUTS} are accepted",
                    requests.len()
                ),
            ));
        }
        Ok(Self { requests, state })
    }
}
