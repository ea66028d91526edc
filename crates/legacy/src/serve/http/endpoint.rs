//! The endpoint for legacy clients: who asks, in which session, for what.

use super::super::changes::Change;
use super::super::conversation::{Conversation, Origin};
use super::super::options::Options;
use super::events::Limits;
use super::heads::{
    HttpResponse, LAST_EVENT_ID, MCP_SESSION_ID, Named, accepts, empty, json, named_version, refused, refused_request,
};
use super::meeting::{EventText, Here, Meeting, Note, Recalled, Replica, What};
use super::running::Reader;
use super::sessions::{Found, Session, Sessions, TooMany};
use super::sse2024::Channels;
use super::store::{Store, event_id};
use super::token;
use crate::message::{Incoming, Parsed, Request as Message, parse};
use crate::revision::Revision as _;
use bytes::Bytes;
use carryall_proto::seal::Keyring;
use carryall_proto::{
    BoxFuture, Call, CallError, Notification, Outcome, Principal, Reply, Response, SharedService, encode_error,
};
use carryall_transport::http::server::Alternate;
use carryall_types::ErrorObject;
use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};
use tokio::sync::Semaphore;
use tower_service::Service;

/// How many calls whose client went away before anything was said go on, per process.
const MAX_UNHEARD: usize = 1024;

/// Serves clients of earlier revisions behind the door of an [`Endpoint`](carryall_transport::http::Endpoint):
/// `Endpoint::new(service.clone()).alternate(Arc::new(LegacyEndpoint::new(service, options)))`.
///
/// Cheap to clone; clones share their sessions.
#[derive(Clone)]
pub struct LegacyEndpoint {
    shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) service: SharedService,
    pub(super) options: Arc<Options>,
    pub(super) keyring: Keyring,
    pub(super) sessions: Sessions,
    pub(super) store: Arc<Store>,
    pub(super) meeting: Arc<dyn Meeting>,
    /// Places for calls whose client is gone.
    pub(super) unheard: Arc<Semaphore>,
    pub(super) channels: Channels,
}

impl LegacyEndpoint {
    /// Serves `service`.
    pub fn new<S>(service: S, mut options: Options) -> Self
    where
        S: Service<Call, Response = Reply> + Clone + Send + Sync + 'static,
        S::Error: Into<CallError>,
        S::Future: Send,
    {
        // A task lives where it began; a client that may be anywhere next is not offered any.
        options.tasks &= options.meeting.is_alone();
        let limits = limits(&options);
        let keyring = options.keyring.clone().unwrap_or_else(Options::random_keyring);
        let meeting = Arc::clone(&options.meeting);
        let shared = Arc::new(Shared {
            service: SharedService::new(service),
            sessions: Sessions::new(options.max_sessions, options.max_sessions_of_one, options.session_idle),
            channels: Channels::default(),
            options: Arc::new(options),
            keyring,
            store: Arc::new(Store::new(limits)),
            meeting,
            unheard: Arc::new(Semaphore::new(MAX_UNHEARD)),
        });
        let here: Weak<dyn Replica> = Arc::<Shared>::downgrade(&shared);
        shared.meeting.join(Here::new(here));
        Self { shared }
    }
}

impl fmt::Debug for LegacyEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LegacyEndpoint").field("meeting", &self.shared.meeting).finish_non_exhaustive()
    }
}

impl Alternate for LegacyEndpoint {
    fn owns(&self, path: &str) -> bool {
        self.shared.options.http_sse_2024 && Channels::own(path)
    }

    fn takes(&self, headers: &HeaderMap, body: &Bytes) -> bool {
        self.shared.meeting.takes(headers)
            || headers.contains_key(&MCP_SESSION_ID)
            || matches!(named_version(headers), Named::Legacy(_))
            || is_legacy(body)
    }

    fn answer(&self, request: Request<Bytes>) -> BoxFuture<HttpResponse> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            let answered = AssertUnwindSafe(shared.answer(request)).catch_unwind().await;
            answered.unwrap_or_else(|_| {
                tracing::error!("a request of a legacy client panicked");
                let mut failed = json(encode_error(None, &ErrorObject::internal()).into_bytes());
                *failed.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                failed
            })
        })
    }
}

