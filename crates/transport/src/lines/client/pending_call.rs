//! A call that waits for messages of its reply.

use super::ChannelInner;
use super::mailbox::{Mail, ReplyMailbox};
use carryall_proto::{Call, CallError, Message, Notification, Reply};
use carryall_types::RequestId;
use futures_core::Stream;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// Dropping it before the response cancels the call.
pub(super) struct PendingCall {
    channel: Arc<ChannelInner>,
    /// The id on the channel.
    id: RequestId,
    mailbox: Arc<ReplyMailbox>,
}

impl PendingCall {
    pub(super) fn start(channel: &Arc<ChannelInner>, call: Call) -> Result<Self, CallError> {
        let mailbox = Arc::new(ReplyMailbox::new(&call));
        let id = channel.lock().start(call, &mailbox)?;
        Ok(Self {
            channel: Arc::clone(channel),
            id,
            mailbox,
        })
    }

    /// Waits for the first message.
    pub(super) async fn reply(self) -> Result<Reply, CallError> {
        match poll_fn(|cx| self.mailbox.poll(cx)).await {
            Mail::Outcome(outcome) => outcome.map(Reply::Once),
            Mail::Notification(first) => Ok(Reply::Stream(Box::pin(ChannelReply {
                call: Some(self),
                first: Some(first),
            }))),
        }
    }
}

impl Drop for PendingCall {
    fn drop(&mut self) {
        if !self.mailbox.is_finished() {
            self.channel.lock().cancel(&self.id);
        }
    }
}

/// The messages of a reply.
struct ChannelReply {
    /// `None` after the response.
    call: Option<PendingCall>,
    first: Option<Notification>,
}

impl Stream for ChannelReply {
    type Item = Result<Message, CallError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(Message::Notification(first))));
        }
        let Some(call) = &self.call else {
            return Poll::Ready(None);
        };
        let mail = ready!(call.mailbox.poll(cx));
        Poll::Ready(Some(match mail {
            Mail::Notification(notification) => Ok(Message::Notification(notification)),
            Mail::Outcome(outcome) => {
                self.call = None;
                outcome.map(Message::Response)
            }
        }))
    }
}
