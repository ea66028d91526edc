//! Streamable HTTP as 2025-03-26 to 2025-11-25 have it: sessions, streams that can be taken up
//! again, and one for what belongs to no request.

use super::bodies::{is_type, messages, refusal};
use crate::call::wire::{
    IncomingStream, MessageSink, OneWayMessage, SessionError, SessionTransport,
};
use crate::generate;
use crate::message::{Incoming, Request as Message};
use crate::revision::Revision as _;
use bytes::Bytes;
use carryall_proto::backoff::Backoff;
use carryall_proto::headers::MCP_PROTOCOL_VERSION;
use carryall_proto::sse::SseDecoder;
use carryall_proto::sync::Mutex;
use carryall_proto::{BoxFuture, CallError, Response as Answer};
use carryall_transport::HttpClient;
use carryall_transport::http::RawBody;
use carryall_types::{ProtocolVersion, RequestId};
use futures_util::StreamExt as _;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, MutexGuard};
use std::time::Duration;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};

const MCP_SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// How often in a row a stream is taken up again without anything new on it.
const MAX_ATTEMPTS: u32 = 5;
/// When a stream is taken up again, unless its server says when.
const RETRY: Duration = Duration::from_secs(1);
/// The longest pause that a server may ask for.
const MAX_RETRY: Duration = Duration::from_secs(60);
/// The shortest pause, whatever a server asks for.
const MIN_RETRY: Duration = Duration::from_millis(100);
/// A stream that ends sooner than this has ended at once: the pause before the next one doubles
/// each time.
const AT_ONCE: Duration = Duration::from_secs(1);
/// The longest pause because of streams that end at once.
const MAX_PAUSE: Duration = Duration::from_secs(10);
/// A stream of changes that was open for so long was a good one.
const HELD_WELL: Duration = Duration::from_secs(10);
/// Between attempts to open the stream of changes.
const AGAIN: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
/// How long a server may take to end a session.
const END: Duration = Duration::from_secs(2);

/// One session.
#[derive(Clone)]
pub(super) struct Streamable {
    shared: Arc<Shared>,
}

struct Shared {
    client: HttpClient,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    session: Option<HeaderValue>,
    version: Option<ProtocolVersion>,
    changes: Option<AbortHandle>,
}

impl Streamable {
    pub(super) fn new(client: HttpClient) -> Arc<Self> {
        Arc::new(Self {
            shared: Arc::new(Shared {
                client,
                state: Mutex::default(),
            }),
        })
    }
}

impl fmt::Debug for Streamable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streamable")
            .field("client", &self.shared.client)
            .finish_non_exhaustive()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(changes) = self.state().changes.take() {
            changes.abort();
        }
    }
}

impl SessionTransport for Streamable {
    fn is_shared(&self) -> bool {
        false
    }

