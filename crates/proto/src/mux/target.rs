//! The request that a notification belongs to.

use crate::Notification;
use carryall_types::{ProgressToken, RequestId, notification};
use serde::Deserialize;

/// What a notification on a shared channel names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotificationTarget {
    /// `notifications/progress`: the request with this token.
    Progress(ProgressToken),
    /// `notifications/cancelled`: this request. From a client it cancels the request, from a server
    /// it ends a subscription.
    Cancelled {
        /// The id of the request.
        id: RequestId,
        /// The reason, for the log.
        reason: Option<Box<str>>,
    },
    /// Any notification with a subscription id.
    Subscription(RequestId),
    /// `notifications/message`: a log message, which names no request.
    Log,
    /// Any other notification, and one whose target cannot be read.
    Other,
}

impl NotificationTarget {
    /// Reads the target. Malformed parameters are [`Other`](Self::Other), because malformed
    /// notifications are ignored (`basic/patterns/cancellation#error-handling`).
    #[must_use]
    pub fn of(notification: &Notification) -> Self {
        match &*notification.method {
            notification::MESSAGE => Self::Log,
            notification::PROGRESS => notification
                .progress_token()
                .map_or(Self::Other, Self::Progress),
            notification::CANCELLED => Self::cancelled(notification).unwrap_or(Self::Other),
            _ => notification
                .subscription_id()
                .map_or(Self::Other, Self::Subscription),
        }
    }

    fn cancelled(notification: &Notification) -> Option<Self> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct CancelledParams {
            request_id: RequestId,
            #[serde(default)]
            reason: Option<serde_json::Value>,
        }
        let params: CancelledParams = notification.params.as_ref()?.decode().ok()?;
        let reason = params.reason.as_ref().and_then(serde_json::Value::as_str);
        Some(Self::Cancelled {
            id: params.request_id,
            reason: reason.map(Into::into),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use carryall_types::RawJson;

    fn of(method: &str, params: &str) -> NotificationTarget {
        let params = RawJson::parse(params.to_owned()).unwrap();
        NotificationTarget::of(&Notification::new(method.to_owned(), params))
    }

    #[test]
    fn each_kind_is_read_by_its_own_member() {
        assert_eq!(
            of(
                "notifications/progress",
                r#"{"progressToken":"t","progress":1}"#
            ),
            NotificationTarget::Progress("t".into())
        );
        assert_eq!(
            of(
                "notifications/cancelled",
                r#"{"requestId":3,"reason":"bored"}"#
            ),
            NotificationTarget::Cancelled {
                id: 3.into(),
                reason: Some("bored".into())
            }
        );
        assert_eq!(
            of("notifications/message", r#"{"level":"info","data":1}"#),
            NotificationTarget::Log
        );
        let meta = r#"{"_meta":{"io.modelcontextprotocol/subscriptionId":"3"}}"#;
        for method in [
            "notifications/tools/list_changed",
            "notifications/subscriptions/acknowledged",
            "notifications/tasks",
        ] {
            assert_eq!(
                of(method, meta),
                NotificationTarget::Subscription("3".into())
            );
        }
    }

    // spec: cancellation-19
    #[test]
    fn malformed_notifications_concern_nobody() {
        for params in [
            "{}",
            "[]",
            "null",
            r#"{"requestId":null}"#,
            r#"{"requestId":1.5}"#,
            r#"{"requestId":{}}"#,
        ] {
            assert_eq!(
                of("notifications/cancelled", params),
                NotificationTarget::Other
            );
        }
        assert_eq!(
            NotificationTarget::of(&Notification {
                method: "notifications/cancelled".into(),
                params: None
            }),
            NotificationTarget::Other
        );
        assert_eq!(
            of("notifications/cancelled", r#"{"requestId":1,"reason":5}"#),
            NotificationTarget::Cancelled {
                id: 1.into(),
                reason: None
            }
        );
        assert_eq!(
            of("notifications/progress", r#"{"progressToken":true}"#),
            NotificationTarget::Other
        );
        assert_eq!(
            of("notifications/tools/list_changed", r#"{"_meta":{}}"#),
            NotificationTarget::Other
        );
    }
}
