//! A session on Streamable HTTP as 2025-03-26 to 2025-11-25 define it: with a session id, resumable
//! streams, and a GET stream for messages that belong to no request.

use super::body::{error_body, has_media_type, messages};
use super::event_reader::EventReader;
use super::reconnect::ReconnectDelays;
use crate::abort_on_drop::AbortOnDrop;
use crate::call::transport::{
    IncomingStream, MessageSink, OneWayMessage, SessionError, SessionTransport,
};
use crate::generate;
use crate::message::{Incoming, LegacyRequest};
use crate::revision::Revision as _;
use bytes::Bytes;
use carryall_proto::backoff::Backoff;
use carryall_proto::headers::MCP_PROTOCOL_VERSION;
use carryall_proto::sync::Mutex;
use carryall_proto::{BoxFuture, CallError, Response as JsonRpcResponse};
use carryall_transport::HttpClient;
use carryall_transport::http::RawBody;
use carryall_types::{ProtocolVersion, RequestId};
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout};

const MCP_SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const JSON: &str = "application/json";
const EVENT_STREAM: &str = "text/event-stream";
/// How often in a row a stream is resumed without receiving an event.
const MAX_ATTEMPTS: u32 = 5;
/// A GET stream that was open this long resets the backoff.
const STABLE_AFTER: Duration = Duration::from_secs(10);
/// Between attempts to open the GET stream.
const GET_BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
/// How long the server may take to answer the DELETE that ends the session.
const DELETE_TIMEOUT: Duration = Duration::from_secs(2);

/// One session.
pub(super) struct StreamableHttp {
    connection: Arc<StreamableConnection>,
    /// Reads the GET stream. Ends with the session.
    get_stream: Mutex<Option<AbortOnDrop>>,
}

/// What requests of the session share.
struct StreamableConnection {
    client: HttpClient,
    state: Mutex<StreamableState>,
}

#[derive(Default)]
struct StreamableState {
    session_id: Option<HeaderValue>,
    /// `None` until the handshake is complete.
    version: Option<ProtocolVersion>,
}

impl StreamableHttp {
    pub(super) fn new(client: HttpClient) -> Self {
        Self {
            connection: Arc::new(StreamableConnection {
                client,
                state: Mutex::default(),
            }),
            get_stream: Mutex::default(),
        }
    }
}

impl fmt::Debug for StreamableHttp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamableHttp")
            .field("client", &self.connection.client)
            .finish_non_exhaustive()
    }
}

impl SessionTransport for StreamableHttp {
    fn request(&self, request: LegacyRequest) -> BoxFuture<Result<IncomingStream, SessionError>> {
        let connection = Arc::clone(&self.connection);
        Box::pin(async move {
            let body = request.encode().into_bytes();
            let response = connection.send(Method::POST, body, None).await?;
            connection.read_response(request.id, response).await
        })
    }

    fn send(&self, message: OneWayMessage) -> BoxFuture<Result<(), SessionError>> {
        let connection = Arc::clone(&self.connection);
        Box::pin(async move {
            let body = message.encode();
            let response = connection.send(Method::POST, body, None).await?;
            connection.check_status(response).await.map(|_| ())
        })
    }

    fn on_unsolicited(&self, sink: MessageSink) {
        let get_stream = AbortOnDrop::spawn(read_get_stream(Arc::clone(&self.connection), sink));
        *self.get_stream.lock() = Some(get_stream);
    }

    fn is_multiplexed(&self) -> bool {
        false
    }

    fn set_version(&self, version: ProtocolVersion) {
        self.connection.state.lock().version = Some(version);
    }

    fn close(&self) -> BoxFuture<()> {
        let connection = Arc::clone(&self.connection);
        Box::pin(async move {
            if connection.state.lock().session_id.is_none() {
                return;
            }
            // A server that does not let clients end sessions (405) ends them by itself.
            let delete = connection.send(Method::DELETE, Bytes::new(), None);
            let _ = timeout(DELETE_TIMEOUT, delete).await;
            connection.state.lock().session_id = None;
        })
    }
}

