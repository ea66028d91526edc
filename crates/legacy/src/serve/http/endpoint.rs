//! The endpoint for legacy clients: who asks, in which session, for what.

use super::super::changes::Change;
use super::super::conversation::{ClientSession, RequestContext, ServerContext};
use super::super::options::Options;
use super::super::questions::ServerRequests;
use super::super::quotas::share_of;
use super::events::StreamLimits;
use super::heads::{
    HttpResponse, LAST_EVENT_ID, MCP_SESSION_ID, Named, accepts, answered, empty, json,
    named_version, refused, refused_request,
};
use super::meeting::{BusReceiver, EventText, Here, Note, SessionBus, SessionSnapshot, What};
use super::running::Reader;
use super::sessions::{Found, Session, SessionLimits, Sessions, TooMany};
use super::sse2024::SseChannels;
use super::store::{Store, event_id};
use super::stored::MAX_SKEW;
use super::token::{self, SessionKeys};
use crate::message::{Incoming, ParsedBody, Request as Message, parse};
use crate::revision::Revision as _;
use bytes::Bytes;
use carryall_proto::budget::{Amount, BudgetExceeded, Reservation};
use carryall_proto::sync::Mutex;
use carryall_proto::{
    BoxFuture, Call, CallError, CallSource, Caller, ClientId, Notification, Outcome, Principal,
    Printable, Reply, Response, SharedService, encode_error,
};
use carryall_transport::http::server::FallbackProtocol;
use carryall_types::ErrorObject;
use futures_util::{FutureExt as _, StreamExt as _};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};
use tokio::time::Instant;
use tower_service::Service;

/// How long what was told to other replicas counts. A store that replicas share keeps it for so
/// long.
const PUBLISHED_KEPT: Duration = Duration::from_secs(60);
/// What a message to other replicas takes besides its text, in bytes.
const PUBLISHED_OVERHEAD: usize = 256;

/// Serves clients of earlier revisions behind the door of an
/// [`Endpoint`](carryall_transport::http::Endpoint):
/// `Endpoint::new(service.clone()).alternate(Arc::new(LegacyEndpoint::new(service, options)))`.
///
/// Cheap to clone; clones share their sessions.
#[derive(Clone)]
pub struct LegacyEndpoint {
    shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) server: ServerContext,
    pub(super) options: Arc<Options>,
    pub(super) keys: SessionKeys,
    pub(super) sessions: Sessions,
    pub(super) store: Arc<Store>,
    pub(super) meeting: Arc<dyn SessionBus>,
    pub(super) channels: SseChannels,
    published: Mutex<VecDeque<(Instant, Reservation)>>,
    /// Ended sessions that are stored, by when they are stored no longer.
    ended: Mutex<BTreeMap<u64, Vec<Reservation>>>,
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
        let keys = SessionKeys {
            keyring: options
                .keyring
                .clone()
                .unwrap_or_else(Options::random_keyring),
            server: options.server_name.as_str().into(),
        };
        let meeting = Arc::clone(&options.meeting);
        let session_limits = SessionLimits {
            all: options.max_sessions,
            of_principal: options.max_sessions_per_principal,
            of_caller: share_of(Amount::new(options.max_sessions, 0), options.caller_share).items,
            idle: options.session_idle,
            ttl: options.session_ttl,
            is_stored: !meeting.is_alone(),
        };
        let server = ServerContext::new(SharedService::new(service), options);
        let shared = Arc::new(Shared {
            sessions: Sessions::new(session_limits),
            channels: SseChannels::default(),
            options: Arc::clone(&server.options),
            server,
            keys,
            store: Arc::new(Store::new(limits)),
            meeting,
            published: Mutex::default(),
            ended: Mutex::default(),
        });
        let here: Weak<dyn BusReceiver> = Arc::<Shared>::downgrade(&shared);
        shared.meeting.join(Here::new(here));
        Self { shared }
    }
}

impl fmt::Debug for LegacyEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LegacyEndpoint")
            .field("meeting", &self.shared.meeting)
            .finish_non_exhaustive()
    }
}

