//! Creates the tasks of a server, and starts their workers.

use super::options::TaskOptions;
use super::record::{KIND, TaskRecord};
use super::task_store::TaskStore;
use super::worker::TaskWorker;
use super::workers::{WorkerGuard, Workers};
use crate::call::ctx::Ctx;
use crate::call::handler_error::HandlerError;
use crate::catalogue::tool::ToolFuture;
use crate::catalogue::tool_entry::ToolEntry;
use crate::clock::now;
use crate::environment::Environment;
use crate::live_catalogue::LiveCatalogue;
use crate::random;
use carryall_proto::budget::{Amount, Budget};
use carryall_proto::task::log_id;
use carryall_proto::{Caller, Principal};
use carryall_types::{ErrorObject, Task, code};
use std::fmt;
use std::sync::Arc;

/// The tasks of a server.
pub(crate) struct TaskEngine {
    pub(super) store: Arc<TaskStore>,
    pub(super) workers: Arc<Workers>,
    /// Limits the tasks that this process works on, by caller. Tasks that it took over from other
    /// replicas do not count.
    running: Budget,
    pub(super) environment: Arc<Environment>,
    pub(super) catalogue: Arc<LiveCatalogue>,
}

/// Why a call did not become a task.
pub(super) struct NotPromoted {
    pub(super) error: HandlerError,
    /// Whether the handler may go on in the call. It may not if the task may be in the store after
    /// all, and would do the same work again.
    pub(super) may_go_on: bool,
}

impl TaskEngine {
    pub(crate) fn new(
        options: TaskOptions,
        environment: Arc<Environment>,
        catalogue: Arc<LiveCatalogue>,
    ) -> Self {
        let unlimited = Amount::new(usize::MAX, usize::MAX);
        let per_caller = Amount::new(options.max_running_per_caller, usize::MAX);
        let subscriptions = Arc::clone(catalogue.subscriptions());
        let store = TaskStore::new(options, Arc::clone(&environment), subscriptions);
        Self {
            store: Arc::new(store),
            workers: Arc::default(),
            running: Budget::new(unlimited, per_caller),
            environment,
            catalogue,
        }
    }

    /// Creates a task for a call. It is in the store when this returns; its worker is yet to be
    /// started.
    pub(super) async fn create(
        &self,
        ctx: &Ctx,
        entry: &ToolEntry,
    ) -> Result<(Task, RegisteredWorker), NotPromoted> {
        let refused = |error: HandlerError| NotPromoted {
            error,
            may_go_on: true,
        };
        let at_limit = |message| {
            let error = ErrorObject::new(code::INTERNAL_ERROR, message);
            refused(HandlerError::protocol(error))
        };
        if self.is_at_limit() {
            return Err(at_limit(
                "The server is at its limit of running tasks; try again later",
            ));
        }
        let caller = Caller::accountable(ctx.call());
        let reservation = self.running.reserve(&caller, 0).map_err(|_| {
            at_limit("This caller is at its limit of running tasks; try again when some have ended")
        })?;
        // Unguessable (`tasks#security-considerations`).
        let id = random::name().map_err(|error| refused(HandlerError::internal(error)))?;
        let journal = ctx.journal().map_err(refused)?.to_record();
        let record = TaskRecord::new(ctx, entry, &self.store.options, journal, now());
        let row = record.to_row(id.clone());
        if let Err(error) = self.store.insert(&caller, row.clone()).await {
            // A task that is stored after all is resumed when its lease has ended, if it can be.
            let is_resumed = error.may_be_stored() && entry.tool.resumable;
            return Err(NotPromoted {
                error: HandlerError::protocol(error.into()),
                may_go_on: !is_resumed,
            });
        }
        let mut worker = TaskWorker::new(Arc::clone(&self.store), &row, record.fencing_token());
        worker.account_to(caller, Some(reservation));
        Ok((record.task(&id), self.register(worker)))
    }

    /// Whether this process works on as many tasks as it may.
    pub(super) fn is_at_limit(&self) -> bool {
        self.workers.len() >= self.store.options.max_running
    }

    /// Registers a worker.
    pub(super) fn register(&self, worker: TaskWorker) -> RegisteredWorker {
        let worker = Arc::new(worker);
        let guard = self.workers.register(&worker);
        RegisteredWorker { worker, guard }
    }

    /// Returns which of these tasks the caller may subscribe to, at most `limit`.
    pub(crate) async fn listenable(
        &self,
        ids: &[String],
        caller: Option<&Principal>,
        limit: usize,
    ) -> Vec<String> {
        let mut listenable: Vec<String> = Vec::new();
        for id in ids.iter().take(limit) {
            if !listenable.contains(id) && self.store.get(id, caller).await.is_ok() {
                listenable.push(id.clone());
            }
        }
        listenable
    }

    /// Notifies subscribers of the present state of these tasks. What they were notified of last is
    /// repeated only if `again`.
    pub(crate) async fn publish(&self, ids: impl IntoIterator<Item = String>, again: bool) {
        for id in ids {
            match self.store.rows().get(KIND, &id, now()).await {
                Ok(Some(row)) => {
                    if let Some(record) = TaskRecord::read(&row) {
                        self.store.publish(&id, &record, row.version, again);
                    }
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(%error, task = log_id(&id), "subscribers are not notified of a task");
                }
            }
        }
    }
}

/// A worker that is registered, and yet to be run.
pub(super) struct RegisteredWorker {
    pub(super) worker: Arc<TaskWorker>,
    guard: WorkerGuard,
}

impl RegisteredWorker {
    /// Runs the worker in a task of its own: its work outlives the call, and that of one task must
    /// not hold up others. It ends when the task has ended or its lease is lost.
    pub(super) fn spawn(self, ctx: Ctx, entry: Arc<ToolEntry>, handler: ToolFuture) {
        tokio::spawn(async move {
            self.worker.run(ctx, entry, handler).await;
            drop(self.guard);
        });
    }
}

impl fmt::Debug for TaskEngine {
    /// Without the ids of tasks.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskEngine")
            .field("options", &self.store.options)
            .finish_non_exhaustive()
    }
}
