//! What belongs to one hop: exchanged on the way up, and back on the way down.
//!
//! Two downstream clients may use the same request id, and on a shared channel the same progress
//! token. Upstream both are fresh; downstream each client sees its own, of the JSON type it chose.

use carryall_proto::{Call, Meta, Notification, Response, key};
use carryall_types::{
    JsonObject, JsonValue, LoggingLevel, Method, ProgressToken, RawJson, RequestId, notification,
};
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
        let id = std::mem::replace(&mut call.id, RequestId::Number(number));
        let token = if shared_channel {
            exchange_token(&mut call, number)
        } else {
            None
        };
        let (upstream_token, log_level) = (call.meta.progress_token.clone(), call.meta.log_level);
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
            notification.params = notification
                .params
                .map(|params| self.with_subscription(params));
            return Some(notification);
        }
        let params = notification.params.take()?;
        let params = match &*notification.method {
            notification::PROGRESS if self.is_own_progress(&params) => match &self.token {
                Some(token) => with_token(&params, token)?,
                None => params,
            },
            notification::MESSAGE if self.is_wanted_message(&params) => params,
            _ => return None,
        };
        notification.params = Some(params);
        Some(notification)
    }

    fn is_own_progress(&self, params: &RawJson) -> bool {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Progress {
            progress_token: ProgressToken,
        }
        let Some(token) = &self.upstream_token else {
            return false;
        };
        params
            .decode::<Progress>()
            .is_ok_and(|progress| progress.progress_token == *token)
    }

    fn is_wanted_message(&self, params: &RawJson) -> bool {
        #[derive(Deserialize)]
        struct LogMessage {
            level: LoggingLevel,
        }
        let Some(least) = self.log_level else {
            return false;
        };
        params
            .decode::<LogMessage>()
            .is_ok_and(|message| message.level >= least)
    }

    /// Puts the client's id where the upstream names ours; text without a subscription id stays as
    /// it is.
    fn with_subscription(&self, text: RawJson) -> RawJson {
        let Ok(mut object) = text.decode::<JsonObject>() else {
            return text;
        };
        let Some(id) = object
            .get_mut("_meta")
            .and_then(|meta| meta.get_mut(key::SUBSCRIPTION_ID))
        else {
            return text;
        };
        *id = match &self.id {
            RequestId::Number(number) => JsonValue::from(*number),
            RequestId::String(string) => JsonValue::from(&**string),
        };
        RawJson::from(&JsonValue::Object(object))
    }
}

/// Gives the call a token of our own. Returns the client's.
fn exchange_token(call: &mut Call, number: i64) -> Option<ProgressToken> {
    let theirs = call.meta.progress_token.clone()?;
    let mut meta: JsonObject = call.meta.raw().decode().ok()?;
    meta.insert(key::PROGRESS_TOKEN.into(), number.into());
    let raw = RawJson::from(&JsonValue::Object(meta));
    call.meta = Meta::parse(raw.clone()).ok()?;
    call.params = call.params.with("_meta", &raw);
    Some(theirs)
}

fn with_token(params: &RawJson, token: &ProgressToken) -> Option<RawJson> {
    let mut object: JsonObject = params.decode().ok()?;
    object.insert(
        key::PROGRESS_TOKEN.into(),
        serde_json::to_value(token).ok()?,
    );
    Some(RawJson::from(&JsonValue::Object(object)))
}

/// Takes out what was meant for the gateway and must not travel on: a token is for the server it
/// was issued for (`basic/authorization/index#token-handling`).
pub(crate) fn without_credentials(call: &mut Call) {
    if let Some(headers) = &mut call.headers {
        for name in [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION] {
            headers.remove(name);
        }
    }
}

/// Whether a request may be executed twice without harm.
pub(crate) fn is_repeatable(method: &Method) -> bool {
    match method {
        Method::ServerDiscover
        | Method::ToolsList
        | Method::PromptsList
        | Method::PromptsGet
        | Method::ResourcesList
        | Method::ResourcesTemplatesList
        | Method::ResourcesRead
        | Method::CompletionComplete
        | Method::SubscriptionsListen => true,
        Method::ToolsCall | Method::Other(_) => false,
    }
}