/// Hands the messages of the GET stream to `sink`, and reopens the stream when it ends, until the
/// server says that there is none.
async fn read_get_stream(connection: Arc<StreamableConnection>, sink: MessageSink) {
    let mut last_id = None;
    let mut attempts = 0;
    loop {
        match connection.get(last_id.as_ref()).await {
            Ok(response) if has_media_type(response.headers(), EVENT_STREAM) => {
                let opened = Instant::now();
                let max = connection.client.max_response();
                let mut events = EventReader::new(response.into_body(), max);
                while let Some(Ok(incoming)) = events.next_messages().await {
                    for message in incoming {
                        sink(Ok(message));
                    }
                }
                last_id = events.last_id().or(last_id);
                if opened.elapsed() >= STABLE_AFTER {
                    attempts = 0;
                }
            }
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
        tokio::time::sleep(GET_BACKOFF.delay(attempts - 1, random())).await;
    }
}

impl StreamableConnection {
    /// Sends an HTTP request with the headers of the session. A stream resumes after event
    /// `last_id`.
    async fn send(
        &self,
        method: Method,
        body: Bytes,
        last_id: Option<&HeaderValue>,
    ) -> Result<Response<RawBody>, CallError> {
        let mut request = Request::new(body);
        *request.uri_mut() = self
            .client
            .path()
            .parse()
            .map_err(|_| CallError::Refused("the endpoint has no path".into()))?;
        let headers = request.headers_mut();
        if method == Method::POST {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
            headers.insert(
                ACCEPT,
                HeaderValue::from_static("application/json, text/event-stream"),
            );
        } else {
            headers.insert(ACCEPT, HeaderValue::from_static(EVENT_STREAM));
        }
        {
            let state = self.state.lock();
            if let Some(session_id) = &state.session_id {
                headers.insert(MCP_SESSION_ID, session_id.clone());
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
        if let Some(last_id) = last_id {
            headers.insert(LAST_EVENT_ID, last_id.clone());
        }
        *request.method_mut() = method;
        self.client.send(request).await
    }

    async fn get(&self, last_id: Option<&HeaderValue>) -> Result<Response<RawBody>, SessionError> {
        let response = self.send(Method::GET, Bytes::new(), last_id).await?;
        self.check_status(response).await
    }

    /// Returns a response with a status of success.
    async fn check_status(
        &self,
        response: Response<RawBody>,
    ) -> Result<Response<RawBody>, SessionError> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        if self.is_session_ended(status) {
            return Err(SessionError::SessionEnded);
        }
        let (_, text) = error_body(response).await;
        Err(SessionError::Status { status, text })
    }

    fn is_session_ended(&self, status: StatusCode) -> bool {
        status == StatusCode::NOT_FOUND && self.state.lock().session_id.is_some()
    }

    /// The messages that answer the request `id`.
    async fn read_response(
        self: Arc<Self>,
        id: RequestId,
        response: Response<RawBody>,
    ) -> Result<IncomingStream, SessionError> {
        let status = response.status();
        if self.is_session_ended(status) {
            return Err(SessionError::SessionEnded);
        }
        if !status.is_success() {
            let (body, text) = error_body(response).await;
            // The body may be a JSON-RPC error response (2025-11-25
            // `basic/transports#sending-messages-to-the-server`). During the handshake the status
            // counts, because this may be the wrong transport.
            let is_established = self.state.lock().version.is_some();
            let answers = messages(&body).ok().filter(|_| is_established);
            let answer = answers.unwrap_or_default().into_iter().find(|answer| {
                matches!(answer, Incoming::Response(_) | Incoming::ErrorWithoutId(_))
            });
            return match answer {
                Some(answer) => Ok(Box::pin(futures_util::stream::iter([Ok(with_id(
                    answer, &id,
                ))]))),
                None => Err(SessionError::Status { status, text }),
            };
        }
        if let Some(session_id) = response.headers().get(MCP_SESSION_ID) {
            self.state
                .lock()
                .session_id
                .get_or_insert_with(|| session_id.clone());
        }
        let max = self.client.max_response();
        if has_media_type(response.headers(), EVENT_STREAM) {
            let events = EventReader::new(response.into_body(), max);
            return Ok(self.read_events(id, events));
        }
        if !has_media_type(response.headers(), JSON) {
            let (_, text) = error_body(response).await;
            return Err(SessionError::Status { status, text });
        }
        let text = response.into_body().collect(max).await?;
        let incoming = messages(&text)?
            .into_iter()
            .map(move |incoming| Ok(with_id(incoming, &id)));
        Ok(Box::pin(futures_util::stream::iter(incoming)))
    }

    /// The messages of a stream that answers the request `id`. A stream that breaks before the
    /// response is resumed, if the server has sent an id to resume from.
    fn read_events(self: Arc<Self>, id: RequestId, mut events: EventReader) -> IncomingStream {
        generate::stream(move |out| async move {
            let mut last_id = None;
            let mut attempts = 0;
            let mut delays = ReconnectDelays::default();
            let mut opened = Instant::now();
            loop {
                let broken = loop {
                    match events.next_messages().await {
                        Some(Ok(incoming)) => {
                            attempts = 0;
                            for message in incoming {
                                let is_response = matches!(&message, Incoming::Response(response) if response.id == id);
                                out.emit(Ok(message)).await;
                                if is_response {
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
                last_id = events.last_id().or(last_id);
                let Some(after) = last_id.as_ref().filter(|_| attempts < MAX_ATTEMPTS) else {
                    return out.emit(Err(broken)).await;
                };
                attempts += 1;
                tokio::time::sleep(delays.after(opened.elapsed(), events.retry())).await;
                opened = Instant::now();
                match self.get(Some(after)).await {
                    Ok(response) if has_media_type(response.headers(), EVENT_STREAM) => {
                        events.resume(response.into_body());
                    }
                    // Unreachable for the moment, as the stream itself was.
                    Err(SessionError::Call(_)) => {}
                    Err(SessionError::Status { status, .. }) if status.is_server_error() => {}
                    _ => return out.emit(Err(broken)).await,
                }
            }
        })
    }
}

fn random() -> u64 {
    RandomState::new().hash_one(0)
}

/// An error about the request may have no id.
fn with_id(incoming: Incoming, id: &RequestId) -> Incoming {
    match incoming {
        Incoming::ErrorWithoutId(error) => {
            Incoming::Response(JsonRpcResponse::error(id.clone(), error))
        }
        other => other,
    }
}
