//! Tools of 2025-11-25 servers that must run as tasks (2025-11-25 `basic/utilities/tasks`).
//!
//! Such a tool refuses a plain call. The adapter makes the call as a task, and waits for its result
//! as its caller waits for that of any call: whether the caller knows tasks, which are others in
//! this revision, has no part in it. Progress and questions reach the caller on the way; dropping
//! the call cancels the task.
//!
//! Which tools these are is in the server's list of tools, which is asked for once in a session,
//! and again when it has changed, if the server declares such tasks at all.

use super::session::{LegacySession, respond};
use super::single_flight::SingleFlight;
use super::wire::{IncomingStream, SessionError};
use crate::generate::{self, Emitter};
use crate::message::{Incoming, Request};
use carryall_proto::sync::Mutex;
use carryall_proto::{Call, CallError, Outcome, Params, Response};
use carryall_types::{JsonObject, JsonValue, Method, RawJson, RequestId};
use futures_util::StreamExt as _;
use serde::Deserialize;
use serde_json::json;
use std::collections::HashSet;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// How long the server is to keep a task, in milliseconds: it ends one that nobody asks for in that
/// time. A day, because a call may last as long as its caller waits.
const TTL_MS: u64 = 24 * 60 * 60 * 1000;
/// How often a server is asked after a task that does not say how often, and how often at most and
/// at least.
const POLL: Duration = Duration::from_secs(1);
const MIN_POLL: Duration = Duration::from_millis(50);
const MAX_POLL: Duration = Duration::from_secs(10);
/// How long a server may take to say how a task stands.
const STATUS: Duration = Duration::from_secs(60);
/// The whole list of tools has to be there in this time.
const LISTING: Duration = Duration::from_secs(10);
/// Bounds of that list: pages, and names of tools that must run as tasks.
const MAX_PAGES: usize = 64;
const MAX_NAMES: usize = 4096;

/// The tools of a session that must run as tasks.
#[derive(Default)]
pub(crate) struct TaskOnlyTools {
    known: Mutex<Option<Known>>,
    listing: SingleFlight<Arc<HashSet<String>>, SessionError>,
}

struct Known {
    /// As of this change of the list.
    changes: u64,
    names: Arc<HashSet<String>>,
}

impl TaskOnlyTools {
    /// Whether `call` has to be made as a task. A server that does not say gets a plain call.
    pub(crate) async fn is_required(&self, session: &Arc<LegacySession>, call: &Call) -> bool {
        if *call.method() != Method::ToolsCall || !session.runs_tools_as_tasks() {
            return false;
        }
        let Some(name) = call.name() else {
            return false;
        };
        match self.names(session).await {
            Ok(names) => names.contains(name),
            Err(error) => {
                tracing::debug!(error = ?carryall_proto::PrintableFmt(&error), "which tools must run as tasks is not known");
                false
            }
        }
    }

    async fn names(
        &self,
        session: &Arc<LegacySession>,
    ) -> Result<Arc<HashSet<String>>, SessionError> {
        let changes = session.listeners.tools_changed();
        if let Some(known) = self
            .known()
            .as_ref()
            .filter(|known| known.changes == changes)
        {
            return Ok(Arc::clone(&known.names));
        }
        // What holds on to the session must not outlive it by more than this.
        let listed = Arc::clone(session);
        let listing = self.listing.run(async move {
            let listed = timeout(LISTING, required(&listed)).await;
            listed
                .unwrap_or_else(|_| Err(CallError::Timeout(LISTING).into()))
                .map(Arc::new)
        });
        let names = listing.await?;
        *self.known() = Some(Known {
            changes,
            names: Arc::clone(&names),
        });
        Ok(names)
    }

    fn known(&self) -> MutexGuard<'_, Option<Known>> {
        self.known.lock()
    }
}

#[derive(Deserialize)]
struct Page {
    tools: Vec<JsonValue>,
    #[serde(default, rename = "nextCursor")]
    next: Option<String>,
}

/// Asks for the list of tools, and picks those that must run as tasks.
async fn required(session: &LegacySession) -> Result<HashSet<String>, SessionError> {
    let mut names = HashSet::new();
    let mut params = json!({});
    for _ in 0..MAX_PAGES {
        let id = RequestId::from(session.next_id());
        let request = Request {
            id,
            method: "tools/list".into(),
            params: RawJson::from(&params),
        };
        let page: Page = match respond(&*session.wire, request).await? {
            Outcome::Result(page) => page
                .decode()
                .map_err(|error| malformed("tools/list", &error))?,
            Outcome::Error(error) => return Err(SessionError::Refused(error)),
        };
        for tool in &page.tools {
            let is_required = tool
                .pointer("/execution/taskSupport")
                .is_some_and(|support| support == "required");
            if let Some(name) = tool
                .get("name")
                .and_then(JsonValue::as_str)
                .filter(|_| is_required)
                && names.len() < MAX_NAMES
            {
                names.insert(name.to_owned());
            }
        }
        match page.next {
            Some(next)
                if !next.is_empty()
                    && params.get("cursor").is_none_or(|cursor| *cursor != *next) =>
            {
                params = json!({"cursor": next});
            }
            _ => break,
        }
    }
    Ok(names)
}

