//! A task, as the value of its row.

use super::options::TaskOptions;
use crate::call::ctx::Ctx;
use crate::call::result_writer::{ResultBuffer, ResultWriter};
use crate::catalogue::tool_entry::ToolEntry;
use crate::clock::{millis, now};
use crate::state::rounds::question::check_answer;
use crate::state::rounds::record::RoundRecord;
use crate::state::sealer::{ROUND_FIELDS, caller_identity};
use bytes::Bytes;
use carryall_proto::listen::TaskChange;
use carryall_proto::task::log_id;
use carryall_proto::{Call, Meta, Outcome, Params, Principal, PrintableFmt};
use carryall_store::Row;
use carryall_types::{
    ErrorObject, InputRequests, InputResponses, JsonObject, JsonValue, Method, RawJson, RequestId,
    Task, TaskStatus,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

/// The longest status message. A longer one is truncated.
const MAX_MESSAGE_BYTES: usize = 4096;

/// The kind of rows that tasks are.
pub(super) const KIND: &str = "task";

/// Everything about a task: who requested what, its state, and who works on it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct TaskRecord {
    /// The caller that may see the task, with the scopes that the call had.
    pub(super) owner: Option<Principal>,
    /// The name of the server that the task belongs to.
    server: String,
    pub(super) tool: String,
    params: JsonObject,
    meta: RawJson,
    created_at: u64,
    updated_at: u64,
    ttl_ms: Option<u64>,
    poll_ms: u64,
    pub(super) status: TaskStatus,
    pub(super) message: Option<String>,
    /// Questions without an answer.
    pub(super) questions: InputRequests,
    /// Answers, and outcomes of steps.
    pub(super) journal: RoundRecord,
    pub(super) outcome: Option<TaskOutcome>,
    pub(super) resumable: bool,
    lease: Lease,
    /// Expiry time of the lease, in milliseconds since the epoch. It is a column of the row and not
    /// part of the value, so that a renewal need not write the value.
    #[serde(skip)]
    lease_expires_at: Option<u64>,
}

/// The right to work on a task.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Lease {
    /// Grows with each worker. A worker whose token is not this one has lost the lease.
    #[serde(rename = "number")]
    fencing_token: u32,
}

/// The outcome of a task that has ended.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum TaskOutcome {
    Result(RawJson),
    Error(ErrorObject),
}

/// Truncates a status message, which every result about the task contains.
fn truncated(mut message: String) -> String {
    message.truncate(message.floor_char_boundary(MAX_MESSAGE_BYTES));
    message
}

impl TaskRecord {
    /// The task of the call of `ctx`, under a first lease.
    pub(super) fn new(
        ctx: &Ctx,
        entry: &ToolEntry,
        options: &TaskOptions,
        journal: RoundRecord,
        now: u64,
    ) -> Self {
        let call = ctx.call();
        let mut params: JsonObject = call.params().raw().decode().unwrap_or_default();
        params.retain(|name, _| !ROUND_FIELDS.contains(&name.as_str()));
        Self {
            owner: call.principal().cloned(),
            server: ctx.environment().sealer.server().to_owned(),
            tool: entry.tool.name().to_owned(),
            params,
            meta: call.meta().raw().clone(),
            created_at: now,
            updated_at: now,
            ttl_ms: options.ttl_ms(),
            poll_ms: millis(options.poll_interval),
            status: TaskStatus::Working,
            message: None,
            questions: InputRequests::new(),
            journal,
            outcome: None,
            resumable: entry.tool.resumable,
            lease: Lease { fencing_token: 1 },
            lease_expires_at: Some(now.saturating_add(millis(options.lease))),
        }
    }

    /// Reads the value of a row; logs and returns `None` if it is not readable.
    pub(super) fn read(row: &Row) -> Option<Self> {
        match serde_json::from_slice::<Self>(&row.value) {
            Ok(record) => Some(Self {
                lease_expires_at: row.due_at,
                ..record
            }),
            Err(error) => {
                let task = log_id(&row.key);
                tracing::error!(error = %PrintableFmt(&error), task, "task record is not readable");
                None
            }
        }
    }

    /// Returns the row of this record, to be inserted under `key`.
    pub(super) fn to_row(&self, key: String) -> Row {
        let value = Bytes::from(serde_json::to_vec(self).unwrap_or_default());
        let expires_at = self.ttl_ms.map(|ttl| self.created_at.saturating_add(ttl));
        let due_at = self.lease_expires_at.filter(|_| !self.status.is_terminal());
        Row {
            kind: KIND,
            key,
            version: 1,
            value,
            expires_at,
            due_at,
        }
    }

    /// Returns the row that replaces `row` with this record.
    pub(super) fn to_replace(&self, row: Row) -> Row {
        Row {
            version: row.version + 1,
            ..self.to_row(row.key)
        }
    }

    /// Records the time of a change that clients can see.
    fn touch(&mut self) {
        self.updated_at = now().max(self.updated_at);
    }

    /// Whether the caller may know of the task.
    pub(super) fn belongs_to(&self, caller: Option<&Principal>) -> bool {
        caller_identity(self.owner.as_ref()) == caller_identity(caller)
    }

    /// The name of the server that the task belongs to.
    pub(super) fn server(&self) -> &str {
        &self.server
    }

    /// The token of the present lease.
    pub(super) fn fencing_token(&self) -> u32 {
        self.lease.fencing_token
    }

