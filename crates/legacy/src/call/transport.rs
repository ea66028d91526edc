//! The connection between one session and its server: Streamable HTTP, HTTP+SSE, or the standard
//! streams of a child process.

use crate::message::{Incoming, LegacyRequest};
use bytes::Bytes;
use carryall_proto::{BoxFuture, CallError, Notification, Outcome, Response};
use carryall_types::{ErrorObject, ProtocolVersion, RequestId};
use futures_core::stream::BoxStream;
use std::fmt;
use std::sync::Arc;

/// Messages from a server.
pub(crate) type IncomingStream = BoxStream<'static, Result<Incoming, CallError>>;

/// Receives the messages that belong to no request. It must not block.
pub(crate) type MessageSink = Arc<dyn Fn(Result<Incoming, CallError>) + Send + Sync>;

/// The connection of one session, shared by all of its calls.
pub(crate) trait SessionTransport: fmt::Debug + Send + Sync + 'static {
    /// Sends a request and returns the messages that belong to it. The stream ends after the
    /// response.
    ///
    /// On HTTP these are all messages in the response to the POST. On a multiplexed transport it is
    /// the response alone: other messages cannot be attributed there and go to the sink of
    /// [`on_unsolicited`](Self::on_unsolicited).
    ///
    /// Dropping the future or the stream stops waiting but does not notify the server: the caller
    /// sends the cancellation.
    fn request(&self, request: LegacyRequest) -> BoxFuture<Result<IncomingStream, SessionError>>;

    /// Sends a message that has no response.
    fn send(&self, message: OneWayMessage) -> BoxFuture<Result<(), SessionError>>;

    /// Delivers messages that belong to no request to `sink`, in order and before any response that
    /// came after them. Called at most once.
    ///
    /// On HTTP they come on the GET stream, which this opens and reopens until the transport is
    /// dropped. An error is the last item: the stream does not exist or is gone for good.
    fn on_unsolicited(&self, sink: MessageSink);

    /// Whether all messages of the server come on one channel, so that most of them cannot be
    /// attributed to a call.
    fn is_multiplexed(&self) -> bool;

    /// Sets the negotiated revision, which later requests name where the transport requires it.
    fn set_version(&self, version: ProtocolVersion) {
        let _ = version;
    }

    /// Ends the session on the server if the transport has a message for that. Bounded in time.
    fn close(&self) -> BoxFuture<()>;
}

/// A message that has no response.
#[derive(Clone, Debug)]
pub(crate) enum OneWayMessage {
    Notification(Notification),
    /// The response to a request of the server.
    Response(Response),
}

impl OneWayMessage {
    /// The approximate size in bytes.
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

/// Why a request of a session has no response.
#[derive(Clone, Debug)]
pub(crate) enum SessionError {
    /// The server no longer knows the session (404). It has not executed the request, which may be
    /// repeated in a new session.
    SessionEnded,
    /// An HTTP response that is not a JSON-RPC message. `text` is the beginning of its body.
    Status {
        status: http::StatusCode,
        text: String,
    },
    /// The server answered `initialize` with an error.
    HandshakeRefused(ErrorObject),
    /// Any other failure.
    Call(CallError),
}

impl SessionError {
    pub(crate) fn into_call_error(self) -> CallError {
        match self {
            Self::SessionEnded => CallError::broken("the server has ended the session"),
            Self::Status { status, text } => CallError::NotMcp {
                status: status.as_u16(),
                body: text,
            },
            Self::HandshakeRefused(error) => CallError::HandshakeRefused(error),
            Self::Call(error) => error,
        }
    }
}

impl From<CallError> for SessionError {
    fn from(error: CallError) -> Self {
        Self::Call(error)
    }
}
