//! The body of an HTTP+SSE stream, and the session that lives on it.

use super::channels::QueuedMessage;
use crate::generate::Generated;
use crate::message::{Incoming, LegacyRequest, ParsedBody, parse};
use crate::revision::Revision as _;
use crate::serve::changes;
use crate::serve::client_session::{CANCELLED, ClientSession};
use crate::serve::dispatch;
use crate::serve::exchange::{Exchange, Outgoing, RequestContext, catch_panics};
use crate::serve::http::headers::RequestHead;
use crate::serve::http::state::EndpointState;
use crate::serve::http::stream::poll_keep_alive;
use crate::serve::http::token;
use crate::serve::initialize::{InitializeOutcome, initialize};
use bytes::{BufMut as _, Bytes, BytesMut};
use carryall_proto::budget::Reservation;
use carryall_proto::{BoxFuture, Notification, PrintableFmt, Response, encode_error, sse};
use carryall_types::{ErrorObject, RawJson, RequestId, code};
use futures_core::Stream;
use futures_util::stream::{Fuse, SelectAll};
use futures_util::{FutureExt as _, StreamExt as _};
use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::mpsc::Receiver;
use tokio::time::Sleep;

/// Maximum number of requests of one stream in flight.
const MAX_IN_FLIGHT: usize = 64;

/// One stream. Dropping it ends its session.
pub(super) struct SseChannel {
    state: Arc<EndpointState>,
    head: RequestHead,
    name: Arc<str>,
    /// The first event: the URL to POST messages to.
    endpoint: Option<Bytes>,
    messages: Receiver<QueuedMessage>,
    session: ChannelSession,
    in_flight: SelectAll<Exchange>,
    /// Events to write.
    outbox: VecDeque<Bytes>,
    keep_alive: Option<Pin<Box<Sleep>>>,
    /// Waits for the shutdown; `None` once it has begun.
    shutdown: Option<BoxFuture<()>>,
    _reservation: Reservation,
}

/// The session on a stream.
enum ChannelSession {
    /// Before `initialize`.
    New,
    Initializing {
        id: RequestId,
        outcome: BoxFuture<InitializeOutcome>,
        /// The previous session of the stream, which goes on if this `initialize` fails.
        previous: Option<OpenSession>,
    },
    Open(OpenSession),
}

struct OpenSession {
    client: Arc<ClientSession>,
    changes: Fuse<Generated<Notification>>,
}

impl SseChannel {
    pub(super) fn new(
        state: Arc<EndpointState>,
        head: RequestHead,
        name: Arc<str>,
        endpoint: Bytes,
        messages: Receiver<QueuedMessage>,
        reservation: Reservation,
    ) -> Self {
        Self {
            shutdown: Some(Box::pin(state.server.shutdown.begun())),
            state,
            head,
            name,
            endpoint: Some(endpoint),
            messages,
            session: ChannelSession::New,
            in_flight: SelectAll::new(),
            outbox: VecDeque::new(),
            keep_alive: None,
            _reservation: reservation,
        }
    }

    fn on_body(&mut self, text: &Bytes) {
        match parse(text) {
            Ok(ParsedBody::One(incoming)) => self.on_message(incoming),
            Ok(ParsedBody::Batch(items)) => {
                if !self.has_batches() {
                    let why = "Invalid request: this revision has no batches";
                    let error = ErrorObject::new(code::INVALID_REQUEST, why);
                    return self.put(&encode_error(None, &error).into_bytes());
                }
                for item in items {
                    match item {
                        Ok(incoming) => self.on_message(incoming),
                        Err(malformed) => self.put(&malformed.encode().into_bytes()),
                    }
                }
            }
            Err(malformed) => self.put(&malformed.encode().into_bytes()),
        }
    }

    fn has_batches(&self) -> bool {
        matches!(
            &self.session,
            ChannelSession::Open(open) if open.client.negotiated.version.has_batches()
        )
    }

    fn on_message(&mut self, incoming: Incoming) {
        match (&self.session, incoming) {
            // A repeated `initialize` opens a new session.
            (ChannelSession::New | ChannelSession::Open(_), Incoming::Request(request))
                if request.method == "initialize" =>
            {
                self.in_flight = SelectAll::new();
                self.start_initialize(request);
            }
            (ChannelSession::Open(_), Incoming::Request(request))
                if self.in_flight.len() >= MAX_IN_FLIGHT =>
            {
                let why = format!(
                    "Invalid request: {MAX_IN_FLIGHT} requests of this stream are in flight"
                );
                self.refuse(request.id, ErrorObject::new(code::INVALID_REQUEST, why));
            }
            (ChannelSession::Open(open), Incoming::Request(request)) => {
                let id = request.id.clone();
                let exchange = dispatch::answer(&open.client, request, self.request_context());
                self.in_flight.push(catch_panics(exchange, id));
            }
            (_, Incoming::Request(request)) if request.method == "ping" => {
                let pong = Response::result(request.id, RawJson::EMPTY_OBJECT);
                self.put(&pong.encode().into_bytes());
            }
            (_, Incoming::Request(request)) => {
                let why = "Invalid request: the first request has to be initialize";
                self.refuse(request.id, ErrorObject::new(code::INVALID_REQUEST, why));
            }
            (ChannelSession::Open(open), Incoming::Notification(notification)) => {
                if !open.client.on_notification(&notification) {
                    tracing::debug!("{CANCELLED} for a request that is not in flight");
                }
            }
            (ChannelSession::Open(open), Incoming::Response(response)) => {
                if !open.client.on_response(response) {
                    tracing::debug!("response to a request that is not pending");
                }
            }
            (_, other) => {
                tracing::debug!(other = ?PrintableFmt(&other), "ignored before initialize");
            }
        }
    }

