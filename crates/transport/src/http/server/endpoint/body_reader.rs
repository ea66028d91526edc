//! Reads a request body into one buffer, bounded in size and time.

use super::EndpointOptions;
use super::rejection::HttpRejection;
use crate::http::body_buffer::BodyBuffer;
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

/// Incomplete bodies up to this size are not charged to the budget.
const UNCHARGED: usize = 64 * 1024;

pub(super) struct BodyReader {
    max: usize,
    timeout: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    buffer: BodyBuffer,
    /// Charge for the part of the body that has arrived.
    reservation: Option<Box<Reservation>>,
}

impl BodyReader {
    pub(super) fn new(options: &EndpointOptions) -> Self {
        Self {
            max: options.max_body,
            timeout: options.body_timeout,
            timer: None,
            buffer: BodyBuffer::default(),
            reservation: None,
        }
    }

    pub(super) fn poll<B>(
        &mut self,
        mut body: Pin<&mut B>,
        cx: &mut Context<'_>,
        budget: &Budget,
        source: CallSource,
    ) -> Poll<Result<Bytes, HttpRejection>>
    where
        B: Body,
        B::Error: Display,
    {
        while !body.is_end_stream() {
            let frame = match body.as_mut().poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => frame,
                Poll::Ready(Some(Err(error))) => {
                    let message = format!("The body broke off: {error}");
                    let rejection = HttpRejection::new(StatusCode::BAD_REQUEST, message);
                    return Poll::Ready(Err(rejection));
                }
                Poll::Ready(None) => break,
                Poll::Pending => {
                    if let Err(rejection) = self.charge(budget, source) {
                        return Poll::Ready(Err(rejection));
                    }
                    // Most bodies arrive with the head and need no timer.
                    let timeout = self.timeout;
                    let timer = self
                        .timer
                        .get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
                    ready!(timer.as_mut().poll(cx));
                    let message = format!("The body took longer than {timeout:?}");
                    let rejection = HttpRejection::new(StatusCode::REQUEST_TIMEOUT, message);
                    return Poll::Ready(Err(rejection));
                }
            };
            let Ok(data) = frame.into_data() else {
                continue;
            };
            if self.buffer.len() + data.remaining() > self.max {
                return Poll::Ready(Err(HttpRejection::body_too_large(self.max)));
            }
            self.buffer.push(data, body.size_hint().lower());
        }
        self.reservation = None;
        Poll::Ready(Ok(self.buffer.take()))
    }

    /// Charges the part of a large body that has arrived, while the rest has not.
    fn charge(&mut self, budget: &Budget, source: CallSource) -> Result<(), HttpRejection> {
        let bytes = self.buffer.len();
        let charged = match &mut self.reservation {
            _ if bytes <= UNCHARGED => return Ok(()),
            Some(reservation) if reservation.bytes() == bytes => return Ok(()),
            Some(reservation) => reservation.resize(bytes),
            None => {
                let caller = source
                    .address
                    .map(Caller::from)
                    .or(source.client.map(Caller::Client))
                    .unwrap_or(Caller::Anonymous);
                budget
                    .reserve(&caller, bytes)
                    .map(|reservation| self.reservation = Some(Box::new(reservation)))
            }
        };
        charged.map_err(|exceeded| {
            let message = format!("Too many large request bodies: {exceeded}. Try again later");
            HttpRejection::new(StatusCode::SERVICE_UNAVAILABLE, message)
        })
    }
}
