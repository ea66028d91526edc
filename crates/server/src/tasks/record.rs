//! A task as the store keeps it.

use super::Tasks;
use crate::call::ctx::Ctx;
use crate::call::result_writer::{ResultBuffer, ResultWriter};
use crate::catalogue::tool_entry::ToolEntry;
use crate::clock::{millis, now};
use crate::state::rounds::{ROUND_FIELDS, Record as Journal, check_answer, whose};
use bytes::Bytes;

use carryall_proto::listen::TaskChange;
use carryall_proto::task::log_id;
use carryall_proto::{Call, Meta, Outcome, Params, Principal};
use carryall_store::Row;
use carryall_types::{
    ErrorObject, InputRequests, InputResponses, JsonObject, JsonValue, Method, RawJson, RequestId,
    Task, TaskStatus,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

/// The longest status message. The rest of a longer one is cut off.
const MAX_MESSAGE_BYTES: usize = 4096;

/// The kind of row that tasks are.
pub(super) const KIND: &str = "task";

/// All there is to know of a task: who asked for what, how far it has come, and who works on it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Record {
    /// Who may see it, and what the call was allowed to do.
    pub(super) owner: Option<Principal>,
    /// The name of the server that it is a task of.
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
    /// What is asked and not answered yet.
    pub(super) questions: InputRequests,
    /// What answers and steps have brought.
    pub(super) journal: Journal,
    pub(super) outcome: Option<TaskOutcome>,
    pub(super) resumable: bool,
    pub(super) lease: Lease,
    /// When the lease ends. It stands in the row and not in its value, so that a renewal does not
    /// write the value again.
    #[serde(skip)]
    pub(super) lease_ends: Option<u64>,
}

/// Who works on a task. A worker with another number than this has lost it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Lease {
    pub(super) number: u32,
}

/// How a task has ended.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum TaskOutcome {
    Result(RawJson),
    Error(ErrorObject),
}

/// A status message is for people, and comes with every answer about the task.
fn clipped(mut message: String) -> String {
    message.truncate(message.floor_char_boundary(MAX_MESSAGE_BYTES));
    message
}

impl Record {
    /// The task that `entry` makes of the call of `ctx`.
    pub(super) fn new(
        ctx: &Ctx,
        entry: &ToolEntry,
        settings: &Tasks,
        journal: Journal,
        now: u64,
    ) -> Self {
        let call = ctx.call();
        let mut params: JsonObject = call.params.raw().decode().unwrap_or_default();
        params.retain(|name, _| !ROUND_FIELDS.contains(&name.as_str()));
        Self {
            owner: call.principal.as_deref().cloned(),
            server: ctx.core().sealer.server().to_owned(),
            tool: entry.tool.name().to_owned(),
            params,
            meta: call.meta.raw().clone(),
            created_at: now,
            updated_at: now,
            ttl_ms: settings.ttl_ms(),
            poll_ms: millis(settings.poll_interval),
            status: TaskStatus::Working,
            message: None,
            questions: InputRequests::new(),
            journal,
            outcome: None,
            resumable: entry.tool.resumable,
            lease: Lease { number: 1 },
            lease_ends: Some(now.saturating_add(millis(settings.lease))),
        }
    }

    pub(super) fn read(row: &Row) -> Option<Self> {
        let read = serde_json::from_slice(&row.value);
        let task = || log_id(&row.key);
        let read = read.map_err(|error| tracing::error!(error = %carryall_proto::PrintableFmt(&error), task = task(), "task record is not readable")).ok();
        read.map(|record: Self| Self {
            lease_ends: row.due_at,
            ..record
        })
    }

    /// The row of this record, to be inserted under `key`.
    pub(super) fn to_row(&self, key: String) -> Row {
        let value = Bytes::from(serde_json::to_vec(self).unwrap_or_default());
        let expires_at = self.ttl_ms.map(|ttl| self.created_at.saturating_add(ttl));
        let due_at = self.lease_ends.filter(|_| !self.status.is_terminal());
        Row {
            kind: KIND,
            key,
            version: 1,
            value,
            expires_at,
            due_at,
        }
    }

