//! Makes a task of a call whose handler is running: the handler's future changes hands, and goes on
//! where it is.

use super::engine::{NotPromoted, TaskEngine};
use super::options::TaskSupport;
use super::{is_declared, required};
use crate::call::ctx::Ctx;
use crate::call::errors::missing_capabilities;
use crate::call::handler_error::{ErrorKind, HandlerError};
use crate::call::task::TaskRequest;
use crate::call::tool_output::ToolOutput;
use crate::catalogue::tool::ToolFuture;
use crate::catalogue::tool_entry::ToolEntry;
use carryall_proto::{BoxFuture, Printable};
use carryall_types::{ErrorObject, Task};
use std::future::{poll_fn, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Sleep;

/// How a call of a tool that supports tasks is answered.
pub(crate) enum ToolReply {
    Output(ToolOutput),
    /// The call has become this task.
    Task(Box<Task>),
}

/// A running handler of a tool that supports tasks.
pub(crate) enum PromotableHandler {
    /// This call cannot become a task.
    Plain(ToolFuture),
    Promotable(BoxFuture<Result<ToolReply, HandlerError>>),
}

/// Makes a task of the handler's call, if and when the tool says so.
pub(crate) fn with_task_support(
    engine: &Arc<TaskEngine>,
    ctx: &Ctx,
    entry: &Arc<ToolEntry>,
    handler: ToolFuture,
) -> PromotableHandler {
    let is_declared = is_declared(ctx.client_capabilities());
    let promotion = || Promotion {
        engine: Arc::clone(engine),
        ctx: ctx.clone(),
        entry: Arc::clone(entry),
    };
    PromotableHandler::Promotable(match entry.tool.task {
        TaskSupport::Always if !is_declared => {
            let missing = HandlerError::protocol(missing_capabilities(&[required()]));
            Box::pin(ready(Err(missing)))
        }
        TaskSupport::Always | TaskSupport::WhenPossible if is_declared => {
            Box::pin(promotion().at_once(handler))
        }
        TaskSupport::After(time) if is_declared => {
            Box::pin(promotion().on(Trigger::after(time), handler))
        }
        TaskSupport::OnDemand => {
            let trigger = Trigger::Request(ctx.allow_task_request());
            Box::pin(promotion().on(trigger, handler))
        }
        TaskSupport::Never
        | TaskSupport::Always
        | TaskSupport::WhenPossible
        | TaskSupport::After(_) => return PromotableHandler::Plain(handler),
    })
}

/// What makes a task of a running call.
enum Trigger {
    Never,
    Timer(Pin<Box<Sleep>>),
    Request(Arc<TaskRequest>),
}

impl Trigger {
    fn after(time: Duration) -> Self {
        Self::Timer(Box::pin(tokio::time::sleep(time)))
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        match self {
            Self::Never => false,
            Self::Timer(timer) => timer.as_mut().poll(cx).is_ready(),
            Self::Request(request) => request.is_made(cx),
        }
    }
}

/// A call that may become a task.
struct Promotion {
    engine: Arc<TaskEngine>,
    ctx: Ctx,
    entry: Arc<ToolEntry>,
}

impl Promotion {
    /// Runs the handler as a task from the beginning. Where there is no room for a task, runs it as
    /// a plain call if the tool allows that.
    async fn at_once(self, handler: ToolFuture) -> Result<ToolReply, HandlerError> {
        let (refused, handler) = match self.promote(handler).await {
            Ok(task) => return Ok(ToolReply::Task(task)),
            Err(not_promoted) => not_promoted,
        };
        if !refused.may_go_on || self.entry.tool.task != TaskSupport::WhenPossible {
            return Err(refused.error);
        }
        self.log_plain_call(&refused.error);
        handler.await.map(ToolReply::Output)
    }

    /// Runs the handler as a plain call until the trigger fires.
    async fn on(
        self,
        mut trigger: Trigger,
        mut handler: ToolFuture,
    ) -> Result<ToolReply, HandlerError> {
        loop {
            let output = poll_fn(|cx| match handler.as_mut().poll(cx) {
                Poll::Ready(output) => Poll::Ready(Some(output)),
                Poll::Pending if trigger.poll(cx) => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            });
            if let Some(output) = output.await {
                return output.map(ToolReply::Output);
            }
            let refused;
            (refused, handler) = match self.promote(handler).await {
                Ok(task) => return Ok(ToolReply::Task(task)),
                Err(not_promoted) => not_promoted,
            };
            if !refused.may_go_on {
                return Err(refused.error);
            }
            match trigger {
                // The handler decides what to do without a task.
                Trigger::Request(ref request) => {
                    request.refuse(to_error_object(refused.error));
                    // A handler that asks again and again must not starve others.
                    tokio::task::yield_now().await;
                }
                // The handler has done part of its work, and whether a call becomes a task is the
                // server's choice alone (`tasks#task-creation`): it goes on as a plain call.
                Trigger::Timer(_) | Trigger::Never => {
                    self.log_plain_call(&refused.error);
                    trigger = Trigger::Never;
                }
            }
        }
    }

    /// Makes the call a task. If that fails, the handler comes back as it was.
    async fn promote(&self, handler: ToolFuture) -> Result<Box<Task>, (NotPromoted, ToolFuture)> {
        match self.engine.create(&self.ctx, &self.entry).await {
            Ok((task, registered)) => {
                let worker = Arc::clone(&registered.worker);
                self.ctx.set_task(worker);
                registered.spawn(self.ctx.clone(), Arc::clone(&self.entry), handler);
                Ok(Box::new(task))
            }
            Err(not_promoted) => Err((not_promoted, handler)),
        }
    }

    fn log_plain_call(&self, error: &HandlerError) {
        let tool = Printable(self.entry.tool.name());
        tracing::info!(%tool, %error, "no task can be created; the call stays a plain one");
    }
}

fn to_error_object(error: HandlerError) -> ErrorObject {
    match error.0 {
        ErrorKind::Protocol(error) => error,
        other => {
            tracing::error!(error = %other, "a call cannot become a task");
            ErrorObject::internal()
        }
    }
}

impl Ctx {
    /// Whether the client accepts a task instead of a result, on this request.
    #[must_use]
    pub fn takes_tasks(&self) -> bool {
        is_declared(self.client_capabilities())
    }

    /// Whether the call runs as a task.
    #[must_use]
    pub fn is_task(&self) -> bool {
        self.task().is_some()
    }

    /// Makes the call a task: the client is answered with the task, and the handler goes on in the
    /// background. Does nothing if the call is a task already. The tool has to support it
    /// ([`TaskSupport::OnDemand`](crate::TaskSupport::OnDemand)).
    ///
    /// Ask questions that decide whether there is anything to do before this: they are asked in the
    /// rounds of the call (`tasks#task-creation`). Questions after it are asked by the task.
    ///
    /// Not cancel safe: when the future is dropped, the call may become a task nevertheless.
    ///
    /// ```
    /// use carryall_server::{Ctx, ElicitOutcome, Form, Server, TaskSupport, Tool, HandlerError};
    ///
    /// #[derive(serde::Deserialize, schemars::JsonSchema)]
    /// struct Scope {
    ///     /// How many years back?
    ///     years: u32,
    /// }
    ///
    /// async fn report(ctx: Ctx) -> Result<String, HandlerError> {
    ///     let ElicitOutcome::Accepted(scope) = ctx.ask(Form::<Scope>::new("What shall it cover?")).await? else {
    ///         return Ok("no report then".into());
    ///     };
    ///     ctx.become_task().await?;
    ///     Ok(format!("the last {} years", scope.years))
    /// }
    ///
    /// let report = Tool::new("report", report).as_task(TaskSupport::OnDemand);
    /// Server::new("reports", "1.0.0").tool(report).build().unwrap();
    /// ```
    ///
    /// # Errors
    /// `-32021` when the client does not accept tasks; `-32603` when the tool does not support it, or
    /// there is no room for another task at the moment. A handler that does not return this error
    /// goes on as a plain call, within its timeout, and may try again.
    pub async fn become_task(&self) -> Result<(), HandlerError> {
        if self.is_task() {
            return Ok(());
        }
        self.require(&required())?;
        let Some(request) = self.task_request() else {
            tracing::error!(
                "a handler asks to become a task, and its tool does not have TaskSupport::OnDemand"
            );
            return Err(HandlerError::protocol(ErrorObject::internal()));
        };
        request
            .wait(|| self.is_task())
            .await
            .map_err(HandlerError::protocol)
    }
}
