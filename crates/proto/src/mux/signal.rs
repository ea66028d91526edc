//! What a notification is about.

use carryall_types::{ProgressToken, RawJson, RequestId};
use serde::Deserialize;

/// A notification on a shared channel, by what tells whom it concerns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotificationTarget {
    /// `notifications/progress` for the request with this token.
    Progress(ProgressToken),
    /// `notifications/cancelled` for this request. From a client it cancels; from a server it ends
    /// a listen.
    Cancelled {
        /// The request.
        id: RequestId,
        /// Why, for the log.
        reason: Option<Box<str>>,
    },
    /// Anything that carries the id of a subscription.
    Subscription(RequestId),
    /// `notifications/message`: a log message, which names no request.
    Log,
    /// Anything else, and what should name something but does not.
    Other,
}

impl NotificationTarget {
    /// Reads the members that matter. Malformed parameters make it [`Other`](Self::Other), because
    /// broken notifications are ignored (`basic/patterns/cancellation#error-handling`).
    #[must_use]
    pub fn of(method: &str, params: Option<&RawJson>) -> Self {
        #[derive(Deserialize)]
        struct OfProgress {
            #[serde(rename = "progressToken")]
            token: ProgressToken,
        }
        #[derive(Deserialize)]
        struct OfCancelled {
            #[serde(rename = "requestId")]
            id: RequestId,
            #[serde(default)]
            reason: Option<serde_json::Value>,
        }
        #[derive(Deserialize)]
        struct Meta {
            #[serde(rename = "io.modelcontextprotocol/subscriptionId")]
            id: RequestId,
        }
        #[derive(Deserialize)]
        struct OfSubscription {
            #[serde(rename = "_meta")]
            meta: Meta,
        }
        let signal = match (method, params) {
            ("notifications/message", _) => return Self::Log,
            (_, None) => return Self::Other,
            ("notifications/progress", Some(params)) => params
                .decode()
                .map(|of: OfProgress| Self::Progress(of.token)),
            ("notifications/cancelled", Some(params)) => {
                params.decode().map(|of: OfCancelled| Self::Cancelled {
                    id: of.id,
                    reason: of
                        .reason
                        .as_ref()
                        .and_then(serde_json::Value::as_str)
                        .map(Into::into),
                })
            }
            (_, Some(params)) => params
                .decode()
                .map(|of: OfSubscription| Self::Subscription(of.meta.id)),
        };
        signal.unwrap_or(Self::Other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(method: &str, params: &str) -> NotificationTarget {
        NotificationTarget::of(method, Some(&RawJson::parse(params.to_owned()).unwrap()))
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
            NotificationTarget::of("notifications/cancelled", None),
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
