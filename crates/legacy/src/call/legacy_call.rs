//! One call in flight on a legacy server.
//!
//! A legacy server that needs input sends a request of its own during the call. The modern caller
//! receives `input_required` instead and repeats its call with the answer. One [`LegacyCall`] spans
//! all these rounds, while the legacy server sees a single request.

use super::session::{LegacySession, QueuedEvent, ServerEvent};
use super::task;
use super::translate;
use super::transport::{IncomingStream, SessionError};
use crate::message::{Incoming, LegacyRequest};
use carryall_proto::{BoxFuture, Call, CallError, Notification, Outcome};
use carryall_types::{InputRequest, JsonValue, RequestId};
use futures_util::StreamExt as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

/// How long the response to a call with a log level is held back. Its log messages may come on
/// another stream, whose order relative to the response is undefined.
const LATE_LOG_WINDOW: Duration = Duration::from_millis(50);

/// A call in flight. If it is dropped before the server has responded, it is cancelled on the
/// server.
pub(crate) struct LegacyCall {
    session: Arc<LegacySession>,
    /// The id of the request to the legacy server.
    id: i64,
    /// The modern request of the latest round.
    call: Call,
    /// Sends the request; completes when the server begins to answer it.
    sending: Option<BoxFuture<Result<IncomingStream, SessionError>>>,
    /// The messages on the stream of this request.
    incoming: IncomingStream,
    /// Messages on other streams that the session attributes to this call.
    events: mpsc::Receiver<QueuedEvent>,
    /// An event that arrived while [`LegacyCall::start`] was sending the request.
    early: Option<QueuedEvent>,
    task: LegacyTask,
    /// The outcome while it is held back for log messages, and the end of that wait.
    held_back: Option<(Outcome, Instant)>,
    /// The call has ended, so there is nothing to cancel.
    is_done: bool,
    /// The server has finished with the call or never received it. `false` if that is unknown.
    server_finished: bool,
}

/// Whether the call runs as a task of 2025-11-25.
enum LegacyTask {
    NotRequested,
    Requested,
    /// The server runs the call as the task with this id.
    Created(String),
}

/// An update for the caller of a call in flight.
pub(crate) enum CallUpdate {
    Notification(Notification),
    /// The server needs input: its request, and the same as an input request of 2026-07-28.
    Question(LegacyRequest, Box<InputRequest>),
    /// The last update.
    Done(Outcome),
}

impl From<ServerEvent> for CallUpdate {
    fn from(event: ServerEvent) -> Self {
        match event {
            ServerEvent::Notification(notification) => Self::Notification(notification),
            ServerEvent::Question(request, question) => Self::Question(request, question),
        }
    }
}

impl LegacyCall {
    /// Sends the request and waits until the server begins to answer it, or sends an event of this
    /// call on another stream.
    pub(crate) async fn start(
        session: &Arc<LegacySession>,
        call: Call,
    ) -> Result<Self, SessionError> {
        if let Some(level) = call.meta().log_level() {
            session.ensure_log_level(level).await;
        }
        let as_task = session.requires_task(&call).await;
        let id = session.requests().next_id();
        let mut request = translate::request(&call, id);
        if as_task {
            request.params = task::request_task(&request.params);
        }
        let events = session.insert_call(id, &call)?;
        let mut this = Self {
            session: Arc::clone(session),
            id,
            call,
            sending: None,
            incoming: Box::pin(futures_util::stream::empty()),
            events,
            early: None,
            task: if as_task {
                LegacyTask::Requested
            } else {
                LegacyTask::NotRequested
            },
            held_back: None,
            is_done: false,
            server_finished: false,
        };
        let mut sending = session.transport().request(request);
        // On another stream, a server may ask for input before it begins to answer on this one. It
        // then waits for the input, so waiting for nothing but the answer would deadlock.
        let sent = tokio::select! {
            biased;
            Some(queued) = this.events.recv() => {
                this.early = Some(queued);
                this.sending = Some(sending);
                return Ok(this);
            }
            sent = &mut sending => sent,
        };
        match sent {
            Ok(incoming) => {
                this.incoming = incoming;
                Ok(this)
            }
            Err(error) => {
                this.set_failed(&error);
                Err(error)
            }
        }
    }

