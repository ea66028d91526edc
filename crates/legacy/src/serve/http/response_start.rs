//! Decides whether a response is one body or an event stream.

use super::session::HttpSession;
use super::stream::DeferredStream;
use crate::serve::exchange::{Exchange, Outgoing};
use carryall_proto::Response;
use carryall_proto::budget::{Budget, Reservation};
use futures_util::StreamExt as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// How a response starts.
pub(super) enum ResponseStart {
    /// The exchange is over: its response, or those of a batch.
    Complete(Vec<Response>),
    /// More messages follow these.
    Stream(Vec<Outgoing>, Exchange),
    SessionEnded,
}

/// An exchange whose response has not started. Dropping it, when the client disconnects, leaves the
/// exchange running for the grace period: in these revisions a lost connection does not cancel a
/// request (2025-11-25 `basic/transports#sending-messages-to-the-server`).
pub(super) struct UnansweredExchange {
    exchange: Option<Exchange>,
    grace: Duration,
    detached: Budget,
    session: Arc<HttpSession>,
}

impl UnansweredExchange {
    /// `detached` bounds how many exchanges are left running.
    pub(super) fn new(
        exchange: Exchange,
        grace: Duration,
        detached: &Budget,
        session: &Arc<HttpSession>,
    ) -> Self {
        Self {
            exchange: Some(exchange),
            grace,
            detached: detached.clone(),
            session: Arc::clone(session),
        }
    }

    /// Waits until it is known how the response starts: until the exchange is over, sends another
    /// message than a response, has been silent for `sse_after`, or its handler pauses the stream.
    /// With `is_single` the exchange is over with its first response.
    pub(super) async fn start(
        mut self,
        is_single: bool,
        sse_after: Duration,
        deferred: &DeferredStream,
    ) -> ResponseStart {
        let mut responses = Vec::new();
        let mut other = None;
        let session = Arc::clone(&self.session);
        let silence = tokio::time::sleep(sse_after);
        let (paused, ended) = (deferred.pause_requested(), session.ended());
        tokio::pin!(silence, paused, ended);
        while let Some(exchange) = self.exchange.as_mut() {
            let next = tokio::select! {
                biased;
                next = exchange.next() => next,
                () = &mut ended => {
                    self.exchange = None;
                    return ResponseStart::SessionEnded;
                }
                () = &mut paused => break,
                () = &mut silence => break,
            };
            match next {
                Some(Outgoing::Response(response)) => {
                    responses.push(response);
                    if is_single {
                        self.exchange = None;
                    }
                }
                Some(message) => {
                    other = Some(message);
                    break;
                }
                None => self.exchange = None,
            }
        }
        match self.exchange.take() {
            None => ResponseStart::Complete(responses),
            Some(exchange) => {
                let responses = responses.into_iter().map(Outgoing::Response);
                ResponseStart::Stream(responses.chain(other).collect(), exchange)
            }
        }
    }
}

impl Drop for UnansweredExchange {
    fn drop(&mut self) {
        let Some(exchange) = self.exchange.take() else {
            return;
        };
        let client = &self.session.client;
        match self.detached.reserve(&client.caller, 0) {
            Ok(reservation) => {
                client
                    .spawner
                    .spawn(finish_detached(exchange, self.grace, reservation));
            }
            Err(exceeded) => {
                tracing::debug!(%exceeded, "a request is cancelled: its client has disconnected");
            }
        }
    }
}

async fn finish_detached(exchange: Exchange, grace: Duration, _held: Reservation) {
    let finished = exchange.for_each(|_| std::future::ready(()));
    if timeout(grace, finished).await.is_err() {
        tracing::debug!("a request was cancelled: its client has disconnected");
    }
}

#[cfg(test)]
mod tests;
