//! A running handler, polled where its reply is polled.
//!
//! If the handler ends before it sends a notification, the reply is one response. Otherwise the
//! reply becomes a stream that goes on polling the same future. Neither spawns a task or opens a
//! channel; dropping the reply drops the handler.

use super::concurrency::Permit;
use crate::call::catch_panic::catch_panic;
use crate::call::ctx::Ctx;
use crate::call::handler_error::HandlerError;
use crate::catalogue::tool::ToolFuture;
use crate::catalogue::tool_entry::ToolEntry;
use crate::outcome;
use crate::tasks::promote::ToolReply;
use carryall_proto::{BoxFuture, CallError, Message, Outcome, Reply, Response};
use carryall_types::{ErrorObject, RawJson, RequestId};
use futures_core::Stream;
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Sleep;

/// The future of a handler, by what becomes of its output.
pub(crate) enum PendingHandler {
    Tool(ToolFuture, Arc<ToolEntry>),
    /// A tool whose call may become a task.
    PromotableTool(BoxFuture<Result<ToolReply, HandlerError>>, Arc<ToolEntry>),
    /// A prompt, a resource or a completion, which writes its own result.
    Other(BoxFuture<Result<RawJson, HandlerError>>),
}

/// One call of a handler until its outcome.
pub(crate) struct HandlerFuture {
    handler: PendingHandler,
    ctx: Ctx,
    id: RequestId,
    /// Released when the handler ends, however long the client takes to read the reply.
    permit: Option<Permit>,
    limit: Option<Duration>,
    /// Created when the handler is first pending.
    timer: Option<Pin<Box<Sleep>>>,
    outcome: Option<Outcome>,
}

impl HandlerFuture {
    pub(crate) fn new(
        handler: PendingHandler,
        ctx: Ctx,
        permit: Permit,
        limit: Option<Duration>,
    ) -> Self {
        let id = ctx.request_id().clone();
        Self {
            handler,
            ctx,
            id,
            permit: Some(permit),
            limit,
            timer: None,
            outcome: None,
        }
    }

    fn poll_outcome(&mut self, cx: &mut Context<'_>) -> Poll<Outcome> {
        let polled = catch_panic(|| match &mut self.handler {
            PendingHandler::Tool(handler, entry) => handler
                .as_mut()
                .poll(cx)
                .map(|output| outcome::of_tool(&self.ctx, entry, output)),
            PendingHandler::PromotableTool(handler, entry) => {
                handler.as_mut().poll(cx).map(|reply| match reply {
                    Ok(ToolReply::Output(output)) => outcome::of_tool(&self.ctx, entry, Ok(output)),
                    Ok(ToolReply::Task(task)) => outcome::of_promoted_call(&self.ctx, &task),
                    Err(error) => outcome::of_tool(&self.ctx, entry, Err(error)),
                })
            }
            PendingHandler::Other(handler) => handler
                .as_mut()
                .poll(cx)
                .map(|result| outcome::of_other(&self.ctx, result)),
        });
        let polled = polled.unwrap_or_else(|error| Poll::Ready(Outcome::Error(error)));
        let polled = match (polled, self.limit) {
            (Poll::Pending, Some(limit)) => self.poll_timeout(limit, cx),
            (polled, _) => polled,
        };
        if polled.is_ready() {
            self.permit = None;
        }
        polled
    }

    fn poll_timeout(&mut self, limit: Duration, cx: &mut Context<'_>) -> Poll<Outcome> {
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        timer.as_mut().poll(cx).map(|()| match &self.handler {
            PendingHandler::Tool(..) | PendingHandler::PromotableTool(..) => {
                outcome::tool_timed_out(&self.ctx, limit)
            }
            PendingHandler::Other(_) => outcome::timed_out(&self.ctx, limit),
        })
    }

    fn respond(&self, outcome: Outcome) -> Response {
        Response {
            id: self.id.clone(),
            outcome,
        }
    }

    fn into_stream(self) -> Reply {
        Reply::Stream(Box::pin(HandlerStream(Some(Box::new(self)))))
    }
}