    pub(crate) fn session(&self) -> &Arc<LegacySession> {
        &self.session
    }

    /// Returns the modern request of the latest round.
    pub(crate) fn call(&self) -> &Call {
        &self.call
    }

    /// Returns whether `call` can be another round of this call: it has the same method, name and
    /// arguments.
    pub(crate) fn is_round_of(&self, call: &Call) -> bool {
        let arguments = |call: &Call| {
            call.params()
                .get("arguments")
                .and_then(|arguments| arguments.decode::<JsonValue>().ok())
        };
        self.call.method() == call.method()
            && self.call.name() == call.name()
            && arguments(&self.call) == arguments(call)
    }

    /// Starts the next round, in which `call` is the request.
    pub(crate) fn set_round(&mut self, call: Call) {
        self.session.update_call(self.id, &call);
        self.call = call;
    }

    /// Waits for the next update. There is none after [`CallUpdate::Done`] or an error.
    ///
    /// Cancel safe.
    pub(crate) async fn next(&mut self) -> Result<CallUpdate, CallError> {
        if let Some(queued) = self.early.take() {
            return Ok(queued.event.into());
        }
        if let Some(sending) = &mut self.sending {
            tokio::select! {
                biased;
                Some(queued) = self.events.recv() => return Ok(queued.event.into()),
                sent = sending => {
                    self.sending = None;
                    match sent {
                        Ok(incoming) => self.incoming = incoming,
                        Err(error) => {
                            self.set_failed(&error);
                            return Err(error.into_call_error());
                        }
                    }
                }
            }
        }
        loop {
            if let Some(update) = self.release_held_back().await {
                return Ok(update);
            }
            let incoming = tokio::select! {
                biased;
                Some(queued) = self.events.recv() => return Ok(queued.event.into()),
                incoming = self.incoming.next() => incoming,
            };
            let incoming = match incoming {
                Some(Ok(incoming)) => incoming,
                Some(Err(error)) => {
                    self.is_done = true;
                    return Err(error);
                }
                None => {
                    self.is_done = true;
                    return Err(self.session.failure().unwrap_or_else(|| {
                        CallError::broken("the answer ended without a response")
                    }));
                }
            };
            if let Some(update) = self.receive(incoming) {
                return Ok(update);
            }
        }
    }

    /// Records that sending the request failed.
    fn set_failed(&mut self, error: &SessionError) {
        self.is_done = true;
        self.server_finished = match error {
            SessionError::Call(error) => error.is_unsent(),
            _ => true,
        };
    }

    /// If the outcome is held back, returns the next log message, or the outcome once the wait is
    /// over.
    async fn release_held_back(&mut self) -> Option<CallUpdate> {
        let (_, deadline) = self.held_back.as_ref()?;
        while let Ok(Some(queued)) = timeout_at(*deadline, self.events.recv()).await {
            match queued.event {
                ServerEvent::Notification(notification) => {
                    return Some(CallUpdate::Notification(notification));
                }
                ServerEvent::Question(request, _) => self.session.refuse(&request),
            }
        }
        self.held_back
            .take()
            .map(|(outcome, _)| CallUpdate::Done(outcome))
    }

    /// Handles a message on the stream of this request. Returns the update for the caller, if any.
    fn receive(&mut self, incoming: Incoming) -> Option<CallUpdate> {
        match incoming {
            Incoming::Response(response) if response.id == RequestId::from(self.id) => {
                if self.follow_created_task(&response.outcome) {
                    return None;
                }
                let outcome = self.finish(response.outcome);
                let wants_log = self.call.meta().log_level().is_some();
                // A multiplexed transport has one stream, which delivers messages in order.
                if !wants_log || self.session.transport().is_multiplexed() {
                    return Some(CallUpdate::Done(outcome));
                }
                self.held_back = Some((outcome, Instant::now() + LATE_LOG_WINDOW));
                None
            }
            Incoming::ErrorWithoutId(error) => {
                Some(CallUpdate::Done(self.finish(Outcome::Error(error))))
            }
            Incoming::Notification(notification) => self
                .session
                .notification_of_call(self.id, notification)
                .map(CallUpdate::Notification),
            Incoming::Request(request) => self
                .session
                .request_of_call(self.id, request)
                .map(|(request, question)| CallUpdate::Question(request, question)),
            Incoming::Response(response) => {
                tracing::debug!(id = %response.id, "ignored a response to another request");
                None
            }
        }
    }