    /// The row that replaces `row`.
    pub(super) fn to_replace(&self, row: Row) -> Row {
        Row {
            version: row.version + 1,
            ..self.to_row(row.key)
        }
    }

    /// Something that clients can see has changed.
    fn touch(&mut self) {
        self.updated_at = now().max(self.updated_at);
    }

    /// Whether the caller may know of the task.
    pub(super) fn belongs_to(&self, caller: Option<&Principal>) -> bool {
        whose(self.owner.as_ref()) == whose(caller)
    }

    /// Whether it is a task of this server, and not of another one that was given the same store.
    pub(super) fn is_of(&self, server: &str) -> bool {
        self.server == server
    }

    pub(super) fn settle(&mut self, outcome: Outcome) {
        let (status, settled) = match outcome {
            Outcome::Result(result) => (TaskStatus::Completed, TaskOutcome::Result(result)),
            Outcome::Error(error) => {
                self.message = Some(clipped(error.message.clone()));
                (TaskStatus::Failed, TaskOutcome::Error(error))
            }
        };
        self.status = status;
        self.outcome = Some(settled);
        self.forget_call();
    }

    pub(super) fn cancel(&mut self) {
        self.status = TaskStatus::Cancelled;
        self.forget_call();
    }

    /// A task that has ended is kept for what it has come to. Nobody asks any more what it came
    /// from.
    fn forget_call(&mut self) {
        self.params = JsonObject::new();
        self.meta = RawJson::EMPTY_OBJECT;
        self.journal = Journal::default();
        self.questions = InputRequests::new();
        self.touch();
    }

    pub(super) fn say(&mut self, message: String) {
        self.message = Some(clipped(message));
        self.touch();
    }

    /// Puts questions that have no answer yet.
    pub(super) fn ask(&mut self, questions: &InputRequests) {
        for (key, question) in questions
            .iter()
            .filter(|(key, _)| self.journal.answer(key).is_none())
        {
            self.questions.insert(key, question.clone());
        }
        self.look_for_questions();
    }

    /// Takes in answers to what is asked; the others are ignored. Returns whether there were any.
    ///
    /// # Errors
    /// Which answer does not fit its question, and why.
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
        let some = !taken.is_empty();
        taken
            .into_iter()
            .for_each(|(key, answer)| self.journal.answered(key, answer));
        self.look_for_questions();
        Ok(some)
    }

    fn look_for_questions(&mut self) {
        self.status = if self.questions.is_empty() {
            TaskStatus::Working
        } else {
            TaskStatus::InputRequired
        };
        self.touch();
    }

    /// What every answer about the task says of it.
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

    /// All that `tasks/get` answers (`tasks#task-polling`).
    pub(super) fn detailed(&self, id: &str, stamp: &ResultWriter) -> RawJson {
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
        out.finish(None, stamp)
    }

    /// What listeners are told.
    pub(super) fn change(&self, id: &str, stamp: &ResultWriter) -> TaskChange {
        TaskChange {
            id: id.into(),
            task: self.detailed(id, stamp),
        }
    }

    /// The call that the task came from, so that another replica can go on with it. What layers and
    /// headers have said about it is not there any more.
    ///
    /// # Errors
    /// When the record does not hold a call.
    pub(super) fn to_call(&self) -> Result<Call, String> {
        let params = RawJson::from(&JsonValue::Object(self.params.clone()));
        let params = Params::parse(params)
            .map_err(|error| error.to_string())?
            .with("_meta", &self.meta);
        let meta = Meta::parse(self.meta.clone()).map_err(|error| error.to_string())?;
        let mut call = Call::new(RequestId::from(0), Method::ToolsCall, params, meta);
        call.principal = self.owner.clone().map(Arc::new);
        Ok(call)
    }
}
