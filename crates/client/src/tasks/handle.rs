//! A handle to a task.

use super::requests::{TaskRequests, TaskSnapshot};
use super::watch::TaskWatch;
use crate::ClientError;
use crate::call::outcome::{AcceptedTypes, RawOutcome};
use crate::core::ScopedCore;
use crate::input::provide::provide_inputs;
use crate::options::CallOptions;
use crate::result::{FromResult, RawResult};
use carryall_types::{
    CallToolResult, DetailedTask, InputRequests, InputResponses, Method, RawJson, Task, TaskStatus,
    task_method,
};
use std::collections::HashSet;
use std::fmt;

/// A task of a server: its id, and the client to query it with. The id can be stored and used by
/// another process ([`Client::task`](crate::Client::task)). Dropping the handle does not cancel the
/// task.
///
/// ```no_run
/// # use carryall_client::{Client, ClientError};
/// # async fn example(client: Client, stored_id: String) -> Result<(), ClientError> {
/// let result = client.task(stored_id).wait().await?;
/// println!("{}", carryall_client::text_of(&result));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct TaskHandle {
    task: TaskRequests,
}

impl TaskHandle {
    /// Returns a handle to the task with this id. Nothing is sent.
    pub(crate) fn new(core: &ScopedCore, id: String) -> Self {
        Self {
            task: TaskRequests::new(core.clone(), id, CallOptions::default(), 0.0),
        }
    }

    /// Returns a handle to the task that a call became, having called the callbacks for it.
    /// `last_progress` is the progress of the call before that.
    pub(crate) fn created(
        core: &ScopedCore,
        task: Task,
        options: &CallOptions,
        last_progress: f64,
    ) -> Self {
        let id = task.task_id.clone();
        let requests = TaskRequests::new(core.clone(), id, options.clone(), last_progress);
        requests.report_created(&task);
        Self { task: requests }
    }

    /// Returns the id of the task. Whoever knows it may be able to read the result: treat it like a
    /// password.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.task.id
    }

    /// Fetches the state of the task (`tasks#task-polling`). Cancel safe.
    ///
    /// # Errors
    /// [`ClientError::is_invalid_params`] if there is no such task, or no longer.
    pub async fn get(&self) -> Result<DetailedTask, ClientError> {
        let text = self.task.get().await?;
        text.decode()
            .map_err(|error| ClientError::decode(&Method::from(task_method::GET), error))
    }

    /// Sends input that the task asks for (`tasks#task-update-requests`). The server ignores input
    /// that it did not ask for.
    ///
    /// # Errors
    /// If there is no such task, or an input does not match its request.
    pub async fn update(&self, responses: impl Into<InputResponses>) -> Result<(), ClientError> {
        self.task.update(responses.into()).await
    }

    /// Asks the server to cancel the task (`tasks#task-cancellation`). The server decides whether
    /// it does.
    ///
    /// # Errors
    /// If there is no such task.
    pub async fn cancel(&self) -> Result<(), ClientError> {
        self.task.cancel().await
    }

    /// Waits for the result; the client's handlers provide the input that the task asks for. Polls
    /// at the interval that the server asks for, or listens if the server offers that. Cancel safe:
    /// dropping the future does not cancel the task, which can be waited for again.
    ///
    /// # Errors
    /// The error of the task; [`ClientError::TaskCancelled`]; [`ClientError::Input`].
    pub async fn wait(&self) -> Result<CallToolResult, ClientError> {
        self.wait_for::<CallToolResult>().await
    }

    /// Waits for the result like [`wait`](Self::wait) and decodes it as `R`, for example
    /// [`ToolValue<T>`](crate::ToolValue).
    ///
    /// # Errors
    /// As for [`wait`](Self::wait), and if the result cannot be decoded as `R`.
    pub async fn wait_for<R: FromResult>(&self) -> Result<R::Output, ClientError> {
        let text = self.result().await?;
        let result = RawResult {
            core: &self.task.core,
            method: &Method::ToolsCall,
            text: &text,
            cached: false,
        };
        result.decode::<R>(&self.task.options)
    }

    /// Follows the state of the task, for hosts that answer its questions themselves.
    #[must_use]
    pub fn watch(&self) -> TaskWatch {
        TaskWatch::new(self.task.clone())
    }

    /// Waits for the text of the result.
    pub(crate) async fn result(&self) -> Result<RawJson, ClientError> {
        let (mut watch, mut provided) = (self.watch(), HashSet::new());
        loop {
            let snapshot = watch.next_snapshot().await?;
            self.task.report(&snapshot)?;
            match snapshot.state.status {
                TaskStatus::Working => {}
                TaskStatus::InputRequired => {
                    let requests = snapshot.state.input_requests.unwrap_or_default();
                    if self.provide(requests, &mut provided).await? {
                        // The task may have waited for nothing else.
                        watch.refetch();
                    }
                }
                TaskStatus::Completed => return completed(snapshot),
                TaskStatus::Failed => {
                    let method = snapshot.method().clone();
                    let missing =
                        || ClientError::protocol(&method, "a failed task without an error");
                    return Err(snapshot
                        .state
                        .error
                        .map_or_else(missing, ClientError::Server));
                }
                TaskStatus::Cancelled => {
                    return Err(ClientError::TaskCancelled {
                        id: self.task.id.clone(),
                        message: snapshot.state.status_message,
                    });
                }
            }
        }
    }

    /// Provides the inputs that were not provided before; a task repeats its requests in each
    /// state. Returns whether there were any.
    async fn provide(
        &self,
        requests: InputRequests,
        provided: &mut HashSet<String>,
    ) -> Result<bool, ClientError> {
        let new: InputRequests = requests
            .into_iter()
            .filter(|(key, _)| !provided.contains(key))
            .collect();
        if new.is_empty() {
            return Ok(false);
        }
        let keys: Vec<String> = new.iter().map(|(key, _)| key.to_owned()).collect();
        let responses = provide_inputs(&self.task.core.config, new).await?;
        let responses: InputResponses = responses
            .decode()
            .map_err(|error| ClientError::Request(format!("input responses: {error}")))?;
        self.task.update(responses).await?;
        provided.extend(keys);
        Ok(true)
    }
}

/// Returns the text of the result of a completed task.
fn completed(snapshot: TaskSnapshot) -> Result<RawJson, ClientError> {
    let method = snapshot.method().clone();
    let result = snapshot
        .state
        .result
        .ok_or_else(|| ClientError::protocol(&method, "a completed task without a result"))?;
    RawOutcome::classify(&Method::ToolsCall, result, AcceptedTypes::STANDARD)?
        .into_complete(&method)
}

impl fmt::Debug for TaskHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskHandle")
            .field("id", &self.task.id)
            .finish_non_exhaustive()
    }
}
