//! A task of a server, as whoever waits for it reads it (Tasks extension).

use carryall_types::{ErrorObject, InputRequests, RawJson, TaskStatus};
use serde::Deserialize;
use std::time::Duration;

/// How often to ask where the server does not say, and the least that it may say.
const POLL: Duration = Duration::from_secs(1);
const LEAST_POLL: Duration = Duration::from_millis(20);

/// How a task stands, from `tasks/get` or `notifications/tasks`. What its status brings along is optional here: who reads it
/// knows what has to be there.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskState {
    /// How it stands.
    pub status: TaskStatus,
    /// What there is to say about that.
    #[serde(default)]
    pub status_message: Option<String>,
    /// How often to ask, in milliseconds.
    #[serde(default)]
    pub poll_interval_ms: Option<u64>,
    /// What it asks for and has not got yet.
    #[serde(default)]
    pub input_requests: Option<InputRequests>,
    /// What the call has come to, as text.
    #[serde(default)]
    pub result: Option<RawJson>,
    /// The error that it ended with.
    #[serde(default)]
    pub error: Option<ErrorObject>,
}

impl TaskState {
    /// How long to wait before asking again: what the server says, from 20 milliseconds up to `most`
    /// (`tasks#task-polling`).
    #[must_use]
    pub fn pause(&self, most: Duration) -> Duration {
        self.poll_interval_ms.map_or(POLL, Duration::from_millis).clamp(LEAST_POLL, most)
    }
}
