//! What carries the messages of one session to its server and back: a channel of lines, Streamable
//! HTTP, HTTP+SSE.

use crate::message::{Incoming, Request};
use bytes::Bytes;
use carryall_proto::{BoxFuture, CallError, Notification, Outcome, Response};
use carryall_types::{ErrorObject, ProtocolVersion, RequestId};
use futures_core::Stream;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

/// Messages from a server.
pub(crate) type IncomingStream = Pin<Box<dyn Stream<Item = Result<Incoming, CallError>> + Send>>;

/// Takes what comes on behalf of no request. It must not wait.
pub(crate) type MessageSink = Arc<dyn Fn(Result<Incoming, CallError>) + Send + Sync>;

/// The way of one session. Each session has a wire of its own; it is shared by all calls of the
/// session.
pub(crate) trait SessionTransport: fmt::Debug + Send + Sync + 'static {
    /// Sends a request and gives what comes back on its behalf. The stream ends after its response.
    /// On HTTP that is everything on the response of the POST; on a channel nothing but the
    /// response, because all else cannot be told apart there and comes by [`hear`](Self::hear).
    /// Dropping the future or the stream stops waiting and tells nobody: cancelling is up to the
    /// caller.
    fn request(&self, request: Request) -> BoxFuture<Result<IncomingStream, SessionError>>;

    /// Sends what is not answered.
    fn send(&self, message: OneWayMessage) -> BoxFuture<Result<(), SessionError>>;

    /// Hands to `sink`, in their order and before any response that came after them, the messages
    /// that come on behalf of no request. On HTTP they come on the GET stream, which is opened by
    /// this, and opened again after it broke, for as long as this wire is there. An error is the
    /// last thing to come; it says that there is no such stream, or not any more. Called once.
    fn hear(&self, sink: MessageSink);

    /// Whether everything comes on one way that all calls share, so that nobody can tell which call
    /// it belongs to.
    fn is_shared(&self) -> bool;

    /// The handshake is over: from now on requests say so, where the revision wants that.
    fn negotiated(&self, version: ProtocolVersion);

    /// ProcessPipes the session on the server, as far as the binding has a way to say so (DELETE, closing
    /// standard input). Bounded in time.
    fn end(&self) -> BoxFuture<()>;
}

/// What is sent without expecting an answer.
#[derive(Clone, Debug)]
pub(crate) enum OneWayMessage {
    Notification(Notification),
    /// To a request of the server's.
    Response(Response),
}

impl OneWayMessage {
    /// About how many bytes it has.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Notification(notification) => notification
                .params
                .as_ref()
                .map_or(0, |it| it.as_bytes().len()),
            Self::Response(Response { id, outcome }) => {
                let id = match id {
                    RequestId::String(id) => id.len(),
                    RequestId::Number(_) => 0,
                };
                id + match outcome {
                    Outcome::Result(result) => result.as_bytes().len(),
                    Outcome::Error(error) => error.message.len(),
                }
            }
        }
    }

    pub(crate) fn encode(&self) -> Bytes {
        match self {
            Self::Notification(notification) => notification.encode(),
            Self::Response(response) => response.encode(),
        }
        .into_bytes()
    }
}

/// Why nothing came back.
#[derive(Clone, Debug)]
pub(crate) enum SessionError {
    /// The server does not know the session any more (404). It has done nothing; a new session may
    /// ask again.
    SessionEnded,
    /// HTTP: an answer that is no JSON-RPC message. The text is the beginning of its body.
    Status {
        status: http::StatusCode,
        text: String,
    },
    /// `initialize` was answered with an error.
    Refused(ErrorObject),
    /// Everything else.
    Call(CallError),
}

impl SessionError {
    /// As the callers of a service know it.
    pub(crate) fn into_call_error(self) -> CallError {
        match self {
            Self::SessionEnded => CallError::broken("the server has ended the session"),
            Self::Status { status, text } => CallError::NotMcp {
                status: status.as_u16(),
                body: text,
            },
            Self::Refused(error) => CallError::HandshakeRefused(error),
            Self::Call(error) => error,
        }
    }
}

impl From<CallError> for SessionError {
    fn from(error: CallError) -> Self {
        Self::Call(error)
    }
}
