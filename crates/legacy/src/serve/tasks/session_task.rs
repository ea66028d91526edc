//! One task: the messages of its call until the client asks for them, and its outcome.

use super::internal_error;
use crate::generate::Emitter;
use crate::message::LegacyRequest;
use crate::serve::exchange::Outgoing;
use crate::serve::server_requests::ServerRequests;
use crate::serve::shutdown::Shutdown;
use bytes::Bytes;
use carryall_proto::budget::{Budget, BudgetExceeded, Reservation};
use carryall_proto::sync::Mutex;
use carryall_proto::{Caller, Notification, Outcome, Params, time};
use carryall_types::{ErrorObject, JsonObject, JsonValue, RawJson};
use futures_util::future::AbortHandle;
use serde_json::json;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::Notify;

/// Maximum number of notifications that wait for the client; the oldest ones are dropped.
const MAX_NOTIFICATIONS: usize = 256;
/// What a task counts against the quota besides its messages, in bytes.
const OVERHEAD: usize = 2048;
/// What a notification or request counts besides its text, in bytes.
const MESSAGE_OVERHEAD: usize = 128;
/// The suggested interval between polls, in milliseconds.
const POLL_INTERVAL: u64 = 1000;
const RELATED_TASK: &str = "io.modelcontextprotocol/related-task";

/// One task.
pub(super) struct SessionTask {
    id: String,
    created: SystemTime,
    ttl: Duration,
    abort: AbortHandle,
    progress: Mutex<SessionTaskState>,
    changed: Notify,
}

struct SessionTaskState {
    updated: SystemTime,
    end: Option<TaskEnd>,
    /// What the client has not fetched yet.
    notifications: VecDeque<Notification>,
    /// The server-initiated requests that may be pending, each with its number.
    requests: Vec<(usize, LegacyRequest)>,
    /// The number of the next server-initiated request.
    next_request: usize,
    /// The size of the arguments, which are held until the task ends.
    argument_bytes: usize,
    /// Covers all of this for as long as the task is kept.
    reservation: Reservation,
}

enum TaskEnd {
    Completed(Outcome),
    Cancelled,
}

