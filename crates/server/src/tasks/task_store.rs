//! Reads and writes the rows of tasks.

use super::options::TaskOptions;
use super::record::{KIND, TaskRecord};
use crate::call::errors;
use crate::call::result_writer::ResultWriter;
use crate::clock::now;
use crate::environment::Environment;
use crate::state::quota::StorageQuota;
use crate::subscriptions::Subscriptions;
use carryall_proto::budget::BudgetExceeded;
use carryall_proto::{Caller, Principal};
use carryall_store::{Row, Store, StoreError};
use carryall_types::{ErrorObject, code};
use std::sync::Arc;
use std::time::Duration;

/// The most attempts of a request while the store fails, and the first pause between them.
const MAX_ATTEMPTS: u32 = 3;
const PAUSE: Duration = Duration::from_millis(50);
/// The most attempts of one update that conflicts with others.
const MAX_CONFLICTS: u32 = 1_000;
/// The longest id that is looked up. Ids of this server are shorter.
const MAX_ID_BYTES: usize = 128;

/// The tasks of a server, as rows of its store.
pub(super) struct TaskStore {
    pub(super) options: TaskOptions,
    environment: Arc<Environment>,
    /// Accounts for the tasks that this process has written.
    pub(super) quota: StorageQuota,
    subscriptions: Arc<Subscriptions>,
}

impl TaskStore {
    pub(super) fn new(
        options: TaskOptions,
        environment: Arc<Environment>,
        subscriptions: Arc<Subscriptions>,
    ) -> Self {
        Self {
            quota: StorageQuota::new(options.limits.0, options.limits.1),
            options,
            environment,
            subscriptions,
        }
    }

    pub(super) fn rows(&self) -> &Arc<dyn Store> {
        self.environment.store.get()
    }

    pub(super) fn results(&self) -> &ResultWriter {
        &self.environment.results
    }

    /// Whether the task belongs to this server, and not to another one with the same store.
    pub(super) fn owns(&self, record: &TaskRecord) -> bool {
        record.server() == self.environment.sealer.server()
    }

    /// Returns a task that the caller may know of.
    ///
    /// # Errors
    /// `-32602`, when there is none; `-32603`, when the store fails.
    pub(super) async fn get(
        &self,
        id: &str,
        caller: Option<&Principal>,
    ) -> Result<TaskRecord, ErrorObject> {
        if id.len() > MAX_ID_BYTES {
            return Err(errors::unknown("task", id));
        }
        retry_briefly(|| self.rows().get(KIND, id, now()))
            .await?
            .and_then(|row| TaskRecord::read(&row))
            .filter(|record| record.belongs_to(caller) && self.owns(record))
            .ok_or_else(|| errors::unknown("task", id))
    }

    /// Inserts a new task.
    pub(super) async fn insert(&self, caller: &Caller, row: Row) -> Result<(), InsertError> {
        self.environment.store.sweep_if_overdue().await;
        let (id, size) = (row.key.clone(), row.value.len());
        self.quota
            .hold(caller, &id, size, row.expires_at, now())
            .map_err(InsertError::NoRoom)?;
        // Ids are unguessable, so that a row with this id, which the store has although it failed,
        // is this one.
        let inserted = retry_briefly(|| self.rows().insert(row.clone(), now())).await;
        inserted.map(drop).map_err(|error| {
            self.quota.release(&id);
            InsertError::Store(error)
        })
    }

    /// Atomically updates a task, retrying on version conflict. `change` returns whether there is
    /// anything to write, and may run more than once. Returns the task and the version of its row,
    /// if it was written; the task's subscribers are notified.
    ///
    /// What the task keeps is accounted to `accountable`, unless it is accounted to a caller
    /// already. Without one, the update is not refused for its size.
    pub(super) async fn update(
        &self,
        id: &str,
        accountable: Option<&Caller>,
        mut change: impl FnMut(&mut TaskRecord) -> bool,
    ) -> Result<Option<(TaskRecord, u64)>, UpdateError> {
        for _ in 0..MAX_CONFLICTS {
            let Some(row) = self.rows().get(KIND, id, now()).await? else {
                return Ok(None);
            };
            let Some(mut record) = TaskRecord::read(&row) else {
                return Ok(None);
            };
            if !change(&mut record) {
                return Ok(None);
            }
            let row = record.to_replace(row);
            match accountable {
                Some(caller) => {
                    self.quota
                        .hold(caller, id, row.value.len(), row.expires_at, now())?
                }
                None => self.quota.resize(id, row.value.len()),
            }
            let version = row.version;
            if self.rows().replace(row).await? {
                self.publish(id, &record, version, false);
                return Ok(Some((record, version)));
            }
        }
        Err(StoreError::new(format!("{MAX_CONFLICTS} conflicts with other writers")).into())
    }

