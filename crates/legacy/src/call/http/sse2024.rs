//! HTTP+SSE, the transport of 2024-11-05: one stream for all that comes, and an address to post to.

use super::bodies::{is_type, refusal};
use super::streamable::Events;
use crate::call::mailbox::PendingResponses;
use crate::call::wire::{
    IncomingStream, MessageSink, OneWayMessage, SessionError, SessionTransport,
};
use crate::message::Request as Message;
use bytes::Bytes;
use carryall_proto::deprecated::DeprecatedFeature;
use carryall_proto::{BoxFuture, CallError};
use carryall_transport::HttpClient;
use carryall_types::ProtocolVersion;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Uri};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::AbortHandle;
use tokio::time::timeout;

/// One session.
#[derive(Clone)]
pub(super) struct HttpSse {
    shared: Arc<Shared>,
}

struct Shared {
    client: HttpClient,
    /// Where to post.
    uri: Uri,
    mailbox: Arc<PendingResponses>,
    reader: AbortHandle,
}

impl HttpSse {
    /// Opens the stream and waits for the address (2024-11-05 `basic/transports#http-with-sse`).
    pub(super) async fn open(
        client: HttpClient,
        limit: Duration,
    ) -> Result<Arc<dyn SessionTransport>, CallError> {
        let opening = async {
            let mut request = Request::new(Bytes::new());
            *request.method_mut() = Method::GET;
            *request.uri_mut() = path(client.path())?;
            request
                .headers_mut()
                .insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
            let response = client.send(request).await?;
            if !response.status().is_success() || !is_type(response.headers(), "text/event-stream")
            {
                let status = response.status().as_u16();
                let (_, body) = refusal(response).await;
                return Err(CallError::NotMcp { status, body });
            }
            let mut events = Events::new(response.into_body(), client.max_response());
            let address = loop {
                match events.next_event().await {
                    Some(Ok((Some(kind), data))) if kind == "endpoint" => break data,
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(error),
                    None => {
                        return Err(CallError::broken(
                            "the stream ended before it named an address",
                        ));
                    }
                }
            };
            let address = String::from_utf8_lossy(&address).trim().to_owned();
            let uri = resolve(&client, &address)?;
            Ok((events, uri))
        };
        let opened = timeout(limit, opening).await;
        let (mut events, uri) =
            opened.map_err(|_| CallError::broken("the stream names no address in time"))??;
        if DeprecatedFeature::HttpSse.is_first_use() {
            tracing::warn!(
                "{} has nothing newer: {}",
                client.url(),
                DeprecatedFeature::HttpSse.notice()
            );
        }
        let mailbox = PendingResponses::new();
        let taking = Arc::clone(&mailbox);
        let reader = tokio::spawn(async move {
            let end = loop {
                match events.next_event().await {
                    Some(Ok((kind, data)))
                        if kind.as_deref().is_none_or(|kind| kind == "message") =>
                    {
                        taking.put(&data)
                    }
                    Some(Ok(_)) => {}
                    Some(Err(error)) => break error,
                    None => break CallError::broken("the server ended the stream"),
                }
            };
            taking.lose(end);
        });
        let shared = Shared {
            client,
            uri,
            mailbox,
            reader: reader.abort_handle(),
        };
        Ok(Arc::new(Self {
            shared: Arc::new(shared),
        }))
    }
}

/// The address, if it lies on the origin of the stream: nobody gets to direct our messages, and
/// credentials, elsewhere.
fn resolve(client: &HttpClient, address: &str) -> Result<Uri, CallError> {
    let elsewhere = || {
        CallError::Refused(format!(
            "the server wants messages posted to {address:?}, another origin"
        ))
    };
    if let Some(path_on_origin) = client.path_on_origin(address) {
        return path(&path_on_origin);
    }
    if address.contains("//") {
        return Err(elsewhere());
    }
    // Relative to the path of the stream.
    let folder = client
        .path()
        .split('?')
        .next()
        .and_then(|path| path.rfind('/').map(|at| &path[..=at]))
        .unwrap_or("/");
    path(&format!("{folder}{address}"))
}

fn path(text: &str) -> Result<Uri, CallError> {
    text.parse()
        .map_err(|_| CallError::Refused(format!("{text:?} is no path that a request can carry")))
}

impl Shared {
    async fn post(&self, text: Bytes) -> Result<(), SessionError> {
        if let Some(lost) = self.mailbox.lost() {
            return Err(lost.into());
        }
        let mut request = Request::new(text);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        request
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let response = self.client.send(request).await?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        let (_, text) = refusal(response).await;
        Err(SessionError::Status { status, text })
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.reader.abort();
        self.mailbox.lose(CallError::broken("the session is over"));
    }
}

impl fmt::Debug for HttpSse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpSse")
            .field("client", &self.shared.client)
            .finish_non_exhaustive()
    }
}

impl SessionTransport for HttpSse {
    fn is_shared(&self) -> bool {
        true
    }

    fn request(&self, request: Message) -> BoxFuture<Result<IncomingStream, SessionError>> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            let expected = shared.mailbox.expect(request.id.clone())?;
            shared.post(request.encode().into_bytes()).await?;
            Ok(expected.into_stream())
        })
    }

    fn send(&self, message: OneWayMessage) -> BoxFuture<Result<(), SessionError>> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move { shared.post(message.encode()).await })
    }

    fn hear(&self, sink: MessageSink) {
        self.shared.mailbox.hear(sink);
    }

    fn negotiated(&self, _: ProtocolVersion) {}

    fn end(&self) -> BoxFuture<()> {
        // The session ends with its stream, which closes when this is dropped.
        Box::pin(std::future::ready(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_go_to_the_origin_of_the_stream_alone() {
        let client = HttpClient::new("http://example.com:8080/a/sse?x=1").unwrap();
        let resolved = |address: &str| resolve(&client, address).map(|uri| uri.to_string());
        assert_eq!(resolved("/messages?s=1").unwrap(), "/messages?s=1");
        assert_eq!(resolved("messages?s=1").unwrap(), "/a/messages?s=1");
        assert_eq!(resolved("http://example.com:8080/m").unwrap(), "/m");
        for elsewhere in [
            "http://evil.com/m",
            "//evil.com/m",
            "https://example.com:8080/m",
            "http://example.com/m",
        ] {
            assert!(
                matches!(resolved(elsewhere), Err(CallError::Refused(_))),
                "{elsewhere}"
            );
        }
    }
}
