//! Upstreams made by hand.
#![allow(dead_code, reason = "each test binary uses its own part")]

use carryall_gateway::{Gateway, Upstream};
use carryall_proto::{
    BoxFuture, Call, CallError, Message, MessageStream, Notification, Reply, Response,
    SharedService,
};
use carryall_types::{ErrorObject, Implementation, RawJson, RequestId};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use tokio::sync::mpsc;
use tower_service::Service;

type Answer = dyn Fn(Call) -> BoxFuture<Result<Reply, CallError>> + Send + Sync;

/// A service that does as a closure says and remembers what it was asked.
#[derive(Clone)]
pub(crate) struct Fake {
    answer: Arc<Answer>,
    pub(crate) seen: Arc<Mutex<Vec<Call>>>,
}

impl Fake {
    pub(crate) fn new(
        answer: impl Fn(Call) -> BoxFuture<Result<Reply, CallError>> + Send + Sync + 'static,
    ) -> Self {
        Self {
            answer: Arc::new(answer),
            seen: Arc::default(),
        }
    }

    /// Answers at once.
    pub(crate) fn at_once(
        answer: impl Fn(&Call) -> Result<Reply, CallError> + Send + Sync + 'static,
    ) -> Self {
        Self::new(move |call| {
            let reply = answer(&call);
            Box::pin(async move { reply })
        })
    }

    /// Answers each call with a tool result that holds `text`.
    pub(crate) fn saying(text: &str) -> Self {
        let text = text.to_owned();
        Self::at_once(move |call| Ok(said(call, &text)))
    }

    pub(crate) fn service(&self) -> SharedService {
        SharedService::new(self.clone())
    }

    pub(crate) fn count(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    /// The params of the last call.
    pub(crate) fn last_params(&self) -> Value {
        self.seen
            .lock()
            .unwrap()
            .last()
            .expect("a call")
            .params()
            .raw()
            .decode()
            .unwrap()
    }

    pub(crate) fn ids(&self) -> Vec<RequestId> {
        self.seen
            .lock()
            .unwrap()
            .iter()
            .map(|call| call.id().clone())
            .collect()
    }
}

impl Service<Call> for Fake {
    type Response = Reply;
    type Error = CallError;
    type Future = BoxFuture<Result<Reply, CallError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), CallError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call) -> Self::Future {
        self.seen.lock().unwrap().push(call.clone());
        (self.answer)(call)
    }
}

pub(crate) fn raw(value: &Value) -> RawJson {
    RawJson::from(value)
}

pub(crate) fn result(call: &Call, value: Value) -> Reply {
    Reply::Once(Response::result(call.id().clone(), raw(&value)))
}

pub(crate) fn error(call: &Call, code: i64, message: &str) -> Reply {
    Reply::Once(Response::error(
        call.id().clone(),
        ErrorObject::new(code, message),
    ))
}

pub(crate) fn said(call: &Call, text: &str) -> Reply {
    result(
        call,
        json!({"resultType": "complete", "content": [{"type": "text", "text": text}]}),
    )
}

pub(crate) fn dead() -> CallError {
    CallError::unreachable("10.1.2.3:80: connection refused")
}

/// A stream that the test feeds.
pub(crate) fn channel() -> (
    mpsc::UnboundedSender<Result<Message, CallError>>,
    MessageStream,
) {
    let (sender, mut receiver) = mpsc::unbounded_channel();
    (
        sender,
        Box::pin(futures_util::stream::poll_fn(move |cx| {
            receiver.poll_recv(cx)
        })),
    )
}

/// A stream of these messages.
pub(crate) fn stream(messages: Vec<Result<Message, CallError>>) -> Reply {
    Reply::Stream(Box::pin(futures_util::stream::iter(messages)))
}

pub(crate) fn notification(method: &'static str, params: Value) -> Message {
    Message::Notification(Notification::new(method, raw(&params)))
}

pub(crate) fn response(call: &Call, value: Value) -> Message {
    Message::Response(Response::result(call.id().clone(), raw(&value)))
}

pub(crate) fn upstream(name: &str, replicas: &[&Fake]) -> Upstream {
    replicas
        .iter()
        .enumerate()
        .fold(Upstream::new(name).unwrap(), |upstream, (number, fake)| {
            upstream.with_replica(&format!("{name}-{number}"), fake.service())
        })
}

pub(crate) fn gateway(upstreams: impl IntoIterator<Item = Upstream>) -> Gateway {
    let builder = Gateway::builder(Implementation::new("edge", "1"));
    upstreams
        .into_iter()
        .fold(builder, |builder, upstream| builder.upstream(upstream))
        .build()
        .unwrap()
}

/// A gateway in front of one server with these replicas.
pub(crate) fn one(replicas: &[&Fake]) -> Gateway {
    gateway([upstream("demo", replicas)])
}
