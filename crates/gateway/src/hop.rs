//! What belongs to one hop: exchanged on the way up, and back on the way down.
//!
//! Two downstream clients may use the same request id, and on a shared channel the same progress
//! token. Upstream both are fresh; downstream each client sees its own, of the JSON type it chose.

use carryall_proto::{Call, Notification, Response};
use carryall_types::{LoggingLevel, Method, ProgressToken, RequestId, notification};
use http::header::{AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION};
use serde::Deserialize;
use std::sync::atomic::{AtomicI64, Ordering};

/// Request ids and progress tokens that were never used before.
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

/// The way back from upstream numbers to the client's own.
#[derive(Clone, Debug)]
pub(crate) struct IdMapping {
    id: RequestId,
    listen: bool,
    /// The client's progress token, where the upstream was given another one.
    token: Option<ProgressToken>,
    /// The progress token that the upstream was given.
    upstream_token: Option<ProgressToken>,
    log_level: Option<LoggingLevel>,
}

impl IdMapping {
    /// Makes `call` one of the gateway's own. `shared_channel` says that requests of several
    /// clients share one channel upstream, so that their progress tokens must differ.
    pub(crate) fn up(mut call: Call, number: i64, shared_channel: bool) -> (Call, Self) {
        let id = call.replace_id(RequestId::Number(number));
        let token = if shared_channel {
            exchange_token(&mut call, number)
        } else {
            None
        };
        let (upstream_token, log_level) = (
            call.meta().progress_token().cloned(),
            call.meta().log_level(),
        );
        (
            call,
            Self {
                id,
                listen: false,
                token,
                upstream_token,
                log_level,
            },
        )
    }

    /// The same for a call whose messages carry its subscription id.
    pub(crate) fn up_listen(call: Call, number: i64, shared_channel: bool) -> (Call, Self) {
        let (call, hop) = Self::up(call, number, shared_channel);
        (
            call,
            Self {
                listen: true,
                ..hop
            },
        )
    }

    /// The id under which the client waits.
    pub(crate) fn id(&self) -> &RequestId {
        &self.id
    }

    /// The closing result of a subscription never comes by here: the gateway's own subscription
    /// goes on.
    pub(crate) fn response(&self, response: Response) -> Response {
        Response {
            id: self.id.clone(),
            ..response
        }
    }

    /// The notification as the client gets it; `None` for one that does not belong to this reply.
    /// An upstream may send what it likes, but a reply carries its request's progress and log
    /// messages alone, and those only if the client asked for them
    /// (`basic/transports/streamable-http#receiving-messages`). What belongs to a subscription
    /// depends on its filter, which the subscription itself applies.
    pub(crate) fn notification(&self, mut notification: Notification) -> Option<Notification> {
        if self.listen {
            notification.replace_subscription_id(&self.id);
            return Some(notification);
        }
        match &*notification.method {
            notification::PROGRESS if self.is_own_progress(&notification) => {
                if let Some(token) = &self.token {
                    notification.set_progress_token(token);
                }
            }
            notification::MESSAGE if self.is_wanted_message(&notification) => {}
            _ => return None,
        }
        Some(notification)
    }

    fn is_own_progress(&self, notification: &Notification) -> bool {
        let token = notification.progress_token();
        token.is_some() && token == self.upstream_token
    }

    fn is_wanted_message(&self, notification: &Notification) -> bool {
        #[derive(Deserialize)]
        struct LogMessage {
            level: LoggingLevel,
        }
        let (Some(least), Some(params)) = (self.log_level, &notification.params) else {
            return false;
        };
        params
            .decode::<LogMessage>()
            .is_ok_and(|message| message.level >= least)
    }
}

/// Gives the call a token of our own. Returns the client's.
fn exchange_token(call: &mut Call, number: i64) -> Option<ProgressToken> {
    let theirs = call.meta().progress_token().cloned()?;
    call.set_meta(call.meta().with_progress_token(number.into()));
    Some(theirs)
}

/// Takes out what was meant for the gateway and must not travel on: a token is for the server it
/// was issued for (`basic/authorization/index#token-handling`).
pub(crate) fn without_credentials(call: &mut Call) {
    if let Some(headers) = call.headers_mut() {
        for name in [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION] {
            headers.remove(name);
        }
    }
}

/// Whether a request may be executed twice without harm. Opening a subscription again is harmless
/// as long as nothing has come from it, which is when this is asked.
pub(crate) fn is_repeatable(method: &Method) -> bool {
    method.is_read_only() || *method == Method::SubscriptionsListen
}
