//! One session with a legacy server: its handshake, what comes without being asked for, and where
//! that belongs.

use super::flight::{CallRouter, QuestionTarget};
use super::level::SessionLogLevel;
use super::listen::SessionSubscriptions;
use super::options::Options;
use super::parked::SuspendedCalls;
use super::task::TaskOnlyTools;
use super::translate;
use super::wire::{OneWayMessage, SessionError, SessionTransport};
use crate::message::{Incoming, Request};
use crate::revision::REVISIONS;
use carryall_proto::budget::{Amount, Budget, Reservation};
use carryall_proto::sync::Mutex;
use carryall_proto::{Call, CallError, Caller, Notification, Outcome, Printable, Response};
use carryall_types::{
    ClientCapabilities, ErrorObject, Implementation, InputRequest, JsonObject, JsonValue,
    ProgressToken, ProtocolVersion, RawJson, RequestId, ServerCapabilities, code, notification,
};
use futures_util::StreamExt as _;
use serde_json::json;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, MutexGuard, OnceLock};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long a server may take for what a session needs besides its calls.
pub(crate) const HOUSEKEEPING: Duration = Duration::from_secs(10);
/// How long the end of a session waits for what is still to be said.
const GOODBYE: Duration = Duration::from_secs(2);
/// How many notifications of one call may wait for their reader; more are dropped, as they are by
/// any slow reader.
const MAX_EVENTS: usize = 256;
/// How many messages that nobody waits for may be on their way to the server, and how many bytes;
/// more are dropped.
const MAX_OUTGOING: Amount = Amount::new(1024, 1024 * 1024);
/// How many questions of the server handlers of this client may be working on, and their size; more
/// are refused.
const MAX_ANSWERING: Amount = Amount::new(256, 16 * 1024 * 1024);
/// How much of a method's name is logged.
const MAX_SHOWN: usize = 100;

/// ClientIdentity a session is for.
#[derive(Clone, Debug)]
pub(crate) struct ClientIdentity {
    pub(crate) capabilities: ClientCapabilities,
    pub(crate) info: Implementation,
}

/// A session after its handshake.
pub(crate) struct LegacySession {
    pub(crate) wire: Arc<dyn SessionTransport>,
    pub(crate) options: Options,
    pub(crate) parked: Arc<SuspendedCalls>,
    version: ProtocolVersion,
    initialized: JsonObject,
    capabilities: ServerCapabilities,
    ids: AtomicI64,
    flight: Mutex<CallRouter>,
    pub(crate) level: SessionLogLevel,
    pub(crate) listeners: SessionSubscriptions,
    pub(crate) task_tools: TaskOnlyTools,
    lost: OnceLock<CallError>,
    heard: AtomicBool,
    /// No further calls are to be made in it.
    retired: AtomicBool,
    /// A question that might have crossed from one caller to another was refused, and that was
    /// logged.
    warned: AtomicBool,
    /// Cancellations and answers on their way.
    outgoing: Mutex<JoinSet<()>>,
    /// What of them, and of the questions that are being answered, is held. Nobody's in particular:
    /// the server causes it.
    outgoing_budget: Budget,
    answering_budget: Budget,
}

/// What comes for a call before its response.
#[derive(Debug)]
pub(crate) enum Event {
    Notification(Notification),
    /// With the request that it came in.
    Question(Request, Box<InputRequest>),
}

/// What waits for its call.
#[derive(Debug)]
pub(crate) struct QueuedEvent {
    pub(crate) event: Event,
    pub(crate) _room: Reservation,
}

impl Event {
    /// In bytes.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Notification(Notification { method, params }) => {
                method.len() + params.as_ref().map_or(0, |params| params.as_bytes().len())
            }
            // It is kept twice: as it came, and as it was read.
            Self::Question(request, _) => 2 * size_of_request(request),
        }
    }
}

fn size_of_request(request: &Request) -> usize {
    request.method.len() + request.params.as_bytes().len()
}

/// The first request of every session.
pub(crate) fn initialize(id: RequestId, who: &ClientIdentity) -> Request {
    let params = json!({
        "protocolVersion": REVISIONS[0].as_str(),
        "capabilities": translate::capabilities(&who.capabilities),
        "clientInfo": who.info,
    });
    Request {
        id,
        method: "initialize".into(),
        params: RawJson::from(&params),
    }
}

