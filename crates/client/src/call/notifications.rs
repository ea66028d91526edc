//! Passes the notifications of one request to its callbacks.

use crate::notification::{LogMessage, PROGRESS_INTERVAL, ProgressUpdate, decode_params};
use crate::options::CallOptions;
use carryall_proto::Notification;
use carryall_proto::deprecated::DeprecatedFeature;
use carryall_proto::progress::Progress;
use carryall_types::{LoggingLevel, ProgressToken, RawJson, notification};
use serde::Deserialize;
use std::time::Duration;

/// The number of log messages that one request may deliver in a second; further ones are dropped.
const MAX_LOGS_PER_SECOND: u32 = 200;

/// Passes the notifications of one wire request to the callbacks of its options.
pub(crate) struct NotificationDispatcher<'a> {
    options: &'a CallOptions,
    token: Option<i64>,
    progress: Progress,
    last_progress: f64,
    /// The second that `logs_in_second` counts, since the request was sent.
    second: u64,
    logs_in_second: u32,
}

#[derive(Deserialize)]
struct ProgressFields {
    #[serde(rename = "progressToken")]
    token: ProgressToken,
    progress: f64,
    #[serde(default)]
    total: Option<f64>,
    #[serde(default)]
    message: Option<String>,
}

#[derive(Deserialize)]
struct LogFields {
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
            last_progress: 0.0,
            second: 0,
            logs_in_second: 0,
        }
    }

    /// Returns the last progress reported, 0 if there was none.
    pub(crate) fn last_progress(&self) -> f64 {
        self.last_progress
    }

    /// Dispatches a notification that arrived `elapsed` after the request was sent. Returns whether
    /// it was progress of this request.
    pub(crate) fn dispatch(&mut self, notification: &Notification, elapsed: Duration) -> bool {
        match notification.method.as_ref() {
            notification::PROGRESS => self.on_progress(notification, elapsed),
            notification::MESSAGE => {
                self.on_log(notification, elapsed);
                false
            }
            method => {
                tracing::debug!(method = %carryall_proto::Printable(method), "notification ignored");
                false
            }
        }
    }

    fn on_progress(&mut self, notification: &Notification, elapsed: Duration) -> bool {
        let Some(fields) = decode_params::<ProgressFields>(notification) else {
            return false;
        };
        if self.token.map(ProgressToken::Number) != Some(fields.token) {
            tracing::debug!("progress of another request ignored");
            return false;
        }
        if !self.progress.admit(elapsed, fields.progress, fields.total) {
            return false;
        }
        self.last_progress = fields.progress;
        if let Some(callback) = &self.options.on_progress {
            callback(ProgressUpdate {
                progress: fields.progress,
                total: fields.total,
                message: fields.message,
            });
        }
        true
    }

    fn on_log(&mut self, notification: &Notification, elapsed: Duration) {
        // Without a level in the request the server must not send any (`server/utilities/logging`).
        let (Some(min_level), Some(callback)) = (self.options.meta.log_level, &self.options.on_log)
        else {
            return;
        };
        let Some(fields) = decode_params::<LogFields>(notification) else {
            return;
        };
        if fields.level < min_level {
            return;
        }
        if self.second != elapsed.as_secs() {
            (self.second, self.logs_in_second) = (elapsed.as_secs(), 0);
        }
        self.logs_in_second += 1;
        if DeprecatedFeature::Logging.is_first_use() {
            tracing::warn!(
                "the server sends log messages to this client: {}",
                DeprecatedFeature::Logging.notice()
            );
        }
        if self.logs_in_second <= MAX_LOGS_PER_SECOND {
            callback(LogMessage {
                level: fields.level,
                logger: fields.logger,
                data: fields.data,
            });
        } else if self.logs_in_second == MAX_LOGS_PER_SECOND + 1 {
            tracing::warn!("too many log messages for one request; some are dropped");
        }
    }
}
