//! The task that a call runs as, and the request of a handler to become one.

use super::handler_error::HandlerError;
use carryall_proto::sync::Mutex;
use carryall_types::{ErrorObject, InputRequests, JsonObject, JsonValue};
use futures_core::future::BoxFuture;
use std::future::poll_fn;
use std::task::{Context, Poll, Waker};

/// A task, as the context of its call uses it.
pub(crate) trait CallTask: Send + Sync {
    /// Asks questions, and waits for all of their answers (`tasks#task-update-requests`).
    fn ask<'a>(
        &'a self,
        questions: &'a InputRequests,
    ) -> BoxFuture<'a, Result<JsonObject, HandlerError>>;

    /// Stores the outcome of a step of [`Ctx::once`](crate::Ctx::once).
    fn record_step<'a>(
        &'a self,
        key: &'a str,
        outcome: &'a JsonValue,
    ) -> BoxFuture<'a, Result<(), HandlerError>>;

    /// Sets the status message (`tasks#tasks`).
    fn set_status_message(&self, message: String) -> BoxFuture<'_, ()>;
}

/// The request of a handler that its call become a task
/// ([`Ctx::become_task`](crate::Ctx::become_task)).
///
/// Whoever polls the handler owns the request: it promotes the call, or refuses.
#[derive(Debug, Default)]
pub(crate) struct TaskRequest(Mutex<TaskRequestState>);

#[derive(Debug, Default)]
struct TaskRequestState {
    is_made: bool,
    /// How often it was refused, and the last reason.
    refusals: u64,
    reason: Option<ErrorObject>,
    owner: Option<Waker>,
    waiters: Vec<Waker>,
}

impl TaskRequest {
    /// Makes the request, and waits until `is_task` holds or the owner refuses.
    ///
    /// Not cancel safe: the request stays.
    pub(crate) async fn wait(&self, is_task: impl Fn() -> bool) -> Result<(), ErrorObject> {
        let refusals_before = self.0.lock().refusals;
        poll_fn(|cx| {
            let mut state = self.0.lock();
            if is_task() {
                return Poll::Ready(Ok(()));
            }
            if state.refusals != refusals_before {
                let reason = state.reason.clone();
                return Poll::Ready(Err(reason.unwrap_or_else(ErrorObject::internal)));
            }
            state.is_made = true;
            state.waiters.push(cx.waker().clone());
            let owner = state.owner.take();
            drop(state);
            owner.into_iter().for_each(Waker::wake);
            Poll::Pending
        })
        .await
    }

    /// Whether the request is made. Wakes the owner when it is.
    pub(crate) fn is_made(&self, cx: &Context<'_>) -> bool {
        let mut state = self.0.lock();
        state.owner = Some(cx.waker().clone());
        state.is_made
    }

    /// Wakes the waiters: the call is a task now.
    pub(crate) fn grant(&self) {
        let waiters = std::mem::take(&mut self.0.lock().waiters);
        waiters.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn refuse(&self, reason: ErrorObject) {
        let mut state = self.0.lock();
        (state.is_made, state.reason) = (false, Some(reason));
        state.refusals += 1;
        let waiters = std::mem::take(&mut state.waiters);
        drop(state);
        waiters.into_iter().for_each(Waker::wake);
    }
}