    fn request(&self, request: Message) -> BoxFuture<Result<IncomingStream, SessionError>> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            let response = shared
                .send(Method::POST, request.encode().into_bytes(), None)
                .await?;
            shared.answers(request.id, response).await
        })
    }

    fn send(&self, message: OneWayMessage) -> BoxFuture<Result<(), SessionError>> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            let response = shared.send(Method::POST, message.encode(), None).await?;
            shared.accepted(response).await.map(|_| ())
        })
    }

    fn hear(&self, sink: MessageSink) {
        let shared = Arc::downgrade(&self.shared);
        let changes = tokio::spawn(async move {
            let mut last = None;
            let mut attempts = 0;
            loop {
                let Some(shared) = shared.upgrade() else {
                    return;
                };
                let opened = shared.send(Method::GET, Bytes::new(), last.as_ref()).await;
                let opened = match opened {
                    Ok(response) => shared.accepted(response).await,
                    Err(error) => Err(error.into()),
                };
                let max = shared.client.max_response();
                drop(shared);
                match opened {
                    Ok(response) if is_type(response.headers(), "text/event-stream") => {
                        let since = Instant::now();
                        let mut events = Events::new(response.into_body(), max);
                        while let Some(Ok(incomings)) = events.next().await {
                            incomings
                                .into_iter()
                                .for_each(|incoming| sink(Ok(incoming)));
                        }
                        last = events.last_id().or(last);
                        if since.elapsed() >= HELD_WELL {
                            attempts = 0;
                        }
                    }
                    // The server has no such stream, or no such session.
                    Err(SessionError::SessionEnded) | Ok(_) => {
                        return sink(Err(CallError::broken("the session has ended")));
                    }
                    Err(SessionError::Status { status, .. }) if status.is_client_error() => {
                        return sink(Err(CallError::broken(
                            "the server has no stream of changes",
                        )));
                    }
                    Err(_) => {}
                }
                attempts += 1;
                tokio::time::sleep(AGAIN.delay(attempts - 1, random())).await;
            }
        });
        self.shared.state().changes = Some(changes.abort_handle());
    }

    fn negotiated(&self, version: ProtocolVersion) {
        self.shared.state().version = Some(version);
    }

    fn end(&self) -> BoxFuture<()> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            if shared.state().session.is_none() {
                return;
            }
            // A server that does not let clients end sessions (405) ends them by itself.
            let _ = timeout(END, shared.send(Method::DELETE, Bytes::new(), None)).await;
            shared.state().session = None;
        })
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// One exchange, with the headers that belong to the session. Events are taken up again after
    /// `last`.
    async fn send(
        &self,
        method: Method,
        body: Bytes,
        last: Option<&HeaderValue>,
    ) -> Result<Response<RawBody>, CallError> {
        let mut request = Request::new(body);
        *request.uri_mut() = self
            .client
            .path()
            .parse()
            .map_err(|_| CallError::Refused("the endpoint has no path".into()))?;
        let headers = request.headers_mut();
        if method == Method::POST {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            headers.insert(
                ACCEPT,
                HeaderValue::from_static("application/json, text/event-stream"),
            );
        } else {
            headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        }
        {
            let state = self.state();
            if let Some(session) = &state.session {
                headers.insert(MCP_SESSION_ID, session.clone());
            }
            if let Some(version) = state
                .version
                .filter(|version| version.sends_version_header())
            {
                headers.insert(
                    &MCP_PROTOCOL_VERSION,
                    HeaderValue::from_static(version.as_str()),
                );
            }
        }
        if let Some(last) = last {
            headers.insert(LAST_EVENT_ID, last.clone());
        }
        *request.method_mut() = method;
        self.client.send(request).await
    }

    /// A response that is no refusal.
    async fn accepted(
        &self,
        response: Response<RawBody>,
    ) -> Result<Response<RawBody>, SessionError> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        if status == StatusCode::NOT_FOUND && self.state().session.is_some() {
            return Err(SessionError::SessionEnded);
        }
        let (_, text) = refusal(response).await;
        Err(SessionError::Status { status, text })
    }

    /// What comes back for the request `id`.
    async fn answers(
        self: Arc<Self>,
        id: RequestId,
        response: Response<RawBody>,
    ) -> Result<IncomingStream, SessionError> {
        let status = response.status();
        if !status.is_success() {
            if status == StatusCode::NOT_FOUND && self.state().session.is_some() {
                return Err(SessionError::SessionEnded);
            }
            let (body, text) = refusal(response).await;
            // A refusal may well be an answer (2025-11-25
            // `basic/transports#sending-messages-to-the-server`), but one to `initialize` leaves
            // the question open whether this is the right transport.
            let known = self.state().version.is_some();
            let answers = messages(&body).ok().filter(|_| known).unwrap_or_default();
            let answer = answers.into_iter().find(|answer| {
                matches!(answer, Incoming::Response(_) | Incoming::ErrorWithoutId(_))
            });
            return match answer {
                Some(answer) => Ok(one(with_id(answer, &id))),
                None => Err(SessionError::Status { status, text }),
            };
        }
        if let Some(session) = response.headers().get(MCP_SESSION_ID) {
            self.state().session.get_or_insert_with(|| session.clone());
        }
        let max = self.client.max_response();
        if is_type(response.headers(), "text/event-stream") {
            return Ok(self.stream(id, Events::new(response.into_body(), max)));
        }
        if !is_type(response.headers(), "application/json") {
            let (_, text) = refusal(response).await;
            return Err(SessionError::Status { status, text });
        }
        let text = response.into_body().collect(max).await?;
        let incomings = messages(&text)?;
        Ok(Box::pin(futures_util::stream::iter(
            incomings
                .into_iter()
                .map(move |incoming| Ok(with_id(incoming, &id))),
        )))
    }

    /// The messages of a stream, taken up again as often as it breaks before its response and the
    /// server has said how.
    fn stream(self: Arc<Self>, id: RequestId, mut events: Events) -> IncomingStream {
        generate::stream(move |out| async move {
            let mut last = None;
            let mut attempts = 0;
            let mut pauses = ReconnectDelays::default();
            let mut since = Instant::now();
            loop {
                let broken = loop {
                    match events.next().await {
                        Some(Ok(incomings)) => {
                            attempts = 0;
                            for incoming in incomings {
                                let done = matches!(&incoming, Incoming::Response(response) if response.id == id);
                                out.emit(Ok(incoming)).await;
                                if done {
                                    return;
                                }
                            }
                        }
                        Some(Err(error @ CallError::Broken(_))) => break error,
                        Some(Err(error)) => return out.emit(Err(error)).await,
                        None => {
                            break CallError::broken("the event stream ended without a response");
                        }
                    }
                };
                last = events.last_id().or(last);
                let Some(after) = &last else {
                    return out.emit(Err(broken)).await;
                };
                if attempts == MAX_ATTEMPTS {
                    return out.emit(Err(broken)).await;
                }
                attempts += 1;
                tokio::time::sleep(pauses.after(since.elapsed(), events.retry())).await;
                since = Instant::now();
                let opened = match self.send(Method::GET, Bytes::new(), Some(after)).await {
                    Ok(response) => self.accepted(response).await,
                    Err(error) => Err(error.into()),
                };
                match opened {
                    Ok(response) if is_type(response.headers(), "text/event-stream") => {
                        let retry = events.retry();
                        events = Events::new(response.into_body(), self.client.max_response());
                        events.retry = retry;
                    }
                    // Unreachable for the moment, like the stream itself was.
                    Err(SessionError::Call(_)) => {}
                    Err(SessionError::Status { status, .. }) if status.is_server_error() => {}
                    _ => return out.emit(Err(broken)).await,
                }
            }
        })
    }
}

