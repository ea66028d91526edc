//! A handler at work: its future, polled where its reply is polled.
//!
//! If the handler ends before it says anything, the reply is one response. Otherwise the reply
//! becomes a stream that goes on polling the same future. No task is spawned and no channel is
//! opened either way; dropping the reply drops the handler.

use crate::call::ctx::Ctx;
use crate::call::handler_error::HandlerError;
use crate::call::output::ToolOutput;
use crate::catalogue::tool_entry::ToolEntry;
use crate::core::Permit;
use crate::dispatch::outcome;
use carryall_proto::{BoxFuture, CallError, Message, Outcome, Reply, Response};
use carryall_types::{ErrorObject, RawJson, RequestId};
use futures_core::Stream;
use std::convert::Infallible;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Sleep;

/// What a handler does, by what becomes of its outcome.
pub(crate) enum Work {
    Tool(BoxFuture<Result<ToolOutput, HandlerError>>, Arc<ToolEntry>),
    /// A prompt, a resource or a completion, which renders its own result.
    Other(BoxFuture<Result<RawJson, HandlerError>>),
}

pub(crate) struct Running {
    work: Work,
    ctx: Ctx,
    id: RequestId,
    /// Given back as soon as the handler has ended, however long the client takes to read.
    place: Option<Permit>,
    limit: Option<Duration>,
    timer: Option<Pin<Box<Sleep>>>,
    finished: Option<Outcome>,
}

impl Running {
    pub(crate) fn new(work: Work, ctx: Ctx, place: Permit, limit: Option<Duration>) -> Self {
        let id = ctx.request_id().clone();
        Self {
            work,
            ctx,
            id,
            place: Some(place),
            limit,
            timer: None,
            finished: None,
        }
    }

    fn poll_outcome(&mut self, cx: &mut Context<'_>) -> Poll<Outcome> {
        let polled = guarded(|| match &mut self.work {
            Work::Tool(handler, entry) => handler
                .as_mut()
                .poll(cx)
                .map(|output| outcome::tool(&self.ctx, entry, output)),
            Work::Other(handler) => handler
                .as_mut()
                .poll(cx)
                .map(|result| outcome::other(&self.ctx, result)),
        });
        let polled = polled.unwrap_or_else(|error| Poll::Ready(Outcome::Error(error)));
        let polled = match (polled, self.limit) {
            (Poll::Pending, Some(limit)) => self.poll_time(limit, cx),
            (polled, _) => polled,
        };
        if polled.is_ready() {
            self.place = None;
        }
        polled
    }

    /// The timer is made when the handler turns out not to be immediate.
    fn poll_time(&mut self, limit: Duration, cx: &mut Context<'_>) -> Poll<Outcome> {
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        timer.as_mut().poll(cx).map(|()| match &self.work {
            Work::Tool(..) => outcome::tool_timed_out(&self.ctx, limit),
            Work::Other(_) => outcome::timed_out(&self.ctx, limit),
        })
    }

    fn respond(&self, outcome: Outcome) -> Response {
        Response {
            id: self.id.clone(),
            outcome,
        }
    }
}

/// Runs what the author of the server wrote: handlers, layers, rules of access. A panic costs the
/// call it happens in and nothing else; what it says is for the log.
pub(crate) fn guarded<T>(run: impl FnOnce() -> T) -> Result<T, ErrorObject> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| {
        let text = panic
            .downcast_ref::<&str>()
            .copied()
            .or(panic.downcast_ref::<String>().map(String::as_str));
        tracing::error!(
            panic = text.unwrap_or_default(),
            "the answer to a call panicked"
        );
        ErrorObject::internal()
    })
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
    Running(Option<Running>),
    Layered(BoxFuture<Result<Reply, CallError>>, RequestId),
}

impl ServerFuture {
    pub(crate) fn ready(reply: impl Into<Reply>) -> Self {
        Self(State::Ready(Some(reply.into())))
    }

    pub(crate) fn running(running: Running) -> Self {
        Self(State::Running(Some(running)))
    }

    pub(crate) fn layered(future: BoxFuture<Result<Reply, CallError>>, id: RequestId) -> Self {
        Self(State::Layered(future, id))
    }
}

impl Future for ServerFuture {
    type Output = Result<Reply, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            State::Ready(reply) => reply
                .take()
                .map_or(Poll::Pending, |reply| Poll::Ready(Ok(reply))),
            State::Layered(future, id) => match guarded(|| future.as_mut().poll(cx)) {
                Ok(Poll::Pending) => Poll::Pending,
                Ok(Poll::Ready(Ok(reply))) => Poll::Ready(Ok(reply)),
                Ok(Poll::Ready(Err(error))) => {
                    tracing::error!(%error, "a layer failed");
                    Poll::Ready(Ok(
                        Response::error(id.clone(), ErrorObject::internal()).into()
                    ))
                }
                Err(error) => Poll::Ready(Ok(Response::error(id.clone(), error).into())),
            },
            State::Running(slot) => {
                let Some(mut running) = slot.take() else {
                    return Poll::Pending;
                };
                match running.poll_outcome(cx) {
                    Poll::Ready(outcome) if running.ctx.outbox().close() => {
                        Poll::Ready(Ok(Reply::Once(running.respond(outcome))))
                    }
                    Poll::Ready(outcome) => {
                        running.finished = Some(outcome);
                        Poll::Ready(Ok(Reply::Stream(Box::pin(HandlerStream(Some(Box::new(
                            running,
                        )))))))
                    }
                    Poll::Pending if !running.ctx.outbox().is_empty() => Poll::Ready(Ok(
                        Reply::Stream(Box::pin(HandlerStream(Some(Box::new(running))))),
                    )),
                    Poll::Pending => {
                        running.ctx.outbox().register(cx);
                        // Another task may have queued something between the test and the
                        // registration.
                        if !running.ctx.outbox().is_empty() {
                            return Poll::Ready(Ok(Reply::Stream(Box::pin(HandlerStream(Some(
                                Box::new(running),
                            ))))));
                        }
                        *slot = Some(running);
                        Poll::Pending
                    }
                }
            }
        }
    }
}

/// The same answer with the error of the seam, which never comes.
pub(crate) struct OnTheSeam(pub(crate) ServerFuture);

impl Future for OnTheSeam {
    type Output = Result<Reply, CallError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0)
            .poll(cx)
            .map_err(|never| match never {})
    }
}

impl std::fmt::Debug for ServerFuture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ServerFuture")
    }
}

/// The messages of a handler that has begun to speak.
struct HandlerStream(Option<Box<Running>>);

impl Stream for HandlerStream {
    type Item = Result<Message, CallError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(running) = self.0.as_mut() else {
            return Poll::Ready(None);
        };
        if let Some(notification) = running.ctx.outbox().pop() {
            return Poll::Ready(Some(Ok(Message::Notification(notification))));
        }
        if running.finished.is_none() {
            if let Poll::Ready(outcome) = running.poll_outcome(cx) {
                running.ctx.outbox().close();
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
