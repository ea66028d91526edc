//! One exchange on its way to a response: one message if that is all, else a stream of events.

use super::super::conversation::{Exchange, Outgoing};
use super::events::{Read, ResumableStream, StreamCursor};
use super::sessions::Session;
use super::store::Store;
use bytes::Bytes;
use carryall_proto::budget::{Budget, Reservation};
use carryall_proto::{Response, sse};
use carryall_types::{ErrorObject, RequestId, code};
use futures_core::Stream;
use futures_util::StreamExt as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::{Instant, Sleep, timeout};

/// What an exchange begins with.
pub(super) enum ResponseStart {
    /// It is all there: the response, or those of a batch.
    Complete(Vec<Response>),
    /// There is more to come after these.
    Stream(Vec<Outgoing>, Exchange),
    /// Its session has ended.
    Ended,
}

/// An exchange whose response has not begun. When its client goes away it still goes on for the
/// grace time: in these revisions a lost connection does not cancel a request (2025-11-25
/// `basic/transports#sending-messages-to-the-server`).
pub(super) struct UnansweredExchange {
    exchange: Option<Exchange>,
    grace: Duration,
    detached: Budget,
    session: Arc<Session>,
}

impl UnansweredExchange {
    pub(super) fn new(
        exchange: Exchange,
        grace: Duration,
        detached: &Budget,
        session: &Arc<Session>,
    ) -> Self {
        Self {
            exchange: Some(exchange),
            grace,
            detached: detached.clone(),
            session: Arc::clone(session),
        }
    }

    /// Waits for what decides how the response looks: all of it, something before it, `probe_timeout`, or
    /// a pause. `one` says that the first response is the last.
    pub(super) async fn begin(
        mut self,
        one: bool,
        silence: Duration,
        session: &Session,
        stream: &ResumableStream,
    ) -> ResponseStart {
        let mut responses = Vec::new();
        let mut rest = Vec::new();
        let silence = tokio::time::sleep(silence);
        let (paused, ended) = (stream.pause_asked(), session.ended());
        tokio::pin!(silence, paused, ended);
        while let Some(exchange) = self.exchange.as_mut() {
            let next = tokio::select! {
                biased;
                next = exchange.next() => next,
                () = &mut ended => {
                    self.exchange = None;
                    return ResponseStart::Ended;
                }
                () = &mut paused => break,
                () = &mut silence => break,
            };
            match next {
                Some(Outgoing::Response(response)) => {
                    responses.push(response);
                    if one {
                        self.exchange = None;
                    }
                }
                Some(other) => {
                    rest.push(other);
                    break;
                }
                None => self.exchange = None,
            }
        }
        match self.exchange.take() {
            None => ResponseStart::Complete(responses),
            Some(exchange) => {
                let first = responses
                    .into_iter()
                    .map(Outgoing::Response)
                    .chain(rest)
                    .collect();
                ResponseStart::Stream(first, exchange)
            }
        }
    }
}

impl Drop for UnansweredExchange {
    fn drop(&mut self) {
        let Some(exchange) = self.exchange.take() else {
            return;
        };
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        match self.detached.reserve(&self.session.conversation.caller, 0) {
            Ok(reservation) => {
                drop(runtime.spawn(finish_unheard(exchange, self.grace, reservation)))
            }
            Err(exceeded) => {
                tracing::debug!(%exceeded, "a request whose client is gone is given up at once")
            }
        }
    }
}

async fn finish_unheard(exchange: Exchange, grace: Duration, _held: Reservation) {
    if timeout(grace, exchange.for_each(|_| std::future::ready(())))
        .await
        .is_err()
    {
        tracing::debug!("a request whose client is gone was given up");
    }
}

/// Writes an exchange to its stream, in a task of its own, until it is complete, or nobody has read
/// it for the grace time, or its session has ended.
pub(super) fn write(
    store: Arc<Store>,
    session: Arc<Session>,
    stream: Arc<ResumableStream>,
    request: Option<RequestId>,
    items: impl Stream<Item = Outgoing> + Send + 'static,
) {
    let writing = Writing {
        store,
        stream,
        request,
    };
    tokio::spawn(async move {
        // Held as long as there is something to write: a session with work is not forgotten.
        let _session = session;
        let Writing {
            store,
            stream,
            request,
        } = &writing;
        let all = async {
            let mut items = std::pin::pin!(items);
            while let Some(item) = items.next().await {
                stream.room(store).await;
                store.append(stream, &item);
            }
        };
        let abandoned = tokio::select! {
            biased;
            () = all => false,
            () = stream.abandoned() => true,
        };
        if let (true, Some(id)) = (abandoned, request) {
            tracing::debug!(%id, "nobody came back for the answer to a request");
            let error = ErrorObject::new(
                code::INTERNAL_ERROR,
                "Given up: nobody read the stream of this request",
            );
            store.append(
                stream,
                &Outgoing::Response(Response::error(id.clone(), error)),
            );
        }
    });
}

/// A stream whose writer is at work; when the writer ends, for whatever reason, readers get to
/// know.
struct Writing {
    store: Arc<Store>,
    stream: Arc<ResumableStream>,
    request: Option<RequestId>,
}

impl Drop for Writing {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(id) = &self.request
        {
            let error = ErrorObject::internal();
            self.store.append(
                &self.stream,
                &Outgoing::Response(Response::error(id.clone(), error)),
            );
        }
        self.store.finish(&self.stream);
    }
}

/// The body of a response: what its cursor finds, and a comment where that is nothing for too long.
pub(super) struct Reader {
    cursor: StreamCursor,
    keep_alive: Duration,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Reader {
    pub(super) fn new(cursor: StreamCursor, keep_alive: Duration) -> Self {
        Self {
            cursor,
            keep_alive,
            timer: None,
        }
    }
}

impl Stream for Reader {
    type Item = Bytes;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let this = &mut *self;
        match this.cursor.poll(cx) {
            Poll::Ready(Read::Text(text)) => {
                this.timer = None;
                Poll::Ready(Some(text))
            }
            Poll::Ready(Read::End) => Poll::Ready(None),
            Poll::Pending => keep_alive(&mut this.timer, this.keep_alive, cx).map(Some),
        }
    }
}

/// A comment when the silence has lasted for `interval`.
pub(super) fn keep_alive(
    timer: &mut Option<Pin<Box<Sleep>>>,
    interval: Duration,
    cx: &mut Context<'_>,
) -> Poll<Bytes> {
    let timer = timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(interval)));
    if timer.as_mut().poll(cx).is_ready() {
        timer.as_mut().reset(Instant::now() + interval);
        return Poll::Ready(Bytes::from_static(sse::KEEP_ALIVE));
    }
    Poll::Pending
}

#[cfg(test)]
mod tests;
