//! Tools that only run as tasks of this revision, for clients that do not know such tasks: the
//! request waits for the end.

use super::conversation::{ClientSession, RequestContext};
use super::forward::{Forward, UrlElicitations};
use super::negotiated::{self, Negotiated};
use carryall_proto::task::TaskState;
use carryall_proto::{Call, Outcome};
use carryall_types::{
    ErrorObject, InputRequests, JsonObject, JsonValue, Method, RawJson, RequestId, TASKS_EXTENSION,
    Task, TaskStatus, code, task_method,
};
use serde::Deserialize;
use serde_json::json;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

/// How seldom to ask at most, whatever the service says.
const MOST_POLL: Duration = Duration::from_secs(10);

/// Whether a call was refused because its client does not say that it takes tasks.
pub(super) fn needs_task(error: &ErrorObject) -> bool {
    #[derive(Deserialize)]
    struct Data {
        #[serde(rename = "requiredCapabilities")]
        required: Required,
    }
    #[derive(Deserialize)]
    struct Required {
        #[serde(default)]
        extensions: JsonObject,
    }
    error.code == code::MISSING_REQUIRED_CLIENT_CAPABILITY
        && error
            .data
            .as_ref()
            .and_then(|data| data.decode::<Data>().ok())
            .is_some_and(|data| data.required.extensions.contains_key(TASKS_EXTENSION))
}

/// What was negotiated, for a client that lets us wait for its tasks.
pub(super) fn with_tasks(negotiated: &Negotiated) -> Negotiated {
    let mut able = negotiated.clone();
    able.capabilities = able
        .capabilities
        .with_extension(TASKS_EXTENSION, JsonObject::new());
    able
}

/// Waits for the result of the task that a call has become, asking the client what the task wants
/// to know.
pub(super) async fn drive(
    forward: &Forward<'_>,
    created: &RawJson,
    pages: &mut UrlElicitations,
) -> Result<RawJson, ErrorObject> {
    let task: Task = created.decode().map_err(|_| ErrorObject::internal())?;
    let mut waiting = Waiting {
        calls: Calls::new(forward),
        id: task.task_id,
        ended: false,
    };
    let mut answered = HashSet::new();
    loop {
        let text = waiting
            .calls
            .call(forward, task_method::GET, json!({"taskId": waiting.id}))
            .await?;
        let news: TaskState = text.decode().map_err(|_| ErrorObject::internal())?;
        match news.status {
            TaskStatus::Working | TaskStatus::InputRequired => {
                let pause = news.poll_interval(MOST_POLL);
                let asked = news.input_requests.unwrap_or_default().into_iter();
                let new: InputRequests = asked.filter(|(key, _)| !answered.contains(key)).collect();
                if new.is_empty() {
                    tokio::time::sleep(pause).await;
                    continue;
                }
                answered.extend(new.iter().map(|(key, _)| key.to_owned()));
                let answers: JsonValue = forward
                    .ask(new, pages)
                    .await?
                    .decode()
                    .map_err(|_| ErrorObject::internal())?;
                let params = json!({"taskId": waiting.id, "inputResponses": answers});
                waiting
                    .calls
                    .call(forward, task_method::UPDATE, params)
                    .await?;
            }
            TaskStatus::Completed => {
                waiting.ended = true;
                return news.result.ok_or_else(ErrorObject::internal);
            }
            TaskStatus::Failed => {
                waiting.ended = true;
                return Err(news.error.unwrap_or_else(ErrorObject::internal));
            }
            TaskStatus::Cancelled => {
                waiting.ended = true;
                return Err(ErrorObject::new(
                    code::INTERNAL_ERROR,
                    "The call was cancelled",
                ));
            }
        }
    }
}

/// How the service is asked after a task.
struct Calls {
    conversation: Arc<ClientSession>,
    negotiated: Negotiated,
    origin: RequestContext,
}

impl Calls {
    fn new(forward: &Forward<'_>) -> Self {
        Self {
            conversation: Arc::clone(forward.conversation),
            negotiated: with_tasks(&forward.conversation.negotiated),
            origin: forward.origin.clone(),
        }
    }

    fn make(
        &self,
        forward: &Forward<'_>,
        method: &str,
        params: &JsonValue,
    ) -> Result<Call, ErrorObject> {
        let meta = self.negotiated.meta(None, None, &JsonObject::new());
        negotiated::call(
            forward.request.id.clone(),
            Method::from(method),
            RawJson::from(params),
            meta,
            forward.origin,
        )
    }

    async fn call(
        &self,
        forward: &Forward<'_>,
        method: &str,
        params: JsonValue,
    ) -> Result<RawJson, ErrorObject> {
        match forward
            .one_round(self.make(forward, method, &params)?)
            .await?
        {
            Outcome::Result(result) => Ok(result),
            Outcome::Error(error) => Err(error),
        }
    }
}

/// A task that somebody waits for. If nobody does any more, nobody wants it either.
struct Waiting {
    calls: Calls,
    id: String,
    ended: bool,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let Ok(executor) = tokio::runtime::Handle::try_current() else {
            return;
        };
        if self.ended {
            return;
        }
        let meta = self.calls.negotiated.meta(None, None, &JsonObject::new());
        let params = RawJson::from(&json!({"taskId": self.id}));
        let (id, method) = (RequestId::from(0), Method::from(task_method::CANCEL));
        let Ok(call) = negotiated::call(id, method, params, meta, &self.calls.origin) else {
            return;
        };
        let cancelled = self.calls.conversation.service.answer(call);
        drop(executor.spawn(cancelled));
    }
}