impl LegacySession {
    /// Shakes hands (2025-11-25 `basic/lifecycle#initialization`).
    pub(crate) async fn open(
        wire: Arc<dyn SessionTransport>,
        options: &Options,
        who: &ClientIdentity,
        parked: &Arc<SuspendedCalls>,
    ) -> Result<Arc<Self>, SessionError> {
        let limit = options.handshake_timeout;
        let request = initialize(RequestId::from(0), who);
        let answered = timeout(limit, respond(&*wire, request)).await;
        let answered = answered
            .map_err(|_| CallError::broken(format!("no answer to initialize within {limit:?}")))?;
        match answered? {
            Outcome::Result(result) => {
                let session = Self::established(wire, options, &result, parked).await?;
                // Many a server asks on that stream even in the middle of a call.
                if who.capabilities.elicitation.is_some()
                    || who.capabilities.supports_sampling()
                    || who.capabilities.supports_roots()
                {
                    session.hear();
                }
                Ok(session)
            }
            Outcome::Error(error) => Err(SessionError::Refused(error)),
        }
    }

    /// The session whose `initialize` was answered with `result`.
    pub(crate) async fn established(
        wire: Arc<dyn SessionTransport>,
        options: &Options,
        result: &RawJson,
        parked: &Arc<SuspendedCalls>,
    ) -> Result<Arc<Self>, SessionError> {
        let malformed = |why: String| SessionError::Call(CallError::Malformed(why));
        let mut initialized: JsonObject = result
            .decode()
            .map_err(|error| malformed(format!("the answer to initialize: {error}")))?;
        let version = initialized
            .get("protocolVersion")
            .and_then(JsonValue::as_str)
            .unwrap_or_default();
        let Some(version) = version
            .parse()
            .ok()
            .filter(|version| REVISIONS.contains(version))
        else {
            let why = format!(
                "the server wants to speak revision {version:?}, which has no handshake or is not known"
            );
            return Err(malformed(why));
        };
        let capabilities = translate::readable_capabilities(&mut initialized);
        wire.negotiated(version);
        let session = Arc::new(Self {
            options: options.clone(),
            parked: Arc::clone(parked),
            version,
            initialized,
            capabilities,
            ids: AtomicI64::new(1),
            flight: Mutex::default(),
            level: SessionLogLevel::default(),
            listeners: SessionSubscriptions::default(),
            task_tools: TaskOnlyTools::default(),
            lost: OnceLock::new(),
            heard: AtomicBool::new(false),
            retired: AtomicBool::new(false),
            warned: AtomicBool::new(false),
            outgoing: Mutex::default(),
            outgoing_budget: Budget::new(MAX_OUTGOING, MAX_OUTGOING),
            answering_budget: Budget::new(MAX_ANSWERING, MAX_ANSWERING),
            wire,
        });
        if session.wire.is_shared() {
            session.hear();
        }
        let initialized = Notification {
            method: "notifications/initialized".into(),
            params: None,
        };
        let (sent, limit) = (
            session.wire.send(OneWayMessage::Notification(initialized)),
            options.handshake_timeout,
        );
        let slow = |_| {
            CallError::broken(format!(
                "the server did not take notifications/initialized within {limit:?}"
            ))
        };
        timeout(limit, sent).await.map_err(slow)??;
        Ok(session)
    }

    pub(crate) fn version(&self) -> ProtocolVersion {
        self.version
    }

    pub(crate) fn capabilities(&self) -> &ServerCapabilities {
        &self.capabilities
    }

    /// Whether the server runs tools as tasks of 2025-11-25
    /// (`basic/utilities/tasks#server-capabilities`).
    pub(crate) fn runs_tools_as_tasks(&self) -> bool {
        let capabilities = self.initialized.get("capabilities");
        capabilities
            .and_then(|all| all.pointer("/tasks/requests/tools/call"))
            .is_some_and(JsonValue::is_object)
    }

    pub(crate) fn discovered(&self) -> RawJson {
        translate::discovered(self.version, &self.initialized)
    }

    pub(crate) fn lost(&self) -> Option<CallError> {
        self.lost.get().cloned()
    }

