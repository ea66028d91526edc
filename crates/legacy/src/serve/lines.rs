//! Legacy clients on stdio and sockets: one channel, one conversation, beside the calls of this
//! revision.

use super::conversation::{ClientSession, Exchange, Outgoing, RequestContext, ServerContext};
use super::negotiated::Negotiated;
use super::options::Options;
use crate::generate::Generated;
use crate::message::{Incoming, Malformed, ParsedBody, Request, parse};
use crate::revision::Revision as _;
use bytes::{BufMut as _, Bytes, BytesMut};
use carryall_proto::decode::names_protocol_version;
use carryall_proto::{
    BoxFuture, Call, CallError, CallSource, ClientId, Notification, Outcome, Printable, Reply,
    Response, SharedService,
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

/// How many messages may come before `initialize` is answered.
const MAX_EARLY: usize = 100;
/// How many bytes they may have together.
const MAX_EARLY_BYTES: usize = 4 * 1024 * 1024;

/// What a server on stdio or a socket speaks with legacy clients; for
/// [`StdioServer::fallback`](carryall_transport::stdio::StdioServer::fallback) and its like.
///
/// A channel belongs to the conversation that `initialize` opens on it, and calls of this revision
/// are answered on it as before, so that both may come. Until then only `ping` is answered in the
/// old way; the refusal of everything else names the versions of this revision.
pub fn lines<S>(service: S, options: Options) -> FallbackChannels
where
    S: Service<Call, Response = Reply> + Clone + Send + Sync + 'static,
    S::Error: Into<CallError>,
    S::Future: Send,
{
    let server = ServerContext::new(SharedService::new(service), options);
    FallbackChannels::new(move |source| Box::new(Channel::new(server.clone(), source)))
}

struct Channel {
    server: ServerContext,
    /// The channel is the client.
    source: CallSource,
    state: State,
    /// Requests in work, and batches.
    running: SelectAll<Work>,
    changes: Option<Generated<Notification>>,
    out: VecDeque<Bytes>,
    closed: bool,
    waker: Option<Waker>,
}

enum State {
    /// Nobody has said `initialize`.
    Silent,
    Opening(Opening),
    Open(Arc<ClientSession>),
}

struct Opening {
    id: RequestId,
    answer: BoxFuture<Result<(Negotiated, RawJson), ErrorObject>>,
    /// What came before the answer.
    early: VecDeque<ParsedBody>,
    early_bytes: usize,
    /// The conversation before, which goes on if this one does not come about.
    before: Option<Arc<ClientSession>>,
}

impl Channel {
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
            state: State::Silent,
            running: SelectAll::new(),
            changes: None,
            out: VecDeque::new(),
            closed: false,
            waker: None,
        }
    }

    /// Begins a conversation (2025-11-25 `basic/lifecycle#initialization`). A client that says
    /// `initialize` again begins anew: what it had in work is cancelled.
    fn open(&mut self, request: Request) {
        let (server, origin) = (self.server.clone(), self.origin());
        let params = request.params;
        let answer = async move {
            ClientSession::initialize(&server.service, &server.options, &params, &origin).await
        };
        let before = match std::mem::replace(&mut self.state, State::Silent) {
            State::Open(conversation) => Some(conversation),
            State::Silent | State::Opening(_) => None,
        };
        self.running = SelectAll::new();
        self.state = State::Opening(Opening {
            id: request.id,
            answer: Box::pin(answer),
            early: VecDeque::new(),
            early_bytes: 0,
            before,
        });
    }

    fn opened(&mut self, opened: Result<(Negotiated, RawJson), ErrorObject>) {
        let State::Opening(Opening {
            id, early, before, ..
        }) = std::mem::replace(&mut self.state, State::Silent)
        else {
            return;
        };
        match opened {
            Ok((negotiated, result)) => {
                tracing::debug!(
                    version = negotiated.version.as_str(),
                    "a legacy client has initialized its channel"
                );
                self.put(&Outgoing::Response(Response {
                    id,
                    outcome: Outcome::Result(result),
                }));
                let conversation =
                    ClientSession::new(&self.server, negotiated, self.origin().caller());
                // They are those of the conversation before.
                self.changes = None;
                self.state = State::Open(Arc::clone(&conversation));
                early
                    .into_iter()
                    .for_each(|parsed| self.parsed(&conversation, parsed));
            }
            Err(error) => {
                self.put(&Outgoing::Response(Response::error(id, error)));
                let Some(conversation) = before else { return };
                self.state = State::Open(Arc::clone(&conversation));
                early
                    .into_iter()
                    .for_each(|parsed| self.parsed(&conversation, parsed));
            }
        }
    }

    fn origin(&self) -> RequestContext {
        RequestContext {
            source: self.source,
            ..RequestContext::default()
        }
    }

    fn parsed(&mut self, conversation: &Arc<ClientSession>, parsed: ParsedBody) {
        match parsed {
            ParsedBody::One(incoming) => {
                if let Some(exchange) = self.incoming(conversation, incoming) {
                    self.running.push(Work::One(exchange));
                }
            }
            ParsedBody::Batch(_) if !conversation.negotiated.version.has_batches() => {
                let version = conversation.negotiated.version.as_str();
                let why = format!("Invalid request: there are no batches in {version}");
                self.refuse(&Malformed {
                    id: None,
                    error: ErrorObject::new(code::INVALID_REQUEST, why),
                    is_response: false,
                });
            }
            ParsedBody::Batch(items) => {
                let mut batch = Batch::default();
                for item in items {
                    match item {
                        Ok(incoming) => batch
                            .exchanges
                            .extend(self.incoming(conversation, incoming)),
                        Err(malformed) => batch.answers.push(malformed.encode().into_bytes()),
                    }
                }
                if !batch.exchanges.is_empty() || !batch.answers.is_empty() {
                    self.running.push(Work::Batch(batch));
                }
            }
        }
    }

    /// Takes one message in; a request gives its exchange.
    fn incoming(
        &mut self,
        conversation: &Arc<ClientSession>,
        incoming: Incoming,
    ) -> Option<Exchange> {
        match incoming {
            Incoming::Request(request) => return Some(conversation.answer(request, self.origin())),
            Incoming::Notification(notification) => {
                if notification.method == "notifications/initialized"
                    && self.changes.is_none()
                    && !self.closed
                {
                    self.changes = Some(conversation.changes(self.origin()));
                }
                conversation.notification(&notification);
            }
            Incoming::Response(response) => {
                if !conversation.response(response) {
                    tracing::debug!("an answer that nobody waits for");
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
        self.out.push_back(message.encode());
    }

    fn refuse(&mut self, malformed: &Malformed) {
        self.out.push_back(malformed.encode().into_bytes());
    }
}

impl FallbackChannel for Channel {
    fn take(&mut self, line: &Bytes) -> bool {
        // What names a version is of this revision, and its refusal too.
        if names_protocol_version(line) {
            return false;
        }
        let parsed = parse(line);
        let is_initialize = matches!(&parsed, Ok(ParsedBody::One(Incoming::Request(request))) if request.method == "initialize");
        match (&mut self.state, parsed) {
            (State::Silent | State::Open(_), Ok(ParsedBody::One(Incoming::Request(request))))
                if is_initialize =>
            {
                self.open(request);
            }
            (State::Silent, Ok(ParsedBody::One(Incoming::Request(request))))
                if request.method == "ping" =>
            {
                self.put(&Outgoing::Response(Response::result(
                    request.id,
                    RawJson::EMPTY_OBJECT,
                )));
            }
            (State::Silent, _) => return false,
            (State::Opening(opening), Ok(parsed))
                if opening.early.len() < MAX_EARLY
                    && opening.early_bytes + line.len() <= MAX_EARLY_BYTES =>
            {
                opening.early_bytes += line.len();
                opening.early.push_back(parsed);
            }
            (State::Opening(_), Ok(_)) => {
                let why = "Invalid request: too many messages before initialize was answered";
                self.refuse(&Malformed {
                    id: None,
                    error: ErrorObject::new(code::INVALID_REQUEST, why),
                    is_response: false,
                });
            }
            (State::Open(conversation), Ok(parsed)) => {
                let conversation = Arc::clone(conversation);
                self.parsed(&conversation, parsed);
            }
            (State::Opening(_) | State::Open(_), Err(malformed)) => self.refuse(&malformed),
        }
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
        true
    }

    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Bytes> {
        loop {
            if let Some(message) = self.out.pop_front() {
                return Poll::Ready(message);
            }
            if let State::Opening(opening) = &mut self.state
                && let Poll::Ready(opened) = opening.answer.as_mut().poll(cx)
            {
                self.opened(opened);
                continue;
            }
            if let Poll::Ready(Some(message)) = Pin::new(&mut self.running).poll_next(cx) {
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
        self.running.is_empty() && self.out.is_empty() && !matches!(self.state, State::Opening(_))
    }
}

/// What is in work on a channel, as a stream of messages to write.
enum Work {
    One(Exchange),
    Batch(Batch),
}

/// The requests of one array. Their answers come as one array as well; what comes before them comes
/// by itself.
#[derive(Default)]
struct Batch {
    exchanges: Vec<Exchange>,
    answers: Vec<Bytes>,
}

impl futures_core::Stream for Work {
    type Item = Bytes;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        match &mut *self {
            Self::One(exchange) => exchange
                .as_mut()
                .poll_next(cx)
                .map(|message| message.map(|message| message.encode())),
            Self::Batch(batch) => batch.poll_next(cx),
        }
    }
}

impl Batch {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let mut at = 0;
        while let Some(exchange) = self.exchanges.get_mut(at) {
            match exchange.as_mut().poll_next(cx) {
                Poll::Pending => at += 1,
                Poll::Ready(None) => drop(self.exchanges.swap_remove(at)),
                Poll::Ready(Some(message @ Outgoing::Response(_))) => {
                    self.answers.push(message.encode())
                }
                Poll::Ready(Some(message)) => return Poll::Ready(Some(message.encode())),
            }
        }
        if !self.exchanges.is_empty() {
            return Poll::Pending;
        }
        // A batch whose requests were all cancelled is answered by nothing.
        let answers = std::mem::take(&mut self.answers);
        Poll::Ready((!answers.is_empty()).then(|| array(&answers)))
    }
}

fn array(messages: &[Bytes]) -> Bytes {
    let mut text = BytesMut::new();
    for (at, message) in messages.iter().enumerate() {
        text.put_u8(if at == 0 { b'[' } else { b',' });
        text.put_slice(message);
    }
    text.put_u8(b']');
    text.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_before_initialize_is_answered_is_bounded_in_bytes() {
        let silent = SharedService::from_fn(|_| Box::pin(std::future::pending()));
        let mut channel = Channel::new(
            ServerContext::new(silent, Options::default()),
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
            channel.out.drain(..).count()
        };
        assert_eq!(refused(line("initialize", 0)), 0);
        assert_eq!(refused(line("early", MAX_EARLY_BYTES / 2)), 0);
        assert_eq!(refused(line("early", MAX_EARLY_BYTES / 2)), 1);
        assert_eq!(refused(line("early", 10)), 0);
    }
}