    /// Updates a task on behalf of a request, retrying briefly while the store fails.
    pub(super) async fn update_briefly(
        &self,
        id: &str,
        accountable: Option<&Caller>,
        mut change: impl FnMut(&mut TaskRecord) -> bool,
    ) -> Result<(), ErrorObject> {
        for attempt in 1.. {
            match self.update(id, accountable, &mut change).await {
                Ok(_) => break,
                Err(UpdateError::TooLarge) => return Err(errors::task_too_large()),
                Err(UpdateError::Store(error)) if attempt == MAX_ATTEMPTS => {
                    return Err(unavailable(&error).into());
                }
                Err(UpdateError::Store(_)) => tokio::time::sleep(PAUSE * attempt).await,
            }
        }
        Ok(())
    }

    /// Notifies the subscribers of a task. What they were notified of last is repeated only if
    /// `again`.
    pub(super) fn publish(&self, id: &str, record: &TaskRecord, version: u64, again: bool) {
        if self.subscriptions.has_task(id) {
            let change = record.change(id, self.results());
            self.subscriptions.publish_task(change, version, again);
        }
    }
}

/// Why a task was not updated.
#[derive(Debug)]
pub(super) enum UpdateError {
    Store(StoreError),
    /// It would keep more than its caller, the server or the store allows.
    TooLarge,
}

impl From<StoreError> for UpdateError {
    fn from(error: StoreError) -> Self {
        if error.is_full() {
            Self::TooLarge
        } else {
            Self::Store(error)
        }
    }
}

impl From<BudgetExceeded> for UpdateError {
    fn from(_: BudgetExceeded) -> Self {
        Self::TooLarge
    }
}

/// Why a task was not inserted.
#[derive(Debug)]
pub(super) enum InsertError {
    NoRoom(BudgetExceeded),
    Store(StoreFailure),
}

impl InsertError {
    /// Whether the task may be in the store nevertheless.
    pub(super) fn may_be_stored(&self) -> bool {
        matches!(self, Self::Store(StoreFailure::Unavailable))
    }
}

impl From<InsertError> for ErrorObject {
    fn from(error: InsertError) -> Self {
        match error {
            InsertError::NoRoom(exceeded) => errors::too_many_tasks(exceeded),
            InsertError::Store(failure) => failure.into(),
        }
    }
}

/// Why a store did not do what was attempted a few times.
#[derive(Debug)]
pub(super) enum StoreFailure {
    /// It has no room, and has stored nothing.
    Full,
    /// It fails. Whether it has stored anything is unknown.
    Unavailable,
}

impl From<StoreFailure> for ErrorObject {
    fn from(failure: StoreFailure) -> Self {
        match failure {
            StoreFailure::Full => errors::too_many_tasks(BudgetExceeded::Total),
            StoreFailure::Unavailable => Self::new(
                code::INTERNAL_ERROR,
                "Tasks are not available at the moment; try again",
            ),
        }
    }
}

fn unavailable(error: &StoreError) -> StoreFailure {
    tracing::error!(
        error = error as &dyn std::error::Error,
        "task store unavailable"
    );
    StoreFailure::Unavailable
}

/// Retries an operation of the store a few times.
async fn retry_briefly<'a, T>(
    mut operation: impl FnMut() -> carryall_store::BoxFuture<'a, Result<T, StoreError>>,
) -> Result<T, StoreFailure> {
    let mut attempt = 1;
    loop {
        match operation().await {
            Ok(value) => return Ok(value),
            // Retrying does not make room; expiry does.
            Err(error) if error.is_full() => {
                tracing::warn!(%error, "task refused");
                return Err(StoreFailure::Full);
            }
            Err(error) if attempt == MAX_ATTEMPTS => return Err(unavailable(&error)),
            Err(_) => tokio::time::sleep(PAUSE * attempt).await,
        }
        attempt += 1;
    }
}
