//! Progress of a task, derived from its status messages.

use crate::notification::{PROGRESS_INTERVAL, ProgressUpdate};
use carryall_proto::progress::Progress;
use tokio::time::Instant;

/// Turns the status messages of a task into progress updates. The Tasks extension has no progress
/// numbers, only a text that describes the current state (`tasks#task-status-notifications`), so
/// each new text counts as one step.
#[derive(Debug)]
pub(crate) struct TaskProgress {
    /// The last progress reported, first that of the call before it became a task.
    current: f64,
    limiter: Progress,
    started: Instant,
    last_message: Option<String>,
}

impl TaskProgress {
    pub(crate) fn new(current: f64) -> Self {
        Self {
            current,
            limiter: Progress::new(PROGRESS_INTERVAL),
            started: Instant::now(),
            last_message: None,
        }
    }

    /// Returns the update for a status message; `None` if the message is not new or follows the
    /// last one too closely.
    pub(crate) fn update(&mut self, message: Option<&str>) -> Option<ProgressUpdate> {
        let message = message.filter(|message| self.last_message.as_deref() != Some(message))?;
        let next = self.current + 1.0;
        if !self.limiter.admit(self.started.elapsed(), next, None) {
            return None;
        }
        self.current = next;
        self.last_message = Some(message.to_owned());
        Some(ProgressUpdate {
            progress: next,
            total: None,
            message: self.last_message.clone(),
        })
    }
}