impl FallbackProtocol for LegacyEndpoint {
    fn owns(&self, path: &str) -> bool {
        self.shared.options.http_sse_2024 && SseChannels::own(path)
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
            let answered = AssertUnwindSafe(shared.answer(request))
                .catch_unwind()
                .await;
            answered.unwrap_or_else(|_| {
                tracing::error!("a request of a legacy client panicked");
                let mut failed = json(encode_error(None, &ErrorObject::internal()).into_bytes());
                *failed.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                failed
            })
        })
    }

    fn close(&self) {
        self.shared.server.shutdown.begin();
    }
}

/// Whether a body alone is of these revisions: it opens a session, answers a question, or is an
/// array. Anything else without a version is for the modern door, which says what is missing.
fn is_legacy(body: &Bytes) -> bool {
    match parse(body) {
        Ok(ParsedBody::One(Incoming::Request(request))) => request.method == "initialize",
        Ok(
            ParsedBody::One(Incoming::Response(_) | Incoming::ErrorWithoutId(_))
            | ParsedBody::Batch(_),
        ) => true,
        Ok(ParsedBody::One(Incoming::Notification(_))) | Err(_) => false,
    }
}

/// What a request brings along besides its message.
pub(super) struct RequestHead {
    pub(super) principal: Option<Arc<Principal>>,
    pub(super) headers: HeaderMap,
    pub(super) extensions: http::Extensions,
}

impl RequestHead {
    pub(super) fn new(headers: HeaderMap, extensions: http::Extensions) -> Self {
        Self {
            principal: Principal::from_extensions(&extensions),
            headers,
            extensions,
        }
    }

    /// Where the request came from. With a session it is the client; the connections under it
    /// change.
    pub(super) fn origin(&self, client: Option<ClientId>) -> RequestContext {
        let mut source = self.source();
        source.client = client.or(source.client);
        RequestContext {
            principal: self.principal.clone(),
            extensions: self.extensions.clone(),
            source,
        }
    }

    /// Whose quotas the request counts against.
    pub(super) fn caller(&self) -> Caller {
        Caller::accountable_for(self.principal.as_deref(), self.source())
    }

    fn source(&self) -> CallSource {
        self.extensions
            .get::<CallSource>()
            .copied()
            .unwrap_or_default()
    }
}

impl Shared {
    async fn answer(self: Arc<Self>, request: Request<Bytes>) -> HttpResponse {
        let (parts, body) = request.into_parts();
        if parts.method == Method::POST && self.meeting.takes(&parts.headers) {
            return self.meeting.answer(Request::from_parts(parts, body)).await;
        }
        let head = RequestHead::new(parts.headers, parts.extensions);
        if self.options.http_sse_2024 && SseChannels::own(parts.uri.path()) {
            return self
                .answer_2024(&parts.method, &parts.uri, head, body)
                .await;
        }
        match parts.method {
            Method::POST => self.post(head, &body).await,
            Method::GET => self.get(head).await,
            Method::DELETE => self.delete(&head).await,
            other => refused(
                StatusCode::METHOD_NOT_ALLOWED,
                format!("{other} is not supported here"),
            ),
        }
    }

    async fn post(self: Arc<Self>, head: RequestHead, body: &Bytes) -> HttpResponse {
        if !accepts(&head.headers, &["application/json", "text/event-stream"]) {
            return refused(
                StatusCode::NOT_ACCEPTABLE,
                "Accept must list application/json and text/event-stream",
            );
        }
        let parsed = match parse(body) {
            Ok(ParsedBody::One(Incoming::Request(request))) if request.method == "initialize" => {
                return self.initialize(&request, &head).await;
            }
            Ok(parsed) => parsed,
            Err(malformed) => return bad_request(malformed.encode().into_bytes()),
        };
        let session = match self.enter(&head).await {
            Ok(session) => session,
            Err(refusal) => return refusal,
        };
        match parsed {
            ParsedBody::One(Incoming::Request(request)) => {
                self.run(session, vec![request], None, &head).await
            }
            ParsedBody::One(other) => match self.take(&session, other).await {
                Ok(()) => empty(StatusCode::ACCEPTED),
                Err(exceeded) => refused(
                    StatusCode::SERVICE_UNAVAILABLE,
                    format!("Try again later: {exceeded}"),
                ),
            },
            ParsedBody::Batch(items) => self.batch(session, items, &head).await,
        }
    }

