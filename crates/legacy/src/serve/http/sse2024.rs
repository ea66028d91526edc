//! HTTP+SSE of 2024-11-05 (`basic/transports#http-with-sse`), deprecated since 2025-03-26 and
//! served only on request: one stream for everything to the client, and a place to POST everything
//! to the server.
//!
//! All of a conversation lives in the body of its stream, and ends with it.

use super::super::conversation::{ClientSession, Exchange, Outgoing, RequestContext};
use super::super::negotiated::Negotiated;
use super::endpoint::{CANCELLED, RequestHead, Shared, busy, now};
use super::exchange::guarded;
use super::heads::{HttpResponse, accepts, empty, event_stream, refused};
use super::meeting::What;
use super::running::keep_alive;
use super::token;
use crate::message::{Incoming, ParsedBody, Request, parse};
use crate::revision::Revision as _;
use bytes::{BufMut as _, Bytes, BytesMut};
use carryall_proto::budget::{Budget, Reservation};
use carryall_proto::deprecated::DeprecatedFeature;
use carryall_proto::sync::Mutex;
use carryall_proto::{BoxFuture, Caller, Notification, Response, sse};
use carryall_types::{ErrorObject, RawJson, RequestId, code};
use futures_core::Stream;
use futures_util::stream::SelectAll;
use futures_util::{FutureExt as _, StreamExt as _};
use http::{Method, StatusCode, Uri};
use std::collections::{HashMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, MutexGuard};
use std::task::{Context, Poll};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::Sleep;

/// How many messages wait for a stream that is busy.
const MAX_WAITING: usize = 64;
/// How many requests of one stream are in work.
const MAX_IN_WORK: usize = 64;

const STREAM: &str = "/sse";
const MESSAGES: &str = "/messages";

/// The open streams of this process, by name.
#[derive(Default)]
pub(super) struct SseChannels {
    table: Mutex<HashMap<Arc<str>, Inbox>>,
}

/// Where messages for one stream go in.
#[derive(Clone)]
struct Inbox {
    messages: Sender<Waiting>,
    caller: Caller,
    budget: Budget,
}

/// A message, and its room until it is taken.
struct Waiting {
    text: Bytes,
    _held: Reservation,
}

/// Why a message cannot be taken in.
#[derive(Debug, PartialEq, Eq)]
enum InboxError {
    Busy,
    Gone,
}

impl Inbox {
    fn send(&self, text: Bytes) -> Result<(), InboxError> {
        let held = self
            .budget
            .reserve(&self.caller, text.len())
            .map_err(|_| InboxError::Busy)?;
        self.messages
            .try_send(Waiting { text, _held: held })
            .map_err(|error| match error {
                TrySendError::Full(_) => InboxError::Busy,
                TrySendError::Closed(_) => InboxError::Gone,
            })
    }
}

impl SseChannels {
    pub(super) fn own(path: &str) -> bool {
        path == STREAM || path == MESSAGES
    }

    /// A message that was POSTed to another replica.
    pub(super) fn hear(&self, name: &str, message: RawJson) {
        if let Some(channel) = self.find(name)
            && channel.send(message.into_bytes()).is_err()
        {
            tracing::warn!("a message for a busy stream was dropped");
        }
    }

    fn find(&self, name: &str) -> Option<Inbox> {
        self.lock().get(name).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Inbox>> {
        self.table.lock()
    }
}

impl Shared {
    pub(super) async fn answer_2024(
        self: Arc<Self>,
        method: &Method,
        uri: &Uri,
        head: RequestHead,
        body: Bytes,
    ) -> HttpResponse {
        match uri.path() {
            STREAM if *method == Method::GET => self.open_2024(head),
            MESSAGES if *method == Method::POST => {
                self.post_2024(uri.query().unwrap_or_default(), &head, body)
                    .await
            }
            _ => refused(
                StatusCode::METHOD_NOT_ALLOWED,
                "GET the stream, POST the messages",
            ),
        }
    }

