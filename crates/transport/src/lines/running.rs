//! The calls in work on one channel.

use crate::guard;
use carryall_proto::mux::Ticket;
use carryall_proto::{BoxFuture, CallError, Message, MessageStream, Reply};
use futures_core::Stream;
use std::pin::Pin;
use std::task::{Context, Poll};

/// A call on its way to its response.
pub(super) struct Running {
    ticket: Ticket,
    step: Step,
}

enum Step {
    Calling(BoxFuture<Result<Reply, CallError>>),
    Streaming(MessageStream),
    Done,
}

/// What comes out of a call.
pub(super) enum Event {
    Message(Message),
    /// There will be no response.
    Failed(CallError),
}

impl Running {
    pub(super) fn calling(ticket: Ticket, future: BoxFuture<Result<Reply, CallError>>) -> Self {
        Self {
            ticket,
            step: Step::Calling(future),
        }
    }

    pub(super) fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        loop {
            let event = match &mut self.step {
                Step::Calling(future) => match std::task::ready!(guard::poll_call(future, cx)) {
                    Ok(Reply::Stream(stream)) => {
                        self.step = Step::Streaming(stream);
                        continue;
                    }
                    Ok(Reply::Once(response)) => Event::Message(Message::Response(response)),
                    Err(error) => Event::Failed(error),
                },
                Step::Streaming(stream) => match std::task::ready!(guard::poll_message(stream, cx))
                {
                    Some(Ok(message)) => Event::Message(message),
                    Some(Err(error)) => Event::Failed(error),
                    None => Event::Failed(CallError::broken("the reply ended without a response")),
                },
                Step::Done => return Poll::Ready(None),
            };
            if !matches!(event, Event::Message(Message::Notification(_))) {
                self.step = Step::Done;
            }
            return Poll::Ready(Some(event));
        }
    }
}

impl Stream for Running {
    type Item = (Ticket, Event);

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let event = std::task::ready!(self.poll_event(cx));
        Poll::Ready(event.map(|event| (self.ticket.clone(), event)))
    }
}