    /// Opens a session (2025-11-25 `basic/transports#session-management`).
    async fn initialize(&self, request: &Message, head: &RequestHead) -> HttpResponse {
        let origin = head.origin(None);
        let opened = ClientSession::initialize(
            &self.server.service,
            &self.options,
            &request.params,
            &origin,
        )
        .await;
        let (negotiated, result) = match opened {
            Ok(opened) => opened,
            Err(error) => return answered(&Response::error(request.id.clone(), error)),
        };
        let principal = head.principal.as_deref();
        let expires_at = now() + self.options.session_ttl.as_secs();
        let Some((token, negotiated)) = token::seal(&self.keys, principal, negotiated, expires_at)
        else {
            let why = "The capabilities of this client are too large for a session id";
            return refused_request(StatusCode::BAD_REQUEST, Some(&request.id), why);
        };
        let (Some(name), Ok(value)) = (token::name_of(&token), HeaderValue::try_from(&token))
        else {
            return json(
                Response::error(request.id.clone(), ErrorObject::internal())
                    .encode()
                    .into_bytes(),
            );
        };
        let version = negotiated.version;
        let conversation = ClientSession::new(&self.server, negotiated, head.caller());
        let session = Session::new(name, version, conversation, expires_at);
        // Nobody else can know about it.
        session.recalled.set(()).ok();
        if self.sessions.insert(session).is_err() {
            return busy();
        }
        tracing::debug!(
            version = version.as_str(),
            "a legacy client has opened a session"
        );
        let mut response = json(
            Response {
                id: request.id.clone(),
                outcome: Outcome::Result(result),
            }
            .encode()
            .into_bytes(),
        );
        response.headers_mut().insert(&MCP_SESSION_ID, value);
        response
    }

    /// The session that a request belongs to. Why an id is not good is nobody's business: expired,
    /// ended, somebody else's and made up all look the same.
    pub(super) async fn enter(&self, head: &RequestHead) -> Result<Arc<Session>, HttpResponse> {
        let mut ids = head.headers.get_all(&MCP_SESSION_ID).iter();
        let (Some(id), None) = (ids.next(), ids.next()) else {
            let why = "Exactly one Mcp-Session-Id is required here: the one that came with the answer to initialize";
            return Err(refused(StatusCode::BAD_REQUEST, why));
        };
        let principal = head.principal.as_deref();
        let opened = id
            .to_str()
            .ok()
            .and_then(|id| token::open(&self.keys, principal, now(), id));
        let opened = opened.ok_or_else(unknown_session)?;
        let session = match self.sessions.find(&opened.name, opened.expires_at) {
            Found::Known(session) => session,
            Found::Ended => return Err(unknown_session()),
            Found::Unknown => {
                let version = opened.negotiated.version;
                let conversation =
                    ClientSession::new(&self.server, opened.negotiated, head.caller());
                let session = Session::new(opened.name, version, conversation, opened.expires_at);
                self.sessions.insert(session).map_err(|TooMany| busy())?
            }
        };
        session
            .recalled
            .get_or_init(|| self.recall_session(&session))
            .await;
        if session.is_ended() {
            return Err(unknown_session());
        }
        match named_version(&head.headers) {
            Named::Legacy(version) if version == session.version => Ok(session),
            Named::Nothing => Ok(session),
            _ if !session.version.sends_version_header() => Ok(session),
            _ => {
                let negotiated = session.version.as_str();
                let why = format!(
                    "MCP-Protocol-Version does not say {negotiated}, which this session has negotiated"
                );
                Err(refused(StatusCode::BAD_REQUEST, why))
            }
        }
    }

    /// Asks other replicas about a session that is new here.
    async fn recall_session(&self, session: &Arc<Session>) {
        let Some(recalled) = self.meeting.recall(&session.name).await else {
            return;
        };
        if recalled.ended {
            self.sessions.end(&session.name, session.expires_at);
            session.end();
            return;
        }
        let level = recalled.log_level.map(Change::LogLevel);
        for change in level
            .into_iter()
            .chain(recalled.subscribed.into_iter().map(Change::Subscribed))
        {
            session.apply(change);
        }
    }