/// Whether a body alone is of these revisions: it opens a session, answers a question, or is an array. Anything else
/// without a version is for the modern door, which says what is missing.
fn is_legacy(body: &Bytes) -> bool {
    match parse(body) {
        Ok(Parsed::One(Incoming::Request(request))) => request.method == "initialize",
        Ok(Parsed::One(Incoming::Response(_) | Incoming::ErrorWithoutId(_)) | Parsed::Batch(_)) => true,
        Ok(Parsed::One(Incoming::Notification(_))) | Err(_) => false,
    }
}

/// What a request brings along besides its message.
pub(super) struct Caller {
    pub(super) principal: Option<Arc<Principal>>,
    pub(super) headers: HeaderMap,
    pub(super) extensions: http::Extensions,
}

impl Caller {
    pub(super) fn new(headers: HeaderMap, extensions: http::Extensions) -> Self {
        Self { principal: Principal::from_extensions(&extensions), headers, extensions }
    }

    pub(super) fn origin(&self) -> Origin {
        Origin { principal: self.principal.clone(), extensions: self.extensions.clone() }
    }
}

impl Shared {
    async fn answer(self: Arc<Self>, request: Request<Bytes>) -> HttpResponse {
        let (parts, body) = request.into_parts();
        if parts.method == Method::POST && self.meeting.takes(&parts.headers) {
            return self.meeting.answer(Request::from_parts(parts, body)).await;
        }
        let caller = Caller::new(parts.headers, parts.extensions);
        if self.options.http_sse_2024 && Channels::own(parts.uri.path()) {
            return self.answer_2024(&parts.method, &parts.uri, caller, body).await;
        }
        match parts.method {
            Method::POST => self.post(caller, &body).await,
            Method::GET => self.get(caller).await,
            Method::DELETE => self.delete(&caller).await,
            other => refused(StatusCode::METHOD_NOT_ALLOWED, format!("{other} is not supported here")),
        }
    }

    async fn post(self: Arc<Self>, caller: Caller, body: &Bytes) -> HttpResponse {
        if !accepts(&caller.headers, &["application/json", "text/event-stream"]) {
            return refused(StatusCode::NOT_ACCEPTABLE, "Accept must list application/json and text/event-stream");
        }
        let parsed = match parse(body) {
            Ok(Parsed::One(Incoming::Request(request))) if request.method == "initialize" => {
                return self.initialize(&request, &caller).await;
            }
            Ok(parsed) => parsed,
            Err(malformed) => return bad_request(malformed.encode().into_bytes()),
        };
        let session = match self.enter(&caller).await {
            Ok(session) => session,
            Err(refusal) => return refusal,
        };
        match parsed {
            Parsed::One(Incoming::Request(request)) => self.run(session, vec![request], None, &caller).await,
            Parsed::One(other) => {
                self.take(&session, other).await;
                empty(StatusCode::ACCEPTED)
            }
            Parsed::Batch(items) => self.batch(session, items, &caller).await,
        }
    }

    /// Opens a session (2025-11-25 `basic/transports#session-management`).
    async fn initialize(&self, request: &Message, caller: &Caller) -> HttpResponse {
        let origin = caller.origin();
        let opened = Conversation::initialize(&self.service, &self.options, &request.params, &origin).await;
        let (negotiated, result) = match opened {
            Ok(opened) => opened,
            Err(error) => return json(Response::error(request.id.clone(), error).encode().into_bytes()),
        };
        let principal = caller.principal.as_deref();
        let expires_at = now() + self.options.session_ttl.as_secs();
        let Some(token) = token::seal(&self.keyring, principal, &negotiated, expires_at) else {
            let why = "The capabilities of this client are too large for a session id";
            return refused_request(StatusCode::BAD_REQUEST, Some(&request.id), why);
        };
        let (Some(name), Ok(value)) = (token::name_of(&token), HeaderValue::try_from(&token)) else {
            return json(Response::error(request.id.clone(), ErrorObject::internal()).encode().into_bytes());
        };
        let version = negotiated.version;
        let conversation = Conversation::new(self.service.clone(), Arc::clone(&self.options), negotiated);
        let session = Session::new(name, version, conversation, expires_at);
        // Nobody else can know about it.
        session.recalled.set(()).ok();
        if self.sessions.insert(session, &token::binding(principal)).is_err() {
            return busy();
        }
        tracing::debug!(version = version.as_str(), "a legacy client has opened a session");
        let mut response =
            json(Response { id: request.id.clone(), outcome: Outcome::Result(result) }.encode().into_bytes());
        response.headers_mut().insert(&MCP_SESSION_ID, value);
        response
    }

