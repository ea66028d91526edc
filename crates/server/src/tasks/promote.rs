//! From a call to a task: the handler's future changes hands, and goes on where it is.

use super::engine::NotPromoted;
use super::{TaskEngine, TaskSupport, is_declared, required};
use crate::call::ctx::{Ctx, missing_capabilities};
use crate::call::handler_error::{ErrorKind, HandlerError};
use crate::call::output::ToolOutput;
use crate::catalogue::tool_entry::ToolEntry;
use carryall_proto::BoxFuture;
use carryall_types::ErrorObject;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::time::Sleep;

/// A handler at work.
pub(super) type Handler = BoxFuture<Result<ToolOutput, HandlerError>>;

/// A handler's wish to go on as a task.
#[derive(Debug, Default)]
pub(crate) struct TaskRequest(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    wished: bool,
    /// How often it was refused, and why the last time.
    refusals: u64,
    refused: Option<ErrorObject>,
    /// Who polls the handler, and can grant the wish.
    granter: Option<Waker>,
    /// Who waits for it to be granted.
    wishers: Vec<Waker>,
}

impl TaskRequest {
    /// Ends when the call of `ctx` has become a task, or cannot become one.
    async fn granted(&self, ctx: &Ctx) -> Result<(), ErrorObject> {
        let before = self.lock().refusals;
        poll_fn(|cx| {
            let mut state = self.lock();
            if ctx.task().is_some() {
                return Poll::Ready(Ok(()));
            }
            if state.refusals != before {
                return Poll::Ready(Err(state
                    .refused
                    .clone()
                    .unwrap_or_else(ErrorObject::internal)));
            }
            state.wished = true;
            state.wishers.push(cx.waker().clone());
            let granter = state.granter.take();
            drop(state);
            granter.into_iter().for_each(Waker::wake);
            Poll::Pending
        })
        .await
    }

    fn is_wished(&self, cx: &Context<'_>) -> bool {
        let mut state = self.lock();
        state.granter = Some(cx.waker().clone());
        state.wished
    }

    fn grant(&self) {
        let wishers = std::mem::take(&mut self.lock().wishers);
        wishers.into_iter().for_each(Waker::wake);
    }

