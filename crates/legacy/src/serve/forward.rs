//! Forwards a request of a client to the service: one call for each round.

mod round_trip;
mod task_wait;

pub(crate) use round_trip::Forward;

use super::negotiated::modern_call;
use super::translate::results;
use carryall_proto::backoff::Backoff;
use carryall_proto::{Meta, Outcome, Params, PrintableFmt, key};
use carryall_types::{
    ErrorObject, InputRequests, JsonObject, JsonValue, ProgressToken, RawJson, code,
};
use round_trip::UrlElicitations;
use serde::Deserialize;
use std::time::Duration;

/// Delays between rounds in which the service only asks to be called again.
const STATE_ONLY_DELAY: Backoff = Backoff::new(Duration::from_millis(25), Duration::from_secs(1));
/// Parameters that belong to rounds. A client of an earlier revision must not be able to set them.
const ROUND_PARAMS: [&str; 2] = ["inputResponses", "requestState"];

/// What a round that is not the last one asks for.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RoundResult {
    #[serde(default)]
    input_requests: Option<InputRequests>,
    #[serde(default)]
    request_state: Option<RawJson>,
}

/// What the next round is called with.
struct RoundResponses {
    responses: RawJson,
    state: Option<RawJson>,
}

/// Calls the service until its result is complete, and sends the client the requests that it makes
/// on the way.
pub(crate) async fn run(forward: &Forward<'_>, params: Params) -> Result<RawJson, ErrorObject> {
    let session = forward.session;
    let RequestParams {
        params,
        progress_token,
        extra_meta,
    } = RequestParams::split(params)?;
    let mut input: Option<RoundResponses> = None;
    let mut elicitations = UrlElicitations::default();
    // Of a client that waits for tasks of 2026-07-28, once the service requires them.
    let mut meta_with_tasks: Option<Meta> = None;
    for round in 0..=session.options.max_rounds {
        let meta = meta_with_tasks.as_ref().unwrap_or(&session.meta);
        let meta = meta
            .extended(&extra_meta, session.log_level(), progress_token.clone())
            .map_err(|_| ErrorObject::internal())?;
        let mut call = modern_call(
            forward.id.clone(),
            forward.method.clone(),
            params.clone(),
            meta,
            forward.context,
        );
        if let Some(input) = &input {
            call.set_param("inputResponses", &input.responses);
            if let Some(state) = &input.state {
                call.set_param("requestState", state);
            }
        }
        let text = match forward.call_service(call).await? {
            Outcome::Result(result) => result,
            // The tool only runs as a task of 2026-07-28. The client does not know these, but it
            // can wait for the result.
            Outcome::Error(error)
                if task_wait::requires_tasks(&error) && meta_with_tasks.is_none() =>
            {
                meta_with_tasks = Some(task_wait::meta_with_tasks(&session.negotiated));
                continue;
            }
            Outcome::Error(error) => return Err(error),
        };
        let mut result = decode_object(&text)?;
        if result_type(&result) == Some("task") {
            let ended = task_wait::run(forward, &text, &mut elicitations).await?;
            result = decode_object(&ended)?;
        } else if result_type(&result) == Some("input_required") {
            let asked: RoundResult = text.decode().map_err(|_| ErrorObject::internal())?;
            forward.announce_completed(&mut elicitations).await;
            let requests = asked.input_requests.unwrap_or_default();
            if requests.is_empty() {
                let attempt = u32::try_from(round).unwrap_or(u32::MAX);
                tokio::time::sleep(STATE_ONLY_DELAY.delay(attempt, u64::from(attempt))).await;
            }
            input = Some(RoundResponses {
                responses: forward.ask_client(requests, &mut elicitations).await?,
                state: asked.request_state,
            });
            continue;
        }
        forward.announce_completed(&mut elicitations).await;
        let (negotiated, options) = (&session.negotiated, &session.options);
        return Ok(results::for_client(
            negotiated,
            options,
            &forward.method,
            result,
        ));
    }
    let limit = session.options.max_rounds;
    Err(ErrorObject::new(
        code::INTERNAL_ERROR,
        format!("The server asked for input more than {limit} times"),
    ))
}

fn decode_object(result: &RawJson) -> Result<JsonObject, ErrorObject> {
    result.decode().map_err(|error| {
        tracing::error!(error = %PrintableFmt(&error), "the result of the service is not an object");
        ErrorObject::internal()
    })
}

fn result_type(result: &JsonObject) -> Option<&str> {
    result.get("resultType")?.as_str()
}

/// The parameters of a request, split into what is forwarded as it is and what goes into `_meta`.
struct RequestParams {
    /// Without [`ROUND_PARAMS`].
    params: Params,
    progress_token: Option<ProgressToken>,
    /// The other members of `_meta`, without those that 2026-07-28 reserves.
    extra_meta: JsonObject,
}

impl RequestParams {
    fn split(params: Params) -> Result<Self, ErrorObject> {
        let invalid = |error: &dyn std::fmt::Display| {
            ErrorObject::invalid_params(format!("Invalid params: {error}"))
        };
        let mut extra_meta: JsonObject = match params.get("_meta") {
            Some(meta) => meta.decode().map_err(|error| invalid(&error))?,
            None => JsonObject::new(),
        };
        let progress_token = extra_meta
            .remove(key::PROGRESS_TOKEN)
            .map(serde_json::from_value)
            .transpose()
            .map_err(|error| invalid(&error))?;
        extra_meta.retain(|name, _| !name.starts_with("io.modelcontextprotocol/"));
        let forged = ROUND_PARAMS
            .iter()
            .any(|name| params.get_str(name).is_some());
        let params = if forged {
            let mut object: JsonObject = params.raw().decode().map_err(|error| invalid(&error))?;
            object.retain(|name, _| !ROUND_PARAMS.contains(&name.as_str()));
            let text = RawJson::from(&JsonValue::Object(object));
            Params::parse(text).map_err(|error| invalid(&error))?
        } else {
            params
        };
        Ok(Self {
            params,
            progress_token,
            extra_meta,
        })
    }
}
