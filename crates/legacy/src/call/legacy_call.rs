//! One call in flight on a legacy server, through all its rounds.

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

/// How long the response to a call with log messages is held back for messages on another stream,
/// which nothing orders relative to the response.
const LATE_LOG_WINDOW: Duration = Duration::from_millis(50);

/// A call in flight. Dropping it before its end cancels it on the server.
pub(crate) struct LegacyCall {
    session: Arc<LegacySession>,
    /// The id of the request on the session.
    id: i64,
    call: Call,
    /// The request, until the server begins to answer it.
    sending: Option<BoxFuture<Result<IncomingStream, SessionError>>>,
    incoming: IncomingStream,
    /// An event that arrived while the request was being sent.
    early: Option<QueuedEvent>,
    events: mpsc::Receiver<QueuedEvent>,
    task: LegacyTask,
    /// The outcome, while it is held back for log messages, and until when.
    held_back: Option<(Outcome, Instant)>,
    /// Nothing more will arrive, so there is nothing to cancel.
    is_done: bool,
    /// The server does not work on the call any more, or never did.
    is_answered: bool,
}

/// Whether the call runs as a task of 2025-11-25.
enum LegacyTask {
    No,
    Requested,
    /// With this id.
    Created(String),
}

/// What a call has to tell its caller.
pub(crate) enum CallUpdate {
    Notification(Notification),
    /// The server asks this, in this request, and waits for the answer.
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
    /// Sends the request and waits until the server begins to answer it, or asks something.
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
            early: None,
            events,
            task: if as_task {
                LegacyTask::Requested
            } else {
                LegacyTask::No
            },
            held_back: None,
            is_done: false,
            is_answered: false,
        };
        let mut sending = session.transport().request(request);
        // A server may ask on another stream before it begins to answer on this one, and wait for
        // the answer.
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

    /// Notes that the request was not sent, or that it is unknown what became of it.
    fn set_failed(&mut self, error: &SessionError) {
        self.is_done = true;
        self.is_answered = !matches!(error, SessionError::Call(error) if !error.is_unsent());
    }

    pub(crate) fn session(&self) -> &Arc<LegacySession> {
        &self.session
    }

    /// The latest round of the call.
    pub(crate) fn call(&self) -> &Call {
        &self.call
    }

    /// Whether `call` can be another round of this one: it asks for the same.
    pub(crate) fn is_round_of(&self, call: &Call) -> bool {
        let arguments = |call: &Call| {
            call.params()
                .get("arguments")
                .and_then(|it| it.decode::<JsonValue>().ok())
        };
        self.call.method() == call.method()
            && self.call.name() == call.name()
            && arguments(&self.call) == arguments(call)
    }

    /// Starts the next round of the call.
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
        while let Some(sending) = &mut self.sending {
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

    fn receive(&mut self, incoming: Incoming) -> Option<CallUpdate> {
        match incoming {
            Incoming::Response(response) if response.id == RequestId::from(self.id) => {
                if self.became_task(&response.outcome) {
                    return None;
                }
                let outcome = self.finish(response.outcome);
                if self.call.meta().log_level().is_none()
                    || self.session.transport().is_multiplexed()
                {
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

    /// Once the response has arrived: the log messages that are still under way, then the outcome.
    async fn release_held_back(&mut self) -> Option<CallUpdate> {
        let (_, until) = self.held_back.as_ref()?;
        while let Ok(Some(queued)) = timeout_at(*until, self.events.recv()).await {
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

    /// Whether the response says that a task will produce the result. If so, the task is followed
    /// from now on.
    fn became_task(&mut self, outcome: &Outcome) -> bool {
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

    fn finish(&mut self, outcome: Outcome) -> Outcome {
        (self.is_done, self.is_answered) = (true, true);
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
        self.session.remove_call(self.id, self.is_answered);
        if self.is_done || self.session.failure().is_some() {
            return;
        }
        match &self.task {
            LegacyTask::Created(task_id) => self.session.cancel_task(self.id, task_id),
            LegacyTask::No | LegacyTask::Requested => self.session.cancel(self.id),
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
