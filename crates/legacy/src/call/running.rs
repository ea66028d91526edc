//! One call in work on a legacy server, through all its rounds.

use super::session::{Event, LegacySession, QueuedEvent};
use super::wire::{IncomingStream, SessionError};
use super::{task, translate};
use crate::generate;
use crate::message::{Incoming, Request};
use carryall_proto::{BoxFuture, Call, CallError, Message, Notification, Outcome, Reply, Response};
use carryall_types::{InputRequest, JsonValue, RequestId};
use futures_util::StreamExt as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

/// How long the response of a call that asked for log messages waits for those that its server
/// sends on another stream, which nothing orders against the response.
const LOGS_AFTER: Duration = Duration::from_millis(50);

/// A call in work. Dropping it before its end cancels it.
pub(crate) struct LegacyCall {
    pub(crate) session: Arc<LegacySession>,
    id: i64,
    call: Call,
    /// The request, for as long as the server has not begun to answer it.
    sending: Option<BoxFuture<Result<IncomingStream, SessionError>>>,
    incomings: IncomingStream,
    /// What came for the call before the server began to answer it.
    early: Option<QueuedEvent>,
    events: mpsc::Receiver<QueuedEvent>,
    task: LegacyTask,
    /// The response, which waits until then for log messages on another stream.
    last: Option<(Outcome, Instant)>,
    /// Nothing more comes, so that there is nothing to cancel.
    done: bool,
    /// The server has stopped working on it, or never began.
    answered: bool,
}

impl From<Event> for Next {
    fn from(event: Event) -> Self {
        match event {
            Event::Notification(notification) => Self::Notification(notification),
            Event::Question(request, question) => Self::Question(request, question),
        }
    }
}

/// Whether the call runs as a task of 2025-11-25.
enum LegacyTask {
    No,
    Asked,
    /// Under this id.
    Created(String),
}

/// What happens next.
pub(crate) enum Next {
    Notification(Notification),
    Question(Request, Box<InputRequest>),
    Done(Outcome),
}

impl LegacyCall {
    /// Sends the request.
    pub(crate) async fn start(
        session: &Arc<LegacySession>,
        call: Call,
    ) -> Result<Self, SessionError> {
        if let Some(level) = call.meta().log_level() {
            session.ensure_level(level).await;
        }
        let as_task = session.task_tools.is_required(session, &call).await;
        let id = session.next_id();
        let token = call
            .meta()
            .progress_token()
            .is_some()
            .then(|| format!("t-{id}"));
        let mut request = translate::request(&call, id, token.as_deref());
        if as_task {
            request.params = task::augmented(&request.params);
        }
        let events = session.enter(id, &call)?;
        // From here on dropping this cancels; before the request has gone out that does no harm.
        let nothing: IncomingStream = Box::pin(futures_util::stream::empty());
        let mut running = Self {
            session: Arc::clone(session),
            id,
            call,
            sending: None,
            incomings: nothing,
            early: None,
            events,
            task: if as_task {
                LegacyTask::Asked
            } else {
                LegacyTask::No
            },
            last: None,
            done: false,
            answered: false,
        };
        let mut sending = session.wire.request(request);
        // A server may ask on another stream before it begins to answer on this one, and wait for
        // what it asked.
        let sent = tokio::select! {
            biased;
            Some(queued) = running.events.recv() => {
                running.early = Some(queued);
                running.sending = Some(sending);
                return Ok(running);
            }
            sent = &mut sending => sent,
        };
        match sent {
            Ok(incomings) => {
                running.incomings = incomings;
                Ok(running)
            }
            Err(error) => {
                running.failed(&error);
                Err(error)
            }
        }
    }

    /// The request was not sent, or what became of it is unknown.
    fn failed(&mut self, error: &SessionError) {
        self.done = true;
        self.answered = !matches!(error, SessionError::Call(error) if !error.is_unsent());
    }

    /// The call as its caller made it last.
    pub(crate) fn call(&self) -> &Call {
        &self.call
    }

    /// Whether `call` can be another round of this one: it asks for the same.
    pub(crate) fn is_of(&self, call: &Call) -> bool {
        let arguments = |call: &Call| {
            call.params()
                .get("arguments")
                .and_then(|it| it.decode::<JsonValue>().ok())
        };
        self.call.method() == call.method()
            && self.call.name() == call.name()
            && arguments(&self.call) == arguments(call)
    }

