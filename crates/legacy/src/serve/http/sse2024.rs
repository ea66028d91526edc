//! HTTP+SSE of 2024-11-05 (`basic/transports#http-with-sse`), deprecated since 2025-03-26 and served only on request: one
//! stream for everything to the client, and a place to POST everything to the server.
//!
//! All of a conversation lives in the body of its stream, and ends with it.

use super::super::conversation::{Conversation, Exchange, Outgoing};
use super::super::negotiated::Negotiated;
use super::endpoint::{CANCELLED, Caller, Shared, busy, now};
use super::exchange::guarded;
use super::heads::{HttpResponse, accepts, empty, event_stream, refused};
use super::meeting::{Note, What};
use super::running::keep_alive;
use super::token;
use crate::message::{Incoming, Parsed, Request, parse};
use crate::revision::Revision as _;
use bytes::{BufMut as _, Bytes, BytesMut};
use carryall_proto::deprecated::Feature;
use carryall_proto::{BoxFuture, Notification, Response, sse};
use carryall_types::{ErrorObject, RawJson, RequestId, code};
use futures_core::Stream;
use futures_util::stream::SelectAll;
use futures_util::{FutureExt as _, StreamExt as _};
use http::{Method, StatusCode, Uri};
use std::collections::{HashMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::Sleep;

/// How many streams are open in a process.
const MAX_CHANNELS: usize = 1024;
/// How many messages wait for a stream that is busy.
const MAX_WAITING: usize = 64;
/// How many requests of one stream are in work.
const MAX_IN_WORK: usize = 64;

const STREAM: &str = "/sse";
const MESSAGES: &str = "/messages";

/// The open streams of this process, by name.
#[derive(Default)]
pub(super) struct Channels {
    table: Mutex<HashMap<Arc<str>, Sender<Bytes>>>,
}

impl Channels {
    pub(super) fn own(path: &str) -> bool {
        path == STREAM || path == MESSAGES
    }

    /// A message that was POSTed to another replica.
    pub(super) fn hear(&self, name: &str, message: RawJson) {
        if let Some(channel) = self.find(name)
            && channel.try_send(message.into_bytes()).is_err()
        {
            tracing::warn!("a message for a busy stream was dropped");
        }
    }

    fn find(&self, name: &str) -> Option<Sender<Bytes>> {
        self.lock().get(name).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Sender<Bytes>>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    pub(super) async fn answer_2024(
        self: Arc<Self>,
        method: &Method,
        uri: &Uri,
        caller: Caller,
        body: Bytes,
    ) -> HttpResponse {
        match uri.path() {
            STREAM if *method == Method::GET => self.open_2024(caller),
            MESSAGES if *method == Method::POST => self.post_2024(uri.query().unwrap_or_default(), &caller, body).await,
            _ => refused(StatusCode::METHOD_NOT_ALLOWED, "GET the stream, POST the messages"),
        }
    }

    fn open_2024(self: Arc<Self>, caller: Caller) -> HttpResponse {
        if !accepts(&caller.headers, &["text/event-stream"]) {
            return refused(StatusCode::NOT_ACCEPTABLE, "Accept must list text/event-stream");
        }
        if Feature::HttpSse.is_first_use() {
            tracing::warn!("a client has opened a stream of HTTP+SSE: {}", Feature::HttpSse.notice());
        }
        let expires_at = now() + self.options.session_ttl.as_secs();
        let token = token::seal_stream(&self.keyring, caller.principal.as_deref(), expires_at);
        let Some((name, token)) = token.and_then(|token| Some((token::name_of(&token)?, token))) else { return busy() };
        let (sender, messages) = channel(MAX_WAITING);
        {
            let mut table = self.channels.lock();
            if table.len() >= MAX_CHANNELS {
                return busy();
            }
            table.insert(Arc::clone(&name), sender);
        }
        let endpoint = format!("event: endpoint\ndata: {MESSAGES}?session={token}\n\n");
        event_stream(Channel {
            shared: self,
            caller,
            name,
            endpoint: Some(endpoint.into()),
            messages,
            step: Step::Fresh,
            in_work: SelectAll::new(),
            ready: VecDeque::new(),
            timer: None,
        })
    }

    /// Takes a message in, for a stream here or at another replica.
    async fn post_2024(&self, query: &str, caller: &Caller, body: Bytes) -> HttpResponse {
        let unknown = || refused(StatusCode::NOT_FOUND, "There is no such stream: GET /sse opens a new one");
        let token = query.split('&').find_map(|pair| pair.strip_prefix("session="));
        let principal = caller.principal.as_deref();
        let name = token.and_then(|token| token::open_stream(&self.keyring, principal, now(), token));
        let Some(name) = name else { return unknown() };
        if let Err(malformed) = parse(&body) {
            return refused(StatusCode::BAD_REQUEST, malformed.error.message);
        }
        if let Some(channel) = self.channels.find(&name) {
            return match channel.try_send(body) {
                Ok(()) => empty(StatusCode::ACCEPTED),
                Err(TrySendError::Full(_)) => busy(),
                Err(TrySendError::Closed(_)) => unknown(),
            };
        }
        if self.meeting.is_alone() {
            return unknown();
        }
        // Whoever has the stream hears it; whether anybody does, nobody here can know.
        let Ok(message) = RawJson::parse(body) else { return unknown() };
        self.meeting.publish(Note { session: name, what: What::Posted(message) }).await;
        empty(StatusCode::ACCEPTED)
    }
}

type Opened = Result<(Negotiated, RawJson), ErrorObject>;

/// How far a conversation has come.
enum Step {
    Fresh,
    Opening(RequestId, BoxFuture<Opened>),
    /// With whether messages may come in arrays, and what changes.
    Open(Arc<Conversation>, bool, Pin<Box<dyn Stream<Item = Notification> + Send>>),
}

/// One stream, and the conversation that lives on it.
struct Channel {
    shared: Arc<Shared>,
    caller: Caller,
    name: Arc<str>,
    /// Where to POST: the first event.
    endpoint: Option<Bytes>,
    messages: Receiver<Bytes>,
    step: Step,
    in_work: SelectAll<Exchange>,
    ready: VecDeque<Bytes>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Unpin for Channel {}

impl Channel {
    fn hear(&mut self, text: &Bytes) {
        match parse(text) {
            Ok(Parsed::One(incoming)) => self.incoming(incoming),
            Ok(Parsed::Batch(items)) => {
                if !matches!(self.step, Step::Open(_, true, _)) {
                    let why = "Invalid request: there are no batches in this revision";
                    let error = ErrorObject::new(code::INVALID_REQUEST, why);
                    return self.say(&carryall_proto::encode_error(None, &error).into_bytes());
                }
                for item in items {
                    match item {
                        Ok(incoming) => self.incoming(incoming),
                        Err(malformed) => self.say(&malformed.encode().into_bytes()),
                    }
                }
            }
            Err(malformed) => self.say(&malformed.encode().into_bytes()),
        }
    }

    fn incoming(&mut self, incoming: Incoming) {
        match (&self.step, incoming) {
            (Step::Fresh, Incoming::Request(request)) if request.method == "initialize" => self.open(request),
            (Step::Open(conversation, ..), Incoming::Request(request)) if self.in_work.len() < MAX_IN_WORK => {
                let id = request.id.clone();
                let exchange = conversation.answer(request, self.caller.origin());
                self.in_work.push(guarded(exchange, id));
            }
            (Step::Open(..), Incoming::Request(request)) => {
                let why = format!("Invalid request: {MAX_IN_WORK} requests of this stream are in work");
                self.refuse(request.id, ErrorObject::new(code::INVALID_REQUEST, why));
            }
            (_, Incoming::Request(request)) if request.method == "ping" => {
                self.say(&Response::result(request.id, RawJson::EMPTY_OBJECT).encode().into_bytes());
            }
            (_, Incoming::Request(request)) => {
                let why = "Invalid request: the first request has to be initialize";
                self.refuse(request.id, ErrorObject::new(code::INVALID_REQUEST, why));
            }
            (Step::Open(conversation, ..), Incoming::Notification(notification)) => {
                if !conversation.notification(&notification) {
                    tracing::debug!("{CANCELLED} for a request that is not in work");
                }
            }
            (Step::Open(conversation, ..), Incoming::Response(response)) => {
                if !conversation.response(response) {
                    tracing::debug!("an answer that nobody waits for");
                }
            }
            (_, other) => tracing::debug!(other = ?carryall_proto::PrintableFmt(&other), "before initialize"),
        }
    }

    fn open(&mut self, request: Request) {
        let (shared, origin) = (Arc::clone(&self.shared), self.caller.origin());
        let Request { id, params, .. } = request;
        let opening = async move {
            let opened = Conversation::initialize(&shared.service, &shared.options, &params, &origin);
            AssertUnwindSafe(opened).catch_unwind().await.unwrap_or_else(|_| Err(ErrorObject::internal()))
        };
        self.step = Step::Opening(id, Box::pin(opening));
    }

    fn opened(&mut self, id: RequestId, opened: Opened) {
        match opened {
            Ok((negotiated, result)) => {
                let batches = negotiated.version.has_batches();
                let (service, options) = (self.shared.service.clone(), Arc::clone(&self.shared.options));
                let conversation = Conversation::new(service, options, negotiated);
                let changes = conversation.changes(self.caller.origin()).fuse();
                self.step = Step::Open(conversation, batches, Box::pin(changes));
                self.say(&Response::result(id, result).encode().into_bytes());
            }
            Err(error) => {
                self.step = Step::Fresh;
                self.refuse(id, error);
            }
        }
    }

    fn refuse(&mut self, id: RequestId, error: ErrorObject) {
        self.say(&Response::error(id, error).encode().into_bytes());
    }

    fn say(&mut self, json: &Bytes) {
        let mut text = BytesMut::with_capacity(json.len() + 32);
        text.put_slice(b"event: message\n");
        sse::encode_event(json, &mut text);
        self.ready.push_back(text.freeze());
    }
}

impl Stream for Channel {
    type Item = Bytes;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let this = self.get_mut();
        if let Some(endpoint) = this.endpoint.take() {
            return Poll::Ready(Some(endpoint));
        }
        loop {
            if let Some(text) = this.ready.pop_front() {
                this.timer = None;
                return Poll::Ready(Some(text));
            }
            if let Step::Opening(id, opening) = &mut this.step {
                if let Poll::Ready(opened) = opening.as_mut().poll(cx) {
                    let id = id.clone();
                    this.opened(id, opened);
                    continue;
                }
                break;
            }
            if let Poll::Ready(Some(item)) = Pin::new(&mut this.in_work).poll_next(cx) {
                this.say(&item.encode());
                continue;
            }
            if let Step::Open(_, _, changes) = &mut this.step
                && let Poll::Ready(Some(change)) = changes.as_mut().poll_next(cx)
            {
                this.say(&Outgoing::Notification(change).encode());
                continue;
            }
            match this.messages.poll_recv(cx) {
                Poll::Ready(Some(message)) => this.hear(&message),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => break,
            }
        }
        keep_alive(&mut this.timer, this.shared.options.keep_alive, cx).map(Some)
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.shared.channels.lock().remove(&self.name);
    }
}
