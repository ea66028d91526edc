//! The methods of the extension, and who works on what in this process.

use super::promote::Handler;
use super::record::{KIND, Record};
use super::{Run, Tasks, is_declared, required, takeover};
use crate::call::ctx::{Ctx, missing_capabilities};
use crate::call::errors;
use crate::call::handler_error::HandlerError;
use crate::catalogue::tool_entry::ToolEntry;
use crate::clock::now;
use crate::core::Core;
use crate::random;
use crate::replication::Background;
use crate::state::quota::Ledger;
use carryall_proto::budget::{Amount, Budget, BudgetExceeded};
use carryall_proto::task::log_id;
use carryall_proto::{BoxFuture, Call, Caller, Principal, Response};
use carryall_store::{Row, Store, StoreError};
use carryall_types::{
    ErrorObject, JsonObject, RawJson, Task, TaskParams, UpdateTaskParams, code, task_method,
};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

/// How often a request tries a store that fails before its client is told.
const TRIES: u32 = 3;
/// How long it waits in between, at first.
const PAUSE: Duration = Duration::from_millis(50);
/// How many others may get ahead of one change to a row before something must be wrong.
const CONFLICTS: u32 = 1_000;

/// Ids are shorter; what is longer is not looked for.
const MAX_ID_BYTES: usize = 128;

/// The tasks of a server.
pub(crate) struct TaskEngine {
    pub(super) settings: Tasks,
    /// The name of the server.
    server: String,
    store: Arc<dyn Store>,
    /// What the tasks that this process has written keep in the store.
    pub(super) kept: Ledger,
    /// The tasks that this process works on, by caller. Those that it took over from others are not
    /// in it.
    running: Budget,
    core: OnceLock<Weak<Core>>,
    /// The tasks that this process works on.
    runs: Mutex<HashMap<String, Arc<Run>>>,
    keeping: OnceLock<Background>,
}

impl TaskEngine {
    pub(crate) fn new(settings: Tasks, store: Arc<dyn Store>, server: String) -> Self {
        let kept = Ledger::new(settings.limits.0, settings.limits.1);
        let any = Amount::new(usize::MAX, usize::MAX);
        let running = Budget::new(
            any,
            Amount::new(settings.max_running_per_caller, usize::MAX),
        );
        let (runs, core, keeping) = (Mutex::default(), OnceLock::new(), OnceLock::new());
        Self {
            settings,
            server,
            store,
            kept,
            running,
            core,
            runs,
            keeping,
        }
    }

    /// Whether this is a task of this server.
    pub(super) fn owns(&self, record: &Record) -> bool {
        record.is_of(&self.server)
    }

    pub(super) fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    pub(super) fn core(&self) -> Option<Arc<Core>> {
        self.core.get()?.upgrade()
    }

    /// Begins to listen to the store and to look after abandoned tasks, as soon as there is an
    /// executor to do it on.
    pub(crate) fn start(self: &Arc<Self>, core: &Arc<Core>) {
        if self.keeping.get().is_some() {
            return;
        }
        let Ok(executor) = tokio::runtime::Handle::try_current() else {
            return;
        };
        self.core.get_or_init(|| Arc::downgrade(core));
        let changes = self.store().changes(KIND);
        self.keeping.get_or_init(|| {
            let tick = self.settings.lease / 3;
            Background(vec![executor.spawn(takeover::keep(
                Arc::downgrade(self),
                changes,
                tick,
            ))])
        });
    }