/// The pauses before a stream is taken up again.
#[derive(Debug, Default)]
struct ReconnectDelays {
    /// How many streams in a row have ended at once.
    at_once: u32,
}

impl ReconnectDelays {
    /// The pause after a stream that was open for so long: what the server has asked for, within
    /// bounds, and longer each time that a stream ends at once, so that no server can have us
    /// reconnect in a loop.
    fn after(&mut self, open: Duration, asked: Option<Duration>) -> Duration {
        let asked = asked.unwrap_or(RETRY).clamp(MIN_RETRY, MAX_RETRY);
        if open >= AT_ONCE {
            self.at_once = 0;
            return asked;
        }
        // The first end is what any server may do that lets its client poll.
        let factor = 1_u32.checked_shl(self.at_once).unwrap_or(u32::MAX);
        self.at_once = self.at_once.saturating_add(1);
        asked.saturating_mul(factor).min(asked.max(MAX_PAUSE))
    }
}

fn random() -> u64 {
    RandomState::new().hash_one(0)
}

/// Errors about a request may come without its id.
fn with_id(incoming: Incoming, id: &RequestId) -> Incoming {
    match incoming {
        Incoming::ErrorWithoutId(error) => Incoming::Response(Answer::error(id.clone(), error)),
        other => other,
    }
}

