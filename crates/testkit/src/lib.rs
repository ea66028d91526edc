//! Test helpers shared by the workspace; not published.
//!
//! Calls are built from JSON text and pass the same validation as on the wire. Replies are
//! collected to their end, within a timeout.

mod log;

pub use log::LogCollector;

use carryall_proto::decode::{ClientMessage, decode_frame, decode_http};
use carryall_proto::{Call, Message, MessageStream, Notification, Outcome, Principal, Reply};
use http::{HeaderMap, HeaderName};
use serde_json::{Value, json};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;
use tower_service::Service;

/// The timeout of each wait for a reply or message.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// Returns the `_meta` of a client without capabilities.
#[must_use]
pub fn meta() -> Value {
    json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    })
}

/// Returns the usual [`meta`] with these members added or replaced. `null` removes a member.
#[must_use]
pub fn meta_with(members: &Value) -> Value {
    let mut meta = meta();
    for (name, value) in members.as_object().into_iter().flatten() {
        match value {
            Value::Null => drop(meta.as_object_mut().and_then(|meta| meta.remove(name))),
            value => meta[name] = value.clone(),
        }
    }
    meta
}

/// Returns a request as JSON. `params` without a `_meta` get the usual one.
#[must_use]
pub fn request(id: &Value, method: &str, mut params: Value) -> Value {
    if params.get("_meta").is_none() {
        params["_meta"] = meta();
    }
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

/// Decodes a call from a newline-framed message.
///
/// # Panics
/// When validation refuses it.
#[must_use]
pub fn call(method: &str, params: Value) -> Call {
    call_with_id(&json!(1), method, params)
}

/// Decodes a call as [`call`] does, with this request id.
///
/// # Panics
/// When validation refuses it.
#[must_use]
pub fn call_with_id(id: &Value, method: &str, params: Value) -> Call {
    match decode_frame(request(id, method, params).to_string().into()) {
        Ok(ClientMessage::Call(call)) => call,
        other => panic!("not a call: {other:?}"),
    }
}

/// Decodes a call and sets an authenticated caller with these scopes.
///
/// # Panics
/// When validation refuses it.
#[must_use]
pub fn call_as(subject: &str, scopes: &[&str], method: &str, params: Value) -> Call {
    let mut call = call(method, params);
    call.set_principal(Some(Arc::new(Principal {
        issuer: "https://issuer.test".into(),
        subject: subject.into(),
        client: None,
        scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
    })));
    call
}

/// Decodes a call from an HTTP request with these headers and the standard ones.
///
/// # Panics
/// When validation refuses it.
#[must_use]
pub fn call_over_http(headers: &[(&str, &str)], method: &str, params: Value) -> Call {
    let request = request(&json!(1), method, params);
    let mut map = HeaderMap::new();
    let name = request["params"]["name"]
        .as_str()
        .or(request["params"]["uri"].as_str());
    let standard = [
        ("mcp-protocol-version", Some("2026-07-28")),
        ("mcp-method", Some(method)),
        ("mcp-name", name),
    ];
    let standard = standard
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)));
    for (name, value) in standard.chain(headers.iter().copied()) {
        let name: HeaderName = name.parse().expect("a header name");
        map.append(name, value.parse().expect("a header value"));
    }
    match decode_http(map, request.to_string().into()) {
        Ok(ClientMessage::Call(call)) => call,
        other => panic!("not a call: {other:?}"),
    }
}

/// All messages of one reply.
#[derive(Clone, Debug)]
pub struct TestReply {
    /// The notifications before the response.
    pub notifications: Vec<Notification>,
    /// The response as JSON.
    pub response: Value,
}

impl TestReply {
    /// Returns the result.
    ///
    /// # Panics
    /// When the response is an error.
    #[must_use]
    pub fn result(&self) -> &Value {
        self.response
            .get("result")
            .unwrap_or_else(|| panic!("no result: {}", self.response))
    }

    /// Returns the error.
    ///
    /// # Panics
    /// When the response is a result.
    #[must_use]
    pub fn error(&self) -> &Value {
        self.response
            .get("error")
            .unwrap_or_else(|| panic!("no error: {}", self.response))
    }

    /// Returns the code of the error.
    ///
    /// # Panics
    /// When the response is a result.
    #[must_use]
    pub fn code(&self) -> i64 {
        self.error()["code"].as_i64().expect("a code is an integer")
    }

