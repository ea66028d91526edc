//! The worker of one task: polls the handler, renews the lease, and stores the outcome.

use super::record::{KIND, TaskRecord};
use super::task_store::{TaskStore, UpdateError};
use crate::call::catch_panic::catch_panic;
use crate::call::ctx::Ctx;
use crate::call::errors;
use crate::call::handler_error::HandlerError;
use crate::call::task::CallTask;
use crate::catalogue::tool::ToolFuture;
use crate::catalogue::tool_entry::ToolEntry;
use crate::clock::{millis, now};
use crate::outcome;
use carryall_proto::budget::Reservation;
use carryall_proto::sync::Mutex;
use carryall_proto::task::log_id;
use carryall_proto::{Caller, Outcome};
use carryall_store::{Row, StoreError, StoreResult};
use carryall_types::{ErrorObject, InputRequests, JsonObject, JsonValue};
use futures_core::future::BoxFuture;
use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

/// Minimum time between two writes that only set the status message.
const MESSAGE_INTERVAL: Duration = Duration::from_millis(250);
/// Delays between attempts while the store fails. The delay doubles with each attempt.
const FIRST_RETRY_DELAY: Duration = Duration::from_millis(50);
const MAX_RETRY_DELAY: Duration = Duration::from_secs(2);

/// Works on one task under a lease. Each write requires that the stored task still has the fencing
/// token of this worker: another worker that takes over the task replaces the token.
pub(super) struct TaskWorker {
    tasks: Arc<TaskStore>,
    id: String,
    fencing_token: u32,
    /// The latest version of the row that this worker has read or written.
    version: AtomicU64,
    /// Expiry time of the task, in milliseconds since the epoch.
    expires_at: Option<u64>,
    /// The caller whose storage quota the task counts against. `None` if this worker took over a
    /// task that has no principal.
    accountable: Option<Caller>,
    /// Counts the task against a limit until the worker is dropped.
    _reservation: Option<Reservation>,
    /// Incremented when another request may have changed the row; see [`wake`](Self::wake).
    changes: watch::Sender<u64>,
    message: Mutex<StatusMessage>,
}

/// The status message that the handler has set.
#[derive(Debug, Default)]
struct StatusMessage {
    unwritten: Option<String>,
    written_at: Option<Instant>,
}

/// Why a worker could not write.
enum WorkerError {
    /// The task was cancelled, has ended, has expired, or was taken over by another worker.
    LeaseLost,
    /// The task would exceed the storage quota of its caller or of the server, or the store is
    /// full.
    TooLarge,
}

impl From<WorkerError> for HandlerError {
    fn from(error: WorkerError) -> Self {
        match error {
            // `poll_handler` is about to drop the handler. Only Tokio tasks that the handler has
            // spawned can receive this error.
            WorkerError::LeaseLost => Self::protocol(ErrorObject::internal()),
            WorkerError::TooLarge => Self::protocol(errors::task_too_large()),
        }
    }
}

impl TaskWorker {
    /// Creates the worker for the task in `row`, which has a lease with `fencing_token`.
    pub(super) fn new(tasks: Arc<TaskStore>, row: &Row, fencing_token: u32) -> Self {
        Self {
            tasks,
            id: row.key.clone(),
            fencing_token,
            version: AtomicU64::new(row.version),
            expires_at: row.expires_at,
            accountable: None,
            _reservation: None,
            changes: watch::Sender::new(0),
            message: Mutex::default(),
        }
    }