fn malformed(method: &str, error: &dyn std::fmt::Display) -> SessionError {
    CallError::Malformed(format!("the answer to {method}: {error}")).into()
}

/// The parameters of a call that is to become a task.
pub(super) fn augmented(params: &RawJson) -> RawJson {
    match Params::parse(params.clone()) {
        Ok(params) => params
            .with("task", &RawJson::from(&json!({"ttl": TTL_MS})))
            .raw()
            .clone(),
        Err(_) => params.clone(),
    }
}

/// How a task stands.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Status {
    pub(super) task_id: String,
    status: String,
    #[serde(default)]
    poll_interval: Option<f64>,
}

impl Status {
    fn pause(&self) -> Duration {
        let asked = self
            .poll_interval
            .and_then(|ms| Duration::try_from_secs_f64(ms / 1000.0).ok());
        asked.unwrap_or(POLL).clamp(MIN_POLL, MAX_POLL)
    }
}

/// The task that a call has become, if it has.
pub(super) fn created(result: &RawJson) -> Option<Status> {
    #[derive(Deserialize)]
    struct Created {
        task: Status,
    }
    result.decode::<Created>().ok().map(|created| created.task)
}

/// What comes for the call `id` from here on: what the server says about its task, and in the end
/// the task's result as the response.
pub(super) fn follow(session: Arc<LegacySession>, id: i64, task: Status) -> IncomingStream {
    generate::stream(move |out| async move {
        let end = match result(&session, task, &out).await {
            Ok(outcome) => Ok(Incoming::Response(Response {
                id: RequestId::from(id),
                outcome,
            })),
            Err(error) => Err(error.into_call_error()),
        };
        out.emit(end).await;
    })
}

async fn result(
    session: &LegacySession,
    mut task: Status,
    out: &Emitter<Result<Incoming, CallError>>,
) -> Result<Outcome, SessionError> {
    let params = json!({"taskId": task.task_id});
    // The result of a task that waits for input is asked for at once: its questions may come on
    // that answer's stream (`#input-required-status`).
    while task.status == "working" {
        sleep(task.pause()).await;
        let asked = timeout(STATUS, ask(session, "tasks/get", &params, out)).await;
        match asked.map_err(|_| CallError::Timeout(STATUS))?? {
            Outcome::Result(status) => {
                task = status
                    .decode()
                    .map_err(|error| malformed("tasks/get", &error))?
            }
            error => return Ok(error),
        }
    }
    ask(session, "tasks/result", &params, out).await
}

/// Sends a request about the task. What else comes on its stream is the call's.
async fn ask(
    session: &LegacySession,
    method: &str,
    params: &JsonValue,
    out: &Emitter<Result<Incoming, CallError>>,
) -> Result<Outcome, SessionError> {
    let id = RequestId::from(session.next_id());
    let request = Request {
        id: id.clone(),
        method: method.to_owned(),
        params: RawJson::from(params),
    };
    let mut incomings = session.wire.request(request).await?;
    while let Some(incoming) = incomings.next().await {
        match incoming? {
            Incoming::Response(response) if response.id == id => {
                return Ok(without_task(response.outcome));
            }
            Incoming::ErrorWithoutId(error) => return Ok(Outcome::Error(error)),
            other => out.emit(Ok(other)).await,
        }
    }
    Err(CallError::broken(format!("the answer to {method} ended without a response")).into())
}

/// A result without the task that it came from, which means nothing to the caller.
fn without_task(outcome: Outcome) -> Outcome {
    const RELATED: &str = "io.modelcontextprotocol/related-task";
    let Outcome::Result(result) = &outcome else {
        return outcome;
    };
    let Ok(members) = Params::parse(result.clone()) else {
        return outcome;
    };
    let Some(mut meta) = members
        .get("_meta")
        .and_then(|meta| meta.decode::<JsonObject>().ok())
    else {
        return outcome;
    };
    if meta.remove(RELATED).is_none() {
        return outcome;
    }
    Outcome::Result(
        members
            .with("_meta", &RawJson::from(&JsonValue::Object(meta)))
            .raw()
            .clone(),
    )
}
