//! Notifications on the way to a response: progress and log messages.

use crate::options::CallOptions;
use carryall_proto::Notification;
use carryall_proto::deprecated::DeprecatedFeature;
use carryall_proto::progress::Progress;
use carryall_types::{LoggingLevel, ProgressToken, RawJson};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::time::Duration;
use tokio::time::Instant;

/// Progress of a request (`basic/patterns/progress`).
#[derive(Clone, Debug, PartialEq)]
pub struct ProgressUpdate {
    /// How far it has come. It only grows. In a task, which has no figures, it grows by 1 with each
    /// new message.
    pub progress: f64,
    /// How far it has to go, when the server knows.
    pub total: Option<f64>,
    /// Something to show to a person.
    pub message: Option<String>,
}

impl ProgressUpdate {
    /// The part that is done, from 0 to 1, when the total is known.
    #[must_use]
    pub fn fraction(&self) -> Option<f64> {
        let total = self.total.filter(|total| *total > 0.0)?;
        Some((self.progress / total).clamp(0.0, 1.0))
    }
}

/// The progress of a call that has become a task. The Tasks extension has no figures for it, only a
/// text that describes the current state (`tasks#task-status-notifications`), so that each new text
/// is one step.
#[derive(Debug)]
pub(crate) struct TaskProgress {
    /// How far the call had come before it became a task.
    reached: f64,
    guard: Progress,
    started: Instant,
    last: Option<String>,
}

impl TaskProgress {
    pub(crate) fn new(reached: f64) -> Self {
        Self {
            reached,
            guard: Progress::new(PROGRESS_INTERVAL),
            started: Instant::now(),
            last: None,
        }
    }

    /// The update that a status message is; `None` if it is the one before, or follows too closely.
    pub(crate) fn update(&mut self, message: Option<&str>) -> Option<ProgressUpdate> {
        let message = message.filter(|message| self.last.as_deref() != Some(message))?;
        let next = self.reached + 1.0;
        if !self.guard.admit(self.started.elapsed(), next, None) {
            return None;
        }
        self.reached = next;
        self.last = Some(message.to_owned());
        Some(ProgressUpdate {
            progress: next,
            total: None,
            message: self.last.clone(),
        })
    }
}

/// A log message of a request (`server/utilities/logging`).
#[derive(Clone, Debug, PartialEq)]
pub struct LogMessage {
    /// How severe.
    pub level: LoggingLevel,
    /// Which part of the server.
    pub logger: Option<String>,
    /// What happened: any JSON.
    pub data: RawJson,
}

/// Progress closer together than this is thinned out
/// (`basic/patterns/progress#implementation-notes`).
const PROGRESS_INTERVAL: Duration = Duration::from_millis(10);
/// Log messages beyond this many in a second are dropped.
const LOGS_PER_SECOND: u32 = 200;

/// Hands the notifications of one wire request to its callbacks.
pub(crate) struct NotificationDispatcher<'a> {
    options: &'a CallOptions,
    token: Option<i64>,
    progress: Progress,
    reached: f64,
    second: u64,
    logs: u32,
}

#[derive(Deserialize)]
struct ProgressParams {
    #[serde(rename = "progressToken")]
    token: ProgressToken,
    progress: f64,
    #[serde(default)]
    total: Option<f64>,
    #[serde(default)]
    message: Option<String>,
}

#[derive(Deserialize)]
struct LogParams {
    level: LoggingLevel,
    #[serde(default)]
    logger: Option<String>,
    data: RawJson,
}

impl<'a> NotificationDispatcher<'a> {
    pub(crate) fn new(options: &'a CallOptions, token: Option<i64>) -> Self {
        Self {
            options,
            token,
            progress: Progress::new(PROGRESS_INTERVAL),
            reached: 0.0,
            second: 0,
            logs: 0,
        }
    }

    /// How far the request has come, as far as that was told.
    pub(crate) fn reached(&self) -> f64 {
        self.reached
    }

    /// Takes one notification that came `now` after the request; tells whether it was progress of
    /// this request.
    ///
    /// What is malformed, unknown or about something else is passed over: a notification is never
    /// answered and never fails the request it came with.
    pub(crate) fn take(&mut self, notification: &Notification, now: Duration) -> bool {
        match notification.method.as_ref() {
            "notifications/progress" => self.progress(notification, now),
            "notifications/message" => {
                self.log(notification, now);
                false
            }
            method => {
                tracing::debug!(method = %carryall_proto::Printable(method), "notification ignored");
                false
            }
        }
    }

    fn progress(&mut self, notification: &Notification, now: Duration) -> bool {
        let Some(params) = decode::<ProgressParams>(notification) else {
            return false;
        };
        if self.token.map(ProgressToken::Number) != Some(params.token) {
            tracing::debug!("progress of some other request ignored");
            return false;
        }
        if !self.progress.admit(now, params.progress, params.total) {
            return false;
        }
        self.reached = params.progress;
        if let Some(callback) = &self.options.on_progress {
            callback(ProgressUpdate {
                progress: params.progress,
                total: params.total,
                message: params.message,
            });
        }
        true
    }

    fn log(&mut self, notification: &Notification, now: Duration) {
        // Without a level in the request the server must not send any (`server/utilities/logging`).
        let (Some(wanted), Some(callback)) = (self.options.meta.log_level, &self.options.on_log)
        else {
            return;
        };
        let Some(params) = decode::<LogParams>(notification) else {
            return;
        };
        if params.level < wanted {
            return;
        }
        if self.second != now.as_secs() {
            (self.second, self.logs) = (now.as_secs(), 0);
        }
        self.logs += 1;
        if DeprecatedFeature::Logging.is_first_use() {
            tracing::warn!(
                "the server logs to this client: {}",
                DeprecatedFeature::Logging.notice()
            );
        }
        if self.logs <= LOGS_PER_SECOND {
            callback(LogMessage {
                level: params.level,
                logger: params.logger,
                data: params.data,
            });
        } else if self.logs == LOGS_PER_SECOND + 1 {
            tracing::warn!("the server floods the log of a request; messages are dropped");
        }
    }
}

pub(crate) fn decode<T: DeserializeOwned>(notification: &Notification) -> Option<T> {
    let params = notification.params.as_ref()?;
    match params.decode() {
        Ok(params) => Some(params),
        Err(error) => {
            tracing::debug!(method = %carryall_proto::Printable(&notification.method), error = %carryall_proto::PrintableFmt(&error), "malformed notification ignored");
            None
        }
    }
}