    /// RoundAnswers one of the extension's methods; `None` if it is not one of them.
    pub(crate) fn answer(
        self: &Arc<Self>,
        core: &Arc<Core>,
        call: &Call,
    ) -> Result<BoxFuture<Result<RawJson, ErrorObject>>, ErrorObject> {
        let method = call.method.as_str();
        if !matches!(
            method,
            task_method::GET | task_method::UPDATE | task_method::CANCEL
        ) {
            return Err(errors::method_not_found(method));
        }
        if !is_declared(call.meta.client_capabilities()) {
            return Err(missing_capabilities(&[required()]));
        }
        let (engine, core, caller) = (Arc::clone(self), Arc::clone(core), call.principal.clone());
        let accountable = Caller::accountable(call);
        let params = call.params.raw();
        Ok(match method {
            task_method::GET => {
                let TaskParams { task_id } = params.decode().map_err(errors::invalid_params)?;
                Box::pin(async move {
                    let (_, record) = engine.owned(&task_id, caller.as_deref()).await?;
                    Ok(record.detailed(&task_id, &core.stamp))
                })
            }
            task_method::UPDATE => {
                let params: UpdateTaskParams = params.decode().map_err(errors::invalid_params)?;
                Box::pin(async move {
                    engine
                        .update(&params, caller.as_deref(), &accountable)
                        .await?;
                    acknowledged(&core)
                })
            }
            _ => {
                let TaskParams { task_id } = params.decode().map_err(errors::invalid_params)?;
                Box::pin(async move {
                    engine.cancel(&task_id, caller.as_deref()).await?;
                    acknowledged(&core)
                })
            }
        })
    }

    /// The task, if the caller may know of it. To strangers there is no such task.
    async fn owned(
        &self,
        id: &str,
        caller: Option<&Principal>,
    ) -> Result<(Row, Record), ErrorObject> {
        if id.len() > MAX_ID_BYTES {
            return Err(errors::unknown("task", id));
        }
        let found = retry_briefly(|| self.store().get(KIND, id, now())).await?;
        let found = found.and_then(|row| Record::read(&row).map(|record| (row, record)));
        let found = found.filter(|(_, record)| record.belongs_to(caller) && self.owns(record));
        found.ok_or_else(|| errors::unknown("task", id))
    }

    /// Takes in answers (`tasks#task-update-requests`).
    async fn update(
        &self,
        params: &UpdateTaskParams,
        caller: Option<&Principal>,
        accountable: &Caller,
    ) -> Result<(), ErrorObject> {
        self.owned(&params.task_id, caller).await?;
        let mut wrong = None;
        let answered = |record: &mut Record| {
            if record.status.is_terminal() {
                return false;
            }
            record
                .answer(&params.input_responses)
                .unwrap_or_else(|why| {
                    wrong = Some(why);
                    false
                })
        };
        self.change_soon(&params.task_id, Some(accountable), answered)
            .await?;
        wrong.map_or(Ok(()), |why| Err(errors::invalid_params(why)))
    }

    /// Ends a task, unless it has ended (`tasks#task-cancellation`). Whoever works on it learns
    /// that there is nothing more to do.
    async fn cancel(&self, id: &str, caller: Option<&Principal>) -> Result<(), ErrorObject> {
        self.owned(id, caller).await?;
        let cancelled = |record: &mut Record| {
            let running = !record.status.is_terminal();
            if running {
                record.cancel();
            }
            running
        };
        self.change_soon(id, None, cancelled).await
    }

    async fn change_soon(
        &self,
        id: &str,
        accountable: Option<&Caller>,
        mut change: impl FnMut(&mut Record) -> bool,
    ) -> Result<(), ErrorObject> {
        for tried in 1.. {
            match self.change(id, accountable, &mut change).await {
                Ok(_) => break,
                Err(NotChanged::TooLarge) => return Err(errors::task_too_large()),
                Err(NotChanged::Store(error)) if tried == TRIES => {
                    return Err(unavailable(&error).into());
                }
                Err(NotChanged::Store(_)) => tokio::time::sleep(PAUSE * tried).await,
            }
        }
        Ok(())
    }