    /// How many workers the task has had.
    pub(super) fn attempts(&self) -> u32 {
        self.lease.fencing_token
    }

    /// Grants the lease to another worker, until `expires_at`.
    pub(super) fn grant_lease(&mut self, expires_at: u64) {
        self.lease.fencing_token += 1;
        self.lease_expires_at = Some(expires_at);
    }

    /// Extends the lease of the present worker.
    pub(super) fn extend_lease(&mut self, expires_at: u64) {
        self.lease_expires_at = Some(expires_at);
    }

    pub(super) fn finish(&mut self, outcome: Outcome) {
        let (status, outcome) = match outcome {
            Outcome::Result(result) => (TaskStatus::Completed, TaskOutcome::Result(result)),
            Outcome::Error(error) => {
                self.message = Some(truncated(error.message.clone()));
                (TaskStatus::Failed, TaskOutcome::Error(error))
            }
        };
        self.status = status;
        self.outcome = Some(outcome);
        self.drop_call();
    }

    pub(super) fn cancel(&mut self) {
        self.status = TaskStatus::Cancelled;
        self.drop_call();
    }

    /// Drops what only a running task needs.
    fn drop_call(&mut self) {
        self.params = JsonObject::new();
        self.meta = RawJson::EMPTY_OBJECT;
        self.journal = RoundRecord::default();
        self.questions = InputRequests::new();
        self.touch();
    }

    pub(super) fn set_message(&mut self, message: String) {
        self.message = Some(truncated(message));
        self.touch();
    }

    /// Adds those of the questions that have no answer yet.
    pub(super) fn ask(&mut self, questions: &InputRequests) {
        for (key, question) in questions
            .iter()
            .filter(|(key, _)| self.journal.answer(key).is_none())
        {
            self.questions.insert(key, question.clone());
        }
        self.update_status();
    }

    /// Takes the answers to open questions, and ignores the others. Returns whether there were any.
    ///
    /// # Errors
    /// Names the answer that does not fit its question, and why.
    pub(super) fn answer(&mut self, answers: &InputResponses) -> Result<bool, String> {
        let fitting = answers
            .0
            .iter()
            .filter_map(|(key, answer)| Some((key, self.questions.get(key)?, answer)));
        let mut taken = Vec::new();
        for (key, question, answer) in fitting {
            check_answer(question, answer)
                .map_err(|why| format!("inputResponses[{key:?}]: {why}"))?;
            taken.push((key.clone(), answer.clone()));
        }
        let questions = std::mem::take(&mut self.questions).into_iter();
        self.questions = questions
            .filter(|(key, _)| !taken.iter().any(|(taken, _)| taken == key))
            .collect();
        let is_changed = !taken.is_empty();
        taken
            .into_iter()
            .for_each(|(key, answer)| self.journal.record_answer(key, answer));
        self.update_status();
        Ok(is_changed)
    }

    fn update_status(&mut self) {
        self.status = if self.questions.is_empty() {
            TaskStatus::Working
        } else {
            TaskStatus::InputRequired
        };
        self.touch();
    }

    /// The task as every result about it shows it.
    pub(super) fn task(&self, id: &str) -> Task {
        let date = |at: u64| carryall_proto::time::rfc3339(UNIX_EPOCH + Duration::from_millis(at));
        Task {
            task_id: id.to_owned(),
            status: self.status,
            status_message: self.message.clone(),
            created_at: date(self.created_at),
            last_updated_at: date(self.updated_at),
            ttl_ms: self.ttl_ms,
            poll_interval_ms: Some(self.poll_ms),
        }
    }

    /// The result of `tasks/get` (`tasks#task-polling`).
    pub(super) fn detailed(&self, id: &str, results: &ResultWriter) -> RawJson {
        let mut out = ResultBuffer::start("complete", 512);
        if out.splice(&self.task(id)).is_err() {
            tracing::error!(task = log_id(id), "a task cannot be written as JSON");
        }
        let mut put = |name: &str, value: Result<Vec<u8>, serde_json::Error>| {
            if let Ok(value) = value {
                out.raw_member(name, &value);
            }
        };
        if self.status == TaskStatus::InputRequired {
            put("inputRequests", serde_json::to_vec(&self.questions));
        }
        match &self.outcome {
            Some(TaskOutcome::Result(result)) => put("result", Ok(result.as_bytes().to_vec())),
            Some(TaskOutcome::Error(error)) => put("error", serde_json::to_vec(error)),
            None => {}
        }
        out.finish(None, results)
    }

    /// The notification for subscribers.
    pub(super) fn change(&self, id: &str, results: &ResultWriter) -> TaskChange {
        TaskChange {
            id: id.into(),
            task: self.detailed(id, results),
        }
    }

    /// Restores the call, so that another replica can resume the task. Headers and the extensions of
    /// layers are lost.
    ///
    /// # Errors
    /// When the record does not contain a valid call.
    pub(super) fn to_call(&self) -> Result<Call, String> {
        let params = RawJson::from(&JsonValue::Object(self.params.clone()));
        let params = Params::parse(params)
            .map_err(|error| error.to_string())?
            .with("_meta", &self.meta);
        let meta = Meta::parse(self.meta.clone()).map_err(|error| error.to_string())?;
        let mut call = Call::new(RequestId::from(0), Method::ToolsCall, params, meta);
        call.set_principal(self.owner.clone().map(Arc::new));
        Ok(call)
    }
}
