//! `tasks/get`, `tasks/update` and `tasks/cancel`.

use super::engine::TaskEngine;
use super::record::TaskRecord;
use super::{is_declared, required};
use crate::call::errors::{self, missing_capabilities};
use carryall_proto::{BoxFuture, Call, Caller, Principal};
use carryall_types::{ErrorObject, JsonObject, RawJson, TaskParams, UpdateTaskParams, task_method};
use std::sync::Arc;

impl TaskEngine {
    /// Answers one of the extension's methods.
    ///
    /// # Errors
    /// `-32601`, when it is another method; `-32021`, when the client has not declared the
    /// extension; `-32602`, when the parameters are malformed.
    pub(crate) fn answer(
        self: &Arc<Self>,
        call: &Call,
    ) -> Result<BoxFuture<Result<RawJson, ErrorObject>>, ErrorObject> {
        let method = call.method().as_str();
        if !matches!(
            method,
            task_method::GET | task_method::UPDATE | task_method::CANCEL
        ) {
            return Err(errors::method_not_found(method));
        }
        if !is_declared(call.meta().client_capabilities()) {
            return Err(missing_capabilities(&[required()]));
        }
        let (engine, caller) = (Arc::clone(self), call.shared_principal());
        let params = call.params().raw();
        Ok(match method {
            task_method::GET => {
                let TaskParams { task_id } = params.decode().map_err(errors::invalid_params)?;
                Box::pin(async move {
                    let record = engine.store.get(&task_id, caller.as_deref()).await?;
                    Ok(record.detailed(&task_id, engine.store.results()))
                })
            }
            task_method::UPDATE => {
                let params: UpdateTaskParams = params.decode().map_err(errors::invalid_params)?;
                let accountable = Caller::accountable(call);
                Box::pin(async move {
                    engine
                        .update(&params, caller.as_deref(), &accountable)
                        .await?;
                    engine.empty_result()
                })
            }
            _ => {
                let TaskParams { task_id } = params.decode().map_err(errors::invalid_params)?;
                Box::pin(async move {
                    engine.cancel(&task_id, caller.as_deref()).await?;
                    engine.empty_result()
                })
            }
        })
    }

    /// Takes answers to the task's questions (`tasks#task-update-requests`).
    async fn update(
        &self,
        params: &UpdateTaskParams,
        caller: Option<&Principal>,
        accountable: &Caller,
    ) -> Result<(), ErrorObject> {
        self.store.get(&params.task_id, caller).await?;
        let mut invalid = None;
        let answered = |record: &mut TaskRecord| {
            if record.status.is_terminal() {
                return false;
            }
            record
                .answer(&params.input_responses)
                .unwrap_or_else(|why| {
                    invalid = Some(why);
                    false
                })
        };
        self.store
            .update_briefly(&params.task_id, Some(accountable), answered)
            .await?;
        self.workers.wake(&params.task_id);
        invalid.map_or(Ok(()), |why| Err(errors::invalid_params(why)))
    }

    /// Cancels a task, unless it has ended (`tasks#task-cancellation`). Its worker drops the
    /// handler when it learns of that.
    async fn cancel(&self, id: &str, caller: Option<&Principal>) -> Result<(), ErrorObject> {
        self.store.get(id, caller).await?;
        let cancelled = |record: &mut TaskRecord| {
            let is_running = !record.status.is_terminal();
            if is_running {
                record.cancel();
            }
            is_running
        };
        self.store.update_briefly(id, None, cancelled).await?;
        self.workers.wake(id);
        Ok(())
    }

    /// The result of a method that returns nothing.
    fn empty_result(&self) -> Result<RawJson, ErrorObject> {
        self.store
            .results()
            .result("complete", &JsonObject::new(), None)
            .map_err(|_| ErrorObject::internal())
    }
}