    /// A message that is answered by nothing: a notification, or the client's answer to a question.
    pub(super) async fn take(
        &self,
        session: &Session,
        message: Incoming,
    ) -> Result<(), BudgetExceeded> {
        let what = match message {
            Incoming::Response(response) => {
                // No replica has asked anything that this could be an answer to, unless it has such
                // an id.
                let is_ours = ServerRequests::is_id(&response.id);
                let text = response.encode().into_bytes();
                (!session.conversation.response(response) && is_ours)
                    .then(|| What::Answer(carryall_types::RawJson::from_trusted(text)))
            }
            Incoming::Notification(notification) => {
                let here = session.conversation.notification(&notification);
                let elsewhere = notification
                    .params
                    .filter(|_| !here && notification.method == CANCELLED);
                elsewhere.map(What::Cancelled)
            }
            Incoming::ErrorWithoutId(error) => {
                let (code, message) = (error.code, &error.message);
                tracing::warn!(code, message = %Printable(message), "a client could not read a message");
                None
            }
            Incoming::Request(_) => None,
        };
        match what {
            Some(what) => {
                self.publish(&session.name, &session.conversation.caller, what)
                    .await
            }
            None => Ok(()),
        }
    }

    /// Tells the other replicas something of the client's, which they may keep for a while.
    ///
    /// # Errors
    /// When the client has told them too much lately, or all clients have.
    pub(super) async fn publish(
        &self,
        session: &Arc<str>,
        caller: &Caller,
        what: What,
    ) -> Result<(), BudgetExceeded> {
        if self.meeting.is_alone() {
            return Ok(());
        }
        let bytes = match &what {
            What::Answer(text) | What::Cancelled(text) | What::Posted(text) => {
                text.as_bytes().len()
            }
            What::Subscribed(uri) | What::Unsubscribed(uri) => uri.len(),
            What::LogLevel(_) | What::Listening | What::Ended { .. } => 0,
        };
        self.count_published(caller, bytes)?;
        self.meeting
            .publish(Note {
                session: Arc::clone(session),
                what,
            })
            .await;
        Ok(())
    }

    /// Counts what other replicas get for as long as a store keeps it.
    fn count_published(&self, caller: &Caller, bytes: usize) -> Result<(), BudgetExceeded> {
        let mut published = self.published.lock();
        while published
            .pop_front_if(|(at, _)| at.elapsed() >= PUBLISHED_KEPT)
            .is_some()
        {}
        let reservation = self
            .server
            .quotas
            .published
            .reserve(caller, bytes + PUBLISHED_OVERHEAD)?;
        published.push_back((Instant::now(), reservation));
        Ok(())
    }

    /// Whether the end of this session may be stored until its token has expired on every replica:
    /// a client that opens and ends sessions all day long does not fill the store.
    fn may_store_end(&self, session: &Session) -> bool {
        if self.meeting.is_alone() {
            return true;
        }
        let mut ended = self.ended.lock();
        let now = now();
        while let Some(oldest) = ended.first_entry().filter(|oldest| *oldest.key() <= now) {
            oldest.remove();
        }
        match self
            .server
            .quotas
            .ended
            .reserve(&session.conversation.caller, 0)
        {
            Ok(reservation) => {
                let until = session.expires_at.saturating_add(MAX_SKEW.as_secs());
                ended.entry(until).or_default().push(reservation);
                true
            }
            Err(exceeded) => {
                tracing::debug!(%exceeded, "the end of a session is not stored");
                false
            }
        }
    }

    async fn get(self: Arc<Self>, head: RequestHead) -> HttpResponse {
        if !head.headers.contains_key(&MCP_SESSION_ID)
            && !matches!(named_version(&head.headers), Named::Legacy(_))
        {
            // Whoever this is, it has no session
            // (`basic/transports/streamable-http#earlier-streamable-http-revisions`).
            return not_allowed(&Method::GET);
        }
        if !accepts(&head.headers, &["text/event-stream"]) {
            return refused(
                StatusCode::NOT_ACCEPTABLE,
                "Accept must list text/event-stream",
            );
        }
        let session = match self.enter(&head).await {
            Ok(session) => session,
            Err(refusal) => return refusal,
        };
        let origin = head.origin(Some(session.client()));
        let Some(last) = head.headers.get(&LAST_EVENT_ID) else {
            return self.listen(session, origin).await;
        };
        match last.to_str() {
            Ok(last) => self.resume(session, last, origin).await,
            Err(_) => refused(
                StatusCode::BAD_REQUEST,
                "Last-Event-ID is none of this server's",
            ),
        }
    }

