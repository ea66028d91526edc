//! What comes back for a call.

use crate::CallError;
use carryall_types::{ErrorObject, RawJson, RequestId};
use futures_core::Stream;
use std::borrow::Cow;
use std::fmt;
use std::pin::Pin;

/// The answer to a [`Call`](crate::Call). Dropping it cancels the call.
pub enum Reply {
    /// A response, with no notification before it.
    Once(Response),
    /// Notifications, then one response, which is the last item.
    Stream(MessageStream),
}

/// The messages of a streamed reply. It ends after its response; an error or an end before that
/// means that the way broke.
pub type MessageStream = Pin<Box<dyn Stream<Item = Result<Message, CallError>> + Send>>;

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Once(response) => f.debug_tuple("Once").field(response).finish(),
            Self::Stream(_) => f.write_str("Stream"),
        }
    }
}

/// One message from server to client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Something on the way to the response.
    Notification(Notification),
    /// The response.
    Response(Response),
}

/// A notification: a method and parameters, never an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// For example `notifications/progress`.
    pub method: Cow<'static, str>,
    /// The `params` object.
    pub params: Option<RawJson>,
}

impl Notification {
    /// A notification with parameters.
    pub fn new(method: impl Into<Cow<'static, str>>, params: RawJson) -> Self {
        Self {
            method: method.into(),
            params: Some(params),
        }
    }
}

/// A response: the id of its request and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The id of the request, of the same JSON type.
    pub id: RequestId,
    /// A result or an error.
    pub outcome: Outcome,
}

/// A result or an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The `result` object, `resultType` included.
    Result(RawJson),
    /// The `error` object.
    Error(ErrorObject),
}

impl Response {
    /// A response with a result.
    #[must_use]
    pub fn result(id: RequestId, result: RawJson) -> Self {
        Self {
            id,
            outcome: Outcome::Result(result),
        }
    }

    /// A response with an error.
    #[must_use]
    pub fn error(id: RequestId, error: ErrorObject) -> Self {
        Self {
            id,
            outcome: Outcome::Error(error),
        }
    }
}

impl From<Response> for Reply {
    fn from(response: Response) -> Self {
        Self::Once(response)
    }
}
