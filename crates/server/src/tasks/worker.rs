//! One worker at one task.

use super::TaskEngine;
use super::engine::NotChanged;
use super::record::{KIND, Record};
use crate::call::ctx::Ctx;
use crate::call::errors;
use crate::call::handler_error::HandlerError;
use crate::call::output::ToolOutput;
use crate::catalogue::tool_entry::ToolEntry;
use crate::clock::{millis, now};
use crate::dispatch::handler_future::guarded;
use crate::dispatch::outcome;
use carryall_proto::budget::Reservation;
use carryall_proto::task::log_id;
use carryall_proto::{BoxFuture, Caller, Outcome};
use carryall_store::Row;
use carryall_types::{ErrorObject, InputRequests, JsonObject, JsonValue};
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// The least time between two writes that only say how far a task has come.
const MESSAGE_INTERVAL: Duration = Duration::from_millis(250);
/// How long a worker waits for a store that fails, at first and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// A worker's hold on its task. All that it writes is written only while its lease has the number
/// it was given.
pub(crate) struct Run {
    engine: Arc<TaskEngine>,
    id: String,
    lease: u32,
    /// The version of the row that this worker has seen last.
    seen: AtomicU64,
    /// When the task ends, done or not.
    expires_at: Option<u64>,
    /// Whom what the task keeps is accounted to. Unknown for a task that was taken over and has no
    /// principal.
    caller: Option<Caller>,
    _place: Option<Reservation>,
    /// The row may be another one than before.
    changed: Notify,
    said: Mutex<Said>,
}

/// How far the task has come, as the handler says.
#[derive(Debug, Default)]
struct Said {
    message: Option<String>,
    written: Option<Instant>,
}

/// Why a worker cannot write.
enum Stopped {
    /// The task is not this worker's any more: it was cancelled, has ended, or somebody else took
    /// it over.
    Lost,
    /// What it would write is more than the task may keep.
    TooLarge,
}

impl From<Stopped> for HandlerError {
    fn from(stopped: Stopped) -> Self {
        match stopped {
            // The handler is about to be dropped; only its offspring sees this.
            Stopped::Lost => Self::protocol(ErrorObject::internal()),
            Stopped::TooLarge => Self::protocol(errors::task_too_large()),
        }
    }
}

impl Run {
    /// A worker at the task of this row, with this lease.
    pub(super) fn new(engine: Arc<TaskEngine>, row: &Row, lease: u32) -> Self {
        Self {
            engine,
            id: row.key.clone(),
            lease,
            seen: AtomicU64::new(row.version),
            expires_at: row.expires_at,
            caller: None,
            _place: None,
            changed: Notify::new(),
            said: Mutex::default(),
        }
    }

    /// Says whom the task is accounted to, and what is to be released when this worker ends.
    pub(super) fn account_to(&mut self, caller: Caller, place: Option<Reservation>) {
        (self.caller, self._place) = (Some(caller), place);
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Somebody has written the row.
    pub(super) fn wake(&self) {
        self.changed.notify_waiters();
    }

    /// Works on the task until it has ended, or is not this worker's any more.
    pub(super) fn work(
        self: Arc<Self>,
        ctx: Ctx,
        entry: Arc<ToolEntry>,
        handler: BoxFuture<Result<ToolOutput, HandlerError>>,
    ) -> impl Future<Output = ()> + Send {
        let working = Working(Arc::clone(&self));
        async move {
            if let Some(outcome) = self.outcome(&ctx, &entry, handler).await {
                self.settle(outcome).await;
            }
            drop(working);
        }
    }

    async fn outcome(
        &self,
        ctx: &Ctx,
        entry: &ToolEntry,
        mut handler: BoxFuture<Result<ToolOutput, HandlerError>>,
    ) -> Option<Outcome> {
        let outcome = poll_fn(|cx| {
            let polled = guarded(|| {
                handler
                    .as_mut()
                    .poll(cx)
                    .map(|output| outcome::tool(ctx, entry, output))
            });
            polled.unwrap_or_else(|error| Poll::Ready(Outcome::Error(error)))
        });
        tokio::select! {
            biased;
            outcome = outcome => Some(outcome),
            () = self.hold() => None,
        }
    }

    /// Renews the lease. Ends when it is lost.
    async fn hold(&self) {
        let period = self.engine.settings.lease / 3;
        let mut renewal = tokio::time::interval(period);
        renewal.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        renewal.tick().await;
        loop {
            let changed = pin!(self.changed.notified());
            let held = tokio::select! {
                () = changed => self.look().await.map(drop),
                _ = renewal.tick() => self.renew().await,
            };
            if matches!(held, Err(Stopped::Lost)) {
                return;
            }
        }
    }

    /// Renews the lease, without the rest of the row unless there is something to say with it.
    async fn renew(&self) -> Result<(), Stopped> {
        if self.said().message.is_some() {
            return self.write(None, |_| {}).await.map(drop);
        }
        // The store renews a row that has expired as well, until somebody removes it.
        if self.expires_at.is_some_and(|at| at <= now()) {
            return Err(Stopped::Lost);
        }
        loop {
            let seen = self.seen.load(Ordering::Relaxed);
            let store = self.engine.store();
            let renewed = self
                .retry_until_ok(|| store.reschedule(KIND, &self.id, seen, Some(self.lease_end())))
                .await;
            if renewed {
                self.seen.store(seen + 1, Ordering::Relaxed);
                return Ok(());
            }
            // Somebody has written the row meanwhile, or the answer to this very renewal got lost.
            self.look().await?;
        }
    }

    fn lease_end(&self) -> u64 {
        now().saturating_add(millis(self.engine.settings.lease))
    }

    /// The task as it is, if it is this worker's.
    async fn look(&self) -> Result<Record, Stopped> {
        let row = self
            .retry_until_ok(|| self.engine.store().get(KIND, &self.id, now()))
            .await
            .ok_or(Stopped::Lost)?;
        let record = Record::read(&row)
            .filter(|record| self.holds(record))
            .ok_or(Stopped::Lost)?;
        self.seen.store(row.version, Ordering::Relaxed);
        Ok(record)
    }

    fn holds(&self, record: &Record) -> bool {
        record.lease.number == self.lease && !record.status.is_terminal()
    }

    /// Writes, however long the store takes; with it goes what there is to say, and the lease is
    /// renewed. What the task keeps then is accounted to `caller`.
    async fn write(
        &self,
        caller: Option<&Caller>,
        mut change: impl FnMut(&mut Record),
    ) -> Result<Record, Stopped> {
        let message = {
            let mut said = self.said();
            said.written = Some(Instant::now());
            said.message.take()
        };
        let mut pause = PAUSES.0;
        loop {
            let written = self.engine.change(&self.id, caller, |record| {
                if !self.holds(record) {
                    return false;
                }
                if let Some(message) = &message {
                    record.say(message.clone());
                }
                record.lease_ends = Some(self.lease_end());
                change(record);
                true
            });
            match written.await {
                Ok(Some((record, version))) => {
                    self.seen.store(version, Ordering::Relaxed);
                    return Ok(record);
                }
                Ok(None) => return Err(Stopped::Lost),
                Err(NotChanged::TooLarge) => return Err(Stopped::TooLarge),
                Err(NotChanged::Store(error)) => pause = self.wait(pause, &error).await,
            }
        }
    }

    /// Reads, however long the store takes.
    async fn retry_until_ok<'a, T>(
        &'a self,
        attempt: impl Fn() -> carryall_store::BoxFuture<'a, carryall_store::StoreResult<T>>,
    ) -> T {
        let mut pause = PAUSES.0;
        loop {
            match attempt().await {
                Ok(value) => return value,
                Err(error) => pause = self.wait(pause, &error).await,
            }
        }
    }

