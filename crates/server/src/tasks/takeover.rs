//! The background work of tasks: reacts to changes of other replicas, and takes over tasks that
//! nobody works on any more.

use super::engine::TaskEngine;
use super::record::{KIND, TaskRecord};
use super::worker::TaskWorker;
use crate::call::catch_panic::catch_panic;
use crate::call::ctx::Ctx;
use crate::call::handler_error::HandlerError;
use crate::catalogue::tool::ToolArguments;
use crate::clock::{millis, now};
use crate::dispatch::params::given_arguments;
use carryall_proto::task::log_id;
use carryall_proto::{Caller, Outcome};
use carryall_store::{Changes, Row, RowChange, StoreResult};
use carryall_types::{ErrorObject, RawJson, code};
use std::future::poll_fn;
use std::sync::Arc;
use tokio::time::MissedTickBehavior;

/// The most abandoned tasks that are looked at in one go.
const BATCH: usize = 64;

impl TaskEngine {
    /// Subscribes to the changes of tasks.
    pub(crate) fn subscribe(&self) -> Changes {
        self.store.rows().changes(KIND)
    }

    /// Does the background work for as long as it is polled; never completes.
    pub(crate) async fn maintain(&self, mut changes: Changes) {
        let mut interval = tokio::time::interval(self.store.options.lease / 3);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let changed = tokio::select! {
                changed = poll_fn(|cx| changes.as_mut().poll_next(cx)) => changed,
                _ = interval.tick() => None,
            };
            match changed {
                Some(changed) => self.react(changed).await,
                None => {
                    self.store.quota.expire(now());
                    if let Err(error) = self.take_over_abandoned().await {
                        tracing::warn!(%error, "cannot look for abandoned tasks");
                    }
                }
            }
        }
    }

    async fn react(&self, changed: RowChange) {
        let subscriptions = self.catalogue.subscriptions();
        match changed {
            RowChange::Row(id) => {
                self.workers.wake(&id);
                if subscriptions.has_task(&id) {
                    self.publish([id], false).await;
                }
            }
            RowChange::Lagged => {
                self.workers.wake_all();
                self.publish(subscriptions.tasks(), false).await;
            }
        }
    }

    async fn take_over_abandoned(&self) -> StoreResult<()> {
        for row in self.store.rows().due(KIND, now(), BATCH).await? {
            let record = TaskRecord::read(&row).filter(|record| self.store.owns(record));
            if let Some(record) = record {
                self.take_over(row, record).await?;
            }
        }
        Ok(())
    }

    async fn take_over(&self, row: Row, mut record: TaskRecord) -> StoreResult<()> {
        let options = &self.store.options;
        if !record.resumable || record.attempts() >= options.max_attempts {
            return self.fail_abandoned(row, record).await;
        }
        if self.is_at_limit() {
            return Ok(());
        }
        let id = row.key.clone();
        let catalogue = self.catalogue.current();
        // During a rolling update, another replica may have the tool.
        let Some(entry) = catalogue
            .tools
            .get(&record.tool, record.owner.as_ref())
            .cloned()
        else {
            return Ok(());
        };
        drop(catalogue);
        let call = match record.to_call() {
            Ok(call) => call,
            Err(error) => {
                tracing::error!(error, task = log_id(&id), "a task cannot be resumed");
                return Ok(());
            }
        };
        record.grant_lease(now().saturating_add(millis(options.lease)));
        let row = record.to_replace(row);
        if !self.store.rows().replace(row.clone()).await? {
            return Ok(());
        }
        let fencing_token = record.fencing_token();
        tracing::info!(
            task = log_id(&id),
            lease = fencing_token,
            "taking over a task"
        );
        let mut worker = TaskWorker::new(Arc::clone(&self.store), &row, fencing_token);
        if let Some(owner) = &record.owner {
            // The task was accepted once, so it is not refused now; what it writes counts.
            worker.account_to(Caller::from(owner), None);
        }
        let registered = self.register(worker);
        let arguments = given_arguments(&call).unwrap_or(RawJson::EMPTY_OBJECT);
        let task = Arc::clone(&registered.worker);
        let ctx = Ctx::resumed(call, Arc::clone(&self.environment), record.journal, task);
        let handler = catch_panic(|| {
            entry
                .tool
                .handler
                .call(ctx.clone(), ToolArguments(arguments))
        });
        let handler = handler.unwrap_or_else(|error| {
            Box::pin(std::future::ready(Err(HandlerError::protocol(error))))
        });
        registered.spawn(ctx, entry, handler);
        Ok(())
    }

    async fn fail_abandoned(&self, row: Row, mut record: TaskRecord) -> StoreResult<()> {
        let why = if record.resumable {
            "so many times that it is given up"
        } else {
            "and it cannot be resumed"
        };
        let message = format!("The process that worked on the task has gone, {why}");
        let error = ErrorObject::new(code::INTERNAL_ERROR, message);
        record.finish(Outcome::Error(error));
        let row = record.to_replace(row);
        let (id, size, version) = (row.key.clone(), row.value.len(), row.version);
        if self.store.rows().replace(row).await? {
            self.store.quota.resize(&id, size);
            self.store.publish(&id, &record, version, false);
        }
        Ok(())
    }
}