    fn open_2024(self: Arc<Self>, head: RequestHead) -> HttpResponse {
        if !accepts(&head.headers, &["text/event-stream"]) {
            return refused(
                StatusCode::NOT_ACCEPTABLE,
                "Accept must list text/event-stream",
            );
        }
        if DeprecatedFeature::HttpSse.is_first_use() {
            tracing::warn!(
                "a client has opened a stream of HTTP+SSE: {}",
                DeprecatedFeature::HttpSse.notice()
            );
        }
        if self.server.shutdown.has_begun() {
            return refused(
                StatusCode::SERVICE_UNAVAILABLE,
                "The server is shutting down",
            );
        }
        let caller = head.caller();
        let Ok(held) = self.server.quotas.channels.reserve(&caller, 0) else {
            return busy();
        };
        let expires_at = now() + self.options.session_ttl.as_secs();
        let token = token::seal_stream(&self.keys, head.principal.as_deref(), expires_at);
        let Some((name, token)) = token.and_then(|token| Some((token::name_of(&token)?, token)))
        else {
            return busy();
        };
        let (sender, messages) = channel(MAX_WAITING);
        let inbox = Inbox {
            messages: sender,
            caller,
            budget: self.server.quotas.waiting.clone(),
        };
        self.channels.lock().insert(Arc::clone(&name), inbox);
        let endpoint = format!("event: endpoint\ndata: {MESSAGES}?session={token}\n\n");
        let closing = Some(Box::pin(self.server.shutdown.begun()) as BoxFuture<()>);
        event_stream(Channel {
            shared: self,
            head,
            closing,
            _held: held,
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
    async fn post_2024(&self, query: &str, head: &RequestHead, body: Bytes) -> HttpResponse {
        let unknown = || {
            refused(
                StatusCode::NOT_FOUND,
                "There is no such stream: GET /sse opens a new one",
            )
        };
        let token = query
            .split('&')
            .find_map(|pair| pair.strip_prefix("session="));
        let principal = head.principal.as_deref();
        let name = token.and_then(|token| token::open_stream(&self.keys, principal, now(), token));
        let Some(name) = name else { return unknown() };
        if let Err(malformed) = parse(&body) {
            return refused(StatusCode::BAD_REQUEST, malformed.error.message);
        }
        if let Some(channel) = self.channels.find(&name) {
            return match channel.send(body) {
                Ok(()) => empty(StatusCode::ACCEPTED),
                Err(InboxError::Busy) => busy(),
                Err(InboxError::Gone) => unknown(),
            };
        }
        if self.meeting.is_alone() {
            return unknown();
        }
        // Whoever has the stream hears it; whether anybody does, nobody here can know.
        let Ok(message) = RawJson::parse(body) else {
            return unknown();
        };
        match self
            .publish(&name, &head.caller(), What::Posted(message))
            .await
        {
            Ok(()) => empty(StatusCode::ACCEPTED),
            Err(_) => busy(),
        }
    }
}

type Opened = Result<(Negotiated, RawJson), ErrorObject>;

/// How far a conversation has come.
enum Step {
    Fresh,
    /// With the conversation before, which goes on if this one does not come about.
    Opening(RequestId, BoxFuture<Opened>, Option<Box<Step>>),
    /// With whether messages may come in arrays, and what changes.
    Open(
        Arc<ClientSession>,
        bool,
        Pin<Box<dyn Stream<Item = Notification> + Send>>,
    ),
}

/// One stream, and the conversation that lives on it.
struct Channel {
    shared: Arc<Shared>,
    head: RequestHead,
    /// Completes when the server shuts down; `None` when it has.
    closing: Option<BoxFuture<()>>,
    _held: Reservation,
    name: Arc<str>,
    /// Where to POST: the first event.
    endpoint: Option<Bytes>,
    messages: Receiver<Waiting>,
    step: Step,
    in_work: SelectAll<Exchange>,
    ready: VecDeque<Bytes>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Unpin for Channel {}

impl Channel {
    fn hear(&mut self, text: &Bytes) {
        match parse(text) {
            Ok(ParsedBody::One(incoming)) => self.incoming(incoming),
            Ok(ParsedBody::Batch(items)) => {
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
            // A client that says it again begins anew.
            (Step::Fresh | Step::Open(..), Incoming::Request(request))
                if request.method == "initialize" =>
            {
                self.in_work = SelectAll::new();
                self.open(request);
            }
            (Step::Open(conversation, ..), Incoming::Request(request))
                if self.in_work.len() < MAX_IN_WORK =>
            {
                let id = request.id.clone();
                let exchange = conversation.answer(request, self.origin());
                self.in_work.push(guarded(exchange, id));
            }
            (Step::Open(..), Incoming::Request(request)) => {
                let why =
                    format!("Invalid request: {MAX_IN_WORK} requests of this stream are in work");
                self.refuse(request.id, ErrorObject::new(code::INVALID_REQUEST, why));
            }
            (_, Incoming::Request(request)) if request.method == "ping" => {
                self.say(
                    &Response::result(request.id, RawJson::EMPTY_OBJECT)
                        .encode()
                        .into_bytes(),
                );
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
            (_, other) => {
                tracing::debug!(other = ?carryall_proto::PrintableFmt(&other), "before initialize")
            }
        }
    }

    fn open(&mut self, request: Request) {
        let (shared, origin) = (Arc::clone(&self.shared), self.origin());
        let Request { id, params, .. } = request;
        let opening = async move {
            let opened = ClientSession::initialize(
                &shared.server.service,
                &shared.options,
                &params,
                &origin,
            );
            AssertUnwindSafe(opened)
                .catch_unwind()
                .await
                .unwrap_or_else(|_| Err(ErrorObject::internal()))
        };
        let before = match std::mem::replace(&mut self.step, Step::Fresh) {
            open @ Step::Open(..) => Some(Box::new(open)),
            _ => None,
        };
        self.step = Step::Opening(id, Box::pin(opening), before);
    }

    fn opened(&mut self, opened: Opened) {
        let Step::Opening(id, _, before) = std::mem::replace(&mut self.step, Step::Fresh) else {
            return;
        };
        let opened = opened.and_then(|(negotiated, result)| {
            let negotiated = token::shortened(negotiated).ok_or_else(|| {
                ErrorObject::invalid_params(
                    "Invalid params: the capabilities of this client are too large",
                )
            })?;
            Ok((negotiated, result))
        });
        match opened {
            Ok((negotiated, result)) => {
                let batches = negotiated.version.has_batches();
                let conversation =
                    ClientSession::new(&self.shared.server, negotiated, self.head.caller());
                let changes = conversation.changes(self.origin()).fuse();
                self.step = Step::Open(conversation, batches, Box::pin(changes));
                self.say(&Response::result(id, result).encode().into_bytes());
            }
            Err(error) => {
                self.step = before.map_or(Step::Fresh, |before| *before);
                self.refuse(id, error);
            }
        }
    }

    /// The stream is the client.
    fn origin(&self) -> RequestContext {
        self.head.origin(Some(token::client_of(&self.name)))
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
            if let Step::Opening(_, opening, _) = &mut this.step {
                if let Poll::Ready(opened) = opening.as_mut().poll(cx) {
                    this.opened(opened);
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
                Poll::Ready(Some(message)) => this.hear(&message.text),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => {}
            }
            if this
                .closing
                .as_mut()
                .is_some_and(|closing| closing.as_mut().poll(cx).is_ready())
            {
                this.closing = None;
            }
            if this.closing.is_none() && this.in_work.is_empty() {
                return Poll::Ready(None);
            }
            break;
        }
        keep_alive(&mut this.timer, this.shared.options.keep_alive, cx).map(Some)
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.shared.channels.lock().remove(&self.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use carryall_proto::budget::Amount;

    #[test]
    fn messages_for_a_busy_stream_are_bounded_in_number_and_bytes() {
        let budget = Budget::new(Amount::new(1_000, 1_000), Amount::new(1_000, 100));
        let inbox = |last: u8| {
            let (messages, receiver) = channel(MAX_WAITING);
            (
                Inbox {
                    messages,
                    caller: Caller::Address([10, 0, 0, last].into()),
                    budget: budget.clone(),
                },
                receiver,
            )
        };
        let ((first, mut taking), (second, _kept), (other, gone)) = (inbox(1), inbox(1), inbox(2));
        let text = |bytes: usize| Bytes::from(vec![b' '; bytes]);
        assert_eq!(first.send(text(60)), Ok(()));
        assert_eq!(
            second.send(text(60)),
            Err(InboxError::Busy),
            "streams of one caller share what it has"
        );
        assert_eq!(other.send(text(60)), Ok(()));
        drop(taking.try_recv().unwrap());
        assert_eq!(second.send(text(60)), Ok(()));
        for _ in 0..MAX_WAITING {
            assert_eq!(first.send(Bytes::new()), Ok(()));
        }
        assert_eq!(first.send(Bytes::new()), Err(InboxError::Busy));
        drop(gone);
        assert_eq!(other.send(Bytes::new()), Err(InboxError::Gone));
    }
}
