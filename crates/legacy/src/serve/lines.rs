//! Legacy clients on stdio and sockets. A channel is one session, beside calls of 2026-07-28.

mod work;

use super::changes;
use super::client_session::ClientSession;
use super::dispatch;
use super::exchange::{Exchange, Outgoing, RequestContext};
use super::initialize::{InitializeOutcome, initialize};
use super::options::LegacyOptions;
use super::server_context::ServerContext;
use crate::generate::Generated;
use crate::message::{Incoming, LegacyRequest, MalformedMessage, ParsedBody, parse};
use crate::revision::Revision as _;
use bytes::Bytes;
use carryall_proto::decode::names_protocol_version;
use carryall_proto::{
    BoxFuture, Call, CallError, CallSource, ClientId, Notification, Printable, Reply, Response,
    SharedService,
};
use carryall_transport::lines::{FallbackChannel, FallbackChannels};
use carryall_types::{ErrorObject, RawJson, RequestId, code};
use futures_core::Stream as _;
use futures_util::stream::SelectAll;
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use tower_service::Service;
use work::{Batch, ChannelWork};

/// Maximum number of lines that wait for the answer to `initialize`.
const MAX_EARLY: usize = 100;
/// Maximum size of these lines together, in bytes.
const MAX_EARLY_BYTES: usize = 4 * 1024 * 1024;

/// Serves legacy clients on stdio and sockets; for
/// [`StdioServer::fallback`](carryall_transport::stdio::StdioServer::fallback) and its like.
///
/// `initialize` opens a session on the channel. Calls of 2026-07-28 are still answered on it, so
/// both eras can be mixed. Before `initialize`, `ping` is the only legacy request that is answered;
/// the refusal of all others names the modern versions.
pub fn lines<S>(service: S, options: LegacyOptions) -> FallbackChannels
where
    S: Service<Call, Response = Reply> + Clone + Send + Sync + 'static,
    S::Error: Into<CallError>,
    S::Future: Send,
{
    let server = ServerContext::new(SharedService::new(service), options);
    FallbackChannels::new(move |source| Box::new(LegacyChannel::new(server.clone(), source)))
}

struct LegacyChannel {
    server: ServerContext,
    /// Identifies the channel as the client.
    source: CallSource,
    state: LegacyChannelState,
    in_flight: SelectAll<ChannelWork>,
    changes: Option<Generated<Notification>>,
    outbox: VecDeque<Bytes>,
    closed: bool,
    waker: Option<Waker>,
}

enum LegacyChannelState {
    /// Before `initialize`.
    New,
    Initializing(PendingInitialize),
    Open(Arc<ClientSession>),
}

/// An `initialize` that the service has not answered yet.
struct PendingInitialize {
    id: RequestId,
    outcome: BoxFuture<InitializeOutcome>,
    /// The messages that have arrived since.
    early: VecDeque<ParsedBody>,
    early_bytes: usize,
    /// The previous session of the channel, which goes on if this `initialize` fails.
    previous: Option<Arc<ClientSession>>,
}

impl LegacyChannel {
    fn new(server: ServerContext, mut source: CallSource) -> Self {
        source.client = source.client.or_else(|| {
            let mut random = [0; 16];
            getrandom::fill(&mut random)
                .ok()
                .map(|()| ClientId::Legacy(u128::from_ne_bytes(random)))
        });
        Self {
            server,
            source,
            state: LegacyChannelState::New,
            in_flight: SelectAll::new(),
            changes: None,
            outbox: VecDeque::new(),
            closed: false,
            waker: None,
        }
    }

