//! The Tasks extension (`io.modelcontextprotocol/tasks`): calls whose result is fetched later.

use crate::{ErrorObject, InputRequests, InputResponses, JsonObject};
use serde::{Deserialize, Deserializer, Serialize};

/// The identifier of the extension.
pub const TASKS_EXTENSION: &str = "io.modelcontextprotocol/tasks";

/// The methods of the extension.
pub mod task_method {
    /// How a task stands.
    pub const GET: &str = "tasks/get";
    /// Answers for a task that asks.
    pub const UPDATE: &str = "tasks/update";
    /// Nobody wants the task any more.
    pub const CANCEL: &str = "tasks/cancel";
    /// The notification that a task stands otherwise.
    pub const CHANGED: &str = "notifications/tasks";
}

/// How a task stands (`tasks#task-status`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskStatus {
    /// It is being worked on.
    Working,
    /// It waits for answers from the client.
    InputRequired,
    /// It has its result, which may be that the tool failed.
    Completed,
    /// It was cancelled before it had one.
    Cancelled,
    /// It ended with a JSON-RPC error.
    Failed,
}

impl TaskStatus {
    /// Whether this is the end of it.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Cancelled | Self::Failed)
    }
}

/// A task, as `CreateTaskResult` carries it; `resultType` is written and read by whoever knows
/// which result is at hand.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Task {
    /// Its name, which only its owner knows.
    pub task_id: String,
    /// How it stands.
    pub status: TaskStatus,
    /// What there is to say about that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_message: Option<String>,
    /// When it was created, in ISO 8601.
    pub created_at: String,
    /// When it changed last, in ISO 8601.
    pub last_updated_at: String,
    /// For how long after its creation it is kept at least, in milliseconds; `None` for ever.
    #[serde(deserialize_with = "there")]
    pub ttl_ms: Option<u64>,
    /// How often to ask, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub poll_interval_ms: Option<u64>,
}

/// `null` means something here, and absence does not.
fn there<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    Option::deserialize(deserializer)
}

/// A task with what its status brings along, as `tasks/get` answers and `notifications/tasks`
/// tells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DetailedTask {
    /// The task.
    #[serde(flatten)]
    pub task: Task,
    /// All that it asks for, when it requires input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_requests: Option<InputRequests>,
    /// What the call has come to, when it is completed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<JsonObject>,
    /// The error that it ended with, when it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorObject>,
}

/// The parameters of `tasks/get` and `tasks/cancel`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskParams {
    /// Which task.
    pub task_id: String,
}

/// The parameters of `tasks/update`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UpdateTaskParams {
    /// Which task.
    pub task_id: String,
    /// The answers to what it asks.
    pub input_responses: InputResponses,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    // spec: ext-tasks-16, ext-tasks-48
    #[test]
    fn tasks_come_back_as_they_were() {
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
            "null is not the same as nothing"
        );
    }
}
