//! The answer to a call.

use crate::notification::replace_subscription_id;
use crate::{CallError, Notification};
use carryall_types::{ErrorObject, RawJson, RequestId};
use futures_core::Stream;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;

/// The answer to a [`Call`](crate::Call). Dropping it cancels the call.
pub enum Reply {
    /// A response without notifications before it.
    Once(Response),
    /// Notifications, then one response, which is the last item.
    Stream(MessageStream),
}

/// The messages of a streamed reply. It ends after its response. An error, or an end before the
/// response, means that the connection broke.
pub type MessageStream = Pin<Box<dyn Stream<Item = Result<Message, CallError>> + Send>>;

impl Reply {
    /// Waits for the response, discarding notifications.
    ///
    /// Cancel safety: dropping the future drops the reply, which cancels the call.
    ///
    /// # Errors
    /// The error of the stream; [`CallError::Broken`] if it ends without a response.
    pub async fn into_response(self) -> Result<Response, CallError> {
        self.into_response_with(|_| std::future::ready(())).await
    }

    /// Waits for the response, passing each notification to `on_notification` first and awaiting
    /// what that returns.
    ///
    /// Cancel safety: dropping the future drops the reply, which cancels the call.
    ///
    /// # Errors
    /// The error of the stream; [`CallError::Broken`] if it ends without a response.
    pub async fn into_response_with<F, Fut>(
        self,
        mut on_notification: F,
    ) -> Result<Response, CallError>
    where
        F: FnMut(Notification) -> Fut,
        Fut: Future<Output = ()>,
    {
        let mut stream = match self {
            Self::Once(response) => return Ok(response),
            Self::Stream(stream) => stream,
        };
        while let Some(message) = poll_fn(|cx| stream.as_mut().poll_next(cx)).await {
            match message? {
                Message::Notification(notification) => on_notification(notification).await,
                Message::Response(response) => return Ok(response),
            }
        }
        Err(CallError::broken("the reply ended without a response"))
    }
}

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
    /// A notification before the response.
    Notification(Notification),
    /// The response.
    Response(Response),
}

/// A response: the id of its request, and a result or an error.
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
    /// Creates a response with a result.
    #[must_use]
    pub fn result(id: RequestId, result: RawJson) -> Self {
        Self {
            id,
            outcome: Outcome::Result(result),
        }
    }

    /// Creates a response with an error.
    #[must_use]
    pub fn error(id: RequestId, error: ErrorObject) -> Self {
        Self {
            id,
            outcome: Outcome::Error(error),
        }
    }

    /// Replaces the subscription id in the closing result of a subscription, if there is one.
    pub fn replace_subscription_id(&mut self, id: &RequestId) {
        if let Outcome::Result(result) = &mut self.outcome {
            replace_subscription_id(result, id);
        }
    }
}

impl From<Response> for Reply {
    fn from(response: Response) -> Self {
        Self::Once(response)
    }
}
