//! A server in a closure.

use carryall_client::{Client, ClientBuilder};
use carryall_proto::{BoxFuture, Call, CallError, Message, Notification, Reply, Response, key};
use carryall_types::{ErrorObject, JsonValue, RawJson, RequestId};
use futures_util::{StreamExt, stream};
use http::HeaderMap;
use serde_json::json;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

/// One call as the server saw it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// How many calls came before it.
    pub(crate) n: usize,
    pub(crate) id: RequestId,
    pub(crate) method: String,
    /// `_meta` included.
    pub(crate) params: JsonValue,
    pub(crate) headers: Option<HeaderMap>,
}

impl Seen {
    pub(crate) fn meta(&self, name: &str) -> &JsonValue {
        &self.params["_meta"][name]
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.as_ref()?.get(name)?.to_str().ok()
    }

    /// The parameters without `_meta`.
    pub(crate) fn own_params(&self) -> JsonValue {
        let mut params = self.params.clone();
        params.as_object_mut().unwrap().remove("_meta");
        params
    }
}

/// What the server does about a call.
pub(crate) enum Does {
    FromResult(JsonValue),
    Refuse(ErrorObject),
    Fail(CallError),
    /// These, in order.
    Say(Vec<Says>),
    /// Nothing, ever.
    Hang,
    Reply(Reply),
}

/// Part of a streamed answer.
#[derive(Clone, Debug)]
pub(crate) enum Says {
    Note(&'static str, JsonValue),
    Wait(Duration),
    Result(JsonValue),
    Error(ErrorObject),
    Break,
}

/// A complete result.
pub(crate) fn done(members: JsonValue) -> Does {
    Does::FromResult(complete(members))
}

pub(crate) fn complete(mut members: JsonValue) -> JsonValue {
    members["resultType"] = "complete".into();
    members
}

pub(crate) fn text(text: &str) -> JsonValue {
    complete(json!({"content": [{"type": "text", "text": text}]}))
}

pub(crate) fn refuse(code: i64) -> Does {
    Does::Refuse(ErrorObject::new(code, "no"))
}

pub(crate) fn refuse_with(code: i64, data: JsonValue) -> Does {
    Does::Refuse(ErrorObject::new(code, "no").with_data(RawJson::from(&data)))
}

type Behaviour = dyn Fn(&Seen) -> Does + Send + Sync;

#[derive(Clone)]
pub(crate) struct Server {
    behaviour: Arc<Behaviour>,
    log: Log,
}

impl Server {
    pub(crate) fn new(behaviour: impl Fn(&Seen) -> Does + Send + Sync + 'static) -> Self {
        Self {
            behaviour: Arc::new(behaviour),
            log: Log::default(),
        }
    }

    pub(crate) fn logged(behaviour: impl Fn(&Seen) -> Does + Send + Sync + 'static) -> (Self, Log) {
        let server = Self::new(behaviour);
        let log = server.log.clone();
        (server, log)
    }

    pub(crate) fn silent() -> Self {
        Self {
            behaviour: Arc::new(|_| Does::Hang),
            log: Log::default(),
        }
    }
}

/// What a server has seen, and how many of its calls were dropped before they were answered.
#[derive(Clone, Default)]
pub(crate) struct Log {
    seen: Arc<Mutex<Vec<Seen>>>,
    pub(crate) cancelled: Arc<AtomicUsize>,
}

impl Log {
    pub(crate) fn all(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) fn len(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    pub(crate) fn methods(&self) -> Vec<String> {
        self.all().into_iter().map(|seen| seen.method).collect()
    }

    pub(crate) fn cancelled(&self) -> usize {
        self.cancelled.load(Ordering::SeqCst)
    }
}

/// A client of a server that behaves like this.
pub(crate) fn serving(behaviour: impl Fn(&Seen) -> Does + Send + Sync + 'static) -> (Client, Log) {
    serving_with(|builder| builder, behaviour)
}

pub(crate) fn serving_with(
    setup: impl FnOnce(ClientBuilder) -> ClientBuilder,
    behaviour: impl Fn(&Seen) -> Does + Send + Sync + 'static,
) -> (Client, Log) {
    let (server, log) = Server::logged(behaviour);
    (
        setup(Client::builder().name("test").version("0").service(server))
            .build()
            .unwrap(),
        log,
    )
}

impl tower_service::Service<Call> for Server {
    type Response = Reply;
    type Error = CallError;
    type Future = BoxFuture<Result<Reply, CallError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), CallError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call) -> Self::Future {
        let seen = {
            let mut all = self.log.seen.lock().unwrap();
            let seen = Seen {
                n: all.len(),
                id: call.id().clone(),
                method: call.method().as_str().to_owned(),
                params: call.params().raw().decode().unwrap(),
                headers: call.headers().cloned(),
            };
            all.push(seen.clone());
            seen
        };
        let does = (self.behaviour)(&seen);
        let unanswered = Unanswered(Some(self.log.cancelled.clone()));
        Box::pin(async move {
            let id = seen.id.clone();
            match does {
                Does::FromResult(result) => {
                    unanswered.answered();
                    Ok(Response::result(id, RawJson::from(&result)).into())
                }
                Does::Refuse(error) => {
                    unanswered.answered();
                    Ok(Response::error(id, error).into())
                }
                Does::Fail(error) => {
                    unanswered.answered();
                    Err(error)
                }
                Does::Say(parts) => Ok(Reply::Stream(say(id, parts, unanswered))),
                Does::Hang => {
                    let _unanswered = unanswered;
                    std::future::pending().await
                }
                Does::Reply(reply) => {
                    unanswered.answered();
                    Ok(reply)
                }
            }
        })
    }
}

fn say(id: RequestId, parts: Vec<Says>, unanswered: Unanswered) -> carryall_proto::MessageStream {
    let subscription = serde_json::to_value(&id).unwrap();
    let parts = stream::iter(parts).filter_map(move |part| {
        let (id, subscription) = (id.clone(), subscription.clone());
        async move {
            match part {
                Says::Note(method, mut params) => {
                    // The id of the subscription, unless the test gives one.
                    if params["_meta"][key::SUBSCRIPTION_ID].is_null() {
                        params["_meta"][key::SUBSCRIPTION_ID] = subscription;
                    }
                    Some(Ok(Message::Notification(Notification::new(
                        method,
                        RawJson::from(&params),
                    ))))
                }
                Says::Wait(time) => {
                    tokio::time::sleep(time).await;
                    None
                }
                Says::Result(result) => Some(Ok(Message::Response(Response::result(
                    id,
                    RawJson::from(&result),
                )))),
                Says::Error(error) => Some(Ok(Message::Response(Response::error(id, error)))),
                Says::Break => Some(Err(CallError::broken("cut"))),
            }
        }
    });
    // Dropped before its response, or before it has ended without one, it counts as cancelled.
    let mut unanswered = Some(unanswered);
    let ended = parts.map(Some).chain(stream::once(async { None }));
    Box::pin(ended.filter_map(move |item| {
        if !matches!(item, Some(Ok(Message::Notification(_))))
            && let Some(unanswered) = unanswered.take()
        {
            unanswered.answered();
        }
        std::future::ready(item)
    }))
}

/// Counts itself as cancelled when it is dropped before it was answered.
struct Unanswered(Option<Arc<AtomicUsize>>);

impl Unanswered {
    fn answered(mut self) {
        self.0 = None;
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        if let Some(count) = &self.0 {
            count.fetch_add(1, Ordering::SeqCst);
        }
    }
}