    /// Starts to open a session. A repeated `initialize` opens a new one and cancels all requests
    /// in flight.
    fn start_initialize(&mut self, request: LegacyRequest) {
        let (server, context) = (self.server.clone(), self.request_context());
        let params = request.params;
        let outcome =
            async move { initialize(&server.service, &server.options, &params, &context).await };
        let previous = match std::mem::replace(&mut self.state, LegacyChannelState::New) {
            LegacyChannelState::Open(session) => Some(session),
            LegacyChannelState::New | LegacyChannelState::Initializing(_) => None,
        };
        self.in_flight = SelectAll::new();
        self.state = LegacyChannelState::Initializing(PendingInitialize {
            id: request.id,
            outcome: Box::pin(outcome),
            early: VecDeque::new(),
            early_bytes: 0,
            previous,
        });
    }

    fn finish_initialize(&mut self, outcome: InitializeOutcome) {
        let LegacyChannelState::Initializing(PendingInitialize {
            id,
            early,
            previous,
            ..
        }) = std::mem::replace(&mut self.state, LegacyChannelState::New)
        else {
            return;
        };
        let session = match outcome {
            Ok((negotiated, result)) => {
                tracing::debug!(
                    version = negotiated.version.as_str(),
                    "a legacy client has initialized its channel"
                );
                self.put(&Outgoing::Response(Response::result(id, result)));
                // These belong to the previous session.
                self.changes = None;
                let caller = self.request_context().caller();
                Some(ClientSession::new(&self.server, negotiated, caller))
            }
            Err(error) => {
                self.put(&Outgoing::Response(Response::error(id, error)));
                previous
            }
        };
        let Some(session) = session else { return };
        self.state = LegacyChannelState::Open(Arc::clone(&session));
        for body in early {
            self.on_body(&session, body);
        }
    }

    fn request_context(&self) -> RequestContext {
        RequestContext {
            source: self.source,
            ..RequestContext::default()
        }
    }

    fn on_body(&mut self, session: &Arc<ClientSession>, body: ParsedBody) {
        match body {
            ParsedBody::One(incoming) => {
                if let Some(exchange) = self.on_message(session, incoming) {
                    self.in_flight.push(ChannelWork::Request(exchange));
                }
            }
            ParsedBody::Batch(_) if !session.negotiated.version.has_batches() => {
                let version = session.negotiated.version.as_str();
                self.refuse(&format!(
                    "Invalid request: there are no batches in {version}"
                ));
            }
            ParsedBody::Batch(items) => {
                let mut batch = Batch::default();
                for item in items {
                    match item {
                        Ok(incoming) => batch.exchanges.extend(self.on_message(session, incoming)),
                        Err(malformed) => batch.responses.push(malformed.encode().into_bytes()),
                    }
                }
                if !batch.exchanges.is_empty() || !batch.responses.is_empty() {
                    self.in_flight.push(ChannelWork::Batch(batch));
                }
            }
        }
    }

    /// Handles one message; a request returns its exchange.
    fn on_message(&mut self, session: &Arc<ClientSession>, incoming: Incoming) -> Option<Exchange> {
        match incoming {
            Incoming::Request(request) => {
                return Some(dispatch::answer(session, request, self.request_context()));
            }
            Incoming::Notification(notification) => {
                if notification.method == "notifications/initialized"
                    && self.changes.is_none()
                    && !self.closed
                {
                    self.changes = Some(changes::stream(session, self.request_context()));
                }
                session.on_notification(&notification);
            }
            Incoming::Response(response) => {
                if !session.on_response(response) {
                    tracing::debug!("response to a request that is not pending");
                }
            }
            Incoming::ErrorWithoutId(error) => {
                let (code, message) = (error.code, &error.message);
                tracing::warn!(code, message = %Printable(message), "a client could not read a message");
            }
        }
        None
    }

    fn put(&mut self, message: &Outgoing) {
        self.outbox.push_back(message.encode());
    }

    /// Answers a line that has no usable id.
    fn refuse(&mut self, why: &str) {
        let error = ErrorObject::new(code::INVALID_REQUEST, why);
        self.put_malformed(&MalformedMessage {
            id: None,
            error,
            is_response: false,
        });
    }