impl SessionTask {
    /// Creates a task, and reserves room for its arguments.
    pub(super) fn new(
        budget: &Budget,
        caller: &Caller,
        argument_bytes: usize,
        ttl: Duration,
        abort: AbortHandle,
    ) -> Result<Arc<Self>, ErrorObject> {
        let reservation = budget.reserve(caller, argument_bytes + OVERHEAD).map_err(
            |exceeded| {
                internal_error(format!(
                    "No further task can be held: {exceeded}. Tasks are held until their ttl ends"
                ))
            },
        )?;
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(|_| ErrorObject::internal())?;
        let now = SystemTime::now();
        let progress = SessionTaskState {
            updated: now,
            end: None,
            notifications: VecDeque::new(),
            requests: Vec::new(),
            next_request: 0,
            argument_bytes,
            reservation,
        };
        Ok(Arc::new(Self {
            id: format!("{:032x}", u128::from_le_bytes(random)),
            created: now,
            ttl,
            abort,
            progress: Mutex::new(progress),
            changed: Notify::new(),
        }))
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn expires_at(&self) -> SystemTime {
        self.created + self.ttl
    }

    /// Adds a message of the call. `Err` if that has ended the task before its call, for lack of
    /// room.
    pub(super) fn add(
        &self,
        message: Outgoing,
        server_requests: &ServerRequests,
    ) -> Result<(), BudgetExceeded> {
        let added = self.progress.lock().add(message, server_requests);
        self.changed.notify_waiters();
        added
    }

    /// Cancels the task. `Err` if it has ended already.
    pub(super) fn cancel(&self) -> Result<(), ErrorObject> {
        {
            let mut progress = self.progress.lock();
            if progress.end.is_some() {
                return Err(ErrorObject::invalid_params(format!(
                    "Task {} has already ended",
                    self.id
                )));
            }
            progress.updated = SystemTime::now();
            progress.set_end(TaskEnd::Cancelled);
        }
        self.abort.abort();
        self.changed.notify_waiters();
        Ok(())
    }

    /// Returns the `Task` of the schema.
    pub(super) fn to_json(&self, server_requests: &ServerRequests) -> JsonValue {
        let progress = self.progress.lock();
        let is_pending =
            |(_, request): &(usize, LegacyRequest)| server_requests.is_pending(&request.id);
        let status = match &progress.end {
            Some(TaskEnd::Cancelled) => "cancelled",
            Some(TaskEnd::Completed(Outcome::Error(_))) => "failed",
            // A tool result with `isError` fails its task.
            Some(TaskEnd::Completed(Outcome::Result(result))) if is_error(result) => "failed",
            Some(TaskEnd::Completed(Outcome::Result(_))) => "completed",
            None if progress.requests.iter().any(is_pending) => "input_required",
            None => "working",
        };
        let mut task = json!({
            "taskId": self.id,
            "status": status,
            "createdAt": time::rfc3339(self.created),
            "lastUpdatedAt": time::rfc3339(progress.updated),
            "ttl": u64::try_from(self.ttl.as_millis()).unwrap_or(u64::MAX),
            "pollInterval": POLL_INTERVAL,
        });
        if let Some(TaskEnd::Completed(Outcome::Error(error))) = &progress.end {
            task["statusMessage"] = error.message.clone().into();
        }
        task
    }

    /// Sends the client the messages that it has not seen, waits for the end of the task, and
    /// returns its result.
    pub(super) async fn result(
        &self,
        server_requests: &ServerRequests,
        shutdown: &Shutdown,
        out: &Emitter<Outgoing>,
    ) -> Result<RawJson, ErrorObject> {
        // Server-initiated requests with a lower number have been sent in answer to this request.
        let mut next_request = 0;
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // From here on no change is missed.
            changed.as_mut().enable();
            while let Some(message) = self.next_message(&mut next_request, server_requests) {
                out.emit(self.add_related_task(message)).await;
            }
            match &self.progress.lock().end {
                Some(TaskEnd::Completed(Outcome::Result(result))) => {
                    let related = with_related_task(result, &self.id);
                    return Ok(related.unwrap_or_else(|| result.clone()));
                }
                Some(TaskEnd::Completed(Outcome::Error(error))) => return Err(error.clone()),
                Some(TaskEnd::Cancelled) => return Err(internal_error("The task was cancelled")),
                None => {}
            }
            tokio::select! {
                () = changed => {}
                () = shutdown.begun() => {
                    return Err(internal_error(
                        "The server is shutting down, and its tasks end with it",
                    ));
                }
            }
        }
    }

    /// Takes the next notification, or copies the next pending request.
    fn next_message(
        &self,
        next_request: &mut usize,
        server_requests: &ServerRequests,
    ) -> Option<Outgoing> {
        let mut progress = self.progress.lock();
        if let Some(notification) = progress.notifications.pop_front() {
            // Less is held now, which cannot exceed the budget.
            let _ = progress.update_reservation();
            return Some(Outgoing::Notification(notification));
        }
        let (number, request) = progress.requests.iter().find(|(number, request)| {
            number >= next_request && server_requests.is_pending(&request.id)
        })?;
        *next_request = number + 1;
        Some(Outgoing::Request(request.clone()))
    }

    /// Adds to a message which task it belongs to.
    fn add_related_task(&self, message: Outgoing) -> Outgoing {
        match message {
            Outgoing::Notification(mut notification) => {
                let params = notification.params.unwrap_or(RawJson::EMPTY_OBJECT);
                notification.params = Some(with_related_task(&params, &self.id).unwrap_or(params));
                Outgoing::Notification(notification)
            }
            Outgoing::Request(mut request) => {
                request.params =
                    with_related_task(&request.params, &self.id).unwrap_or(request.params);
                Outgoing::Request(request)
            }
            response @ Outgoing::Response(_) => response,
        }
    }
}

