//! The requests about one task, and its callbacks.

use super::progress::TaskProgress;
use crate::ClientError;
use crate::core::ScopedCore;
use crate::options::CallOptions;
use crate::params::object_members;
use carryall_proto::sync::Mutex;
use carryall_proto::task::TaskState;
use carryall_types::{
    InputResponses, Method, RawJson, Task, TaskParams, TaskStatus, UpdateTaskParams, task_method,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// Sends the requests about one task and calls the callbacks of its options. Cheap to clone.
#[derive(Clone)]
pub(crate) struct TaskRequests {
    pub(crate) core: ScopedCore,
    pub(crate) id: String,
    pub(crate) options: CallOptions,
    /// Shared by the clones, so that no update is reported twice.
    progress: Arc<Mutex<TaskProgress>>,
}

/// A task as the server described it, with the method that carried the description.
#[derive(Clone, Debug)]
pub(crate) struct TaskSnapshot {
    method: Method,
    text: RawJson,
    pub(crate) state: TaskState,
}

impl TaskSnapshot {
    pub(crate) fn parse(method: Method, text: RawJson) -> Result<Self, ClientError> {
        let state = text
            .decode()
            .map_err(|error| ClientError::decode(&method, error))?;
        Ok(Self {
            method,
            text,
            state,
        })
    }

    pub(crate) fn method(&self) -> &Method {
        &self.method
    }

    /// Decodes the description as a type of the specification.
    pub(crate) fn decode<T: DeserializeOwned>(&self) -> Result<T, ClientError> {
        self.text
            .decode()
            .map_err(|error| ClientError::decode(&self.method, error))
    }
}

impl TaskRequests {
    pub(crate) fn new(
        core: ScopedCore,
        id: String,
        options: CallOptions,
        last_progress: f64,
    ) -> Self {
        Self {
            core,
            id,
            options,
            progress: Arc::new(Mutex::new(TaskProgress::new(last_progress))),
        }
    }

    /// Sends `tasks/get` and returns the text of the result.
    pub(crate) async fn get(&self) -> Result<RawJson, ClientError> {
        self.send(task_method::GET, &self.params()).await
    }

    pub(crate) async fn snapshot(&self) -> Result<TaskSnapshot, ClientError> {
        TaskSnapshot::parse(Method::from(task_method::GET), self.get().await?)
    }

    pub(crate) async fn update(&self, responses: InputResponses) -> Result<(), ClientError> {
        let params = UpdateTaskParams {
            task_id: self.id.clone(),
            input_responses: responses,
        };
        self.send(task_method::UPDATE, &params).await.map(drop)
    }

    pub(crate) async fn cancel(&self) -> Result<(), ClientError> {
        self.send(task_method::CANCEL, &self.params())
            .await
            .map(drop)
    }

    fn params(&self) -> TaskParams {
        TaskParams {
            task_id: self.id.clone(),
        }
    }

    async fn send<P: Serialize>(&self, method: &str, params: &P) -> Result<RawJson, ClientError> {
        // The timeouts of the call apply to each of these requests.
        let options = self.options.for_task_requests();
        self.core
            .fetch_text(Method::from(method), object_members(params)?, &options)
            .await
    }

    /// Calls the callbacks for a new state of the task.
    pub(crate) fn report(&self, snapshot: &TaskSnapshot) -> Result<(), ClientError> {
        if let Some(callback) = &self.options.on_task {
            callback(&snapshot.decode::<Task>()?);
        }
        let TaskState {
            status,
            status_message,
            ..
        } = &snapshot.state;
        self.report_progress(*status, status_message.as_deref());
        Ok(())
    }

    /// Calls the callbacks for the task as the call was answered with it.
    pub(crate) fn report_created(&self, task: &Task) {
        if let Some(callback) = &self.options.on_task {
            callback(task);
        }
        self.report_progress(task.status, task.status_message.as_deref());
    }

    /// Reports a status message as progress, unless the task has ended.
    fn report_progress(&self, status: TaskStatus, message: Option<&str>) {
        let Some(callback) = &self.options.on_progress else {
            return;
        };
        if status.is_terminal() {
            return;
        }
        let update = self.progress.lock().update(message);
        if let Some(update) = update {
            callback(update);
        }
    }
}
