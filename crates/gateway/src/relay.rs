//! A reply on its way down.

use crate::fault::GatewayError;
use crate::hop::IdMapping;
use crate::upstream::ReplicaSlot;
use carryall_proto::{CallError, Message, MessageStream, Reply, Response};
use futures_core::Stream;
use futures_util::StreamExt as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// Notifications dropped in one poll before the task yields.
const MAX_DROPPED: u32 = 64;

/// A reply of which the first message has come.
pub(crate) enum StartedReply {
    Once(Response),
    Stream(Message, MessageStream),
}

/// Waits for the first message. Until then nothing has been passed on, so that a reply that breaks
/// before it can still be asked for elsewhere.
pub(crate) async fn begin(reply: Reply) -> Result<StartedReply, CallError> {
    match reply {
        Reply::Once(response) => Ok(StartedReply::Once(response)),
        Reply::Stream(mut stream) => match stream.next().await {
            Some(Ok(Message::Response(response))) => Ok(StartedReply::Once(response)),
            Some(Ok(first)) => Ok(StartedReply::Stream(first, stream)),
            Some(Err(error)) => Err(error),
            None => Err(ended()),
        },
    }
}

fn ended() -> CallError {
    CallError::broken("the reply ended without a response")
}

impl StartedReply {
    /// The reply as the client sees it.
    pub(crate) fn down(self, hop: IdMapping, slot: Arc<ReplicaSlot>) -> Reply {
        match self {
            Self::Once(response) => Reply::Once(hop.response(response)),
            Self::Stream(first, rest) => Reply::Stream(Box::pin(Relay {
                first: Some(first),
                rest,
                hop,
                slot,
                done: false,
            })),
        }
    }
}

/// The messages of a reply, one by one as they come. Dropping it drops the upstream's, which
/// cancels there.
struct Relay {
    first: Option<Message>,
    rest: MessageStream,
    hop: IdMapping,
    slot: Arc<ReplicaSlot>,
    done: bool,
}

impl Relay {
    /// A client that is told what happened can do more than one whose stream just ends.
    fn broke(&self, error: CallError) -> Response {
        self.slot.failed(&error);
        let fault = GatewayError::Failed {
            upstream: self.slot.upstream().into(),
            error,
        };
        Response::error(self.hop.id().clone(), fault.to_error())
    }
}

impl Stream for Relay {
    type Item = Result<Message, CallError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.done {
            return Poll::Ready(None);
        }
        let mut dropped = 0;
        let response = loop {
            let next = match self.first.take() {
                Some(first) => Ok(first),
                None => ready!(self.rest.poll_next_unpin(cx)).unwrap_or_else(|| Err(ended())),
            };
            match next {
                Ok(Message::Notification(notification)) => {
                    if let Some(notification) = self.hop.notification(notification) {
                        return Poll::Ready(Some(Ok(Message::Notification(notification))));
                    }
                }
                Ok(Message::Response(response)) => break self.hop.response(response),
                Err(error) => break self.broke(error),
            }
            tracing::debug!(
                upstream = self.slot.upstream(),
                "dropped a notification that does not belong to the reply"
            );
            dropped += 1;
            if dropped == MAX_DROPPED {
                // An upstream that sends nothing else must not keep the task from its other work.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        };
        self.done = true;
        Poll::Ready(Some(Ok(Message::Response(response))))
    }
}
