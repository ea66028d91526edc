//! Requests of a channel in flight, as streams of lines to write.

use crate::serve::exchange::{Exchange, Outgoing, encode_batch};
use bytes::Bytes;
use futures_core::Stream;
use std::pin::Pin;
use std::task::{Context, Poll};

/// The requests of one line.
pub(super) enum ChannelWork {
    Request(Exchange),
    Batch(Batch),
}

/// The requests of one array. Their responses form one array too; messages before that are written
/// one by one.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) exchanges: Vec<Exchange>,
    /// The encoded responses.
    pub(super) responses: Vec<Bytes>,
}

impl Stream for ChannelWork {
    type Item = Bytes;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        match &mut *self {
            Self::Request(exchange) => exchange
                .as_mut()
                .poll_next(cx)
                .map(|message| message.map(|message| message.encode())),
            Self::Batch(batch) => batch.poll_next(cx),
        }
    }
}

impl Batch {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let mut index = 0;
        while let Some(exchange) = self.exchanges.get_mut(index) {
            match exchange.as_mut().poll_next(cx) {
                Poll::Pending => index += 1,
                Poll::Ready(None) => drop(self.exchanges.swap_remove(index)),
                Poll::Ready(Some(message @ Outgoing::Response(_))) => {
                    self.responses.push(message.encode());
                }
                Poll::Ready(Some(message)) => return Poll::Ready(Some(message.encode())),
            }
        }
        if !self.exchanges.is_empty() {
            return Poll::Pending;
        }
        // Nothing is written if all requests were cancelled.
        let responses = std::mem::take(&mut self.responses);
        Poll::Ready((!responses.is_empty()).then(|| encode_batch(responses)))
    }
}
