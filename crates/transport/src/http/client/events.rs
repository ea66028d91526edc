//! A reply that comes as an event stream.

use super::answer::other_id;
use super::link::Receiving;
use carryall_proto::decode::{ServerMessage, decode_server_message};
use carryall_proto::sse::{SseDecoder, SseEvent};
use carryall_proto::{CallError, Message, Response};
use carryall_types::RequestId;
use futures_core::Stream;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// How long the end of a stream may take after its response, for its connection to be used again.
const DRAIN: Duration = Duration::from_secs(1);

/// After so many bytes others get their turn, whatever else there is to read: a server that sends
/// comments for ever must not keep its caller from looking at the clock.
const PAUSE_AFTER: usize = 64 * 1024;

/// The messages of one response stream. Dropping it closes the stream, which cancels the request.
pub(super) struct EventStream {
    id: RequestId,
    decoder: SseDecoder,
    max: usize,
    /// Bytes taken since the last pause.
    unpaused: usize,
    /// `None` when there is nothing more to come.
    body: Option<Receiving>,
}

impl EventStream {
    pub(super) fn new(body: Receiving, id: RequestId, max: usize) -> Self {
        Self {
            id,
            decoder: SseDecoder::new(max),
            max,
            unpaused: 0,
            body: Some(body),
        }
    }

    /// What an event says; `None` for events that say nothing.
    fn message(&self, event: &SseEvent) -> Result<Option<Message>, CallError> {
        // Other types, and events without text, were how earlier revisions primed a stream for
        // resuming.
        if event.data.is_empty() || event.event.as_deref().is_some_and(|kind| kind != "message") {
            return Ok(None);
        }
        match decode_server_message(&event.data).map_err(CallError::Malformed)? {
            ServerMessage::Notification(notification) => {
                Ok(Some(Message::Notification(notification)))
            }
            ServerMessage::Response(response) if response.id == self.id => {
                Ok(Some(Message::Response(response)))
            }
            ServerMessage::Response(response) => Err(other_id(&self.id, &response.id)),
            ServerMessage::ErrorWithoutId(error) => Ok(Some(Message::Response(Response::error(
                self.id.clone(),
                error,
            )))),
        }
    }

    /// Reads on to the end of the response, so that its connection can be kept. Nearly always it
    /// came along with the last event.
    fn finish(&mut self, cx: &mut Context<'_>) {
        let Some(mut body) = self.body.take() else {
            return;
        };
        if body.poll_data(cx).is_pending() {
            tokio::spawn(async move {
                tokio::time::timeout(DRAIN, poll_fn(|cx| body.poll_data(cx)))
                    .await
                    .is_ok()
            });
        }
    }
}

impl Stream for EventStream {
    type Item = Result<Message, CallError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            let Some(body) = &mut this.body else {
                return Poll::Ready(None);
            };
            if this.unpaused > PAUSE_AFTER {
                this.unpaused = 0;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let failed = match this.decoder.next() {
                Some(Ok(event)) => match this.message(&event) {
                    Ok(None) => continue,
                    Ok(Some(message)) => {
                        if matches!(message, Message::Response(_)) {
                            this.finish(cx);
                        }
                        return Poll::Ready(Some(Ok(message)));
                    }
                    Err(error) => error,
                },
                Some(Err(_)) => CallError::TooLarge(this.max),
                None => match ready!(body.poll_data(cx)) {
                    Some(Ok(data)) => {
                        this.unpaused += data.len();
                        this.decoder.push(&data);
                        continue;
                    }
                    Some(Err(error)) => CallError::broken(error),
                    None => CallError::broken("the event stream ended without a response"),
                },
            };
            this.body = None;
            return Poll::Ready(Some(Err(failed)));
        }
    }
}