    fn put_malformed(&mut self, malformed: &MalformedMessage) {
        self.outbox.push_back(malformed.encode().into_bytes());
    }
}

impl FallbackChannel for LegacyChannel {
    fn take(&mut self, line: &Bytes) -> bool {
        // A message that names a version is modern, and is refused as such.
        if names_protocol_version(line) {
            return false;
        }
        let parsed = parse(line);
        let is_initialize = matches!(
            &parsed,
            Ok(ParsedBody::One(Incoming::Request(request))) if request.method == "initialize"
        );
        match (&mut self.state, parsed) {
            (
                LegacyChannelState::New | LegacyChannelState::Open(_),
                Ok(ParsedBody::One(Incoming::Request(request))),
            ) if is_initialize => self.start_initialize(request),
            (LegacyChannelState::New, Ok(ParsedBody::One(Incoming::Request(request))))
                if request.method == "ping" =>
            {
                let pong = Response::result(request.id, RawJson::EMPTY_OBJECT);
                self.put(&Outgoing::Response(pong));
            }
            (LegacyChannelState::New, _) => return false,
            (LegacyChannelState::Initializing(pending), Ok(body))
                if pending.early.len() < MAX_EARLY
                    && pending.early_bytes + line.len() <= MAX_EARLY_BYTES =>
            {
                pending.early_bytes += line.len();
                pending.early.push_back(body);
            }
            (LegacyChannelState::Initializing(_), Ok(_)) => {
                self.refuse("Invalid request: too many messages before initialize was answered");
            }
            (LegacyChannelState::Open(session), Ok(body)) => {
                let session = Arc::clone(session);
                self.on_body(&session, body);
            }
            (LegacyChannelState::Initializing(_) | LegacyChannelState::Open(_), Err(malformed)) => {
                self.put_malformed(&malformed);
            }
        }
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
        true
    }

    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Bytes> {
        loop {
            if let Some(message) = self.outbox.pop_front() {
                return Poll::Ready(message);
            }
            if let LegacyChannelState::Initializing(pending) = &mut self.state
                && let Poll::Ready(outcome) = pending.outcome.as_mut().poll(cx)
            {
                self.finish_initialize(outcome);
                continue;
            }
            if let Poll::Ready(Some(message)) = Pin::new(&mut self.in_flight).poll_next(cx) {
                return Poll::Ready(message);
            }
            if let Some(changes) = &mut self.changes {
                match changes.as_mut().poll_next(cx) {
                    Poll::Ready(Some(change)) => return Poll::Ready(change.encode().into_bytes()),
                    Poll::Ready(None) => self.changes = None,
                    Poll::Pending => {}
                }
            }
            self.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
    }

    fn close(&mut self) {
        self.closed = true;
        self.changes = None;
    }

    fn is_idle(&self) -> bool {
        self.in_flight.is_empty()
            && self.outbox.is_empty()
            && !matches!(self.state, LegacyChannelState::Initializing(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_before_the_answer_to_initialize_are_bounded_in_bytes() {
        let silent = SharedService::from_fn(|_| Box::pin(std::future::pending()));
        let mut channel = LegacyChannel::new(
            ServerContext::new(silent, LegacyOptions::default()),
            CallSource::default(),
        );
        let line = |method: &str, padding: usize| {
            let padding = "x".repeat(padding);
            Bytes::from(format!(
                r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{"x":"{padding}"}}}}"#
            ))
        };
        let mut refused = |line: Bytes| {
            assert!(channel.take(&line));
            channel.outbox.drain(..).count()
        };
        assert_eq!(refused(line("initialize", 0)), 0);
        assert_eq!(refused(line("early", MAX_EARLY_BYTES / 2)), 0);
        assert_eq!(refused(line("early", MAX_EARLY_BYTES / 2)), 1);
        assert_eq!(refused(line("early", 10)), 0);
    }
}