    fn refuse(&self, why: ErrorObject) {
        let mut state = self.lock();
        (state.wished, state.refused) = (false, Some(why));
        state.refusals += 1;
        let wishers = std::mem::take(&mut state.wishers);
        drop(state);
        wishers.into_iter().for_each(Waker::wake);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What makes a task of a call that has begun.
enum Trigger {
    /// Nothing does any more: it cannot become one.
    Never,
    Time(Pin<Box<Sleep>>),
    TaskRequest(Arc<TaskRequest>),
}

impl Trigger {
    fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        match self {
            Self::Never => false,
            Self::Time(timer) => timer.as_mut().poll(cx).is_ready(),
            Self::TaskRequest(wish) => wish.is_wished(cx),
        }
    }
}

/// A tool's handler with what may make a task of its call.
pub(crate) fn as_task(
    engine: &Arc<TaskEngine>,
    ctx: &Ctx,
    entry: &Arc<ToolEntry>,
    handler: Handler,
) -> Handler {
    let declared = is_declared(ctx.client_capabilities());
    match entry.tool.task {
        TaskSupport::Always if !declared => {
            let missing = HandlerError::protocol(missing_capabilities(&[required()]));
            Box::pin(std::future::ready(Err(missing)))
        }
        TaskSupport::Always | TaskSupport::WhenPossible if declared => Box::pin(begun_as_task(
            Arc::clone(engine),
            ctx.clone(),
            Arc::clone(entry),
            handler,
        )),
        TaskSupport::After(time) if declared => {
            watched(engine, ctx, entry, handler, Trigger::Time(timer(time)))
        }
        TaskSupport::OnDemand => watched(
            engine,
            ctx,
            entry,
            handler,
            Trigger::TaskRequest(ctx.may_become_task()),
        ),
        TaskSupport::Never
        | TaskSupport::Always
        | TaskSupport::WhenPossible
        | TaskSupport::After(_) => handler,
    }
}

fn timer(time: Duration) -> Pin<Box<Sleep>> {
    Box::pin(tokio::time::sleep(time))
}

fn watched(
    engine: &Arc<TaskEngine>,
    ctx: &Ctx,
    entry: &Arc<ToolEntry>,
    mut handler: Handler,
    mut trigger: Trigger,
) -> Handler {
    let (engine, ctx, entry) = (Arc::clone(engine), ctx.clone(), Arc::clone(entry));
    Box::pin(async move {
        loop {
            let output = poll_fn(|cx| match handler.as_mut().poll(cx) {
                Poll::Ready(output) => Poll::Ready(Some(output)),
                Poll::Pending if trigger.poll(cx) => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            });
            if let Some(output) = output.await {
                return output;
            }
            let refused = match engine.adopt(&ctx, &entry, handler).await {
                Ok(task) => return Err(answered_with(task)),
                Err(refused) if refused.may_go_on => refused,
                Err(NotPromoted { error, .. }) => return Err(error.into()),
            };
            handler = refused.handler;
            match trigger {
                // What to do without a task is for the handler to say.
                Trigger::TaskRequest(ref wish) => {
                    wish.refuse(to_error(refused.error));
                    // One that tries again and again does so beside others.
                    tokio::task::yield_now().await;
                }
                // The handler has done part of its work. Whether a call becomes a task is the
                // server's choice alone (`tasks#task-creation`), so it goes on as a plain call, for
                // as long as one may take.
                _ => {
                    note_plain(&entry, &refused.error);
                    trigger = Trigger::Never;
                }
            }
        }
    })
}

/// Runs a handler as a task from the beginning; as a plain call if the tool may do so and there can
/// be no task.
async fn begun_as_task(
    engine: Arc<TaskEngine>,
    ctx: Ctx,
    entry: Arc<ToolEntry>,
    handler: Handler,
) -> Result<ToolOutput, HandlerError> {
    match engine.adopt(&ctx, &entry, handler).await {
        Ok(task) => Err(answered_with(task)),
        Err(refused) if refused.may_go_on && entry.tool.task == TaskSupport::WhenPossible => {
            note_plain(&entry, &refused.error);
            refused.handler.await
        }
        Err(NotPromoted { error, .. }) => Err(error.into()),
    }
}

fn answered_with(task: carryall_types::Task) -> HandlerError {
    HandlerError(ErrorKind::Task(Box::new(task)))
}

fn to_error(failure: HandlerError) -> ErrorObject {
    match failure.0 {
        ErrorKind::Protocol(error) => error,
        other => {
            tracing::error!(error = %other, "a call cannot become a task");
            ErrorObject::internal()
        }
    }
}

fn note_plain(entry: &ToolEntry, why: &HandlerError) {
    let tool = carryall_proto::Printable(&entry.tool.definition.name);
    tracing::info!(%tool, error = %why.0, "a call stays a plain one, since there can be no task");
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

    /// Goes on as a task: the client is answered with it, and what follows is done in the
    /// background. Does nothing in a call that is a task already. The tool has to be one that may
    /// become a task ([`TaskSupport::OnDemand`](crate::TaskSupport::OnDemand)).
    ///
    /// Questions that decide whether there is anything to do belong before it: they are asked in
    /// the rounds of the call (`tasks#task-creation`). Those behind it are asked by the task. Not
    /// cancel safe: the wish stays.
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
    /// let report = Tool::without_arguments("report", report).as_task(TaskSupport::OnDemand);
    /// Server::new("reports", "1.0.0").tool(report).build().unwrap();
    /// ```
    ///
    /// # Errors
    /// `-32021` when the client takes no tasks; `-32603` when the tool is not one that may become a
    /// task, or there can be no further task at the moment. A handler that does not return this
    /// error goes on as a plain call, within its time, and may try again.
    pub async fn become_task(&self) -> Result<(), HandlerError> {
        if self.is_task() {
            return Ok(());
        }
        self.require(&required())?;
        let Some(wish) = self.wish() else {
            tracing::error!(
                "a handler wants to become a task, and its tool does not say TaskSupport::OnDemand"
            );
            return Err(HandlerError::protocol(
                carryall_types::ErrorObject::internal(),
            ));
        };
        wish.granted(self).await.map_err(HandlerError::protocol)
    }

    /// From now on this is a task.
    pub(super) fn now_task(&self, run: Arc<super::Run>) {
        self.set_task(run);
        if let Some(wish) = self.wish() {
            wish.grant();
        }
    }
}
