//! The experimental tasks of 2025-11-25 (`basic/utilities/tasks`): a tool call that goes on after
//! its request was answered.
//!
//! A task lives in the process that began it, and belongs to its session. What it has to ask waits
//! until its client comes for the result.

use super::conversation::{ClientSession, Outgoing, RequestContext};
use super::forward::{self, Forward};
use crate::generate::{self, Emitter};
use crate::message::Request;
use bytes::Bytes;
use carryall_proto::budget::{BudgetExceeded, Reservation};
use carryall_proto::sync::Mutex;
use carryall_proto::{Notification, Outcome, Params, time};
use carryall_types::{ErrorObject, JsonObject, JsonValue, Method, RawJson, code};
use futures_util::StreamExt as _;
use futures_util::future::{AbortHandle, Abortable};
use serde::Deserialize;
use serde_json::json;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, MutexGuard};
use std::time::{Duration, SystemTime};
use tokio::sync::Notify;

/// How many tasks a session may have, finished ones included.
const MAX_TASKS: usize = 256;
/// SessionTasks on one page of their list.
const PAGE: usize = 50;
/// How many notifications of a task wait for their client; older ones give way.
const MAX_WAITING: usize = 256;
/// How long a task is kept when its client does not say.
const TTL: Duration = Duration::from_secs(600);
/// What a task takes besides what its client and its tool send, in bytes.
const OVERHEAD: usize = 2048;
/// What a notification or a question takes besides its text, in bytes.
const ITEM_OVERHEAD: usize = 128;
/// How often a client should ask, in milliseconds.
const POLL_INTERVAL: u64 = 1000;
const RELATED: &str = "io.modelcontextprotocol/related-task";

/// The tasks of one session, in the order in which they began.
#[derive(Default)]
pub(crate) struct SessionTasks(Mutex<BTreeMap<u64, Arc<Task>>>);

struct Task {
    id: String,
    created: SystemTime,
    ttl: Duration,
    abort: AbortHandle,
    state: Mutex<State>,
    changed: Notify,
}

struct State {
    updated: SystemTime,
    outcome: Option<Ended>,
    /// What the client has not come for yet.
    waiting: VecDeque<Notification>,
    /// What was asked and is not answered yet, each with its number.
    questions: Vec<(usize, Request)>,
    /// How much has been asked.
    asked: usize,
    /// The size of the arguments, which are held until the task ends.
    arguments: usize,
    /// Room for all of this, for as long as the task is kept.
    reservation: Reservation,
}

enum Ended {
    Settled(Outcome),
    Cancelled,
}

/// Whether a request wants to become a task.
pub(crate) fn is_wanted(conversation: &ClientSession, request: &Request) -> bool {
    request.method == "tools/call"
        && conversation.negotiated.has_tasks(&conversation.options)
        && Params::parse(request.params.clone())
            .is_ok_and(|params| params.get_str("task").is_some())
}

/// Whether a method is one of tasks.
pub(crate) fn owns(method: &str) -> bool {
    matches!(
        method,
        "tasks/get" | "tasks/result" | "tasks/list" | "tasks/cancel"
    )
}

/// Begins a task and answers at once.
pub(crate) fn begin(
    conversation: &Arc<ClientSession>,
    request: &Request,
    origin: RequestContext,
) -> Result<RawJson, ErrorObject> {
    #[derive(Deserialize)]
    struct Wanted {
        task: TaskParams,
    }
    #[derive(Deserialize)]
    struct TaskParams {
        ttl: Option<u64>,
    }
    let invalid = |error: serde_json::Error| {
        ErrorObject::invalid_params(format!("Invalid params: task: {error}"))
    };
    let wanted: Wanted = request.params.decode().map_err(invalid)?;
    let ttl = wanted
        .task
        .ttl
        .map_or(TTL, Duration::from_millis)
        .min(conversation.options.max_task_ttl);
    let mut params: JsonObject = request.params.decode().map_err(invalid)?;
    params.remove("task");
    let request = Request {
        params: RawJson::from(&JsonValue::Object(params)),
        ..request.clone()
    };
    let arguments = request.params.as_bytes().len();
    let reservation = conversation
        .quotas
        .tasks
        .reserve(&conversation.caller, arguments + OVERHEAD)
        .map_err(|exceeded| {
            let why = format!(
                "No further task can be held: {exceeded}. SessionTasks are held until their ttl is over"
            );
            ErrorObject::new(code::INTERNAL_ERROR, why)
        })?;
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|_| ErrorObject::internal())?;
    let (abort, registration) = AbortHandle::new_pair();
    let now = SystemTime::now();
    let state = State {
        updated: now,
        outcome: None,
        waiting: VecDeque::new(),
        questions: Vec::new(),
        asked: 0,
        arguments,
        reservation,
    };
    let task = Arc::new(Task {
        id: format!("{:032x}", u128::from_le_bytes(random)),
        created: now,
        ttl,
        abort,
        state: Mutex::new(state),
        changed: Notify::new(),
    });
    let number = conversation.tasks.add(&task)?;
    let running = Abortable::new(
        run(Arc::clone(conversation), Arc::clone(&task), request, origin),
        registration,
    );
    let keeping = Arc::downgrade(conversation);
    tokio::spawn(async move {
        let _ = tokio::time::timeout(ttl, running).await;
        // What is left of its time it can be asked about; then it is gone, finished or not.
        if let Ok(left) = (now + ttl).duration_since(SystemTime::now()) {
            tokio::time::sleep(left).await;
        }
        if let Some(conversation) = keeping.upgrade() {
            conversation.tasks.lock().remove(&number);
        }
    });
    Ok(RawJson::from(&json!({"task": task.shown(conversation)})))
}

