//! One worker at one task.

use super::Engine;
use super::record::{KIND, Record};
use crate::clock::{millis, now};
use crate::ctx::Ctx;
use crate::output::{Failure, ToolError, ToolOutput};
use crate::running::guarded;
use crate::settle;
use crate::tool_entry::ToolEntry;
use carryall_proto::{BoxFuture, Outcome};
use carryall_types::{ErrorObject, InputRequests, JsonObject, JsonValue};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// The least time between two writes that only say how far a task has come.
const MESSAGE_INTERVAL: Duration = Duration::from_millis(250);
/// How long a worker waits for a store that fails, at first and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// A worker's hold on its task. All that it writes is written only while its lease has the number it was given.
#[derive(Debug)]
pub(crate) struct Run {
    engine: Arc<Engine>,
    id: String,
    lease: u32,
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

/// The task is not this worker's any more: it was cancelled, has ended, or somebody else took it over.
struct Lost;

impl From<Lost> for Failure {
    fn from(_: Lost) -> Self {
        // The handler is about to be dropped; only its offspring sees this.
        Self::protocol(ErrorObject::internal())
    }
}

impl Run {
    pub(super) fn new(engine: Arc<Engine>, id: String, lease: u32) -> Self {
        Self { engine, id, lease, changed: Notify::new(), said: Mutex::default() }
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
        handler: BoxFuture<Result<ToolOutput, ToolError>>,
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
        mut handler: BoxFuture<Result<ToolOutput, ToolError>>,
    ) -> Option<Outcome> {
        let outcome = poll_fn(|cx| {
            let polled = guarded(|| handler.as_mut().poll(cx).map(|output| settle::tool(ctx, entry, output)));
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
                _ = renewal.tick() => self.write(|_| {}).await.map(drop),
            };
            if held.is_err() {
                return;
            }
        }
    }

    /// The task as it is, if it is this worker's.
    async fn look(&self) -> Result<Record, Lost> {
        let row = self.stubbornly(|| self.engine.store().get(KIND, &self.id, now())).await;
        let record = row.as_ref().and_then(Record::read);
        record.filter(|record| self.holds(record)).ok_or(Lost)
    }

    fn holds(&self, record: &Record) -> bool {
        record.lease.number == self.lease && !record.status.is_terminal()
    }

    /// Writes, however long the store takes; with it goes what there is to say, and the lease is renewed.
    async fn write(&self, mut change: impl FnMut(&mut Record)) -> Result<Record, Lost> {
        let message = {
            let mut said = self.said();
            said.written = Some(Instant::now());
            said.message.take()
        };
        let mut pause = PAUSES.0;
        loop {
            let written = self.engine.change(&self.id, |record| {
                if !self.holds(record) {
                    return false;
                }
                if let Some(message) = &message {
                    record.say(message.clone());
                }
                record.lease.until = now().saturating_add(millis(self.engine.settings.lease));
                change(record);
                true
            });
            match written.await {
                Ok(written) => return written.ok_or(Lost),
                Err(error) => pause = self.wait(pause, &error).await,
            }
        }
    }

    /// Reads, however long the store takes.
    async fn stubbornly<'a, T>(
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
        tracing::warn!(%error, task = self.id, "the store of tasks fails; trying again");
        tokio::time::sleep(pause).await;
        (pause * 2).min(PAUSES.1)
    }

    /// Writes the end of the task. Whoever comes first has the last word.
    async fn settle(&self, outcome: Outcome) {
        if self.write(|record| record.settle(outcome.clone())).await.is_err() {
            tracing::info!(task = self.id, "a task was ended or taken over before its worker was done");
        }
    }

    /// Puts questions, and waits for all of their answers (`tasks#task-update-requests`).
    pub(crate) async fn ask(&self, questions: &InputRequests) -> Result<JsonObject, Failure> {
        let mut record = self.write(|record| record.ask(questions)).await?;
        loop {
            let answers = questions.iter().map(|(key, _)| Some((key.to_owned(), record.journal.answer(key)?.clone())));
            if let Some(answers) = answers.collect() {
                return Ok(answers);
            }
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            record = self.look().await?;
            if questions.iter().all(|(key, _)| record.journal.answer(key).is_some()) {
                continue;
            }
            // A change whose news got lost is found all the same.
            let _ = tokio::time::timeout(self.engine.settings.lease, changed).await;
            record = self.look().await?;
        }
    }

    /// Records the outcome of a step.
    pub(crate) async fn record(&self, key: &str, outcome: &JsonValue) -> Result<(), Failure> {
        self.write(|record| record.journal.done(key, outcome.clone())).await?;
        Ok(())
    }

    /// Says how far the task has come (`tasks#tasks`, `statusMessage`).
    pub(crate) async fn say(&self, message: String) {
        let soon = {
            let mut said = self.said();
            said.message = Some(message);
            said.written.is_some_and(|at| at.elapsed() < MESSAGE_INTERVAL)
        };
        if !soon {
            let _ = self.write(|_| {}).await;
        }
    }

    fn said(&self) -> std::sync::MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A worker at work; gone however its work ends.
struct Working(Arc<Run>);

impl Drop for Working {
    fn drop(&mut self) {
        self.0.engine.end(&self.0);
    }
}
