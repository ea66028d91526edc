//! A call in flight on a channel.

use crate::catch_panic;
use carryall_proto::mux::Ticket;
use carryall_proto::{BoxFuture, CallError, Message, MessageStream, Reply};
use futures_core::Stream;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

pub(super) struct InFlightCall {
    ticket: Ticket,
    state: CallState,
}

enum CallState {
    Waiting(BoxFuture<Result<Reply, CallError>>),
    Streaming(MessageStream),
    Done,
}

/// What a call produces.
pub(super) enum InFlightEvent {
    Message(Message),
    /// There will be no response.
    Failed(CallError),
}

impl InFlightCall {
    pub(super) fn new(ticket: Ticket, future: BoxFuture<Result<Reply, CallError>>) -> Self {
        Self {
            ticket,
            state: CallState::Waiting(future),
        }
    }

    /// Returns the next event, or `None` after the response or failure.
    pub(super) fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<InFlightEvent>> {
        loop {
            let event = match &mut self.state {
                CallState::Waiting(future) => match ready!(catch_panic::poll_call(future, cx)) {
                    Ok(Reply::Stream(stream)) => {
                        self.state = CallState::Streaming(stream);
                        continue;
                    }
                    Ok(Reply::Once(response)) => {
                        InFlightEvent::Message(Message::Response(response))
                    }
                    Err(error) => InFlightEvent::Failed(error),
                },
                CallState::Streaming(stream) => {
                    match ready!(catch_panic::poll_message(stream, cx)) {
                        Some(Ok(message)) => InFlightEvent::Message(message),
                        Some(Err(error)) => InFlightEvent::Failed(error),
                        None => InFlightEvent::Failed(CallError::broken(
                            "the reply ended without a response",
                        )),
                    }
                }
                CallState::Done => return Poll::Ready(None),
            };
            if !matches!(event, InFlightEvent::Message(Message::Notification(_))) {
                self.state = CallState::Done;
            }
            return Poll::Ready(Some(event));
        }
    }
}

impl Stream for InFlightCall {
    type Item = (Ticket, InFlightEvent);

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let event = ready!(self.poll_event(cx));
        Poll::Ready(event.map(|event| (self.ticket.clone(), event)))
    }
}