impl SessionTaskState {
    fn add(
        &mut self,
        message: Outgoing,
        server_requests: &ServerRequests,
    ) -> Result<(), BudgetExceeded> {
        if self.end.is_some() {
            return Ok(());
        }
        self.updated = SystemTime::now();
        match message {
            Outgoing::Notification(mut notification) => {
                notification.params = notification.params.as_ref().map(detach);
                if self.notifications.len() == MAX_NOTIFICATIONS {
                    self.notifications.pop_front();
                }
                self.notifications.push_back(notification);
                // The oldest ones are dropped for it, and at last this one.
                while self.update_reservation().is_err() && self.notifications.pop_front().is_some()
                {
                }
                Ok(())
            }
            Outgoing::Request(request) => {
                self.requests
                    .retain(|(_, request)| server_requests.is_pending(&request.id));
                self.requests.push((self.next_request, request));
                self.next_request += 1;
                self.update_reservation().inspect_err(|exceeded| {
                    let error =
                        internal_error(format!("The tool's request cannot be held: {exceeded}"));
                    self.set_end(TaskEnd::Completed(Outcome::Error(error)));
                })
            }
            Outgoing::Response(response) => {
                let outcome = match response.outcome {
                    Outcome::Result(result) => Outcome::Result(detach(&result)),
                    error => error,
                };
                self.set_end(TaskEnd::Completed(outcome));
                Ok(())
            }
        }
    }

    /// Ends the task and releases its arguments. If there is no room for the result, the task has
    /// failed.
    fn set_end(&mut self, end: TaskEnd) {
        self.requests = Vec::new();
        self.argument_bytes = 0;
        if matches!(end, TaskEnd::Cancelled) {
            self.notifications = VecDeque::new();
        }
        self.end = Some(end);
        while let Err(exceeded) = self.update_reservation() {
            if self.notifications.pop_front().is_some() {
                continue;
            }
            let why = match &self.end {
                Some(TaskEnd::Completed(Outcome::Result(result))) => {
                    let bytes = result.as_bytes().len();
                    format!(
                        "The result of {bytes} bytes cannot be held: {exceeded}. Call the tool without a task"
                    )
                }
                _ => format!("The error of the task cannot be held: {exceeded}"),
            };
            self.end = Some(TaskEnd::Completed(Outcome::Error(internal_error(why))));
            if self.update_reservation().is_err() {
                // The reservation keeps its size, which is larger than this error.
                break;
            }
        }
    }

    /// Adjusts the reservation to what is held.
    fn update_reservation(&mut self) -> Result<(), BudgetExceeded> {
        let notifications: usize = self
            .notifications
            .iter()
            .map(|it| it.method.len() + size(it.params.as_ref()) + MESSAGE_OVERHEAD)
            .sum();
        let requests: usize = self
            .requests
            .iter()
            .map(|(_, request)| request.params.as_bytes().len() + MESSAGE_OVERHEAD)
            .sum();
        let end = match &self.end {
            Some(TaskEnd::Completed(Outcome::Result(result))) => result.as_bytes().len(),
            Some(TaskEnd::Completed(Outcome::Error(error))) => {
                error.message.len() + size(error.data.as_ref())
            }
            Some(TaskEnd::Cancelled) | None => 0,
        };
        self.reservation
            .resize(OVERHEAD + self.argument_bytes + notifications + requests + end)
    }
}

fn size(text: Option<&RawJson>) -> usize {
    text.map_or(0, |text| text.as_bytes().len())
}

/// Copies text into a buffer of its own. As a part of a larger message it would keep all of that
/// alive.
fn detach(text: &RawJson) -> RawJson {
    RawJson::from_trusted(Bytes::copy_from_slice(text.as_bytes()))
}

fn is_error(result: &RawJson) -> bool {
    Params::parse(result.clone()).is_ok_and(|result| result.get_str("isError") == Some("true"))
}

fn with_related_task(object: &RawJson, id: &str) -> Option<RawJson> {
    let mut object: JsonObject = object.decode().ok()?;
    let meta = object.entry("_meta").or_insert_with(|| json!({}));
    meta.as_object_mut()?
        .insert(RELATED_TASK.to_owned(), json!({"taskId": id}));
    Some(RawJson::from(&JsonValue::Object(object)))
}