fn one(incoming: Incoming) -> IncomingStream {
    Box::pin(futures_util::stream::iter([Ok(incoming)]))
}

/// The messages of an event stream.
pub(super) struct Events {
    body: Option<RawBody>,
    decoder: SseDecoder,
    max: usize,
    last: Option<HeaderValue>,
    retry: Option<Duration>,
}

impl Events {
    pub(super) fn new(body: RawBody, max: usize) -> Self {
        Self {
            body: Some(body),
            decoder: SseDecoder::new(max),
            max,
            last: None,
            retry: None,
        }
    }

    /// The next event that is not `message`, or the messages of the next that is.
    pub(super) async fn next_event(
        &mut self,
    ) -> Option<Result<(Option<String>, Bytes), CallError>> {
        loop {
            match self.decoder.next() {
                Some(Ok(event)) => {
                    self.note_id();
                    // An event without text only brings its id: a point to go on from.
                    if !event.data.is_empty() {
                        return Some(Ok((event.event.as_deref().map(str::to_owned), event.data)));
                    }
                    continue;
                }
                Some(Err(_)) => {
                    self.body = None;
                    return Some(Err(CallError::TooLarge(self.max)));
                }
                None => {}
            }
            match self.body.as_mut()?.next().await {
                Some(Ok(data)) => self.decoder.push(&data),
                Some(Err(error)) => {
                    self.note_id();
                    self.body = None;
                    return Some(Err(error));
                }
                None => {
                    self.note_id();
                    self.body = None;
                    return None;
                }
            }
        }
    }

    async fn next(&mut self) -> Option<Result<Vec<Incoming>, CallError>> {
        loop {
            match self.next_event().await? {
                Ok((kind, data)) if kind.as_deref().is_none_or(|kind| kind == "message") => {
                    return Some(messages(&data));
                }
                Ok(_) => {}
                Err(error) => return Some(Err(error)),
            }
        }
    }

    fn note_id(&mut self) {
        if let Some(id) = self
            .decoder
            .last_event_id()
            .and_then(|id| HeaderValue::from_str(id).ok())
        {
            self.last = Some(id);
        }
    }

    fn last_id(&self) -> Option<HeaderValue> {
        self.last.clone()
    }

    fn retry(&self) -> Option<Duration> {
        self.decoder
            .retry_ms()
            .map(Duration::from_millis)
            .or(self.retry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_wants_no_pause_gets_longer_and_longer_ones() {
        let (mut pauses, zero) = (ReconnectDelays::default(), Some(Duration::ZERO));
        let given: Vec<_> = (0..9)
            .map(|_| pauses.after(Duration::ZERO, zero).as_millis())
            .collect();
        assert_eq!(
            given,
            [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]
        );
        assert_eq!(
            pauses.after(AT_ONCE, zero),
            MIN_RETRY,
            "a stream that lasted is no reason to wait"
        );
        for _ in 0..100 {
            assert!(pauses.after(Duration::ZERO, zero) <= MAX_PAUSE);
        }
    }

    #[test]
    fn a_pause_that_the_server_asks_for_is_kept_within_bounds() {
        let asked = |asked| ReconnectDelays::default().after(AT_ONCE, asked);
        assert_eq!(asked(None), RETRY);
        assert_eq!(
            asked(Some(Duration::from_millis(1500))),
            Duration::from_millis(1500)
        );
        assert_eq!(asked(Some(Duration::from_millis(u64::MAX))), MAX_RETRY);
        let mut pauses = ReconnectDelays::default();
        let long = Duration::from_secs(30);
        assert_eq!(
            [0; 3].map(|_| pauses.after(Duration::ZERO, Some(long))),
            [long; 3]
        );
    }
}
