//! The state of a task as its client reads it (Tasks extension).

use carryall_types::{ErrorObject, InputRequests, RawJson, TaskStatus};
use serde::Deserialize;
use std::time::Duration;

/// The polling interval if the server sends none.
const DEFAULT_POLL_INTERVAL: Duration = Duration::from_secs(1);
/// The minimum polling interval.
const MIN_POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Returns a task id for logs and traces: `task-` and a digest of 32 bits. It identifies the log
/// lines of one task and does not give access to the task (`tasks#security-considerations`).
#[must_use]
pub fn log_id(id: &str) -> String {
    // FNV-1a, folded. An id of 128 random bits cannot be found from 32 of them, whatever the
    // function.
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = id.bytes().fold(0xcbf2_9ce4_8422_2325, step);
    format!("task-{:08x}", ((hash >> 32) ^ hash) & 0xffff_ffff)
}

/// The state of a task, from `tasks/get` or `notifications/tasks`. The members that depend on the
/// status are optional here; the reader checks that they are present.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskState {
    /// The status.
    pub status: TaskStatus,
    /// A description of the status.
    #[serde(default)]
    pub status_message: Option<String>,
    /// The polling interval that the server asks for, in milliseconds.
    #[serde(default)]
    pub poll_interval_ms: Option<u64>,
    /// The input that the task waits for.
    #[serde(default)]
    pub input_requests: Option<InputRequests>,
    /// The result of the call.
    #[serde(default)]
    pub result: Option<RawJson>,
    /// The error that the task ended with.
    #[serde(default)]
    pub error: Option<ErrorObject>,
}

impl TaskState {
    /// Returns how long to wait before polling again: what the server asks for, at least 20
    /// milliseconds and at most `max` (`tasks#task-polling`).
    #[must_use]
    pub fn poll_interval(&self, max: Duration) -> Duration {
        self.poll_interval_ms
            .map_or(DEFAULT_POLL_INTERVAL, Duration::from_millis)
            .clamp(MIN_POLL_INTERVAL, max)
    }
}