    async fn delete(&self, head: &RequestHead) -> HttpResponse {
        if !head.headers.contains_key(&MCP_SESSION_ID)
            && !matches!(named_version(&head.headers), Named::Legacy(_))
        {
            return not_allowed(&Method::DELETE);
        }
        let session = match self.enter(head).await {
            Ok(session) => session,
            Err(refusal) => return refusal,
        };
        self.sessions.end(&session.name, session.expires_at);
        session.end();
        let note = Note {
            session: Arc::clone(&session.name),
            what: What::Ended {
                until: session.expires_at,
            },
        };
        if self.may_store_end(&session) {
            self.meeting.publish(note).await;
        } else {
            // The replicas that are there remember it by themselves.
            self.meeting.publish_now(note).await;
        }
        empty(StatusCode::NO_CONTENT)
    }
}

pub(super) const CANCELLED: &str = "notifications/cancelled";

impl BusReceiver for Shared {
    fn hear(&self, note: Note) {
        let Note {
            session: name,
            what,
        } = note;
        if let What::Ended { until } = what {
            return self.sessions.end(&name, until);
        }
        if let What::Posted(message) = what {
            return self.channels.hear(&name, message);
        }
        let Some(session) = self.sessions.peek(&name) else {
            return;
        };
        match what {
            What::Answer(message) => {
                if let Ok(ParsedBody::One(Incoming::Response(response))) =
                    parse(&message.into_bytes())
                {
                    session.conversation.response(response);
                }
            }
            What::Cancelled(params) => {
                session
                    .conversation
                    .notification(&Notification::new(CANCELLED, params));
            }
            What::LogLevel(level) => session.apply(Change::LogLevel(level)),
            What::Subscribed(uri) => session.apply(Change::Subscribed(uri)),
            What::Unsubscribed(uri) => session.apply(Change::Unsubscribed(uri)),
            What::Listening => session.listen(None),
            What::Posted(_) | What::Ended { .. } => {}
        }
    }

    fn recall(&self, session: &str) -> Option<SessionSnapshot> {
        match self.sessions.find_named(session) {
            Found::Known(session) => session.recalled.initialized().then(|| session.known()),
            Found::Ended => Some(SessionSnapshot {
                ended: true,
                ..SessionSnapshot::default()
            }),
            Found::Unknown => None,
        }
    }

    fn events(self: Arc<Self>, session: &str, last: &str) -> Option<EventText> {
        let id = event_id(last)?;
        let stream = self.store.find(id.stream, session)?;
        let usage = Arc::clone(stream.usage()?);
        let reader = Reader::new(stream.read(Some(id.number)), self.options.keep_alive);
        // A client that takes too much of it in this way comes back for the rest.
        Some(Box::pin(reader.take_while(move |text| {
            let counted = self.count_published(&usage.caller, text.len());
            std::future::ready(
                counted
                    .inspect_err(|exceeded| tracing::debug!(%exceeded, "a stream is cut short"))
                    .is_ok(),
            )
        })))
    }
}

fn bad_request(text: Bytes) -> HttpResponse {
    let mut response = json(text);
    *response.status_mut() = StatusCode::BAD_REQUEST;
    response
}

pub(super) fn unknown_session() -> HttpResponse {
    refused(
        StatusCode::NOT_FOUND,
        "There is no such session: send initialize to begin a new one",
    )
}

pub(super) fn busy() -> HttpResponse {
    refused(
        StatusCode::SERVICE_UNAVAILABLE,
        "Too much is in work here: try again soon",
    )
}

fn not_allowed(method: &Method) -> HttpResponse {
    let why =
        format!("{method} needs an Mcp-Session-Id; without a session, POST one JSON-RPC message");
    refused(StatusCode::METHOD_NOT_ALLOWED, why)
}

pub(super) fn limits(options: &Options) -> StreamLimits {
    StreamLimits {
        events: options.max_events,
        bytes: options.max_event_bytes,
        streams: options.max_streams,
        all_bytes: options.max_all_event_bytes,
        kept: options.event_retention,
        grace: options.grace,
        retry: options.retry,
        share: share_of(
            Amount::new(options.max_streams, options.max_all_event_bytes),
            options.caller_share,
        ),
    }
}

/// Seconds since the epoch.
pub(super) fn now() -> u64 {
    now_millis() / 1000
}

/// Milliseconds since the epoch.
pub(super) fn now_millis() -> u64 {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
