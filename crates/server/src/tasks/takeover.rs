//! What goes on behind all tasks: news from the store to those who wait, and a look at what nobody
//! works on any more.

use super::Run;
use super::TaskEngine;
use super::record::{KIND, Lease, Record};
use crate::call::ctx::Ctx;
use crate::clock::{millis, now};
use carryall_proto::task::log_id;
use carryall_proto::{Caller, Outcome};
use carryall_store::{Changed, Changes, Row};
use carryall_types::{ErrorObject, RawJson, code};
use std::future::poll_fn;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// How many abandoned tasks are looked at in one go.
const AT_ONCE: usize = 64;

/// Runs as long as the server is there.
pub(super) async fn keep(engine: Weak<TaskEngine>, mut changes: Changes, tick: Duration) {
    let mut tick = tokio::time::interval(tick);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let changed = tokio::select! {
            changed = poll_fn(|cx| changes.as_mut().poll_next(cx)) => changed,
            _ = tick.tick() => None,
        };
        let Some(engine) = engine.upgrade() else {
            return;
        };
        match changed {
            Some(changed) => engine.heard(changed).await,
            None => engine.look_after().await,
        }
    }
}

impl TaskEngine {
    async fn heard(&self, changed: Changed) {
        let Some(core) = self.core() else { return };
        match changed {
            Changed::Row(id) => {
                let run = self.runs().get(&id).cloned();
                if let Some(run) = run {
                    run.wake();
                }
                if core.hub.listens_to_task(&id) {
                    self.tell(&core, [id], false).await;
                }
            }
            Changed::Some => {
                let runs: Vec<_> = self.runs().values().cloned().collect();
                runs.iter().for_each(|run| run.wake());
                self.tell(&core, core.hub.tasks_listened_to(), false).await;
            }
        }
    }

    /// Takes over what was abandoned.
    async fn look_after(self: &Arc<Self>) {
        self.kept.expire(now());
        if let Err(error) = self.take_over().await {
            tracing::warn!(%error, "cannot look for abandoned tasks");
        }
    }

    async fn take_over(self: &Arc<Self>) -> Result<(), carryall_store::StoreError> {
        for row in self.store().due(KIND, now(), AT_ONCE).await? {
            if let Some(record) = Record::read(&row).filter(|record| self.owns(record)) {
                self.take_over_one(row, record).await?;
            }
        }
        Ok(())
    }

    async fn take_over_one(
        self: &Arc<Self>,
        row: Row,
        mut record: Record,
    ) -> Result<(), carryall_store::StoreError> {
        let Some(core) = self.core() else {
            return Ok(());
        };
        let id = row.key.clone();
        if !record.resumable || record.lease.number >= self.settings.max_attempts {
            let why = if record.resumable {
                "so many times that it is given up"
            } else {
                "and it cannot be resumed"
            };
            let message = format!("The process that worked on the task has gone, {why}");
            record.settle(Outcome::Error(ErrorObject::new(
                code::INTERNAL_ERROR,
                message,
            )));
            let row = record.to_replace(row);
            let size = row.value.len();
            if self.store().replace(row).await? {
                self.kept.resize(&id, size);
            }
            return Ok(());
        }
        if self.runs().len() >= self.settings.max_running {
            return Ok(());
        }
        let catalogue = core.catalogue.load_full();
        // Another replica may have the tool, while the fleet is being renewed.
        let Some(entry) = catalogue
            .tools
            .get(&record.tool, record.owner.as_ref())
            .cloned()
        else {
            return Ok(());
        };
        let call = match record.to_call() {
            Ok(call) => call,
            Err(error) => {
                tracing::error!(error, task = log_id(&id), "a task cannot be resumed");
                return Ok(());
            }
        };
        record.lease = Lease {
            number: record.lease.number + 1,
        };
        record.lease_ends = Some(now().saturating_add(millis(self.settings.lease)));
        let row = record.to_replace(row);
        if !self.store().replace(row.clone()).await? {
            return Ok(());
        }
        tracing::info!(
            task = log_id(&id),
            lease = record.lease.number,
            "taking over a task"
        );
        let mut run = Run::new(Arc::clone(self), &row, record.lease.number);
        if let Some(owner) = &record.owner {
            // It was accepted once, so it is not refused now; what it is yet to keep counts.
            run.account_to(Caller::from(owner), None);
        }
        let run = self.begin(run);
        let arguments = crate::dispatch::given_arguments(&call).unwrap_or(RawJson::EMPTY_OBJECT);
        let ctx = Ctx::resumed(call, core, record.journal, Arc::clone(&run));
        let handler = crate::dispatch::handler_future::guarded(|| {
            (entry.tool.handler)(ctx.clone(), arguments)
        });
        match handler {
            Ok(handler) => drop(tokio::spawn(run.work(ctx, entry, handler))),
            Err(error) => {
                let failed = Box::pin(std::future::ready(Err(crate::HandlerError::protocol(
                    error,
                ))));
                drop(tokio::spawn(run.work(ctx, entry, failed)));
            }
        }
        Ok(())
    }
}