/// Carries the call out, with nobody there to hear it.
async fn run(
    conversation: Arc<ClientSession>,
    task: Arc<Task>,
    request: Request,
    origin: RequestContext,
) {
    let questions = conversation.questions.clone();
    let mut messages = generate::stream(|out: Emitter<Outgoing>| async move {
        let id = request.id.clone();
        let forward = Forward {
            conversation: &conversation,
            request: &request,
            method: Method::ToolsCall,
            origin: &origin,
            out: &out,
        };
        let outcome = match forward::run(forward).await {
            Ok(result) => Outcome::Result(result),
            Err(error) => Outcome::Error(super::translate::errors::for_client(&request, error)),
        };
        out.emit(Outgoing::Response(carryall_proto::Response { id, outcome }))
            .await;
    });
    while let Some(message) = messages.next().await {
        let is_open = |question: &Request| questions.is_open(&question.id);
        let taken = task.lock().take(message, is_open);
        task.changed.notify_waiters();
        if taken.is_err() {
            break;
        }
    }
}

/// Answers `tasks/*`.
pub(crate) async fn answer(
    conversation: &Arc<ClientSession>,
    request: &Request,
    out: &Emitter<Outgoing>,
) -> Result<Outcome, ErrorObject> {
    if !conversation.negotiated.has_tasks(&conversation.options) {
        return Err(ErrorObject::method_not_found(&request.method));
    }
    if request.method == "tasks/list" {
        return list(conversation, request).map(Outcome::Result);
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Named {
        task_id: String,
    }
    let invalid =
        |error: serde_json::Error| ErrorObject::invalid_params(format!("Invalid params: {error}"));
    let Named { task_id } = request.params.decode().map_err(invalid)?;
    let task = conversation
        .tasks
        .lock()
        .values()
        .find(|task| task.id == task_id)
        .cloned();
    let task =
        task.ok_or_else(|| ErrorObject::invalid_params(format!("Unknown task: {task_id}")))?;
    match request.method.as_str() {
        "tasks/cancel" => {
            {
                let mut state = task.lock();
                if state.outcome.is_some() {
                    return Err(ErrorObject::invalid_params(format!(
                        "Task {task_id} has ended already"
                    )));
                }
                state.updated = SystemTime::now();
                state.end(Ended::Cancelled);
            }
            task.abort.abort();
            task.changed.notify_waiters();
            Ok(Outcome::Result(RawJson::from(&task.shown(conversation))))
        }
        "tasks/result" => Ok(task.result(conversation, out).await),
        _ => Ok(Outcome::Result(RawJson::from(&task.shown(conversation)))),
    }
}

fn list(conversation: &Arc<ClientSession>, request: &Request) -> Result<RawJson, ErrorObject> {
    #[derive(Deserialize)]
    struct Paged {
        cursor: Option<String>,
    }
    let invalid =
        || ErrorObject::invalid_params("Invalid params: the cursor is none of this server's");
    let Paged { cursor } = request.params.decode().map_err(|_| invalid())?;
    let from: u64 = cursor
        .map_or(Ok(0), |cursor| cursor.parse())
        .map_err(|_| invalid())?;
    let mut page: Vec<(u64, Arc<Task>)> = conversation
        .tasks
        .lock()
        .range(from..)
        .take(PAGE + 1)
        .map(|(number, task)| (*number, Arc::clone(task)))
        .collect();
    let next = if page.len() > PAGE {
        page.pop().map(|(number, _)| number.to_string())
    } else {
        None
    };
    let shown: Vec<JsonValue> = page
        .iter()
        .map(|(_, task)| task.shown(conversation))
        .collect();
    let mut result = json!({"tasks": shown});
    if let Some(next) = next {
        result["nextCursor"] = next.into();
    }
    Ok(RawJson::from(&result))
}

impl SessionTasks {
    fn add(&self, task: &Arc<Task>) -> Result<u64, ErrorObject> {
        let mut all = self.lock();
        if all.len() >= MAX_TASKS {
            let why =
                format!("This session has {MAX_TASKS} tasks already, which end with their ttl");
            return Err(ErrorObject::new(code::INTERNAL_ERROR, why));
        }
        let number = all.last_key_value().map_or(0, |(last, _)| last + 1);
        all.insert(number, Arc::clone(task));
        Ok(number)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Task>>> {
        self.0.lock()
    }
}

impl State {
    /// Takes in what the call says. `Err` when the task has ended by it before the call has,
    /// because there is no room.
    fn take(
        &mut self,
        message: Outgoing,
        is_open: impl Fn(&Request) -> bool,
    ) -> Result<(), BudgetExceeded> {
        if self.outcome.is_some() {
            return Ok(());
        }
        self.updated = SystemTime::now();
        match message {
            Outgoing::Notification(mut notification) => {
                notification.params = notification.params.as_ref().map(own);
                if self.waiting.len() == MAX_WAITING {
                    self.waiting.pop_front();
                }
                self.waiting.push_back(notification);
                // Older ones give way, and at last this one.
                while self.account().is_err() && self.waiting.pop_front().is_some() {}
                Ok(())
            }
            Outgoing::Request(question) => {
                self.questions.retain(|(_, question)| is_open(question));
                self.questions.push((self.asked, question));
                self.asked += 1;
                self.account().inspect_err(|exceeded| {
                    let why = format!("The question of the tool cannot be held: {exceeded}");
                    self.end(Ended::Settled(Outcome::Error(ErrorObject::new(
                        code::INTERNAL_ERROR,
                        why,
                    ))));
                })
            }
            Outgoing::Response(response) => {
                let outcome = match response.outcome {
                    Outcome::Result(result) => Outcome::Result(own(&result)),
                    error => error,
                };
                self.end(Ended::Settled(outcome));
                Ok(())
            }
        }
    }

    /// Ends the task. Its arguments are gone; a result that there is no room for is an error.
    fn end(&mut self, ended: Ended) {
        self.questions = Vec::new();
        self.arguments = 0;
        if matches!(ended, Ended::Cancelled) {
            self.waiting = VecDeque::new();
        }
        self.outcome = Some(ended);
        while let Err(exceeded) = self.account() {
            if self.waiting.pop_front().is_some() {
                continue;
            }
            let why = match &self.outcome {
                Some(Ended::Settled(Outcome::Result(result))) => {
                    let bytes = result.as_bytes().len();
                    format!(
                        "The result of {bytes} bytes cannot be held: {exceeded}. Call the tool without a task"
                    )
                }
                _ => format!("The error of the task cannot be held: {exceeded}"),
            };
            self.outcome = Some(Ended::Settled(Outcome::Error(ErrorObject::new(
                code::INTERNAL_ERROR,
                why,
            ))));
            if self.account().is_err() {
                // The reservation stays what it was, which is more than this takes.
                break;
            }
        }
    }

    /// Adjusts the reservation to what is held.
    fn account(&mut self) -> Result<(), BudgetExceeded> {
        let size =
            |params: &Option<RawJson>| params.as_ref().map_or(0, |params| params.as_bytes().len());
        let waiting: usize = self
            .waiting
            .iter()
            .map(|it| it.method.len() + size(&it.params) + ITEM_OVERHEAD)
            .sum();
        let questions: usize = self
            .questions
            .iter()
            .map(|(_, question)| question.params.as_bytes().len() + ITEM_OVERHEAD)
            .sum();
        let outcome = match &self.outcome {
            Some(Ended::Settled(Outcome::Result(result))) => result.as_bytes().len(),
            Some(Ended::Settled(Outcome::Error(error))) => {
                error.message.len() + error.data.as_ref().map_or(0, |data| data.as_bytes().len())
            }
            Some(Ended::Cancelled) | None => 0,
        };
        self.reservation
            .resize(OVERHEAD + self.arguments + waiting + questions + outcome)
    }
}

/// The same text in a buffer of its own. What came as part of a larger message would keep all of
/// that alive.
fn own(text: &RawJson) -> RawJson {
    RawJson::from_trusted(Bytes::copy_from_slice(text.as_bytes()))
}

impl Task {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// The `Task` of the schema.
    fn shown(&self, conversation: &ClientSession) -> JsonValue {
        let state = self.lock();
        let is_open =
            |(_, question): &(usize, Request)| conversation.questions.is_open(&question.id);
        let status = match &state.outcome {
            Some(Ended::Cancelled) => "cancelled",
            Some(Ended::Settled(Outcome::Error(_))) => "failed",
            // A tool that failed by its own account is a task that failed.
            Some(Ended::Settled(Outcome::Result(result))) if is_error(result) => "failed",
            Some(Ended::Settled(Outcome::Result(_))) => "completed",
            None if state.questions.iter().any(is_open) => "input_required",
            None => "working",
        };
        let mut shown = json!({
            "taskId": self.id,
            "status": status,
            "createdAt": time::rfc3339(self.created),
            "lastUpdatedAt": time::rfc3339(state.updated),
            "ttl": u64::try_from(self.ttl.as_millis()).unwrap_or(u64::MAX),
            "pollInterval": POLL_INTERVAL,
        });
        if let Some(Ended::Settled(Outcome::Error(error))) = &state.outcome {
            shown["statusMessage"] = error.message.clone().into();
        }
        shown
    }

    /// Tells the client what it has missed, asks it what has to be asked, and waits for the end.
    async fn result(&self, conversation: &ClientSession, out: &Emitter<Outgoing>) -> Outcome {
        let mut asked = 0;
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // From here on no change is missed.
            changed.as_mut().enable();
            loop {
                let next = {
                    let mut state = self.lock();
                    let notification = state.waiting.pop_front().map(Outgoing::Notification);
                    if notification.is_some() {
                        // It can only shrink.
                        let _ = state.account();
                    }
                    notification.or_else(|| {
                        let mut open = state
                            .questions
                            .iter()
                            .filter(|(number, _)| *number >= asked);
                        let found =
                            open.find(|(_, question)| conversation.questions.is_open(&question.id));
                        found.map(|(number, question)| {
                            asked = number + 1;
                            Outgoing::Request(question.clone())
                        })
                    })
                };
                let Some(next) = next else { break };
                out.emit(self.related(next)).await;
            }
            let ended = match &self.lock().outcome {
                Some(Ended::Settled(Outcome::Result(result))) => Some(Outcome::Result(
                    with_related(result, &self.id).unwrap_or_else(|| result.clone()),
                )),
                Some(Ended::Settled(error)) => Some(error.clone()),
                Some(Ended::Cancelled) => Some(Outcome::Error(ErrorObject::new(
                    code::INTERNAL_ERROR,
                    "The task was cancelled",
                ))),
                None => None,
            };
            if let Some(ended) = ended {
                return ended;
            }
            tokio::select! {
                () = changed => {}
                () = conversation.shutdown.begun() => {
                    let why = "The server is shutting down, and its tasks end with it";
                    return Outcome::Error(ErrorObject::new(code::INTERNAL_ERROR, why));
                }
            }
        }
    }

    /// The message, saying which task it belongs to.
    fn related(&self, message: Outgoing) -> Outgoing {
        match message {
            Outgoing::Notification(mut notification) => {
                let params = notification.params.unwrap_or(RawJson::EMPTY_OBJECT);
                notification.params = Some(with_related(&params, &self.id).unwrap_or(params));
                Outgoing::Notification(notification)
            }
            Outgoing::Request(mut request) => {
                request.params = with_related(&request.params, &self.id).unwrap_or(request.params);
                Outgoing::Request(request)
            }
            response @ Outgoing::Response(_) => response,
        }
    }
}

fn is_error(result: &RawJson) -> bool {
    Params::parse(result.clone()).is_ok_and(|result| result.get_str("isError") == Some("true"))
}

fn with_related(object: &RawJson, id: &str) -> Option<RawJson> {
    let mut object: JsonObject = object.decode().ok()?;
    let meta = object.entry("_meta").or_insert_with(|| json!({}));
    meta.as_object_mut()?
        .insert(RELATED.to_owned(), json!({"taskId": id}));
    Some(RawJson::from(&JsonValue::Object(object)))
}
