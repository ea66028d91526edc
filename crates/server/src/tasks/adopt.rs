//! From a call to a task: the handler's future changes hands, and goes on where it is.

use super::{Engine, TaskSupport, is_declared, required};
use crate::ctx::{Ctx, missing_capabilities};
use crate::output::{Failure, ToolError, ToolOutput};
use crate::tool_entry::ToolEntry;
use carryall_proto::BoxFuture;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::time::Sleep;

/// A handler at work.
type Handler = BoxFuture<Result<ToolOutput, ToolError>>;

/// A handler's wish to go on as a task.
#[derive(Debug, Default)]
pub(crate) struct Wish(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    wished: bool,
    /// Who polls the handler, and can grant the wish.
    granter: Option<Waker>,
    /// Who waits for it to be granted.
    wishers: Vec<Waker>,
}

impl Wish {
    /// Ends when the call of `ctx` has become a task.
    async fn granted(&self, ctx: &Ctx) {
        poll_fn(|cx| {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if ctx.task().is_some() {
                return Poll::Ready(());
            }
            state.wished = true;
            state.wishers.push(cx.waker().clone());
            let granter = state.granter.take();
            drop(state);
            granter.into_iter().for_each(Waker::wake);
            Poll::Pending
        })
        .await;
    }

    fn is_wished(&self, cx: &Context<'_>) -> bool {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.granter = Some(cx.waker().clone());
        state.wished
    }

    fn grant(&self) {
        let wishers = std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner).wishers);
        wishers.into_iter().for_each(Waker::wake);
    }
}

/// What makes a task of a call that has begun.
enum Trigger {
    Time(Pin<Box<Sleep>>),
    Wish(Arc<Wish>),
}

impl Trigger {
    fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        match self {
            Self::Time(timer) => timer.as_mut().poll(cx).is_ready(),
            Self::Wish(wish) => wish.is_wished(cx),
        }
    }
}

/// A tool's handler with what may make a task of its call.
pub(crate) fn as_task(engine: &Arc<Engine>, ctx: &Ctx, entry: &Arc<ToolEntry>, handler: Handler) -> Handler {
    let declared = is_declared(ctx.client_capabilities());
    match entry.tool.task {
        TaskSupport::Always if !declared => {
            let missing = ToolError::protocol(missing_capabilities(&[required()]));
            Box::pin(std::future::ready(Err(missing)))
        }
        TaskSupport::Always | TaskSupport::WhenPossible if declared => {
            Box::pin(hand_over(Arc::clone(engine), ctx.clone(), Arc::clone(entry), handler))
        }
        TaskSupport::After(time) if declared => watched(engine, ctx, entry, handler, Trigger::Time(timer(time))),
        TaskSupport::OnDemand => watched(engine, ctx, entry, handler, Trigger::Wish(ctx.may_become_task())),
        TaskSupport::Never | TaskSupport::Always | TaskSupport::WhenPossible | TaskSupport::After(_) => handler,
    }
}

fn timer(time: Duration) -> Pin<Box<Sleep>> {
    Box::pin(tokio::time::sleep(time))
}

fn watched(
    engine: &Arc<Engine>,
    ctx: &Ctx,
    entry: &Arc<ToolEntry>,
    mut handler: Handler,
    mut trigger: Trigger,
) -> Handler {
    let (engine, ctx, entry) = (Arc::clone(engine), ctx.clone(), Arc::clone(entry));
    Box::pin(async move {
        let output = poll_fn(|cx| match handler.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if trigger.poll(cx) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        });
        match output.await {
            Some(output) => output,
            None => hand_over(engine, ctx, entry, handler).await,
        }
    })
}

async fn hand_over(
    engine: Arc<Engine>,
    ctx: Ctx,
    entry: Arc<ToolEntry>,
    handler: Handler,
) -> Result<ToolOutput, ToolError> {
    let task = engine.adopt(&ctx, entry, handler).await?;
    Err(ToolError(crate::output::Refusal::Task(Box::new(task))))
}

impl Ctx {
    /// Whether the client takes a task instead of a result, on this request.
    #[must_use]
    pub fn takes_tasks(&self) -> bool {
        is_declared(self.client_capabilities())
    }

    /// Whether the call runs as a task.
    #[must_use]
    pub fn is_task(&self) -> bool {
        self.task().is_some()
    }

    /// Goes on as a task: the client is answered with it, and what follows is done in the background. Does nothing in a call
    /// that is a task already. The tool has to be one that may become a task
    /// ([`TaskSupport::OnDemand`](crate::TaskSupport::OnDemand)).
    ///
    /// Questions that decide whether there is anything to do belong before it: they are asked in the rounds of the call
    /// (`tasks#task-creation`). Those behind it are asked by the task. Not cancel safe: the wish stays.
    ///
    /// ```
    /// use carryall_server::{Ctx, Elicited, Form, Server, TaskSupport, Tool, ToolError};
    ///
    /// #[derive(serde::Deserialize, schemars::JsonSchema)]
    /// struct Scope {
    ///     /// How many years back?
    ///     years: u32,
    /// }
    ///
    /// async fn report(ctx: Ctx) -> Result<String, ToolError> {
    ///     let Elicited::Accepted(scope) = ctx.ask(Form::<Scope>::new("What shall it cover?")).await? else {
    ///         return Ok("no report then".into());
    ///     };
    ///     ctx.become_task().await?;
    ///     Ok(format!("the last {} years", scope.years))
    /// }
    ///
    /// let report = Tool::without_arguments("report", report).as_task(TaskSupport::OnDemand);
    /// Server::new("reports", "1.0.0").tool(report).build().unwrap();
    /// ```
    ///
    /// # Errors
    /// `-32021` when the client takes no tasks; `-32603` when the tool is not one that may become a task.
    pub async fn become_task(&self) -> Result<(), Failure> {
        if self.is_task() {
            return Ok(());
        }
        self.require(&required())?;
        let Some(wish) = self.wish() else {
            tracing::error!("a handler wants to become a task, and its tool does not say TaskSupport::OnDemand");
            return Err(Failure::protocol(carryall_types::ErrorObject::internal()));
        };
        wish.granted(self).await;
        Ok(())
    }

    /// From now on this is a task.
    pub(super) fn now_task(&self, run: Arc<super::Run>) {
        self.set_task(run);
        if let Some(wish) = self.wish() {
            wish.grant();
        }
    }
}
