//! A reply that arrives as an event stream.

use super::message::decode_reply_message;
use super::response_body::ResponseBody;
use carryall_proto::sse::{SseDecoder, SseEvent};
use carryall_proto::{CallError, Message};
use carryall_types::RequestId;
use futures_core::Stream;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// How long the end of the body may take after the response, for its connection to be reused.
const END_TIMEOUT: Duration = Duration::from_secs(1);

/// Bytes after which the stream yields, although there is more to read: a server that sends
/// comments without end must not starve the caller's timers.
const YIELD_AFTER: usize = 64 * 1024;

/// The messages of one event stream. Dropping it closes the stream, which cancels the request.
pub(super) struct SseReply {
    id: RequestId,
    decoder: SseDecoder,
    max: usize,
    /// Bytes read since the stream last yielded.
    read: usize,
    /// `None` once the stream has ended.
    body: Option<ResponseBody>,
}

impl SseReply {
    pub(super) fn new(body: ResponseBody, id: RequestId, max: usize) -> Self {
        Self {
            id,
            decoder: SseDecoder::new(max),
            max,
            read: 0,
            body: Some(body),
        }
    }

    /// Decodes an event. Returns `None` for events that are not messages: servers of earlier
    /// revisions send other types, and events without data, to prime a stream for resumption.
    fn decode(&self, event: &SseEvent) -> Result<Option<Message>, CallError> {
        let is_other_type = event.event.as_deref().is_some_and(|name| name != "message");
        if event.data.is_empty() || is_other_type {
            return Ok(None);
        }
        decode_reply_message(&event.data, &self.id).map(Some)
    }

    /// Reads to the end of the body, so that its connection can be reused. Usually the end has
    /// arrived with the last event.
    fn finish(&mut self, cx: &mut Context<'_>) {
        let Some(mut body) = self.body.take() else {
            return;
        };
        if body.poll_data(cx).is_pending() {
            tokio::spawn(async move {
                let end = poll_fn(|cx| body.poll_data(cx));
                tokio::time::timeout(END_TIMEOUT, end).await.is_ok()
            });
        }
    }
}

impl Stream for SseReply {
    type Item = Result<Message, CallError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            let Some(body) = &mut this.body else {
                return Poll::Ready(None);
            };
            if this.read > YIELD_AFTER {
                this.read = 0;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let error = match this.decoder.next() {
                Some(Ok(event)) => match this.decode(&event) {
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
                        this.read += data.len();
                        this.decoder.push(&data);
                        continue;
                    }
                    Some(Err(error)) => CallError::broken(error),
                    None => CallError::broken("the event stream ended without a response"),
                },
            };
            this.body = None;
            return Poll::Ready(Some(Err(error)));
        }
    }
}
