//! What belongs to one hop: exchanged on the way up, and back on the way down.
//!
//! Two downstream clients may use the same request id, and on a shared channel the same progress token. Upstream both
//! are fresh; downstream each client sees its own, of the JSON type it chose.

use carryall_proto::{Call, Meta, Notification, Response, key};
use carryall_types::{JsonObject, JsonValue, Method, ProgressToken, RawJson, RequestId, notification};
use http::header::{AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION};
use std::sync::atomic::{AtomicI64, Ordering};

/// Request ids and progress tokens that were never used before.
#[derive(Debug)]
pub(crate) struct Ids(AtomicI64);

impl Default for Ids {
    fn default() -> Self {
        Self(AtomicI64::new(1))
    }
}

impl Ids {
    pub(crate) fn next(&self) -> i64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

/// The way back from upstream numbers to the client's own.
#[derive(Clone, Debug)]
pub(crate) struct Hop {
    id: RequestId,
    listen: bool,
    token: Option<ProgressToken>,
}

impl Hop {
    /// Makes `call` one of the gateway's own. `shared_channel` says that requests of several clients share one channel
    /// upstream, so that their progress tokens must differ.
    pub(crate) fn up(mut call: Call, number: i64, shared_channel: bool) -> (Call, Self) {
        let id = std::mem::replace(&mut call.id, RequestId::Number(number));
        let token = if shared_channel { exchange_token(&mut call, number) } else { None };
        (call, Self { id, listen: false, token })
    }

    /// The same for a call whose messages carry its subscription id.
    pub(crate) fn up_listen(call: Call, number: i64, shared_channel: bool) -> (Call, Self) {
        let (call, hop) = Self::up(call, number, shared_channel);
        (call, Self { listen: true, ..hop })
    }

    /// The id under which the client waits.
    pub(crate) fn id(&self) -> &RequestId {
        &self.id
    }

    /// The closing result of a subscription never comes by here: the gateway's own subscription goes on.
    pub(crate) fn response(&self, response: Response) -> Response {
        Response { id: self.id.clone(), ..response }
    }

    pub(crate) fn notification(&self, mut notification: Notification) -> Notification {
        if self.listen {
            notification.params = notification.params.map(|params| self.with_subscription(params));
        }
        if let Some(token) = &self.token
            && notification.method == notification::PROGRESS
        {
            notification.params = notification.params.map(|params| with_token(&params, token).unwrap_or(params));
        }
        notification
    }

    /// Puts the client's id where the upstream names ours; text without a subscription id stays as it is.
    fn with_subscription(&self, text: RawJson) -> RawJson {
        let Ok(mut object) = text.decode::<JsonObject>() else { return text };
        let Some(id) = object.get_mut("_meta").and_then(|meta| meta.get_mut(key::SUBSCRIPTION_ID)) else { return text };
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
    object.insert(key::PROGRESS_TOKEN.into(), serde_json::to_value(token).ok()?);
    Some(RawJson::from(&JsonValue::Object(object)))
}

/// Takes out what was meant for the gateway and must not travel on: a token is for the server it was issued for
/// (`basic/authorization/index#token-handling`).
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