    async fn wait(&self, pause: Duration, error: &carryall_store::StoreError) -> Duration {
        tracing::warn!(%error, task = log_id(&self.id), "task store unavailable; trying again");
        tokio::time::sleep(pause).await;
        (pause * 2).min(PAUSES.1)
    }

    /// Writes the end of the task. Whoever comes first has the last word.
    async fn settle(&self, outcome: Outcome) {
        let task = log_id(&self.id);
        let mut settled = self
            .write(self.caller.as_ref(), |record| {
                record.settle(outcome.clone())
            })
            .await;
        if matches!(settled, Err(Stopped::TooLarge)) {
            tracing::warn!(
                task,
                "the result of a task is larger than what its caller, or the server, may keep"
            );
            let error = || Outcome::Error(errors::task_too_large());
            settled = self.write(None, |record| record.settle(error())).await;
        }
        match settled {
            Ok(_) => {}
            Err(Stopped::Lost) => tracing::info!(
                task,
                "a task was ended or taken over before its worker was done"
            ),
            Err(Stopped::TooLarge) => tracing::error!(
                task,
                "the end of a task cannot be written: its store is full"
            ),
        }
    }

    /// Puts questions, and waits for all of their answers (`tasks#task-update-requests`).
    pub(crate) async fn ask(&self, questions: &InputRequests) -> Result<JsonObject, HandlerError> {
        let mut record = self
            .write(self.caller.as_ref(), |record| record.ask(questions))
            .await?;
        loop {
            let answers = questions
                .iter()
                .map(|(key, _)| Some((key.to_owned(), record.journal.answer(key)?.clone())));
            if let Some(answers) = answers.collect() {
                return Ok(answers);
            }
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            record = self.look().await?;
            if questions
                .iter()
                .all(|(key, _)| record.journal.answer(key).is_some())
            {
                continue;
            }
            // A change whose news got lost is found all the same.
            let _ = tokio::time::timeout(self.engine.settings.lease, changed).await;
            record = self.look().await?;
        }
    }

    /// Records the outcome of a step.
    pub(crate) async fn record(&self, key: &str, outcome: &JsonValue) -> Result<(), HandlerError> {
        self.write(self.caller.as_ref(), |record| {
            record.journal.done(key, outcome.clone())
        })
        .await?;
        Ok(())
    }

    /// Says how far the task has come (`tasks#tasks`, `statusMessage`).
    pub(crate) async fn say(&self, message: String) {
        let soon = {
            let mut said = self.said();
            said.message = Some(message);
            said.written
                .is_some_and(|at| at.elapsed() < MESSAGE_INTERVAL)
        };
        if !soon {
            let _ = self.write(None, |_| {}).await;
        }
    }

    fn said(&self) -> std::sync::MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Run {
    /// Without the id of the task.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run")
            .field("task", &log_id(&self.id))
            .field("lease", &self.lease)
            .finish_non_exhaustive()
    }
}

/// A worker at work; gone however its work ends.
struct Working(Arc<Run>);

impl Drop for Working {
    fn drop(&mut self) {
        self.0.engine.end(&self.0);
    }
}
