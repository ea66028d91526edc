//! Passes the reply of a replica on to the client.

use crate::error::GatewayError;
use crate::id_mapping::IdMapping;
use crate::upstream::ReplicaSlot;
use carryall_proto::{CallError, Message, MessageStream, Reply, Response};
use futures_core::Stream;
use futures_util::StreamExt as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// The notifications dropped in one poll before the task yields.
const MAX_DROPPED_PER_POLL: u32 = 64;

/// A reply whose first message has arrived.
pub(crate) enum StartedReply {
    Once(Response),
    Stream(Message, MessageStream),
}

impl StartedReply {
    /// Waits for the first message. Nothing has been passed on before that, so a reply that breaks
    /// earlier can still be requested from another replica.
    pub(crate) async fn start(reply: Reply) -> Result<Self, CallError> {
        match reply {
            Reply::Once(response) => Ok(Self::Once(response)),
            Reply::Stream(mut stream) => match stream.next().await {
                Some(Ok(Message::Response(response))) => Ok(Self::Once(response)),
                Some(Ok(first)) => Ok(Self::Stream(first, stream)),
                Some(Err(error)) => Err(error),
                None => Err(ended_early()),
            },
        }
    }

    /// Returns the reply with the client's ids.
    pub(crate) fn downstream(self, mapping: IdMapping, replica: Arc<ReplicaSlot>) -> Reply {
        match self {
            Self::Once(response) => Reply::Once(mapping.downstream_response(response)),
            Self::Stream(first, rest) => Reply::Stream(Box::pin(RelayedStream {
                first: Some(first),
                rest,
                mapping,
                replica,
                done: false,
            })),
        }
    }
}

fn ended_early() -> CallError {
    CallError::broken("the reply ended without a response")
}

/// The messages of a reply with the client's ids. Dropping it cancels the call upstream.
struct RelayedStream {
    first: Option<Message>,
    rest: MessageStream,
    mapping: IdMapping,
    replica: Arc<ReplicaSlot>,
    done: bool,
}

impl RelayedStream {
    /// Returns an error response, which tells the client more than a stream that just ends.
    fn broken(&self, error: CallError) -> Response {
        self.replica.failed(&error);
        let error = GatewayError::Failed {
            upstream: self.replica.upstream().into(),
            error,
        };
        Response::error(self.mapping.client_id().clone(), error.to_error())
    }
}

impl Stream for RelayedStream {
    type Item = Result<Message, CallError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.done {
            return Poll::Ready(None);
        }
        let mut dropped = 0;
        let response = loop {
            let next = match self.first.take() {
                Some(first) => Ok(first),
                None => ready!(self.rest.poll_next_unpin(cx)).unwrap_or_else(|| Err(ended_early())),
            };
            match next {
                Ok(Message::Notification(notification)) => {
                    if let Some(notification) = self.mapping.downstream(notification) {
                        return Poll::Ready(Some(Ok(Message::Notification(notification))));
                    }
                }
                Ok(Message::Response(response)) => {
                    break self.mapping.downstream_response(response);
                }
                Err(error) => break self.broken(error),
            }
            tracing::debug!(
                upstream = self.replica.upstream(),
                "dropped a notification that does not belong to the reply"
            );
            dropped += 1;
            if dropped == MAX_DROPPED_PER_POLL {
                // An upstream that sends nothing else must not starve the task.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        };
        self.done = true;
        Poll::Ready(Some(Ok(Message::Response(response))))
    }
}