impl Drop for HandlerFuture {
    /// Cancelled or done: clones of the context that live on in other tasks can send no more.
    fn drop(&mut self) {
        self.ctx.outbox().close();
    }
}

/// The answer of a server to one call.
pub struct ServerFuture(ServerFutureState);

enum ServerFutureState {
    Ready(Option<Reply>),
    Handler(Option<HandlerFuture>),
    Layered(BoxFuture<Result<Reply, CallError>>, RequestId),
}

impl ServerFuture {
    pub(crate) fn ready(reply: impl Into<Reply>) -> Self {
        Self(ServerFutureState::Ready(Some(reply.into())))
    }

    pub(crate) fn handler(handler: HandlerFuture) -> Self {
        Self(ServerFutureState::Handler(Some(handler)))
    }

    /// The answer of a service around the server or a tool.
    pub(crate) fn layered(future: BoxFuture<Result<Reply, CallError>>, id: RequestId) -> Self {
        Self(ServerFutureState::Layered(future, id))
    }
}

impl Future for ServerFuture {
    type Output = Result<Reply, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            ServerFutureState::Ready(reply) => reply
                .take()
                .map_or(Poll::Pending, |reply| Poll::Ready(Ok(reply))),
            ServerFutureState::Layered(future, id) => {
                match catch_panic(|| future.as_mut().poll(cx)) {
                    Ok(Poll::Pending) => Poll::Pending,
                    Ok(Poll::Ready(Ok(reply))) => Poll::Ready(Ok(reply)),
                    Ok(Poll::Ready(Err(error))) => {
                        tracing::error!(%error, "a layer failed");
                        Poll::Ready(Ok(
                            Response::error(id.clone(), ErrorObject::internal()).into()
                        ))
                    }
                    Err(error) => Poll::Ready(Ok(Response::error(id.clone(), error).into())),
                }
            }
            ServerFutureState::Handler(slot) => {
                let Some(mut handler) = slot.take() else {
                    return Poll::Pending;
                };
                match handler.poll_outcome(cx) {
                    Poll::Ready(outcome) if handler.ctx.outbox().close() => {
                        Poll::Ready(Ok(Reply::Once(handler.respond(outcome))))
                    }
                    Poll::Ready(outcome) => {
                        handler.outcome = Some(outcome);
                        Poll::Ready(Ok(handler.into_stream()))
                    }
                    Poll::Pending if !handler.ctx.outbox().is_empty() => {
                        Poll::Ready(Ok(handler.into_stream()))
                    }
                    Poll::Pending => {
                        handler.ctx.outbox().register(cx);
                        // Another task may have sent something between the check and the
                        // registration.
                        if !handler.ctx.outbox().is_empty() {
                            return Poll::Ready(Ok(handler.into_stream()));
                        }
                        *slot = Some(handler);
                        Poll::Pending
                    }
                }
            }
        }
    }
}

impl fmt::Debug for ServerFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerFuture")
    }
}

/// The messages of a handler that has sent a notification.
struct HandlerStream(Option<Box<HandlerFuture>>);

impl Stream for HandlerStream {
    type Item = Result<Message, CallError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(handler) = self.0.as_mut() else {
            return Poll::Ready(None);
        };
        if let Some(notification) = handler.ctx.outbox().pop() {
            return Poll::Ready(Some(Ok(Message::Notification(notification))));
        }
        if handler.outcome.is_none() {
            if let Poll::Ready(outcome) = handler.poll_outcome(cx) {
                handler.ctx.outbox().close();
                handler.outcome = Some(outcome);
            }
            handler.ctx.outbox().register(cx);
            if let Some(notification) = handler.ctx.outbox().pop() {
                return Poll::Ready(Some(Ok(Message::Notification(notification))));
            }
        }
        match handler.outcome.take() {
            Some(outcome) => {
                let response = handler.respond(outcome);
                self.0 = None;
                Poll::Ready(Some(Ok(Message::Response(response))))
            }
            None => Poll::Pending,
        }
    }
}
