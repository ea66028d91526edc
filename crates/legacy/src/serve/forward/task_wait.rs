//! Waits for a tool that only runs as a task of 2026-07-28, for clients that do not know these.

use super::round_trip::{Forward, UrlElicitations};
use crate::serve::client_session::ClientSession;
use crate::serve::exchange::RequestContext;
use crate::serve::negotiated::{Negotiated, modern_call};
use carryall_proto::task::TaskState;
use carryall_proto::{Call, Meta, Outcome, ParamsWriter};
use carryall_types::{
    ErrorObject, InputRequests, JsonObject, Method, RawJson, RequestId, TASKS_EXTENSION, Task,
    TaskStatus, code, task_method,
};
use serde::Deserialize;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

/// Maximum delay between two polls, whatever the service suggests.
const MAX_POLL_DELAY: Duration = Duration::from_secs(10);

/// Returns whether a call was refused because its client does not declare tasks.
pub(super) fn requires_tasks(error: &ErrorObject) -> bool {
    #[derive(Deserialize)]
    struct MissingCapability {
        #[serde(rename = "requiredCapabilities")]
        required: RequiredCapabilities,
    }
    #[derive(Deserialize)]
    struct RequiredCapabilities {
        #[serde(default)]
        extensions: JsonObject,
    }
    error.code == code::MISSING_REQUIRED_CLIENT_CAPABILITY
        && error
            .data
            .as_ref()
            .and_then(|data| data.decode::<MissingCapability>().ok())
            .is_some_and(|data| data.required.extensions.contains_key(TASKS_EXTENSION))
}

/// Returns the `_meta` of a client that declares the tasks extension besides its own capabilities.
pub(super) fn meta_with_tasks(negotiated: &Negotiated) -> Meta {
    let mut negotiated = negotiated.clone();
    negotiated.capabilities = negotiated
        .capabilities
        .with_extension(TASKS_EXTENSION, JsonObject::new());
    negotiated.meta()
}

/// Waits for the result of the task that a call has created, and sends the client the requests that
/// the task makes. Dropping the future cancels the task.
pub(super) async fn run(
    forward: &Forward<'_>,
    created: &RawJson,
    elicitations: &mut UrlElicitations,
) -> Result<RawJson, ErrorObject> {
    let created: Task = created.decode().map_err(|_| ErrorObject::internal())?;
    let mut task = AwaitedTask::new(forward, created.task_id);
    let mut answered = HashSet::new();
    loop {
        let state = task.call(forward, task_method::GET, task.params()).await?;
        let state: TaskState = state.decode().map_err(|_| ErrorObject::internal())?;
        match state.status {
            TaskStatus::Working | TaskStatus::InputRequired => {
                let pause = state.poll_interval(MAX_POLL_DELAY);
                let requests = state.input_requests.unwrap_or_default().into_iter();
                let new: InputRequests = requests
                    .filter(|(key, _)| !answered.contains(key))
                    .collect();
                if new.is_empty() {
                    tokio::time::sleep(pause).await;
                    continue;
                }
                answered.extend(new.iter().map(|(key, _)| key.to_owned()));
                let responses = forward.ask_client(new, elicitations).await?;
                let mut params = task.params();
                params.put_raw("inputResponses", &responses);
                task.call(forward, task_method::UPDATE, params).await?;
            }
            TaskStatus::Completed => {
                task.ended = true;
                return state.result.ok_or_else(ErrorObject::internal);
            }
            TaskStatus::Failed => {
                task.ended = true;
                return Err(state.error.unwrap_or_else(ErrorObject::internal));
            }
            TaskStatus::Cancelled => {
                task.ended = true;
                return Err(ErrorObject::new(
                    code::INTERNAL_ERROR,
                    "The call was cancelled",
                ));
            }
        }
    }
}

/// A task of the service that a request waits for. It is cancelled when this is dropped before the
/// task has ended.
struct AwaitedTask {
    session: Arc<ClientSession>,
    meta: Meta,
    context: RequestContext,
    id: String,
    ended: bool,
}

impl AwaitedTask {
    fn new(forward: &Forward<'_>, id: String) -> Self {
        Self {
            session: Arc::clone(forward.session),
            meta: meta_with_tasks(&forward.session.negotiated),
            context: forward.context.clone(),
            id,
            ended: false,
        }
    }

    fn params(&self) -> ParamsWriter {
        let mut params = ParamsWriter::new();
        // A string can always be written.
        let _ = params.put("taskId", &self.id);
        params
    }

    fn make_call(&self, id: RequestId, method: &str, params: ParamsWriter) -> Call {
        let (params, meta) = (params.finish(), self.meta.clone());
        modern_call(id, Method::from(method), params, meta, &self.context)
    }

    async fn call(
        &self,
        forward: &Forward<'_>,
        method: &str,
        params: ParamsWriter,
    ) -> Result<RawJson, ErrorObject> {
        let call = self.make_call(forward.id.clone(), method, params);
        match forward.call_service(call).await? {
            Outcome::Result(result) => Ok(result),
            Outcome::Error(error) => Err(error),
        }
    }
}

impl Drop for AwaitedTask {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let call = self.make_call(RequestId::from(0), task_method::CANCEL, self.params());
        let service = self.session.service.clone();
        self.session.spawner.spawn(async move {
            let _ = service.answer(call).await;
        });
    }
}