    /// Returns the text of the first content block, or an empty string.
    ///
    /// # Panics
    /// When the response is an error.
    #[must_use]
    pub fn text(&self) -> &str {
        self.result()["content"][0]["text"]
            .as_str()
            .unwrap_or_default()
    }

    /// Returns the parameters of all notifications of one method.
    #[must_use]
    pub fn params_of(&self, method: &str) -> Vec<Value> {
        let of_method = self
            .notifications
            .iter()
            .filter(|notification| notification.method == method);
        of_method.map(params).collect()
    }
}

/// Returns the parameters of a notification, or `null`.
#[must_use]
pub fn params(notification: &Notification) -> Value {
    notification
        .params
        .as_ref()
        .and_then(|params| params.decode().ok())
        .unwrap_or_default()
}

/// Calls a service and waits for the whole reply.
///
/// # Panics
/// When the service fails, the stream breaks, or a wait exceeds [`TIMEOUT`].
pub async fn answer<S>(service: &S, call: Call) -> TestReply
where
    S: Service<Call, Response = Reply> + Clone,
    S::Error: std::fmt::Debug,
{
    let mut service = service.clone();
    let reply = async {
        poll_fn(|cx| service.poll_ready(cx)).await.expect("ready");
        service.call(call).await.expect("a reply")
    };
    let reply = tokio::time::timeout(TIMEOUT, reply)
        .await
        .expect("a reply in time");
    collect(reply).await
}

/// Waits for all messages of a reply.
///
/// # Panics
/// When the stream breaks, or a wait exceeds [`TIMEOUT`].
pub async fn collect(reply: Reply) -> TestReply {
    let mut notifications = Vec::new();
    let mut stream = match reply {
        Reply::Once(response) => return test_reply(notifications, &Message::Response(response)),
        Reply::Stream(stream) => stream,
    };
    loop {
        match next(&mut stream).await {
            Message::Notification(notification) => notifications.push(notification),
            response @ Message::Response(_) => return test_reply(notifications, &response),
        }
    }
}

/// Calls a service and returns the stream of its messages.
///
/// # Panics
/// When the service fails, replies without a stream, or does not reply within [`TIMEOUT`].
pub async fn stream<S>(service: &S, call: Call) -> MessageStream
where
    S: Service<Call, Response = Reply> + Clone,
    S::Error: std::fmt::Debug,
{
    let mut service = service.clone();
    match tokio::time::timeout(TIMEOUT, service.call(call))
        .await
        .expect("a reply in time")
        .expect("a reply")
    {
        Reply::Stream(stream) => stream,
        Reply::Once(response) => panic!("not a stream: {response:?}"),
    }
}

/// Asserts that the stream is pending.
///
/// # Panics
/// When the stream has ended or there is a message.
pub fn assert_idle(stream: &mut MessageStream) {
    let polled = stream
        .as_mut()
        .poll_next(&mut Context::from_waker(Waker::noop()));
    assert!(polled.is_pending(), "not idle: {polled:?}");
}

/// Waits for the next notification of a stream. Returns its method and parameters.
///
/// # Panics
/// When the next message is a response, the stream breaks, or nothing comes within [`TIMEOUT`].
pub async fn next_notification(stream: &mut MessageStream) -> (String, Value) {
    match next(stream).await {
        Message::Notification(notification) => {
            (notification.method.to_string(), params(&notification))
        }
        Message::Response(response) => panic!("not a notification: {response:?}"),
    }
}

/// Waits for the next message of a stream.
///
/// # Panics
/// When the stream ends or breaks, or nothing comes within [`TIMEOUT`].
pub async fn next(stream: &mut MessageStream) -> Message {
    let next = poll_fn(|cx| stream.as_mut().poll_next(cx));
    let message = tokio::time::timeout(TIMEOUT, next)
        .await
        .expect("a message in time");
    message
        .expect("the stream ended without a response")
        .expect("the stream broke")
}

fn test_reply(notifications: Vec<Notification>, response: &Message) -> TestReply {
    if let Message::Response(response) = response {
        debug_assert!(matches!(
            response.outcome,
            Outcome::Result(_) | Outcome::Error(_)
        ));
    }
    let text = response.encode().into_bytes();
    TestReply {
        notifications,
        response: serde_json::from_slice(&text).expect("a response is JSON"),
    }
}