    /// Atomically updates a task, retrying on version conflict. `change` says whether there is
    /// anything to write; it may run more than once. Returns the task and the version of its row as
    /// they are now, if it was changed.
    ///
    /// What the task keeps is accounted to `accountable`, unless it is accounted to somebody
    /// already. Without one the change is not refused for its size.
    pub(super) async fn change(
        &self,
        id: &str,
        accountable: Option<&Caller>,
        mut change: impl FnMut(&mut Record) -> bool,
    ) -> Result<Option<(Record, u64)>, NotChanged> {
        for _ in 0..CONFLICTS {
            let Some(row) = self.store().get(KIND, id, now()).await? else {
                return Ok(None);
            };
            let Some(mut record) = Record::read(&row) else {
                return Ok(None);
            };
            if !change(&mut record) {
                return Ok(None);
            }
            let row = record.to_replace(row);
            match accountable {
                Some(caller) => {
                    self.kept
                        .hold(caller, id, row.value.len(), row.expires_at, now())?
                }
                None => self.kept.resize(id, row.value.len()),
            }
            let version = row.version;
            if self.store().replace(row).await? {
                return Ok(Some((record, version)));
            }
        }
        Err(StoreError::new(format!(
            "{CONFLICTS} others have changed the row in between"
        ))
        .into())
    }

    /// Makes a task of a call whose handler is at work. It is in the store when this returns.
    ///
    /// # Errors
    /// When there is no room for it, or the store fails. The handler comes back as it was.
    pub(super) async fn adopt(
        self: &Arc<Self>,
        ctx: &Ctx,
        entry: &Arc<ToolEntry>,
        handler: Handler,
    ) -> Result<Task, NotPromoted> {
        match self.create(ctx, entry).await {
            Ok((task, run)) => {
                let run = self.begin(run);
                ctx.now_task(Arc::clone(&run));
                tokio::spawn(run.work(ctx.clone(), Arc::clone(entry), handler));
                Ok(task)
            }
            Err((error, may_be_stored)) => {
                // What may be in the store is worked on when its lease has ended, if it can be
                // resumed.
                let may_go_on = !(may_be_stored && entry.tool.resumable);
                Err(NotPromoted {
                    error,
                    handler,
                    may_go_on,
                })
            }
        }
    }

    /// Creates a task for a call. The error says whether it may be in the store nevertheless.
    async fn create(
        self: &Arc<Self>,
        ctx: &Ctx,
        entry: &ToolEntry,
    ) -> Result<(Task, Run), (HandlerError, bool)> {
        let refused = |error: ErrorObject| (HandlerError::protocol(error), false);
        if self.runs().len() >= self.settings.max_running {
            let message = "The server is at its limit of running tasks; try again later";
            return Err(refused(ErrorObject::new(code::INTERNAL_ERROR, message)));
        }
        let caller = Caller::accountable(ctx.call());
        let Ok(place) = self.running.reserve(&caller, 0) else {
            let message =
                "This caller is at its limit of running tasks; try again when some have ended";
            return Err(refused(ErrorObject::new(code::INTERNAL_ERROR, message)));
        };
        // Unguessable (`tasks#security-considerations`).
        let id = random::name().map_err(|error| (HandlerError::internal(error), false))?;
        let journal = ctx.journal().map_err(|failure| (failure, false))?.to_keep();
        let record = Record::new(ctx, entry, &self.settings, journal, now());
        let row = record.to_row(id.clone());
        let held = self
            .kept
            .hold(&caller, &id, row.value.len(), row.expires_at, now());
        held.map_err(|exceeded| refused(errors::too_many_tasks(exceeded)))?;
        // One that was inserted though the store said it failed has this id, which nobody else has.
        if let Err(error) = retry_briefly(|| self.store().insert(row.clone(), now())).await {
            self.kept.release(&id);
            let may_be_stored = !matches!(error, NotStored::Full);
            return Err((HandlerError::protocol(error.into()), may_be_stored));
        }
        let mut run = Run::new(Arc::clone(self), &row, record.lease.number);
        run.account_to(caller, Some(place));
        Ok((record.task(&id), run))
    }

    /// Notes that this process works on a task.
    pub(super) fn begin(&self, run: Run) -> Arc<Run> {
        let run = Arc::new(run);
        self.runs().insert(run.id().to_owned(), Arc::clone(&run));
        run
    }

    /// This process does not work on the task any more.
    pub(super) fn end(&self, run: &Arc<Run>) {
        let mut runs = self.runs();
        if runs
            .get(run.id())
            .is_some_and(|there| Arc::ptr_eq(there, run))
        {
            runs.remove(run.id());
        }
    }

