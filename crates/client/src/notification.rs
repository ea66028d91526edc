//! What a server reports while it answers a request: progress and log messages.

use carryall_proto::Notification;
use carryall_types::{LoggingLevel, RawJson};
use serde::de::DeserializeOwned;
use std::time::Duration;

/// The least time between two progress updates of one request; updates in between are dropped
/// (`basic/patterns/progress#implementation-notes`).
pub(crate) const PROGRESS_INTERVAL: Duration = Duration::from_millis(10);

/// Progress of a request (`basic/patterns/progress`).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ProgressUpdate {
    /// Progress so far, in units of the server's choice; strictly increasing. For a task, which
    /// reports no numbers, it grows by 1 with each new status message.
    pub progress: f64,
    /// The value of `progress` at completion, if the server knows it.
    pub total: Option<f64>,
    /// A message for the user.
    pub message: Option<String>,
}

impl ProgressUpdate {
    /// Returns the completed fraction, from 0 to 1; `None` if the total is unknown.
    #[must_use]
    pub fn fraction(&self) -> Option<f64> {
        let total = self.total.filter(|total| *total > 0.0)?;
        Some((self.progress / total).clamp(0.0, 1.0))
    }
}

/// A log message sent while a request is answered (`server/utilities/logging`).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct LogMessage {
    /// The severity.
    pub level: LoggingLevel,
    /// The part of the server that logs.
    pub logger: Option<String>,
    /// The content: any JSON value.
    pub data: RawJson,
}

/// Decodes the parameters of a notification. Malformed ones are logged and ignored: a notification
/// is never answered and never fails a request.
pub(crate) fn decode_params<T: DeserializeOwned>(notification: &Notification) -> Option<T> {
    let params = notification.params.as_ref()?;
    match params.decode() {
        Ok(params) => Some(params),
        Err(error) => {
            tracing::debug!(method = %carryall_proto::Printable(&notification.method), error = %carryall_proto::PrintableFmt(&error), "malformed notification ignored");
            None
        }
    }
}