    /// Sets the caller whose storage quota the task counts against, and a reservation to release
    /// when this worker is dropped.
    pub(super) fn account_to(&mut self, caller: Caller, reservation: Option<Reservation>) {
        (self.accountable, self._reservation) = (Some(caller), reservation);
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Tells the worker that its row may have changed.
    pub(super) fn wake(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    /// Works on the task until it has ended or the lease is lost.
    pub(super) async fn run(&self, ctx: Ctx, entry: Arc<ToolEntry>, handler: ToolFuture) {
        if let Some(outcome) = self.poll_handler(&ctx, &entry, handler).await {
            self.finish(outcome).await;
        }
    }

    /// Runs the handler. Returns `None` if the lease is lost first, which drops the handler.
    async fn poll_handler(
        &self,
        ctx: &Ctx,
        entry: &ToolEntry,
        mut handler: ToolFuture,
    ) -> Option<Outcome> {
        let outcome = poll_fn(|cx| {
            let polled = catch_panic(|| {
                handler
                    .as_mut()
                    .poll(cx)
                    .map(|output| outcome::of_tool(ctx, entry, output))
            });
            polled.unwrap_or_else(|error| Poll::Ready(Outcome::Error(error)))
        });
        tokio::select! {
            biased;
            outcome = outcome => Some(outcome),
            () = self.hold_lease() => None,
        }
    }

    /// Renews the lease at intervals, and checks it whenever the row may have changed. Returns when
    /// the lease is lost.
    async fn hold_lease(&self) {
        let mut interval = tokio::time::interval(self.tasks.options.lease / 3);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        interval.tick().await;
        let mut changes = self.changes.subscribe();
        if *changes.borrow() > 0 {
            // The worker was woken before it subscribed.
            changes.mark_changed();
        }
        loop {
            let checked = tokio::select! {
                _ = changes.changed() => self.read().await.map(drop),
                _ = interval.tick() => self.renew_lease().await,
            };
            if matches!(checked, Err(WorkerError::LeaseLost)) {
                return;
            }
        }
    }

    /// Renews the lease. Updates only the expiry of the lease in the row, unless a status message
    /// waits to be written.
    async fn renew_lease(&self) -> Result<(), WorkerError> {
        if self.message.lock().unwritten.is_some() {
            return self.update(None, |_| {}).await.map(drop);
        }
        // The store would also renew a row that has expired but is not removed yet.
        if self.expires_at.is_some_and(|at| at <= now()) {
            return Err(WorkerError::LeaseLost);
        }
        loop {
            let version = self.version.load(Ordering::Relaxed);
            let expiry = Some(self.lease_expiry());
            let rows = self.tasks.rows();
            let is_renewed = self
                .retry_until_ok(|| rows.reschedule(KIND, &self.id, version, expiry))
                .await;
            if is_renewed {
                self.version.store(version + 1, Ordering::Relaxed);
                return Ok(());
            }
            // The row has another version: another request wrote it, or an earlier attempt of this
            // renewal succeeded but its reply was lost.
            self.read().await?;
        }
    }

    fn lease_expiry(&self) -> u64 {
        now().saturating_add(millis(self.tasks.options.lease))
    }

    /// Reads the task and remembers its version. Fails if the lease is lost.
    async fn read(&self) -> Result<TaskRecord, WorkerError> {
        let row = self
            .retry_until_ok(|| self.tasks.rows().get(KIND, &self.id, now()))
            .await
            .ok_or(WorkerError::LeaseLost)?;
        let record = TaskRecord::read(&row)
            .filter(|record| self.holds_lease(record))
            .ok_or(WorkerError::LeaseLost)?;
        self.version.store(row.version, Ordering::Relaxed);
        Ok(record)
    }

    fn holds_lease(&self, record: &TaskRecord) -> bool {
        record.fencing_token() == self.fencing_token && !record.status.is_terminal()
    }

    /// Applies `change` to the task and stores it, with retries for as long as the store fails. The
    /// same write stores a waiting status message and renews the lease.
    async fn update(
        &self,
        accountable: Option<&Caller>,
        mut change: impl FnMut(&mut TaskRecord),
    ) -> Result<TaskRecord, WorkerError> {
        let message = {
            let mut message = self.message.lock();
            message.written_at = Some(Instant::now());
            message.unwritten.take()
        };
        let mut delay = FIRST_RETRY_DELAY;
        loop {
            let updated = self.tasks.update(&self.id, accountable, |record| {
                if !self.holds_lease(record) {
                    return false;
                }
                if let Some(message) = &message {
                    record.set_message(message.clone());
                }
                record.extend_lease(self.lease_expiry());
                change(record);
                true
            });
            match updated.await {
                Ok(Some((record, version))) => {
                    self.version.store(version, Ordering::Relaxed);
                    return Ok(record);
                }
                Ok(None) => return Err(WorkerError::LeaseLost),
                Err(UpdateError::TooLarge) => return Err(WorkerError::TooLarge),
                Err(UpdateError::Store(error)) => delay = self.back_off(delay, &error).await,
            }
        }
    }

    /// Runs an operation of the store until it succeeds.
    async fn retry_until_ok<'a, T>(
        &'a self,
        operation: impl Fn() -> carryall_store::BoxFuture<'a, StoreResult<T>>,
    ) -> T {
        let mut delay = FIRST_RETRY_DELAY;
        loop {
            match operation().await {
                Ok(value) => return value,
                Err(error) => delay = self.back_off(delay, &error).await,
            }
        }
    }

    /// Sleeps for `delay`, and returns the delay for the next attempt.
    async fn back_off(&self, delay: Duration, error: &StoreError) -> Duration {
        tracing::warn!(%error, task = log_id(&self.id), "task store unavailable; retrying");
        tokio::time::sleep(delay).await;
        (delay * 2).min(MAX_RETRY_DELAY)
    }

    /// Stores the outcome of the task, unless the lease is lost.
    async fn finish(&self, outcome: Outcome) {
        let task = log_id(&self.id);
        let mut finished = self
            .update(self.accountable.as_ref(), |record| {
                record.finish(outcome.clone());
            })
            .await;
        if matches!(finished, Err(WorkerError::TooLarge)) {
            tracing::warn!(
                task,
                "the result of a task exceeds a storage quota, or its store is full"
            );
            let error = || Outcome::Error(errors::task_too_large());
            finished = self.update(None, |record| record.finish(error())).await;
        }
        match finished {
            Ok(_) => {}
            Err(WorkerError::LeaseLost) => tracing::info!(
                task,
                "a task ended or was taken over before its worker finished"
            ),
            Err(WorkerError::TooLarge) => tracing::error!(
                task,
                "the outcome of a task cannot be stored: its store is full"
            ),
        }
    }

    /// Stores the input requests, and waits until all of them are answered.
    async fn ask(&self, questions: &InputRequests) -> Result<JsonObject, HandlerError> {
        let mut record = self
            .update(self.accountable.as_ref(), |record| record.ask(questions))
            .await?;
        loop {
            let answers = questions
                .iter()
                .map(|(key, _)| Some((key.to_owned(), record.journal.answer(key)?.clone())));
            if let Some(answers) = answers.collect() {
                return Ok(answers);
            }
            // Subscribes before reading, so that an answer that is stored after this read wakes it.
            let mut changes = self.changes.subscribe();
            record = self.read().await?;
            if questions
                .iter()
                .all(|(key, _)| record.journal.answer(key).is_some())
            {
                continue;
            }
            // Reads again after a while even if it was not woken: another replica may have stored
            // the answers, and its notification may be lost.
            let _ = tokio::time::timeout(self.tasks.options.lease, changes.changed()).await;
            record = self.read().await?;
        }
    }

    async fn record_step(&self, key: &str, outcome: &JsonValue) -> Result<(), HandlerError> {
        self.update(self.accountable.as_ref(), |record| {
            record.journal.record_step(key, outcome.clone());
        })
        .await?;
        Ok(())
    }

    async fn set_status_message(&self, text: String) {
        let was_written_recently = {
            let mut message = self.message.lock();
            message.unwritten = Some(text);
            message
                .written_at
                .is_some_and(|at| at.elapsed() < MESSAGE_INTERVAL)
        };
        // Otherwise the next update or renewal of the lease writes the message.
        if !was_written_recently {
            let _ = self.update(None, |_| {}).await;
        }
    }
}

impl CallTask for TaskWorker {
    fn ask<'a>(
        &'a self,
        questions: &'a InputRequests,
    ) -> BoxFuture<'a, Result<JsonObject, HandlerError>> {
        Box::pin(self.ask(questions))
    }

    fn record_step<'a>(
        &'a self,
        key: &'a str,
        outcome: &'a JsonValue,
    ) -> BoxFuture<'a, Result<(), HandlerError>> {
        Box::pin(self.record_step(key, outcome))
    }

    fn set_status_message(&self, message: String) -> BoxFuture<'_, ()> {
        Box::pin(self.set_status_message(message))
    }
}

impl fmt::Debug for TaskWorker {
    /// Contains a digest of the task id, because the id itself gives access to the task.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskWorker")
            .field("task", &log_id(&self.id))
            .field("fencing_token", &self.fencing_token)
            .finish_non_exhaustive()
    }
}
