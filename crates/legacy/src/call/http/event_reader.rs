//! Reads the events of one SSE response.

use super::body::messages;
use crate::message::Incoming;
use bytes::Bytes;
use carryall_proto::CallError;
use carryall_proto::sse::SseDecoder;
use carryall_transport::http::RawBody;
use futures_util::StreamExt as _;
use http::HeaderValue;
use std::time::Duration;

/// The events of one response.
pub(super) struct EventReader {
    /// `None` after the end.
    body: Option<RawBody>,
    decoder: SseDecoder,
    max_event: usize,
    last_id: Option<HeaderValue>,
    /// What an earlier response of the same stream asked for.
    earlier_retry: Option<Duration>,
}

impl EventReader {
    /// Reads events of up to `max_event` bytes.
    pub(super) fn new(body: RawBody, max_event: usize) -> Self {
        Self {
            body: Some(body),
            decoder: SseDecoder::new(max_event),
            max_event,
            last_id: None,
            earlier_retry: None,
        }
    }

    /// Continues the stream with another response.
    pub(super) fn resume(&mut self, body: RawBody) {
        let retry = self.retry();
        *self = Self::new(body, self.max_event);
        self.earlier_retry = retry;
    }

    /// Returns the type and data of the next event that has data. `None` at the end.
    pub(super) async fn next_event(
        &mut self,
    ) -> Option<Result<(Option<String>, Bytes), CallError>> {
        loop {
            match self.decoder.next() {
                Some(Ok(event)) => {
                    self.save_id();
                    // An event without data only sets the id to resume from.
                    if !event.data.is_empty() {
                        return Some(Ok((event.event.as_deref().map(str::to_owned), event.data)));
                    }
                    continue;
                }
                Some(Err(_)) => {
                    self.body = None;
                    return Some(Err(CallError::TooLarge(self.max_event)));
                }
                None => {}
            }
            match self.body.as_mut()?.next().await {
                Some(Ok(data)) => self.decoder.push(&data),
                Some(Err(error)) => {
                    self.save_id();
                    self.body = None;
                    return Some(Err(error));
                }
                None => {
                    self.save_id();
                    self.body = None;
                    return None;
                }
            }
        }
    }

    /// Returns the messages of the next event of type `message`. `None` at the end.
    pub(super) async fn next_messages(&mut self) -> Option<Result<Vec<Incoming>, CallError>> {
        loop {
            match self.next_event().await? {
                Ok((kind, data)) if is_message(kind.as_deref()) => return Some(messages(&data)),
                Ok(_) => {}
                Err(error) => return Some(Err(error)),
            }
        }
    }

    fn save_id(&mut self) {
        if let Some(id) = self
            .decoder
            .last_event_id()
            .and_then(|id| HeaderValue::from_str(id).ok())
        {
            self.last_id = Some(id);
        }
    }

    /// The id of the last event.
    pub(super) fn last_id(&self) -> Option<HeaderValue> {
        self.last_id.clone()
    }

    /// How long the server wants the client to wait before it reconnects.
    pub(super) fn retry(&self) -> Option<Duration> {
        self.decoder
            .retry_ms()
            .map(Duration::from_millis)
            .or(self.earlier_retry)
    }
}

/// Whether an event of this type is a message: `message` is the default.
pub(super) fn is_message(kind: Option<&str>) -> bool {
    kind.is_none_or(|kind| kind == "message")
}