    /// The session that a request belongs to. Why an id is not good is nobody's business: expired, ended, somebody else's
    /// and made up all look the same.
    pub(super) async fn enter(&self, caller: &Caller) -> Result<Arc<Session>, HttpResponse> {
        let mut ids = caller.headers.get_all(&MCP_SESSION_ID).iter();
        let (Some(id), None) = (ids.next(), ids.next()) else {
            let why = "Exactly one Mcp-Session-Id is required here: the one that came with the answer to initialize";
            return Err(refused(StatusCode::BAD_REQUEST, why));
        };
        let principal = caller.principal.as_deref();
        let opened = id.to_str().ok().and_then(|id| token::open(&self.keyring, principal, now(), id));
        let opened = opened.ok_or_else(unknown_session)?;
        let session = match self.sessions.find(&opened.name) {
            Found::Known(session) => session,
            Found::Ended => return Err(unknown_session()),
            Found::Unknown => {
                let version = opened.negotiated.version;
                let conversation =
                    Conversation::new(self.service.clone(), Arc::clone(&self.options), opened.negotiated);
                let session = Session::new(opened.name, version, conversation, opened.expires_at);
                self.sessions.insert(session, &token::binding(principal)).map_err(|TooMany| busy())?
            }
        };
        session.recalled.get_or_init(|| self.recall_session(&session)).await;
        if session.is_ended() {
            return Err(unknown_session());
        }
        match named_version(&caller.headers) {
            Named::Legacy(version) if version == session.version => Ok(session),
            Named::Nothing => Ok(session),
            _ if !session.version.names_version_in_header() => Ok(session),
            _ => {
                let negotiated = session.version.as_str();
                let why = format!("MCP-Protocol-Version does not say {negotiated}, which this session has negotiated");
                Err(refused(StatusCode::BAD_REQUEST, why))
            }
        }
    }

    /// Asks other replicas about a session that is new here.
    async fn recall_session(&self, session: &Arc<Session>) {
        let Some(recalled) = self.meeting.recall(&session.name).await else { return };
        if recalled.ended {
            self.sessions.end(&session.name);
            session.end();
            return;
        }
        let level = recalled.log_level.map(Change::LogLevel);
        for change in level.into_iter().chain(recalled.subscribed.into_iter().map(Change::Subscribed)) {
            session.apply(change);
        }
    }

    /// A message that is answered by nothing: a notification, or the client's answer to a question.
    pub(super) async fn take(&self, session: &Session, message: Incoming) {
        let what = match message {
            Incoming::Response(response) => {
                let text = response.encode().into_bytes();
                (!session.conversation.response(response))
                    .then(|| What::Answer(carryall_types::RawJson::from_trusted(text)))
            }
            Incoming::Notification(notification) => {
                let here = session.conversation.notification(&notification);
                let elsewhere = notification.params.filter(|_| !here && notification.method == CANCELLED);
                elsewhere.map(What::Cancelled)
            }
            Incoming::ErrorWithoutId(error) => {
                tracing::warn!(code = error.code, message = %carryall_proto::Printable(&error.message), "a client could not read a message");
                None
            }
            Incoming::Request(_) => None,
        };
        if let Some(what) = what {
            self.meeting.publish(Note { session: Arc::clone(&session.name), what }).await;
        }
    }