    /// Whether further calls are to be made in another session. Those in flight go on.
    pub(crate) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Relaxed)
    }

    pub(crate) fn next_id(&self) -> i64 {
        self.ids.fetch_add(1, Ordering::Relaxed)
    }

    /// Listens to what comes without being asked for, from now on.
    pub(crate) fn hear(self: &Arc<Self>) {
        if self.heard.swap(true, Ordering::Relaxed) {
            return;
        }
        let this = Arc::downgrade(self);
        self.wire.hear(Arc::new(move |incoming| {
            if let Some(session) = this.upgrade() {
                session.incoming(incoming);
            }
        }));
    }

    fn incoming(self: &Arc<Self>, incoming: Result<Incoming, CallError>) {
        match incoming {
            Ok(Incoming::Notification(notification)) => self.notification(notification),
            Ok(Incoming::Request(request)) => self.request(request),
            Ok(Incoming::Response(response)) => self.answered_late(&response.id),
            Ok(Incoming::ErrorWithoutId(error)) => {
                tracing::warn!(%error, "the server could not read a message")
            }
            Err(error) if self.wire.is_shared() => self.lose(error),
            // Without such a stream nothing is heard of changes any more.
            Err(error) => {
                tracing::debug!(%error, "nothing more is heard of changes");
                self.listeners.close();
            }
        }
    }

    /// Asks the server something that is no call of anybody's.
    pub(crate) async fn ask(
        &self,
        method: &str,
        params: &JsonValue,
    ) -> Result<Outcome, SessionError> {
        let id = RequestId::from(self.next_id());
        let request = Request {
            id,
            method: method.to_owned(),
            params: RawJson::from(params),
        };
        let limit = || CallError::broken(format!("no answer to {method} within {HOUSEKEEPING:?}"));
        timeout(HOUSEKEEPING, respond(&*self.wire, request))
            .await
            .map_err(|_| limit())?
    }

    /// Takes a call in; what comes for it before its response is received from now on.
    pub(crate) fn enter(
        &self,
        id: i64,
        call: &Call,
    ) -> Result<mpsc::Receiver<QueuedEvent>, CallError> {
        let (events, receiver) = mpsc::channel(MAX_EVENTS);
        self.flight().enter(id, events, call)?;
        Ok(receiver)
    }

    /// Another round of the same call.
    pub(crate) fn go_on(&self, id: i64, call: &Call) {
        self.flight().go_on(id, call);
    }

    /// Nobody waits for a call any more; the server may go on with it unless it was `answered`.
    pub(crate) fn leave(&self, id: i64, answered: bool) {
        self.flight().leave(id, answered);
    }

    fn answered_late(&self, id: &RequestId) {
        let known = matches!(id, RequestId::Number(id) if self.flight().answered_late(*id));
        tracing::debug!(%id, known, "a response that nobody waits for");
    }

    /// Tells the server that nobody waits for a call any more.
    pub(crate) fn cancel(&self, id: i64) {
        let params = json!({"requestId": id, "reason": "The caller no longer waits"});
        let cancelled = Notification::new(notification::CANCELLED, RawJson::from(&params));
        self.send_later(OneWayMessage::Notification(cancelled));
    }

    /// Answers a request of the server's.
    pub(crate) fn reply(&self, response: Response) {
        self.send_later(OneWayMessage::Response(response));
    }

    /// Sends what nobody waits for.
    fn send_later(&self, message: OneWayMessage) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let (wire, bytes) = (Arc::clone(&self.wire), message.size());
        self.in_background(&runtime, bytes, async move {
            _ = timeout(HOUSEKEEPING, wire.send(message)).await
        });
    }

    /// Runs what nobody waits for but the end of the session.
    fn in_background(
        &self,
        runtime: &tokio::runtime::Handle,
        bytes: usize,
        work: impl Future<Output = ()> + Send + 'static,
    ) {
        let mut outgoing = self.outgoing.lock();
        // Those that are done make room for this one.
        while outgoing.try_join_next().is_some() {}
        // A single one fits, whatever its size.
        let Ok(room) = self
            .outgoing_budget
            .reserve(&Caller::Anonymous, bytes.min(MAX_OUTGOING.bytes))
        else {
            return tracing::debug!(
                bytes,
                "the server asks or is told more than it reads; a message to it was dropped"
            );
        };
        let work = async move {
            work.await;
            drop(room);
        };
        outgoing.spawn_on(work, runtime);
    }

    /// Tells the server that nobody waits for the task of a call any more (2025-11-25
    /// `basic/utilities/tasks#cancelling-tasks`). Once it says that it has stopped, nothing can
    /// come of that call.
    pub(crate) fn cancel_task(self: &Arc<Self>, id: i64, task_id: &str) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let (this, params) = (Arc::clone(self), json!({"taskId": task_id}));
        let told = async move {
            if let Ok(Outcome::Result(_)) = this.ask("tasks/cancel", &params).await {
                this.flight().answered_late(id);
            }
        };
        self.in_background(&runtime, task_id.len(), told);
    }

    /// ProcessPipes the session once the server knows which calls nobody waits for any more. Bounded in
    /// time.
    pub(crate) async fn end(&self) {
        self.lose(CallError::broken("the client is shut down"));
        let outgoing = std::mem::take(&mut *self.outgoing.lock());
        let _ = timeout(GOODBYE, outgoing.join_all()).await;
        self.wire.end().await;
    }

    /// A notification that came with the call `id`, as that call's caller gets it.
    pub(crate) fn own_notification(
        &self,
        id: i64,
        mut notification: Notification,
    ) -> Option<Notification> {
        match &*notification.method {
            notification::PROGRESS => {
                let token = self.flight().get(id)?.token.clone()?;
                notification
                    .set_progress_token(&token)
                    .then_some(notification)
            }
            notification::MESSAGE => self
                .flight()
                .get(id)?
                .wants(&notification)
                .then_some(notification),
            _ => {
                self.listeners.tell(&notification);
                None
            }
        }
    }

    /// A notification that says itself whose it is, or is for all.
    fn notification(&self, mut notification: Notification) {
        match &*notification.method {
            notification::PROGRESS => {
                let Some(ProgressToken::String(token)) = notification.progress_token() else {
                    return tracing::debug!("progress of no call");
                };
                let Some(id) = token.strip_prefix("t-").and_then(|id| id.parse().ok()) else {
                    return tracing::debug!("progress of no call");
                };
                let flight = self.flight();
                let Some(routed) = flight.get(id) else { return };
                let token = routed.token.as_ref();
                if token.is_some_and(|token| notification.set_progress_token(token)) {
                    let _ = routed.offer(
                        Event::Notification(notification),
                        &self.parked.quotas.events,
                    );
                }
            }
            notification::MESSAGE => {
                let listening = self.listeners.callers();
                for routed in self.flight().loggers(&notification, &listening) {
                    let _ = routed.offer(
                        Event::Notification(notification.clone()),
                        &self.parked.quotas.events,
                    );
                }
            }
            _ => self.listeners.tell(&notification),
        }
    }

    /// A request of the server's that came with the call `id`. What its caller has to answer is
    /// returned.
    pub(crate) fn own_request(self: &Arc<Self>, id: i64, request: Request) -> Option<Event> {
        let question = self.answered(&request)?;
        let takes = self
            .flight()
            .get(id)
            .is_some_and(|routed| routed.takes(&question));
        if takes {
            return Some(Event::Question(request, Box::new(question)));
        }
        self.refuse(&request);
        None
    }

    /// A request of the server's that came with no call.
    fn request(self: &Arc<Self>, request: Request) {
        let Some(question) = self.answered(&request) else {
            return;
        };
        let flight = self.flight();
        let (routed, abandoned) = match flight.addressee(&question) {
            QuestionTarget::Call(routed) => (Some(routed), None),
            QuestionTarget::Ambiguous { abandoned } => (None, Some(abandoned)),
            QuestionTarget::Nobody => (None, None),
        };
        let event = Event::Question(request, Box::new(question));
        let untaken = match routed {
            Some(routed) => routed.offer(event, &self.parked.quotas.events).err(),
            None => Some(event),
        };
        drop(flight);
        match (untaken, abandoned) {
            (Some(Event::Question(request, _)), None) => self.refuse(&request),
            (Some(Event::Question(request, _)), Some(abandoned)) => {
                self.refuse_ambiguous(&request, abandoned)
            }
            _ => {}
        }
    }

    /// Refuses a question that may be about any of several callers' calls.
    fn refuse_ambiguous(self: &Arc<Self>, request: &Request, abandoned: bool) {
        if abandoned {
            // They may count for as long as the session lasts, so later calls are made in another.
            self.retired.store(true, Ordering::Relaxed);
        }
        let method = Printable(&request.method).clipped(MAX_SHOWN);
        if self.warned.swap(true, Ordering::Relaxed) {
            tracing::debug!(%method, "a request of the server names no call and may be for any of several callers");
        } else {
            tracing::warn!(
                %method,
                "a request of the server names no call and may be for any of several callers: it was refused, as further \
                 ones will be; sessions per client or per call let such a server ask"
            );
        }
        let why = format!(
            "{method} is not possible: calls of several callers are in flight in this session, and the request does not say \
             which of them it belongs to"
        );
        self.reply(Response::error(
            request.id.clone(),
            ErrorObject::new(code::INVALID_REQUEST, why),
        ));
    }

    /// Answers what can be answered here; gives back a question that cannot.
    fn answered(self: &Arc<Self>, request: &Request) -> Option<InputRequest> {
        let id = request.id.clone();
        if request.method == "ping" {
            self.reply(Response::result(id, RawJson::EMPTY_OBJECT));
            return None;
        }
        let question = match translate::question(request) {
            Some(Ok(question)) => question,
            Some(Err(error)) => {
                self.reply(Response::error(id, error));
                return None;
            }
            None => {
                let method = Printable(&request.method).clipped(MAX_SHOWN).to_string();
                self.reply(Response::error(id, ErrorObject::method_not_found(&method)));
                return None;
            }
        };
        let Some(answer) = self
            .options
            .answers
            .as_ref()
            .and_then(|answers| answers(question.clone()))
        else {
            return Some(question);
        };
        let bytes = (2 * size_of_request(request)).min(MAX_ANSWERING.bytes);
        let Ok(room) = self.answering_budget.reserve(&Caller::Anonymous, bytes) else {
            let why = "too many questions of this server wait for their answers already";
            self.reply(Response::error(
                id,
                ErrorObject::new(code::INTERNAL_ERROR, why),
            ));
            return None;
        };
        let wire = Arc::clone(&self.wire);
        tokio::spawn(async move {
            let _room = room;
            let response = match answer.await {
                Ok(answer) => Response::result(id, answer),
                Err(error) => Response::error(id, error),
            };
            if let Err(error) = wire.send(OneWayMessage::Response(response)).await {
                tracing::debug!(error = ?carryall_proto::PrintableFmt(&error), "an answer did not reach the server");
            }
        });
        None
    }

    pub(crate) fn refuse(self: &Arc<Self>, request: &Request) {
        let method = Printable(&request.method).clipped(MAX_SHOWN);
        let why = format!(
            "{method} is not possible: this client does not support it, or no call is in work"
        );
        self.reply(Response::error(
            request.id.clone(),
            ErrorObject::new(code::METHOD_NOT_FOUND, why),
        ));
    }

    /// Nothing comes from this session any more.
    pub(crate) fn lose(&self, error: CallError) {
        let _ = self.lost.set(error);
        self.listeners.close();
    }

    fn flight(&self) -> MutexGuard<'_, CallRouter> {
        self.flight.lock()
    }
}

