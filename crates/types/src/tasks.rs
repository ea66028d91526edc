//! The Tasks extension (`io.modelcontextprotocol/tasks`): requests whose result is fetched later.

use crate::{ErrorObject, InputRequests, InputResponses, JsonObject};
use serde::{Deserialize, Deserializer, Serialize};

/// The identifier of the extension.
pub const TASKS_EXTENSION: &str = "io.modelcontextprotocol/tasks";

/// The methods of the extension.
pub mod task_method {
    /// Returns the state of a task.
    pub const GET: &str = "tasks/get";
    /// Sends responses to the input requests of a task.
    pub const UPDATE: &str = "tasks/update";
    /// Cancels a task.
    pub const CANCEL: &str = "tasks/cancel";
    /// Notifies the client of a changed task.
    pub const CHANGED: &str = "notifications/tasks";
}

/// The status of a task (`tasks#task-status`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskStatus {
    /// The task is in progress.
    Working,
    /// The task waits for input from the client.
    InputRequired,
    /// The task has a result, which may be that the tool failed.
    Completed,
    /// The task was cancelled before it completed.
    Cancelled,
    /// The task ended with a JSON-RPC error.
    Failed,
}

impl TaskStatus {
    /// Returns whether the status is final.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Cancelled | Self::Failed)
    }
}

/// A task, as in `CreateTaskResult`. `resultType` is not part of it: the code that writes or reads
/// the envelope handles it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Task {
    /// The id, a secret of the task's owner.
    pub task_id: String,
    /// The status.
    pub status: TaskStatus,
    /// A description of the status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_message: Option<String>,
    /// The time of creation, in ISO 8601.
    pub created_at: String,
    /// The time of the last change, in ISO 8601.
    pub last_updated_at: String,
    /// How long the task is kept at least after its creation, in milliseconds; `None` for
    /// indefinitely.
    #[serde(deserialize_with = "required_nullable")]
    pub ttl_ms: Option<u64>,
    /// The suggested polling interval, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub poll_interval_ms: Option<u64>,
}

/// Decodes a member that may be `null`, but not absent.
fn required_nullable<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    Option::deserialize(deserializer)
}

/// A task with the details of its status, as in the result of `tasks/get` and in
/// `notifications/tasks`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DetailedTask {
    /// The task.
    #[serde(flatten)]
    pub task: Task,
    /// All outstanding input requests, if the status is `input_required`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_requests: Option<InputRequests>,
    /// The result of the request, if the status is `completed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<JsonObject>,
    /// The error, if the status is `failed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorObject>,
}

/// The parameters of `tasks/get` and `tasks/cancel`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskParams {
    /// The id of the task.
    pub task_id: String,
}

/// The parameters of `tasks/update`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UpdateTaskParams {
    /// The id of the task.
    pub task_id: String,
    /// The responses to its input requests.
    pub input_responses: InputResponses,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    // spec: ext-tasks-16, ext-tasks-48
    #[test]
    fn tasks_round_trip() {
        for (wire, status) in [
            (json!({"status": "working"}), TaskStatus::Working),
            (
                json!({"status": "input_required", "inputRequests": {"q": {"method": "roots/list", "params": {}}}}),
                TaskStatus::InputRequired,
            ),
            (
                json!({"status": "completed", "result": {"content": []}, "statusMessage": "done"}),
                TaskStatus::Completed,
            ),
            (
                json!({"status": "failed", "error": {"code": -32603, "message": "no"}, "pollIntervalMs": 5}),
                TaskStatus::Failed,
            ),
            (json!({"status": "cancelled"}), TaskStatus::Cancelled),
        ] {
            let mut task =
                json!({"taskId": "t", "createdAt": "a", "lastUpdatedAt": "b", "ttlMs": null});
            task.as_object_mut()
                .unwrap()
                .extend(wire.as_object().unwrap().clone());
            let read: DetailedTask = serde_json::from_value(task.clone()).unwrap();
            assert_eq!(read.task.status, status);
            assert_eq!(serde_json::to_value(&read).unwrap(), task);
        }
        let without_ttl =
            json!({"taskId": "t", "status": "working", "createdAt": "a", "lastUpdatedAt": "b"});
        assert!(
            serde_json::from_value::<Task>(without_ttl).is_err(),
            "`ttlMs` may be null, but not absent"
        );
    }
}
