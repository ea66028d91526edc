//! The client side of Streamable HTTP: [`HttpClient`], a service that POSTs each call to an
//! endpoint.
//!
//! ```no_run
//! # async fn example(call: carryall_proto::Call) -> Result<(), Box<dyn std::error::Error>> {
//! use carryall_transport::http::HttpClient;
//! use std::time::Duration;
//! use tower_service::Service;
//!
//! let mut client = HttpClient::builder("https://mcp.example.com/mcp")?
//!     .bearer("secret")?
//!     .connect_timeout(Duration::from_secs(3))
//!     .build()?;
//! let reply = client.call(call).await?;
//! # Ok(())
//! # }
//! ```

mod builder;
mod connect;
mod connection;
mod error_response;
mod exchange;
mod message;
mod pool;
mod raw;
mod request;
mod response;
mod response_body;
mod sse_reply;
mod stream;
mod target;

#[cfg(feature = "tls")]
mod tls;

pub use builder::HttpClientBuilder;
pub use raw::RawBody;
pub use target::InvalidTarget;

use carryall_proto::sync::RwLock;
use carryall_proto::{BoxFuture, Call, CallError, Reply};
use connect::Connector;
use http::{HeaderMap, HeaderValue};
use pool::ConnectionPool;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use target::EndpointUrl;
use tower_service::Service;

/// Calls one MCP endpoint over HTTP. Cheap to clone; clones share their connections.
///
/// Each call is one POST. Dropping the future of a call, or the stream of its reply, closes the
/// response, which cancels the request on this transport. Calls have no timeout here: the caller
/// knows how long to wait.
///
/// Of `call.headers()`, only those that belong to the call are sent: `Mcp-Param-*` and trace context.
/// All others, in particular credentials, are for one hop; those for this hop are set on the
/// client.
///
/// A request is sent once, with one exception: when a kept connection turns out to be closed before
/// any of the request was sent, the request is sent on another connection.
#[derive(Clone)]
pub struct HttpClient {
    inner: Arc<HttpClientInner>,
}

struct HttpClientInner {
    url: EndpointUrl,
    connector: Connector,
    pool: Arc<ConnectionPool>,
    headers: RwLock<HeaderMap>,
    max_response: usize,
}

impl HttpClient {
    /// Makes a client with defaults for `url`, for example `http://127.0.0.1:8080/mcp`.
    ///
    /// # Errors
    /// When `url` is not an HTTP URL.
    pub fn new(url: &str) -> Result<Self, InvalidTarget> {
        Self::builder(url)?.build()
    }

    /// Makes a builder of a client for `url`.
    ///
    /// # Errors
    /// When `url` is not an HTTP URL.
    pub fn builder(url: &str) -> Result<HttpClientBuilder, InvalidTarget> {
        EndpointUrl::parse(url).map(HttpClientBuilder::new)
    }

    /// Returns the URL of the endpoint.
    #[must_use]
    pub fn url(&self) -> String {
        self.inner.url.to_string()
    }

    /// Sets `Authorization` for future calls; `None` removes it.
    pub fn set_authorization(&self, value: Option<HeaderValue>) {
        let mut headers = self.inner.headers.write();
        match value {
            Some(mut value) => {
                value.set_sensitive(true);
                headers.insert(http::header::AUTHORIZATION, value);
            }
            None => drop(headers.remove(http::header::AUTHORIZATION)),
        }
    }
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClient")
            .field("url", &self.url())
            .finish_non_exhaustive()
    }
}

impl Service<Call> for HttpClient {
    type Response = Reply;
    type Error = CallError;
    type Future = BoxFuture<Result<Reply, CallError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), CallError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call) -> Self::Future {
        Box::pin(exchange::call(Arc::clone(&self.inner), call))
    }
}