impl Drop for LegacySession {
    fn drop(&mut self) {
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(self.wire.end());
        }
    }
}

impl fmt::Debug for LegacySession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LegacySession")
            .field("version", &self.version)
            .field("wire", &self.wire)
            .finish_non_exhaustive()
    }
}

/// Sends a request and waits for its response alone.
pub(crate) async fn respond(
    wire: &dyn SessionTransport,
    request: Request,
) -> Result<Outcome, SessionError> {
    let id = request.id.clone();
    let mut incomings = wire.request(request).await?;
    while let Some(incoming) = incomings.next().await {
        match incoming? {
            Incoming::Response(response) if response.id == id => return Ok(response.outcome),
            Incoming::ErrorWithoutId(error) => return Ok(Outcome::Error(error)),
            // Otherwise a server that waits for the answer to it would never answer us.
            Incoming::Request(request) => {
                let response = match &*request.method {
                    "ping" => Response::result(request.id, RawJson::EMPTY_OBJECT),
                    method => {
                        let why = format!(
                            "{method} is not possible: it comes with a request that no caller has made"
                        );
                        Response::error(request.id, ErrorObject::new(code::INVALID_REQUEST, why))
                    }
                };
                wire.send(OneWayMessage::Response(response)).await?;
            }
            other => {
                tracing::debug!(other = ?carryall_proto::PrintableFmt(&other), "beside a request of the session's own")
            }
        }
    }
    Err(CallError::broken("the answer ended without a response").into())
}

#[cfg(test)]
mod tests;
