//! A request body in one buffer: not copied when it arrives in one piece, bounded in size and time.

use super::Options;
use super::door::too_large;
use super::refuse::Refusal;
use crate::http::gather::BodyBuffer;
use bytes::{Buf as _, Bytes};
use carryall_proto::budget::{Budget, Reservation};
use carryall_proto::{CallSource, Caller};
use http::StatusCode;
use http_body::Body;
use std::fmt::Display;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::Sleep;

/// Bodies up to this size are not counted while they are on their way.
const UNCOUNTED: usize = 64 * 1024;

pub(super) struct BodyReader {
    max: usize,
    timeout: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    gathered: BodyBuffer,
    /// Room for what a client keeps us waiting with.
    held: Option<Box<Reservation>>,
}

impl BodyReader {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            max: options.max_body,
            timeout: options.body_timeout,
            timer: None,
            gathered: BodyBuffer::default(),
            held: None,
        }
    }

    pub(super) fn poll<B>(
        &mut self,
        mut body: Pin<&mut B>,
        cx: &mut Context<'_>,
        budget: &Budget,
        source: CallSource,
    ) -> Poll<Result<Bytes, Refusal>>
    where
        B: Body,
        B::Error: Display,
    {
        while !body.is_end_stream() {
            let frame = match body.as_mut().poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => frame,
                Poll::Ready(Some(Err(error))) => {
                    let why = format!("The body broke off: {error}");
                    return Poll::Ready(Err(Refusal::new(StatusCode::BAD_REQUEST, why)));
                }
                Poll::Ready(None) => break,
                Poll::Pending => {
                    if let Err(refusal) = self.count(budget, source) {
                        return Poll::Ready(Err(refusal));
                    }
                    // Only a body that keeps us waiting costs a timer.
                    let timeout = self.timeout;
                    let timer = self
                        .timer
                        .get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
                    ready!(timer.as_mut().poll(cx));
                    let why = format!("The body took longer than {timeout:?}");
                    return Poll::Ready(Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, why)));
                }
            };
            let Ok(data) = frame.into_data() else {
                continue;
            };
            if self.gathered.len() + data.remaining() > self.max {
                return Poll::Ready(Err(too_large(self.max)));
            }
            self.gathered.add(data, body.size_hint().lower());
        }
        self.held = None;
        Poll::Ready(Ok(self.gathered.take()))
    }

    /// Accounts for the part of a large body that is here while the rest is not.
    fn count(&mut self, budget: &Budget, source: CallSource) -> Result<(), Refusal> {
        let bytes = self.gathered.len();
        let counted = match &mut self.held {
            _ if bytes <= UNCOUNTED => return Ok(()),
            Some(held) if held.bytes() == bytes => return Ok(()),
            Some(held) => held.resize(bytes),
            None => {
                let caller = source
                    .address
                    .map(Caller::from)
                    .or(source.client.map(Caller::Client));
                budget
                    .reserve(&caller.unwrap_or(Caller::Anonymous), bytes)
                    .map(|held| self.held = Some(Box::new(held)))
            }
        };
        counted.map_err(|exceeded| {
            let why =
                format!("Too many large bodies are on their way: {exceeded}. Try again later");
            Refusal::new(StatusCode::SERVICE_UNAVAILABLE, why)
        })
    }
}
