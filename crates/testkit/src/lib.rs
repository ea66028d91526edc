//! Test helpers shared by the workspace; not published.
//!
//! Calls are made from JSON text and pass the same door as on the wire; replies are collected to
//! their end within a bound.

use carryall_proto::decode::{ClientMessage, decode_frame, decode_http};
use carryall_proto::{Call, Message, MessageStream, Notification, Outcome, Principal, Reply};
use http::{HeaderMap, HeaderName};
use serde_json::{Value, json};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;
use tower_service::Service;

/// No test waits longer than this for one thing.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// The `_meta` of a client that can do nothing special.
#[must_use]
pub fn meta() -> Value {
    json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    })
}

/// A `_meta` with these members set besides, or in the place of, the usual ones. `null` takes a
/// member away.
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

/// A request as JSON. `params` get the usual `_meta` unless they bring their own.
#[must_use]
pub fn request(id: &Value, method: &str, mut params: Value) -> Value {
    if params.get("_meta").is_none() {
        params["_meta"] = meta();
    }
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

/// A call as it comes through the door.
///
/// # Panics
/// When the door refuses it.
#[must_use]
pub fn call(method: &str, params: Value) -> Call {
    call_with_id(&json!(1), method, params)
}

/// As [`call`], under an id of the test's choice.
///
/// # Panics
/// When the door refuses it.
#[must_use]
pub fn call_with_id(id: &Value, method: &str, params: Value) -> Call {
    match decode_frame(request(id, method, params).to_string().into()) {
        Ok(ClientMessage::Call(call)) => call,
        other => panic!("not a call: {other:?}"),
    }
}

/// A call by an authenticated caller with these scopes.
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

/// A call as it comes through the door of the HTTP binding, with these headers beside the standard
/// ones.
///
/// # Panics
/// When the door refuses it.
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

/// Everything that came back for one call.
#[derive(Clone, Debug)]
pub struct TestReply {
    /// What came before the response.
    pub notifications: Vec<Notification>,
    /// The response as JSON.
    pub response: Value,
}

impl TestReply {
    /// The result.
    ///
    /// # Panics
    /// When the response is an error.
    #[must_use]
    pub fn result(&self) -> &Value {
        self.response
            .get("result")
            .unwrap_or_else(|| panic!("no result: {}", self.response))
    }

    /// The error.
    ///
    /// # Panics
    /// When the response is a result.
    #[must_use]
    pub fn error(&self) -> &Value {
        self.response
            .get("error")
            .unwrap_or_else(|| panic!("no error: {}", self.response))
    }

    /// The error's code.
    ///
    /// # Panics
    /// When the response is a result.
    #[must_use]
    pub fn code(&self) -> i64 {
        self.error()["code"].as_i64().expect("a code is an integer")
    }

    /// The text of the first content block.
    #[must_use]
    pub fn text(&self) -> &str {
        self.result()["content"][0]["text"]
            .as_str()
            .unwrap_or_default()
    }

    /// The parameters of the notifications of one method.
    #[must_use]
    pub fn params_of(&self, method: &str) -> Vec<Value> {
        let of_method = self
            .notifications
            .iter()
            .filter(|notification| notification.method == method);
        of_method.map(params).collect()
    }
}

/// The parameters of a notification.
#[must_use]
pub fn params(notification: &Notification) -> Value {
    notification
        .params
        .as_ref()
        .and_then(|params| params.decode().ok())
        .unwrap_or_default()
}

/// Hands a call to a service and waits for all that comes back.
///
/// # Panics
/// When the service fails, the stream breaks, or nothing comes within [`PATIENCE`].
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
    let reply = tokio::time::timeout(PATIENCE, reply)
        .await
        .expect("a reply in time");
    collect(reply).await
}

/// Waits for all messages of a reply.
///
/// # Panics
/// When the stream breaks, or nothing comes within [`PATIENCE`].
pub async fn collect(reply: Reply) -> TestReply {
    let mut notifications = Vec::new();
    let mut stream = match reply {
        Reply::Once(response) => return answered(notifications, &Message::Response(response)),
        Reply::Stream(stream) => stream,
    };
    loop {
        match next(&mut stream).await {
            Message::Notification(notification) => notifications.push(notification),
            response @ Message::Response(_) => return answered(notifications, &response),
        }
    }
}

/// Hands a call to a service and returns the stream of its messages.
///
/// # Panics
/// When the service fails, answers at once, or does not answer within [`PATIENCE`].
pub async fn stream<S>(service: &S, call: Call) -> MessageStream
where
    S: Service<Call, Response = Reply> + Clone,
    S::Error: std::fmt::Debug,
{
    let mut service = service.clone();
    match tokio::time::timeout(PATIENCE, service.call(call))
        .await
        .expect("a reply in time")
        .expect("a reply")
    {
        Reply::Stream(stream) => stream,
        Reply::Once(response) => panic!("answered at once: {response:?}"),
    }
}

/// Sees that no message of the stream is there to be taken now.
///
/// # Panics
/// When the stream has ended or there is a message.
pub fn assert_idle(stream: &mut MessageStream) {
    let polled = stream
        .as_mut()
        .poll_next(&mut Context::from_waker(Waker::noop()));
    assert!(polled.is_pending(), "not idle: {polled:?}");
}

/// The next message of a stream, which has to be a notification: its method and parameters.
///
/// # Panics
/// When it is a response, or the stream breaks, or nothing comes within [`PATIENCE`].
pub async fn next_notification(stream: &mut MessageStream) -> (String, Value) {
    match next(stream).await {
        Message::Notification(notification) => {
            (notification.method.to_string(), params(&notification))
        }
        Message::Response(response) => panic!("not a notification: {response:?}"),
    }
}

/// The next message of a stream.
///
/// # Panics
/// When the stream ends or breaks, or nothing comes within [`PATIENCE`].
pub async fn next(stream: &mut MessageStream) -> Message {
    let next = poll_fn(|cx| stream.as_mut().poll_next(cx));
    let message = tokio::time::timeout(PATIENCE, next)
        .await
        .expect("a message in time");
    message
        .expect("the stream ended without a response")
        .expect("the stream broke")
}

fn answered(notifications: Vec<Notification>, response: &Message) -> TestReply {
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
