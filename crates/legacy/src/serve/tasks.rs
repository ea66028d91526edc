//! The experimental tasks of 2025-11-25 (`basic/utilities/tasks`): a tool call that goes on after
//! its request was answered.
//!
//! A task lives in the process that started it and belongs to its session. Its server-initiated
//! requests wait until the client asks for the result.

mod session_task;
mod table;

pub(crate) use table::SessionTasks;

use super::client_session::ClientSession;
use super::exchange::{Outgoing, RequestContext};
use super::forward::{self, Forward};
use super::translate::errors;
use crate::generate::{self, Emitter};
use crate::message::LegacyRequest;
use carryall_proto::{Outcome, Params, Response};
use carryall_types::{ErrorObject, JsonObject, JsonValue, Method, RawJson, code};
use futures_util::StreamExt as _;
use futures_util::future::{AbortHandle, Abortable};
use serde::Deserialize;
use serde_json::json;
use session_task::SessionTask;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// How many tasks one page of `tasks/list` has.
const PAGE_SIZE: usize = 50;
/// Default time to live of a task.
const DEFAULT_TTL: Duration = Duration::from_secs(600);

/// Returns whether a request asks to run as a task.
pub(crate) fn is_requested(session: &ClientSession, method: &str, params: &Params) -> bool {
    method == "tools/call"
        && session.negotiated.has_tasks(&session.options)
        && params.get_str("task").is_some()
}

/// Returns whether `method` is one of those that manage tasks.
pub(crate) fn is_task_method(method: &str) -> bool {
    matches!(
        method,
        "tasks/get" | "tasks/result" | "tasks/list" | "tasks/cancel"
    )
}

/// Starts a task and returns the `CreateTaskResult`.
pub(crate) fn start(
    session: &Arc<ClientSession>,
    request: &LegacyRequest,
    context: RequestContext,
) -> Result<RawJson, ErrorObject> {
    #[derive(Deserialize)]
    struct TaskAugmentedParams {
        task: TaskMetadata,
    }
    #[derive(Deserialize)]
    struct TaskMetadata {
        /// In milliseconds.
        ttl: Option<u64>,
    }
    let invalid = |error: serde_json::Error| {
        ErrorObject::invalid_params(format!("Invalid params: task: {error}"))
    };
    let TaskAugmentedParams { task } = request.params.decode().map_err(invalid)?;
    let ttl = task
        .ttl
        .map_or(DEFAULT_TTL, Duration::from_millis)
        .min(session.options.max_task_ttl);
    let mut params: JsonObject = request.params.decode().map_err(invalid)?;
    params.remove("task");
    let request = LegacyRequest {
        params: RawJson::from(&JsonValue::Object(params)),
        ..request.clone()
    };
    let (abort, registration) = AbortHandle::new_pair();
    let task = SessionTask::new(
        &session.quotas.tasks,
        &session.caller,
        request.params.as_bytes().len(),
        ttl,
        abort,
    )?;
    let number = session.tasks.insert(&task)?;
    let run = Abortable::new(
        run(Arc::clone(session), Arc::clone(&task), request, context),
        registration,
    );
    let expires_at = task.expires_at();
    // Weak, so that a session is not kept for the rest of an ended task's ttl.
    let owner = Arc::downgrade(session);
    session.spawner.spawn(async move {
        let _ = tokio::time::timeout(ttl, run).await;
        if let Ok(left) = expires_at.duration_since(SystemTime::now()) {
            tokio::time::sleep(left).await;
        }
        if let Some(session) = owner.upgrade() {
            session.tasks.remove(number);
        }
    });
    let shown = task.to_json(&session.server_requests);
    Ok(RawJson::from(&json!({"task": shown})))
}

/// Carries out the call of a task, and collects its messages.
async fn run(
    session: Arc<ClientSession>,
    task: Arc<SessionTask>,
    request: LegacyRequest,
    context: RequestContext,
) {
    let server_requests = session.server_requests.clone();
    let mut messages = generate::stream(|out: Emitter<Outgoing>| async move {
        let forward = Forward {
            session: &session,
            id: &request.id,
            method: Method::ToolsCall,
            context: &context,
            out: &out,
        };
        let result = match Params::parse(request.params.clone()) {
            Ok(params) => forward::run(&forward, params).await,
            Err(error) => Err(ErrorObject::invalid_params(format!(
                "Invalid params: {error}"
            ))),
        };
        let outcome = match result {
            Ok(result) => Outcome::Result(result),
            Err(error) => Outcome::Error(errors::for_client(&request.method, error)),
        };
        out.emit(Outgoing::Response(Response {
            id: request.id.clone(),
            outcome,
        }))
        .await;
    });
    while let Some(message) = messages.next().await {
        if task.add(message, &server_requests).is_err() {
            break;
        }
    }
}

/// Answers a request about tasks.
pub(crate) async fn answer(
    session: &Arc<ClientSession>,
    request: &LegacyRequest,
    out: &Emitter<Outgoing>,
) -> Result<RawJson, ErrorObject> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct TaskIdParams {
        task_id: String,
    }
    if !session.negotiated.has_tasks(&session.options) {
        return Err(ErrorObject::method_not_found(&request.method));
    }
    if request.method == "tasks/list" {
        return list(session, request);
    }
    let TaskIdParams { task_id } = request
        .params
        .decode()
        .map_err(|error| ErrorObject::invalid_params(format!("Invalid params: {error}")))?;
    let task = session
        .tasks
        .find(&task_id)
        .ok_or_else(|| ErrorObject::invalid_params(format!("Unknown task: {task_id}")))?;
    match request.method.as_str() {
        "tasks/result" => {
            return task
                .result(&session.server_requests, &session.shutdown, out)
                .await;
        }
        "tasks/cancel" => task.cancel()?,
        _ => {}
    }
    Ok(RawJson::from(&task.to_json(&session.server_requests)))
}

fn list(session: &ClientSession, request: &LegacyRequest) -> Result<RawJson, ErrorObject> {
    #[derive(Deserialize)]
    struct CursorParams {
        cursor: Option<String>,
    }
    let invalid =
        || ErrorObject::invalid_params("Invalid params: the cursor was not issued by this server");
    let CursorParams { cursor } = request.params.decode().map_err(|_| invalid())?;
    let from: u64 = cursor
        .map_or(Ok(0), |cursor| cursor.parse())
        .map_err(|_| invalid())?;
    let mut page = session.tasks.page(from, PAGE_SIZE + 1);
    let next = if page.len() > PAGE_SIZE {
        page.pop().map(|(number, _)| number.to_string())
    } else {
        None
    };
    let tasks: Vec<JsonValue> = page
        .iter()
        .map(|(_, task)| task.to_json(&session.server_requests))
        .collect();
    let mut result = json!({"tasks": tasks});
    if let Some(next) = next {
        result["nextCursor"] = next.into();
    }
    Ok(RawJson::from(&result))
}

fn internal_error(why: impl Into<String>) -> ErrorObject {
    ErrorObject::new(code::INTERNAL_ERROR, why.into())
}
