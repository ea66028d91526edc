//! Calls of tools that must run as tasks on a 2025-11-25 server (2025-11-25
//! `basic/utilities/tasks`).
//!
//! The adapter creates the task, polls it and returns its result, so that the caller sees a plain
//! call. Progress and questions reach the caller meanwhile, and dropping the call cancels the task.
//! The tasks extension of 2026-07-28 is unrelated.

use super::session::SessionRequests;
use super::transport::{IncomingStream, SessionError};
use crate::generate::{self, Emitter};
use crate::message::Incoming;
use carryall_proto::{CallError, Outcome, Params, Response};
use carryall_types::{JsonObject, JsonValue, RawJson, RequestId};
use futures_util::StreamExt as _;
use serde::Deserialize;
use serde_json::json;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// The requested lifetime of a task, in milliseconds: a day. The server may delete a task after
/// that, and a call lasts as long as its caller waits.
const TTL_MS: u64 = 24 * 60 * 60 * 1000;
/// The poll interval of a task that names none, and the bounds of those that do.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
const MIN_POLL_INTERVAL: Duration = Duration::from_millis(50);
const MAX_POLL_INTERVAL: Duration = Duration::from_secs(10);
/// How long the server may take to answer `tasks/get`.
const STATUS_TIMEOUT: Duration = Duration::from_secs(60);
/// The member of `_meta` that names the task of a result.
const RELATED_TASK: &str = "io.modelcontextprotocol/related-task";

/// The parameters of a call that is to run as a task.
pub(super) fn request_task(params: &RawJson) -> RawJson {
    match Params::parse(params.clone()) {
        Ok(params) => params
            .with("task", &RawJson::from(&json!({"ttl": TTL_MS})))
            .raw()
            .clone(),
        Err(_) => params.clone(),
    }
}

/// The state of a task on the server.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LegacyTaskStatus {
    pub(super) task_id: String,
    status: String,
    #[serde(default)]
    poll_interval: Option<f64>,
}

impl LegacyTaskStatus {
    fn poll_interval(&self) -> Duration {
        let named = self
            .poll_interval
            .and_then(|ms| Duration::try_from_secs_f64(ms / 1000.0).ok());
        named
            .unwrap_or(POLL_INTERVAL)
            .clamp(MIN_POLL_INTERVAL, MAX_POLL_INTERVAL)
    }
}

/// The task that a call has become, if its result names one.
pub(super) fn created_task(result: &RawJson) -> Option<LegacyTaskStatus> {
    #[derive(Deserialize)]
    struct CreateTaskResult {
        task: LegacyTaskStatus,
    }
    result
        .decode::<CreateTaskResult>()
        .ok()
        .map(|created| created.task)
}

/// Polls the task of call `id`. The stream has what the server sends about the task, and then the
/// result of the task as the response.
pub(super) fn follow(requests: SessionRequests, id: i64, task: LegacyTaskStatus) -> IncomingStream {
    generate::stream(move |out| async move {
        let last = match result(&requests, task, &out).await {
            Ok(outcome) => Ok(Incoming::Response(Response {
                id: RequestId::from(id),
                outcome,
            })),
            Err(error) => Err(error.into_call_error()),
        };
        out.emit(last).await;
    })
}

async fn result(
    requests: &SessionRequests,
    mut task: LegacyTaskStatus,
    out: &Emitter<Result<Incoming, CallError>>,
) -> Result<Outcome, SessionError> {
    let params = json!({"taskId": task.task_id});
    // The result of a task that requires input is requested at once: its questions may come on the
    // stream of that request (`#input-required-status`).
    while task.status == "working" {
        sleep(task.poll_interval()).await;
        let status = request(requests, "tasks/get", &params, out);
        let status = timeout(STATUS_TIMEOUT, status).await;
        match status.map_err(|_| CallError::Timeout(STATUS_TIMEOUT))?? {
            Outcome::Result(status) => {
                task = status.decode().map_err(|error| {
                    CallError::Malformed(format!("the answer to tasks/get: {error}"))
                })?;
            }
            error => return Ok(error),
        }
    }
    request(requests, "tasks/result", &params, out).await
}

/// Sends a request about the task. Other messages on its stream go to `out`.
async fn request(
    requests: &SessionRequests,
    method: &str,
    params: &JsonValue,
    out: &Emitter<Result<Incoming, CallError>>,
) -> Result<Outcome, SessionError> {
    let request = requests.request(method, params);
    let id = request.id.clone();
    let mut incoming = requests.transport().request(request).await?;
    while let Some(message) = incoming.next().await {
        match message? {
            Incoming::Response(response) if response.id == id => {
                return Ok(without_related_task(response.outcome));
            }
            Incoming::ErrorWithoutId(error) => return Ok(Outcome::Error(error)),
            other => out.emit(Ok(other)).await,
        }
    }
    Err(CallError::broken(format!("the answer to {method} ended without a response")).into())
}

/// The result without the id of its task, which means nothing to the caller.
fn without_related_task(outcome: Outcome) -> Outcome {
    let Outcome::Result(result) = &outcome else {
        return outcome;
    };
    let Ok(members) = Params::parse(result.clone()) else {
        return outcome;
    };
    let Some(mut meta) = members
        .get("_meta")
        .and_then(|meta| meta.decode::<JsonObject>().ok())
    else {
        return outcome;
    };
    if meta.remove(RELATED_TASK).is_none() {
        return outcome;
    }
    Outcome::Result(
        members
            .with("_meta", &RawJson::from(&JsonValue::Object(meta)))
            .raw()
            .clone(),
    )
}