    /// Goes on with the next round of the same call.
    pub(crate) fn go_on(&mut self, call: Call) {
        self.session.go_on(self.id, &call);
        self.call = call;
    }

    pub(crate) async fn next(&mut self) -> Result<Next, CallError> {
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
                        Ok(incomings) => self.incomings = incomings,
                        Err(error) => {
                            self.failed(&error);
                            return Err(error.into_call_error());
                        }
                    }
                }
            }
        }
        loop {
            if let Some(next) = self.last_words().await {
                return Ok(next);
            }
            let incoming = tokio::select! {
                biased;
                Some(queued) = self.events.recv() => return Ok(queued.event.into()),
                incoming = self.incomings.next() => incoming,
            };
            let lost = || {
                self.session
                    .lost()
                    .unwrap_or_else(|| CallError::broken("the answer ended without a response"))
            };
            let incoming = match incoming {
                Some(Ok(incoming)) => incoming,
                Some(Err(error)) => {
                    self.done = true;
                    return Err(error);
                }
                None => {
                    self.done = true;
                    return Err(lost());
                }
            };
            match incoming {
                Incoming::Response(response) if response.id == RequestId::from(self.id) => {
                    if self.became_task(&response.outcome) {
                        continue;
                    }
                    let outcome = self.outcome(response.outcome);
                    if self.call.meta().log_level().is_none() || self.session.wire.is_shared() {
                        return Ok(Next::Done(outcome));
                    }
                    self.last = Some((outcome, Instant::now() + LOGS_AFTER));
                }
                Incoming::ErrorWithoutId(error) => {
                    return Ok(Next::Done(self.outcome(Outcome::Error(error))));
                }
                Incoming::Notification(notification) => {
                    if let Some(notification) = self.session.own_notification(self.id, notification)
                    {
                        return Ok(Next::Notification(notification));
                    }
                }
                Incoming::Request(request) => {
                    if let Some(Event::Question(request, question)) =
                        self.session.own_request(self.id, request)
                    {
                        return Ok(Next::Question(request, question));
                    }
                }
                Incoming::Response(response) => {
                    tracing::debug!(id = %response.id, "a response to another request")
                }
            }
        }
    }

    /// Once the response is there: the log messages that are still under way, then the response.
    async fn last_words(&mut self) -> Option<Next> {
        let (_, until) = self.last.as_ref()?;
        while let Ok(Some(queued)) = timeout_at(*until, self.events.recv()).await {
            match queued.event {
                Event::Notification(notification) => return Some(Next::Notification(notification)),
                Event::Question(request, _) => self.session.refuse(&request),
            }
        }
        self.last.take().map(|(outcome, _)| Next::Done(outcome))
    }

    /// Whether the response says that the result is to come from a task, which is followed from
    /// here on.
    fn became_task(&mut self, outcome: &Outcome) -> bool {
        let (LegacyTask::Asked, Outcome::Result(result)) = (&self.task, outcome) else {
            return false;
        };
        let Some(created) = task::created(result) else {
            return false;
        };
        self.task = LegacyTask::Created(created.task_id.clone());
        self.incomings = task::follow(Arc::clone(&self.session), self.id, created);
        true
    }

    fn outcome(&mut self, outcome: Outcome) -> Outcome {
        (self.done, self.answered) = (true, true);
        match outcome {
            Outcome::Result(result) => {
                Outcome::Result(translate::result(self.call.method(), &result))
            }
            Outcome::Error(error) => match translate::pages_required(&self.call, &error) {
                Some(result) => Outcome::Result(result),
                None => Outcome::Error(translate::error(&self.call, error)),
            },
        }
    }

    /// The reply to the call as it stands: a response if that comes first, else a stream.
    pub(crate) async fn reply(mut self) -> Result<Reply, CallError> {
        let first = match self.next().await? {
            Next::Notification(notification) => notification,
            next => return Ok(Reply::Once(self.response(next))),
        };
        Ok(Reply::Stream(generate::stream(move |out| async move {
            out.emit(Ok(Message::Notification(first))).await;
            loop {
                match self.next().await {
                    Ok(Next::Notification(notification)) => {
                        out.emit(Ok(Message::Notification(notification))).await
                    }
                    Ok(next) => return out.emit(Ok(Message::Response(self.response(next)))).await,
                    Err(error) => return out.emit(Err(error)).await,
                }
            }
        })))
    }

    fn response(self, next: Next) -> Response {
        let id = self.call.id().clone();
        match next {
            Next::Done(outcome) => Response { id, outcome },
            Next::Question(request, question) => {
                let parked = Arc::clone(&self.session.parked);
                match parked.park(self, request.id, *question) {
                    Ok(result) => Response::result(id, result),
                    Err(error) => Response::error(id, error),
                }
            }
            // A notification is no answer; callers have taken it out.
            Next::Notification(_) => Response::error(id, carryall_types::ErrorObject::internal()),
        }
    }
}