    fn start_initialize(&mut self, request: LegacyRequest) {
        let (state, context) = (Arc::clone(&self.state), self.request_context());
        let LegacyRequest { id, params, .. } = request;
        let outcome = async move {
            let outcome = initialize(&state.server.service, &state.options, &params, &context);
            AssertUnwindSafe(outcome)
                .catch_unwind()
                .await
                .unwrap_or_else(|_| Err(ErrorObject::internal()))
        };
        let previous = match std::mem::replace(&mut self.session, ChannelSession::New) {
            ChannelSession::Open(open) => Some(open),
            ChannelSession::New | ChannelSession::Initializing { .. } => None,
        };
        self.session = ChannelSession::Initializing {
            id,
            outcome: Box::pin(outcome),
            previous,
        };
    }

    fn finish_initialize(&mut self, outcome: InitializeOutcome) {
        let session = std::mem::replace(&mut self.session, ChannelSession::New);
        let ChannelSession::Initializing { id, previous, .. } = session else {
            return;
        };
        let outcome = outcome.and_then(|(negotiated, result)| {
            let negotiated = token::shortened(negotiated).ok_or_else(|| {
                ErrorObject::invalid_params(
                    "Invalid params: the capabilities of this client are too large",
                )
            })?;
            Ok((negotiated, result))
        });
        match outcome {
            Ok((negotiated, result)) => {
                let caller = self.head.caller();
                let client = ClientSession::new(&self.state.server, negotiated, caller);
                let changes = changes::stream(&client, self.request_context()).fuse();
                self.session = ChannelSession::Open(OpenSession { client, changes });
                self.put(&Response::result(id, result).encode().into_bytes());
            }
            Err(error) => {
                self.session = previous.map_or(ChannelSession::New, ChannelSession::Open);
                self.refuse(id, error);
            }
        }
    }

    /// Returns the context of a request. The stream is the client.
    fn request_context(&self) -> RequestContext {
        self.head.context(Some(token::client_id(&self.name)))
    }

    fn refuse(&mut self, id: RequestId, error: ErrorObject) {
        self.put(&Response::error(id, error).encode().into_bytes());
    }

    fn put(&mut self, json: &Bytes) {
        let mut text = BytesMut::with_capacity(json.len() + 32);
        text.put_slice(b"event: message\n");
        sse::encode_event(json, &mut text);
        self.outbox.push_back(text.freeze());
    }
}

impl Stream for SseChannel {
    type Item = Bytes;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let this = self.get_mut();
        if let Some(endpoint) = this.endpoint.take() {
            return Poll::Ready(Some(endpoint));
        }
        loop {
            if let Some(text) = this.outbox.pop_front() {
                this.keep_alive = None;
                return Poll::Ready(Some(text));
            }
            // Messages wait in the inbox meanwhile.
            if let ChannelSession::Initializing { outcome, .. } = &mut this.session {
                if let Poll::Ready(outcome) = outcome.as_mut().poll(cx) {
                    this.finish_initialize(outcome);
                    continue;
                }
                break;
            }
            if let Poll::Ready(Some(message)) = Pin::new(&mut this.in_flight).poll_next(cx) {
                this.put(&message.encode());
                continue;
            }
            if let ChannelSession::Open(open) = &mut this.session
                && let Poll::Ready(Some(change)) = Pin::new(&mut open.changes).poll_next(cx)
            {
                this.put(&Outgoing::Notification(change).encode());
                continue;
            }
            match this.messages.poll_recv(cx) {
                Poll::Ready(Some(message)) => {
                    this.on_body(&message.text);
                    continue;
                }
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => {}
            }
            let shutdown = this.shutdown.as_mut();
            if shutdown.is_some_and(|shutdown| shutdown.as_mut().poll(cx).is_ready()) {
                this.shutdown = None;
            }
            if this.shutdown.is_none() && this.in_flight.is_empty() {
                return Poll::Ready(None);
            }
            break;
        }
        poll_keep_alive(&mut this.keep_alive, this.state.options.keep_alive, cx).map(Some)
    }
}

impl Drop for SseChannel {
    fn drop(&mut self) {
        self.state.channels.remove(&self.name);
    }
}
