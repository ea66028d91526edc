//! Maps the ids of clients to ids of the gateway and back.
//!
//! Two clients may use the same request id and, on a shared channel, the same progress token.
//! Upstream both are unique; downstream each client sees its own, of the JSON type it chose.

use carryall_proto::{Call, Notification, Response};
use carryall_types::{LoggingLevel, Method, ProgressToken, RequestId, notification};
use serde::Deserialize;
use std::sync::atomic::{AtomicI64, Ordering};

/// Issues request ids and progress tokens that were not used before.
#[derive(Debug)]
pub(crate) struct IdCounter(AtomicI64);

impl Default for IdCounter {
    fn default() -> Self {
        Self(AtomicI64::new(1))
    }
}

impl IdCounter {
    pub(crate) fn next(&self) -> i64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

/// The client's ids of one call, and what its reply may contain.
#[derive(Clone, Debug)]
pub(crate) struct IdMapping {
    client_id: RequestId,
    is_subscription: bool,
    /// The client's progress token, if the upstream was given another.
    client_token: Option<ProgressToken>,
    /// The progress token that the upstream was given.
    upstream_token: Option<ProgressToken>,
    log_level: Option<LoggingLevel>,
}

impl IdMapping {
    /// Replaces the client's ids in `call` by `number`. On a shared channel, which carries the
    /// requests of several clients, that includes the progress token.
    pub(crate) fn upstream(mut call: Call, number: i64, shared_channel: bool) -> (Call, Self) {
        let client_id = call.replace_id(RequestId::Number(number));
        let client_token = if shared_channel {
            replace_token(&mut call, number)
        } else {
            None
        };
        let mapping = Self {
            client_id,
            is_subscription: *call.method() == Method::SubscriptionsListen,
            client_token,
            upstream_token: call.meta().progress_token().cloned(),
            log_level: call.meta().log_level(),
        };
        (call, mapping)
    }

    /// Returns the client's request id.
    pub(crate) fn client_id(&self) -> &RequestId {
        &self.client_id
    }

    /// Returns the response with the client's id. The closing response of a subscription does not
    /// pass through here: the gateway keeps its own subscription open.
    pub(crate) fn downstream_response(&self, response: Response) -> Response {
        Response {
            id: self.client_id.clone(),
            ..response
        }
    }

    /// Returns the notification with the client's ids; `None` if it does not belong to this reply.
    ///
    /// A reply carries only progress and log messages of its request, and only if the client asked
    /// for them (`basic/transports/streamable-http#receiving-messages`), whatever the upstream
    /// sends. Notifications of subscriptions are filtered where subscriptions are merged.
    pub(crate) fn downstream(&self, mut notification: Notification) -> Option<Notification> {
        if self.is_subscription {
            notification.replace_subscription_id(&self.client_id);
            return Some(notification);
        }
        match &*notification.method {
            notification::PROGRESS if self.is_own_progress(&notification) => {
                if let Some(token) = &self.client_token {
                    notification.set_progress_token(token);
                }
            }
            notification::MESSAGE if self.is_requested_log(&notification) => {}
            _ => return None,
        }
        Some(notification)
    }

    fn is_own_progress(&self, notification: &Notification) -> bool {
        let token = notification.progress_token();
        token.is_some() && token == self.upstream_token
    }

    fn is_requested_log(&self, notification: &Notification) -> bool {
        #[derive(Deserialize)]
        struct LevelField {
            level: LoggingLevel,
        }
        let (Some(min_level), Some(params)) = (self.log_level, &notification.params) else {
            return false;
        };
        params
            .decode::<LevelField>()
            .is_ok_and(|field| field.level >= min_level)
    }
}

/// Replaces the progress token of a call. Returns the client's.
fn replace_token(call: &mut Call, number: i64) -> Option<ProgressToken> {
    let client_token = call.meta().progress_token().cloned()?;
    call.set_meta(call.meta().with_progress_token(number.into()));
    Some(client_token)
}