    /// If the response says that the server has created a task, reads the further messages from the
    /// task and returns `true`.
    fn follow_created_task(&mut self, outcome: &Outcome) -> bool {
        let (LegacyTask::Requested, Outcome::Result(result)) = (&self.task, outcome) else {
            return false;
        };
        let Some(created) = task::created_task(result) else {
            return false;
        };
        self.task = LegacyTask::Created(created.task_id.clone());
        self.incoming = task::follow(self.session.requests().clone(), self.id, created);
        true
    }

    /// Marks the call as done and translates its outcome to 2026-07-28.
    fn finish(&mut self, outcome: Outcome) -> Outcome {
        self.is_done = true;
        self.server_finished = true;
        match outcome {
            Outcome::Result(result) => {
                Outcome::Result(translate::result(self.call.method(), &result))
            }
            Outcome::Error(error) => match translate::url_elicitation(&self.call, &error) {
                Some(result) => Outcome::Result(result),
                None => Outcome::Error(translate::error(&self.call, error)),
            },
        }
    }
}

impl Drop for LegacyCall {
    fn drop(&mut self) {
        self.session.remove_call(self.id, self.server_finished);
        if self.is_done || self.session.failure().is_some() {
            return;
        }
        match &self.task {
            LegacyTask::Created(task_id) => self.session.cancel_task(self.id, task_id),
            LegacyTask::NotRequested | LegacyTask::Requested => self.session.cancel(self.id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::budgets::SessionBudgets;
    use crate::call::fake_transport::{FakeTransport, empty_result};
    use crate::call::options::DualEraOptions;
    use carryall_testkit as testkit;
    use carryall_types::RawJson;
    use serde_json::json;

    #[tokio::test(start_paused = true)]
    async fn log_messages_on_another_stream_may_come_shortly_after_the_response() {
        let transport =
            FakeTransport::new(|request| Box::pin(std::future::ready(Ok(empty_result(request)))));
        let transport = Arc::new(transport.per_request());
        let result = RawJson::from(
            &json!({"protocolVersion": "2025-11-25", "capabilities": {"logging": {}}}),
        );
        let (options, budgets) = (DualEraOptions::default(), Arc::<SessionBudgets>::default());
        let session =
            LegacySession::establish(Arc::clone(&transport) as _, &options, &result, &budgets)
                .await
                .unwrap();
        session.listen();
        let quiet = testkit::call("tools/call", json!({"name": "x"}));
        let mut logged = quiet.clone();
        let meta = logged.meta().edited(|meta| {
            meta.insert(carryall_proto::key::LOG_LEVEL.into(), "debug".into());
        });
        logged.set_meta(meta.unwrap());
        let mut call = LegacyCall::start(&session, logged).await.unwrap();
        let late = tokio::spawn(async move {
            tokio::time::sleep(LATE_LOG_WINDOW / 2).await;
            let params = json!({"level": "error", "data": "late"});
            let log = Notification::new("notifications/message", RawJson::from(&params));
            transport.deliver(Incoming::Notification(log));
        });
        assert!(matches!(call.next().await, Ok(CallUpdate::Notification(_))));
        late.await.unwrap();
        let start = Instant::now();
        assert!(matches!(call.next().await, Ok(CallUpdate::Done(_))));
        assert!(start.elapsed() <= LATE_LOG_WINDOW);

        // A call without a log level is not held back.
        let start = Instant::now();
        let mut call = LegacyCall::start(&session, quiet).await.unwrap();
        assert!(matches!(call.next().await, Ok(CallUpdate::Done(_))));
        assert_eq!(start.elapsed(), Duration::ZERO);
    }
}
