//! A handler at work: its future, polled where its reply is polled.
//!
//! If the handler ends before it says anything, the reply is one response. Otherwise the reply becomes a stream that
//! goes on polling the same future. No task is spawned and no channel is opened either way; dropping the reply drops
//! the handler.

use crate::ctx::Ctx;
use carryall_proto::{CallError, Message, Outcome, Reply, Response};
use carryall_types::{ErrorObject, RequestId};
use futures_core::Stream;
use std::convert::Infallible;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Sleep;

pub(crate) type HandlerFuture = Pin<Box<dyn Future<Output = Outcome> + Send>>;

pub(crate) struct Running {
    handler: HandlerFuture,
    ctx: Ctx,
    id: RequestId,
    limit: Option<Duration>,
    timer: Option<Pin<Box<Sleep>>>,
    /// What to answer when the time is up.
    timed_out: fn(&Ctx, Duration) -> Outcome,
    finished: Option<Outcome>,
}

impl Running {
    pub(crate) fn new(
        handler: HandlerFuture,
        ctx: Ctx,
        limit: Option<Duration>,
        timed_out: fn(&Ctx, Duration) -> Outcome,
    ) -> Self {
        let id = ctx.request_id().clone();
        Self { handler, ctx, id, limit, timer: None, timed_out, finished: None }
    }

    fn poll_outcome(&mut self, cx: &mut Context<'_>) -> Poll<Outcome> {
        let polled = catch_unwind(AssertUnwindSafe(|| self.handler.as_mut().poll(cx)));
        match polled {
            Ok(Poll::Ready(outcome)) => return Poll::Ready(outcome),
            Ok(Poll::Pending) => {}
            Err(panic) => {
                let what = panic.downcast_ref::<&str>().copied().map(str::to_owned);
                let what = what.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
                tracing::error!(method = %self.ctx.call().method, panic = %what, "a handler panicked");
                return Poll::Ready(Outcome::Error(ErrorObject::internal()));
            }
        }
        let Some(limit) = self.limit else { return Poll::Pending };
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        match timer.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready((self.timed_out)(&self.ctx, limit)),
            Poll::Pending => Poll::Pending,
        }
    }

    fn respond(&self, outcome: Outcome) -> Response {
        Response { id: self.id.clone(), outcome }
    }
}

impl Drop for Running {
    /// Cancelled or done: clones of the context that live on in other tasks fall silent.
    fn drop(&mut self) {
        self.ctx.outbox().close();
    }
}

/// The answer of a server to one call.
pub struct ServerFuture(State);

enum State {
    Ready(Option<Reply>),
    Running(Option<Box<Running>>),
    Layered(carryall_proto::BoxFuture<Result<Reply, CallError>>, RequestId),
}

impl ServerFuture {
    pub(crate) fn ready(reply: impl Into<Reply>) -> Self {
        Self(State::Ready(Some(reply.into())))
    }

    pub(crate) fn running(running: Running) -> Self {
        Self(State::Running(Some(Box::new(running))))
    }

    pub(crate) fn layered(future: carryall_proto::BoxFuture<Result<Reply, CallError>>, id: RequestId) -> Self {
        Self(State::Layered(future, id))
    }
}

impl Future for ServerFuture {
    type Output = Result<Reply, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            State::Ready(reply) => reply.take().map_or(Poll::Pending, |reply| Poll::Ready(Ok(reply))),
            State::Layered(future, id) => match future.as_mut().poll(cx) {
                Poll::Ready(Ok(reply)) => Poll::Ready(Ok(reply)),
                Poll::Ready(Err(error)) => {
                    tracing::error!(%error, "a layer failed");
                    Poll::Ready(Ok(Response::error(id.clone(), ErrorObject::internal()).into()))
                }
                Poll::Pending => Poll::Pending,
            },
            State::Running(slot) => {
                let Some(mut running) = slot.take() else { return Poll::Pending };
                match running.poll_outcome(cx) {
                    Poll::Ready(outcome) if running.ctx.outbox().is_empty() => {
                        Poll::Ready(Ok(Reply::Once(running.respond(outcome))))
                    }
                    Poll::Ready(outcome) => {
                        running.finished = Some(outcome);
                        Poll::Ready(Ok(Reply::Stream(Box::pin(RunningStream(Some(running))))))
                    }
                    Poll::Pending if !running.ctx.outbox().is_empty() => {
                        Poll::Ready(Ok(Reply::Stream(Box::pin(RunningStream(Some(running))))))
                    }
                    Poll::Pending => {
                        running.ctx.outbox().register(cx);
                        // Another task may have queued something between the test and the registration.
                        if !running.ctx.outbox().is_empty() {
                            return Poll::Ready(Ok(Reply::Stream(Box::pin(RunningStream(Some(running))))));
                        }
                        *slot = Some(running);
                        Poll::Pending
                    }
                }
            }
        }
    }
}

impl std::fmt::Debug for ServerFuture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ServerFuture")
    }
}

/// The messages of a handler that has begun to speak.
struct RunningStream(Option<Box<Running>>);

impl Stream for RunningStream {
    type Item = Result<Message, CallError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(running) = self.0.as_mut() else { return Poll::Ready(None) };
        if let Some(notification) = running.ctx.outbox().pop() {
            return Poll::Ready(Some(Ok(Message::Notification(notification))));
        }
        if running.finished.is_none() {
            if let Poll::Ready(outcome) = running.poll_outcome(cx) {
                running.finished = Some(outcome);
            }
            running.ctx.outbox().register(cx);
            if let Some(notification) = running.ctx.outbox().pop() {
                return Poll::Ready(Some(Ok(Message::Notification(notification))));
            }
        }
        match running.finished.take() {
            Some(outcome) => {
                let response = running.respond(outcome);
                self.0 = None;
                Poll::Ready(Some(Ok(Message::Response(response))))
            }
            None => Poll::Pending,
        }
    }
}