impl Drop for LegacyCall {
    fn drop(&mut self) {
        self.session.leave(self.id, self.answered);
        if self.done || self.session.lost().is_some() {
            return;
        }
        match &self.task {
            LegacyTask::Created(task_id) => self.session.cancel_task(self.id, task_id),
            LegacyTask::No | LegacyTask::Asked => self.session.cancel(self.id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::options::Options;
    use crate::call::parked::SuspendedCalls;
    use crate::call::wire::{MessageSink, OneWayMessage, SessionTransport};
    use carryall_testkit as testkit;
    use carryall_types::{ProtocolVersion, RawJson};
    use serde_json::json;
    use std::sync::OnceLock;

    /// Answers every request at once. What it says otherwise comes on a stream of its own.
    #[derive(Default)]
    struct Fake(OnceLock<MessageSink>);

    impl std::fmt::Debug for Fake {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("Fake")
        }
    }

    impl SessionTransport for Fake {
        fn request(&self, request: Request) -> BoxFuture<Result<IncomingStream, SessionError>> {
            let response = Response::result(request.id, RawJson::EMPTY_OBJECT);
            let incomings: IncomingStream = Box::pin(futures_util::stream::iter([Ok(
                Incoming::Response(response),
            )]));
            Box::pin(std::future::ready(Ok(incomings)))
        }

        fn send(&self, _: OneWayMessage) -> BoxFuture<Result<(), SessionError>> {
            Box::pin(std::future::ready(Ok(())))
        }

        fn hear(&self, sink: MessageSink) {
            let _ = self.0.set(sink);
        }

        fn is_shared(&self) -> bool {
            false
        }

        fn negotiated(&self, _: ProtocolVersion) {}

        fn end(&self) -> BoxFuture<()> {
            Box::pin(std::future::ready(()))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn log_messages_of_another_stream_may_come_shortly_after_the_response() {
        let (wire, options) = (Arc::new(Fake::default()), Options::default());
        let result = RawJson::from(
            &json!({"protocolVersion": "2025-11-25", "capabilities": {"logging": {}}}),
        );
        let parked = SuspendedCalls::new(&options);
        let session =
            LegacySession::established(Arc::clone(&wire) as _, &options, &result, &parked)
                .await
                .unwrap();
        session.hear();
        let quiet = testkit::call("tools/call", json!({"name": "x"}));
        let mut call = quiet.clone();
        let logging = call.meta().edited(|meta| {
            meta.insert(carryall_proto::key::LOG_LEVEL.into(), "debug".into());
        });
        call.set_meta(logging.unwrap());
        let mut running = LegacyCall::start(&session, call).await.unwrap();
        let late = tokio::spawn(async move {
            tokio::time::sleep(LOGS_AFTER / 2).await;
            let params = json!({"level": "error", "data": "late"});
            let log = Notification::new("notifications/message", RawJson::from(&params));
            wire.0.get().unwrap()(Ok(Incoming::Notification(log)));
        });
        assert!(matches!(running.next().await, Ok(Next::Notification(_))));
        late.await.unwrap();
        let begun = Instant::now();
        assert!(matches!(running.next().await, Ok(Next::Done(_))));
        assert!(begun.elapsed() <= LOGS_AFTER);

        // ClientIdentity asked for none does not wait for any.
        let begun = Instant::now();
        let mut running = LegacyCall::start(&session, quiet).await.unwrap();
        assert!(matches!(running.next().await, Ok(Next::Done(_))));
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }
}
