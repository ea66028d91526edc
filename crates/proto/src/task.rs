//! A task of a server, as whoever waits for it reads it (Tasks extension).

use carryall_types::{ErrorObject, InputRequests, RawJson, TaskStatus};
use serde::Deserialize;
use std::time::Duration;

/// How often to ask where the server does not say, and the least that it may say.
const POLL: Duration = Duration::from_secs(1);
const LEAST_POLL: Duration = Duration::from_millis(20);

/// A task id as it may stand in logs and traces: `task-` and a digest of 32 bits, so that the lines
/// of one task can be found, and nobody can ask for the task with what they say
/// (`tasks#security-considerations`).
#[must_use]
pub fn log_id(id: &str) -> String {
    // FNV-1a, folded. An id of 128 random bits cannot be found from 32 of them, whatever the
    // function.
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = id.bytes().fold(0xcbf2_9ce4_8422_2325, step);
    format!("task-{:08x}", ((hash >> 32) ^ hash) & 0xffff_ffff)
}

/// How a task stands, from `tasks/get` or `notifications/tasks`. What its status brings along is
/// optional here: who reads it knows what has to be there.
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
    /// How long to wait before asking again: what the server says, from 20 milliseconds up to
    /// `most` (`tasks#task-polling`).
    #[must_use]
    pub fn pause(&self, most: Duration) -> Duration {
        self.poll_interval_ms
            .map_or(POLL, Duration::from_millis)
            .clamp(LEAST_POLL, most)
    }
}