    pub(super) fn runs(&self) -> MutexGuard<'_, HashMap<String, Arc<Run>>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Which of these tasks the caller may listen to.
    pub(crate) async fn listenable(
        &self,
        ids: &[String],
        caller: Option<&Principal>,
        limit: usize,
    ) -> Vec<String> {
        let mut listenable: Vec<String> = Vec::new();
        for id in ids.iter().take(limit) {
            if !listenable.contains(id) && self.owned(id, caller).await.is_ok() {
                listenable.push(id.clone());
            }
        }
        listenable
    }

    /// Tells listeners how these tasks stand; `again` even if they were told the same before.
    pub(crate) async fn tell(
        &self,
        core: &Core,
        ids: impl IntoIterator<Item = String>,
        again: bool,
    ) {
        for id in ids {
            match self.store().get(KIND, &id, now()).await {
                Ok(row) => {
                    let record = row.as_ref().and_then(Record::read);
                    if let Some(record) = record {
                        core.hub
                            .publish_task(record.change(&id, &core.stamp), again);
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, task = log_id(&id), "listeners of a task are not told how it stands");
                }
            }
        }
    }
}

impl fmt::Debug for TaskEngine {
    /// Without the ids of tasks.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskEngine")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// Why a task was not changed.
#[derive(Debug)]
pub(super) enum NotChanged {
    Store(StoreError),
    /// It would keep more than its caller, the server or the store may.
    TooLarge,
}

impl From<StoreError> for NotChanged {
    fn from(error: StoreError) -> Self {
        if error.is_full() {
            Self::TooLarge
        } else {
            Self::Store(error)
        }
    }
}

impl From<BudgetExceeded> for NotChanged {
    fn from(_: BudgetExceeded) -> Self {
        Self::TooLarge
    }
}

/// The answer to what has no result (`tasks#task-update-requests`).
fn acknowledged(core: &Core) -> Result<RawJson, ErrorObject> {
    core.stamp
        .result("complete", &JsonObject::new(), None)
        .map_err(|_| ErrorObject::internal())
}

/// A handler whose call has not become a task.
pub(super) struct NotPromoted {
    /// Why not.
    pub(super) error: HandlerError,
    pub(super) handler: Handler,
    /// Whether it can go on without doing what a task that is in the store after all does again.
    pub(super) may_go_on: bool,
}

/// Why a store did not do what was tried for a moment.
enum NotStored {
    /// It has no room, and has stored nothing.
    Full,
    /// It fails. Whether it has stored anything is unknown.
    Unavailable,
}

impl From<NotStored> for ErrorObject {
    fn from(why: NotStored) -> Self {
        match why {
            NotStored::Full => errors::too_many_tasks(BudgetExceeded::Total),
            NotStored::Unavailable => Self::new(
                code::INTERNAL_ERROR,
                "Tasks are not available at the moment; try again",
            ),
        }
    }
}

fn unavailable(error: &StoreError) -> NotStored {
    tracing::error!(
        error = error as &dyn std::error::Error,
        "task store unavailable"
    );
    NotStored::Unavailable
}

/// Tries for a moment what a store may do later.
async fn retry_briefly<'a, T>(
    mut attempt: impl FnMut() -> carryall_store::BoxFuture<'a, Result<T, StoreError>>,
) -> Result<T, NotStored> {
    let mut tried = 1;
    loop {
        match attempt().await {
            Ok(value) => return Ok(value),
            // To try again helps only when something has expired.
            Err(error) if error.is_full() => {
                tracing::warn!(%error, "task refused");
                return Err(NotStored::Full);
            }
            Err(error) if tried == TRIES => {
                return Err(unavailable(&error));
            }
            Err(_) => tokio::time::sleep(PAUSE * tried).await,
        }
        tried += 1;
    }
}

/// The reply to one of the extension's methods.
pub(crate) fn respond(call: &Call, outcome: Result<RawJson, ErrorObject>) -> Response {
    match outcome {
        Ok(result) => Response::result(call.id.clone(), result),
        Err(error) => Response::error(call.id.clone(), error),
    }
}
