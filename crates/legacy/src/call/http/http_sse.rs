//! A session on HTTP+SSE, the transport of 2024-11-05: one stream for all messages of the server,
//! and an endpoint to post to.

use super::body::{error_body, has_media_type};
use super::event_reader::{EventReader, is_message};
use crate::abort_on_drop::AbortOnDrop;
use crate::call::pending::PendingResponses;
use crate::call::transport::{
    IncomingStream, MessageSink, OneWayMessage, SessionError, SessionTransport,
};
use crate::message::LegacyRequest;
use bytes::Bytes;
use carryall_proto::deprecated::DeprecatedFeature;
use carryall_proto::{BoxFuture, CallError};
use carryall_transport::HttpClient;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Uri};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

const EVENT_STREAM: &str = "text/event-stream";

/// One session. It ends with its stream, when this is dropped.
pub(super) struct HttpSseTransport {
    connection: Arc<HttpSseConnection>,
    _reader: AbortOnDrop,
}

/// What requests of the session share.
struct HttpSseConnection {
    client: HttpClient,
    /// Where messages are posted.
    endpoint: Uri,
    pending: Arc<PendingResponses>,
}

impl HttpSseTransport {
    /// Opens the stream and waits for the endpoint (2024-11-05 `basic/transports#http-with-sse`).
    pub(super) async fn open(client: HttpClient, limit: Duration) -> Result<Self, CallError> {
        let opened = timeout(limit, open_stream(&client)).await;
        let (events, endpoint) =
            opened.map_err(|_| CallError::broken("the stream names no endpoint in time"))??;
        if DeprecatedFeature::HttpSse.is_first_use() {
            tracing::warn!(
                "{} supports no newer transport: {}",
                client.url(),
                DeprecatedFeature::HttpSse.notice()
            );
        }
        let pending = PendingResponses::new();
        let reader = AbortOnDrop::spawn(read_stream(events, Arc::clone(&pending)));
        Ok(Self {
            connection: Arc::new(HttpSseConnection {
                client,
                endpoint,
                pending,
            }),
            _reader: reader,
        })
    }
}

async fn open_stream(client: &HttpClient) -> Result<(EventReader, Uri), CallError> {
    let mut request = Request::new(Bytes::new());
    *request.method_mut() = Method::GET;
    *request.uri_mut() = parse_path(client.path())?;
    request
        .headers_mut()
        .insert(ACCEPT, HeaderValue::from_static(EVENT_STREAM));
    let response = client.send(request).await?;
    if !response.status().is_success() || !has_media_type(response.headers(), EVENT_STREAM) {
        let status = response.status().as_u16();
        let (_, body) = error_body(response).await;
        return Err(CallError::NotMcp { status, body });
    }
    let mut events = EventReader::new(response.into_body(), client.max_response());
    loop {
        match events.next_event().await {
            Some(Ok((Some(kind), data))) if kind == "endpoint" => {
                let endpoint = resolve(client, String::from_utf8_lossy(&data).trim())?;
                return Ok((events, endpoint));
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(error),
            None => {
                let why = "the stream ended before it named an endpoint";
                return Err(CallError::broken(why));
            }
        }
    }
}

async fn read_stream(mut events: EventReader, pending: Arc<PendingResponses>) {
    let error = loop {
        match events.next_event().await {
            Some(Ok((kind, data))) if is_message(kind.as_deref()) => pending.receive(&data),
            Some(Ok(_)) => {}
            Some(Err(error)) => break error,
            None => break CallError::broken("the server ended the stream"),
        }
    };
    pending.fail(error);
}

/// The endpoint that the server names, if it has the origin of the stream. A server must not direct
/// messages and credentials to another one.
fn resolve(client: &HttpClient, endpoint: &str) -> Result<Uri, CallError> {
    if let Some(path) = client.path_on_origin(endpoint) {
        return parse_path(&path);
    }
    if endpoint.contains("//") {
        return Err(CallError::Refused(format!(
            "the server wants messages posted to {endpoint:?}, another origin"
        )));
    }
    // Relative to the path of the stream.
    let folder = client
        .path()
        .split('?')
        .next()
        .and_then(|path| path.rfind('/').map(|at| &path[..=at]))
        .unwrap_or("/");
    parse_path(&format!("{folder}{endpoint}"))
}

fn parse_path(text: &str) -> Result<Uri, CallError> {
    text.parse()
        .map_err(|_| CallError::Refused(format!("{text:?} is not a valid path")))
}

impl HttpSseConnection {
    async fn post(&self, text: Bytes) -> Result<(), SessionError> {
        if let Some(failure) = self.pending.failure() {
            return Err(failure.into());
        }
        let mut request = Request::new(text);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.endpoint.clone();
        request
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let response = self.client.send(request).await?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        let (_, text) = error_body(response).await;
        Err(SessionError::Status { status, text })
    }
}

impl Drop for HttpSseTransport {
    fn drop(&mut self) {
        let error = CallError::broken("the session has ended");
        self.connection.pending.fail(error);
    }
}

impl fmt::Debug for HttpSseTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpSseTransport")
            .field("client", &self.connection.client)
            .finish_non_exhaustive()
    }
}

impl SessionTransport for HttpSseTransport {
    fn is_multiplexed(&self) -> bool {
        true
    }

    fn request(&self, request: LegacyRequest) -> BoxFuture<Result<IncomingStream, SessionError>> {
        let connection = Arc::clone(&self.connection);
        Box::pin(async move {
            let expected = connection.pending.register(request.id.clone())?;
            connection.post(request.encode().into_bytes()).await?;
            Ok(expected.into_stream())
        })
    }

    fn send(&self, message: OneWayMessage) -> BoxFuture<Result<(), SessionError>> {
        let connection = Arc::clone(&self.connection);
        Box::pin(async move { connection.post(message.encode()).await })
    }

    fn on_unsolicited(&self, sink: MessageSink) {
        self.connection.pending.on_unsolicited(sink);
    }

    fn close(&self) -> BoxFuture<()> {
        Box::pin(std::future::ready(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_posted_to_the_origin_of_the_stream_only() {
        let client = HttpClient::new("http://example.com:8080/a/sse?x=1").unwrap();
        let resolved = |endpoint: &str| resolve(&client, endpoint).map(|uri| uri.to_string());
        assert_eq!(resolved("/messages?s=1").unwrap(), "/messages?s=1");
        assert_eq!(resolved("messages?s=1").unwrap(), "/a/messages?s=1");
        assert_eq!(resolved("http://example.com:8080/m").unwrap(), "/m");
        for other_origin in [
            "http://evil.com/m",
            "//evil.com/m",
            "https://example.com:8080/m",
            "http://example.com/m",
        ] {
            assert!(
                matches!(resolved(other_origin), Err(CallError::Refused(_))),
                "{other_origin}"
            );
        }
    }
}
