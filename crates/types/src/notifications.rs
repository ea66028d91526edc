//! The parameters of notifications.

use crate::number::Plain;
use crate::object::object;
use crate::{JsonObject, JsonValue, ProgressToken, RequestId};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

object! {
    /// The parameters of `notifications/progress` (`basic/patterns/progress`).
    pub struct ProgressNotificationParams {
        required {
            /// The token of the request that makes progress.
            progress_token: ProgressToken = "progressToken",
            /// The progress so far; it increases with each notification.
            progress: f64 = "progress" as Plain,
        }
        optional {
            /// The total, in the unit of `progress`, if known.
            total / with_total: f64 = "total" as Plain,
            /// A message for the user.
            message / with_message: String = "message",
            /// The `_meta` member.
            meta / with_meta: JsonObject = "_meta",
        }
        open extra;
    }
}

object! {
    /// The parameters of `notifications/cancelled` (`basic/patterns/cancellation`).
    pub struct CancelledNotificationParams {
        required {
            /// The cancelled request.
            request_id: RequestId = "requestId",
        }
        optional {
            /// The reason, for logs and the user.
            reason / with_reason: String = "reason",
            /// The `_meta` member.
            meta / with_meta: JsonObject = "_meta",
        }
        open extra;
    }
}

object! {
    /// The parameters of `notifications/resources/updated` (`basic/patterns/subscriptions`).
    #[derive(Default)]
    pub struct ResourceUpdatedNotificationParams {
        required {
            /// The URI of the changed resource: the subscribed one, or one below it.
            uri: String = "uri",
        }
        optional {
            /// The `_meta` member; contains the id of the subscription.
            meta / with_meta: JsonObject = "_meta",
        }
        open extra;
    }
}

/// The severity of a log message, least severe first (RFC 5424, section 6.2.1).
///
/// Logging is deprecated since 2026-07-28 (SEP-2577); the first revision released on or after
/// 2027-07-28 may remove it. Log to stderr or use OpenTelemetry instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LoggingLevel {
    /// Debug-level messages.
    Debug,
    /// Informational messages.
    Info,
    /// Normal but significant conditions.
    Notice,
    /// Warning conditions.
    Warning,
    /// Error conditions.
    Error,
    /// Critical conditions.
    Critical,
    /// Action must be taken immediately.
    Alert,
    /// The system is unusable.
    Emergency,
}

impl LoggingLevel {
    /// Every level, least severe first.
    pub const ALL: [Self; 8] = [
        Self::Debug,
        Self::Info,
        Self::Notice,
        Self::Warning,
        Self::Error,
        Self::Critical,
        Self::Alert,
        Self::Emergency,
    ];

    /// Returns the name on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Notice => "notice",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Critical => "critical",
            Self::Alert => "alert",
            Self::Emergency => "emergency",
        }
    }
}

impl fmt::Display for LoggingLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The error for a text that is not the name of a [`LoggingLevel`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownLoggingLevel;

impl fmt::Display for UnknownLoggingLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("unknown logging level")
    }
}

impl std::error::Error for UnknownLoggingLevel {}

impl FromStr for LoggingLevel {
    type Err = UnknownLoggingLevel;

    fn from_str(name: &str) -> Result<Self, UnknownLoggingLevel> {
        Self::ALL
            .into_iter()
            .find(|level| level.as_str() == name)
            .ok_or(UnknownLoggingLevel)
    }
}

object! {
    /// The parameters of `notifications/message` (`server/utilities/logging`).
    ///
    /// Logging is deprecated since 2026-07-28 (SEP-2577); the first revision released on or after
    /// 2027-07-28 may remove it. Log to stderr or use OpenTelemetry instead.
    pub struct LoggingMessageNotificationParams {
        #[deprecated(note = "Logging is deprecated (SEP-2577), removed on 2027-07-28 at the earliest: log to stderr or use OpenTelemetry")]
        new;
        required {
            /// The severity.
            level: LoggingLevel = "level",
            /// The message: a string or any other JSON value.
            data: JsonValue = "data",
        }
        optional {
            /// The name of the logger.
            logger / with_logger: String = "logger",
            /// The `_meta` member.
            meta / with_meta: JsonObject = "_meta",
        }
        open extra;
    }
}