    async fn get(self: Arc<Self>, caller: Caller) -> HttpResponse {
        if !caller.headers.contains_key(&MCP_SESSION_ID) && !matches!(named_version(&caller.headers), Named::Legacy(_))
        {
            // Whoever this is, it has no session (`basic/transports/streamable-http#earlier-streamable-http-revisions`).
            return not_allowed(&Method::GET);
        }
        if !accepts(&caller.headers, &["text/event-stream"]) {
            return refused(StatusCode::NOT_ACCEPTABLE, "Accept must list text/event-stream");
        }
        let session = match self.enter(&caller).await {
            Ok(session) => session,
            Err(refusal) => return refusal,
        };
        let Some(last) = caller.headers.get(&LAST_EVENT_ID) else { return self.listen(session, caller.origin()).await };
        match last.to_str() {
            Ok(last) => self.resume(session, last, caller.origin()).await,
            Err(_) => refused(StatusCode::BAD_REQUEST, "Last-Event-ID is none of this server's"),
        }
    }

    async fn delete(&self, caller: &Caller) -> HttpResponse {
        if !caller.headers.contains_key(&MCP_SESSION_ID) && !matches!(named_version(&caller.headers), Named::Legacy(_))
        {
            return not_allowed(&Method::DELETE);
        }
        let session = match self.enter(caller).await {
            Ok(session) => session,
            Err(refusal) => return refusal,
        };
        self.sessions.end(&session.name);
        session.end();
        let what = What::Ended { until: session.expires_at };
        self.meeting.publish(Note { session: Arc::clone(&session.name), what }).await;
        empty(StatusCode::NO_CONTENT)
    }
}

pub(super) const CANCELLED: &str = "notifications/cancelled";

impl Replica for Shared {
    fn hear(&self, note: Note) {
        let Note { session: name, what } = note;
        if let What::Ended { .. } = what {
            return self.sessions.end(&name);
        }
        if let What::Posted(message) = what {
            return self.channels.hear(&name, message);
        }
        let Some(session) = self.sessions.peek(&name) else { return };
        match what {
            What::Answer(message) => {
                if let Ok(Parsed::One(Incoming::Response(response))) = parse(&message.into_bytes()) {
                    session.conversation.response(response);
                }
            }
            What::Cancelled(params) => {
                session.conversation.notification(&Notification::new(CANCELLED, params));
            }
            What::LogLevel(level) => session.apply(Change::LogLevel(level)),
            What::Subscribed(uri) => session.apply(Change::Subscribed(uri)),
            What::Unsubscribed(uri) => session.apply(Change::Unsubscribed(uri)),
            What::Listening => session.listen(None),
            What::Posted(_) | What::Ended { .. } => {}
        }
    }

    fn recall(&self, session: &str) -> Option<Recalled> {
        match self.sessions.find(session) {
            Found::Known(session) => session.recalled.initialized().then(|| session.known()),
            Found::Ended => Some(Recalled { ended: true, ..Recalled::default() }),
            Found::Unknown => None,
        }
    }

    fn events(&self, session: &str, last: &str) -> Option<EventText> {
        let id = event_id(last)?;
        let stream = self.store.find(id.stream, session)?;
        Some(Box::pin(Reader::new(stream.read(Some(id.number)), self.options.keep_alive)))
    }
}

fn bad_request(text: Bytes) -> HttpResponse {
    let mut response = json(text);
    *response.status_mut() = StatusCode::BAD_REQUEST;
    response
}

pub(super) fn unknown_session() -> HttpResponse {
    refused(StatusCode::NOT_FOUND, "There is no such session: send initialize to begin a new one")
}

pub(super) fn busy() -> HttpResponse {
    refused(StatusCode::SERVICE_UNAVAILABLE, "Too much is in work here: try again soon")
}

fn not_allowed(method: &Method) -> HttpResponse {
    let why = format!("{method} needs an Mcp-Session-Id; without a session, POST one JSON-RPC message");
    refused(StatusCode::METHOD_NOT_ALLOWED, why)
}

pub(super) fn limits(options: &Options) -> Limits {
    Limits {
        events: options.max_events,
        bytes: options.max_event_bytes,
        streams: options.max_streams,
        all_bytes: options.max_all_event_bytes,
        kept: options.events_kept,
        grace: options.grace,
        retry: options.retry,
    }
}

/// Seconds since the epoch.
pub(super) fn now() -> u64 {
    now_millis() / 1000
}

/// Milliseconds since the epoch.
pub(super) fn now_millis() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
