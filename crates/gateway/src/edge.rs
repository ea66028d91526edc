//! The bounds that hold for every call through the gateway: how many, how long. And the line in the log.

use crate::fault::Fault;
use carryall_proto::{Call, CallError, Message, MessageStream, Outcome, Reply, Response};
use carryall_types::{Method, RequestId};
use futures_core::Stream;
use futures_util::StreamExt as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, sleep_until, timeout_at};

/// One call within its bounds.
pub(crate) struct Passage {
    id: RequestId,
    method: Method,
    name: Option<String>,
    started: Instant,
    /// `None` for subscriptions, which last as long as they last.
    limit: Option<Duration>,
    _permit: OwnedSemaphorePermit,
}

impl Passage {
    pub(crate) fn new(call: &Call, limit: Duration, permit: OwnedSemaphorePermit) -> Self {
        let (id, method) = (call.id.clone(), call.method.clone());
        let limit = (method != Method::SubscriptionsListen).then_some(limit);
        let name = if tracing::enabled!(tracing::Level::DEBUG) { call.log_name() } else { None };
        Self { id, method, name, started: Instant::now(), limit, _permit: permit }
    }

    /// Waits for the reply no longer than allowed, and keeps its stream within the same bound.
    pub(crate) async fn bound(self, reply: impl Future<Output = Reply>) -> Reply {
        let reply = match self.limit {
            None => reply.await,
            Some(limit) => match timeout_at(self.started + limit, reply).await {
                Ok(reply) => reply,
                Err(_) => Reply::Once(self.too_late(limit)),
            },
        };
        match reply {
            Reply::Once(response) => {
                self.log(&response.outcome);
                Reply::Once(response)
            }
            Reply::Stream(stream) => {
                let deadline = self.limit.map(|limit| (limit, Box::pin(sleep_until(self.started + limit))));
                Reply::Stream(Box::pin(Bounded { stream: Some(stream), deadline, passage: self }))
            }
        }
    }

    fn too_late(&self, limit: Duration) -> Response {
        Response::error(self.id.clone(), Fault::Timeout(limit).to_error())
    }

    fn log(&self, outcome: &Outcome) {
        let code = match outcome {
            Outcome::Result(_) => 0,
            Outcome::Error(error) => error.code,
        };
        let (name, took) = (self.name.as_deref().unwrap_or_default(), self.started.elapsed());
        tracing::debug!(method = %self.method, name = %carryall_proto::Printable(name), code, ?took, "request");
    }
}

struct Bounded {
    /// `None` after the response.
    stream: Option<MessageStream>,
    deadline: Option<(Duration, Pin<Box<Sleep>>)>,
    passage: Passage,
}

impl Stream for Bounded {
    type Item = Result<Message, CallError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let Some(stream) = &mut this.stream else { return Poll::Ready(None) };
        let response = match stream.poll_next_unpin(cx) {
            Poll::Ready(Some(Ok(Message::Response(response)))) => response,
            Poll::Ready(next) => return Poll::Ready(next),
            Poll::Pending => {
                let Some((limit, deadline)) = &mut this.deadline else { return Poll::Pending };
                ready!(deadline.as_mut().poll(cx));
                this.passage.too_late(*limit)
            }
        };
        this.stream = None;
        this.passage.log(&response.outcome);
        Poll::Ready(Some(Ok(Message::Response(response))))
    }
}

/// A permit for one more call, if there is room.
pub(crate) fn admit(calls: &Arc<tokio::sync::Semaphore>) -> Option<OwnedSemaphorePermit> {
    Arc::clone(calls).try_acquire_owned().ok()
}
