//! The client side: [`HttpClient`], a service on the seam that POSTs each call to an endpoint.

mod answer;
mod builder;
mod connect;
mod events;
mod exchange;
mod link;
mod pool;
mod raw;
mod request;
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
use pool::Pool;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use target::Target;
use tower_service::Service;

/// Calls one MCP endpoint over HTTP. Cheap to clone; clones share their connections.
///
/// Each call is one POST. Dropping the future of a call, or the reply's stream, closes the
/// response, which is how a request is cancelled on this binding. There is no timeout on answers
/// here: whoever calls knows how long to wait.
///
/// Of `call.headers()` those that belong to the call are sent: `Mcp-Param-*` and trace context. All
/// others, above all somebody's credentials, are for one hop only and stay behind; what this hop
/// needs is set on the client.
///
/// A request is sent once. The exception is a kept connection that turns out to be closed before
/// any of the request went out: that request goes out on a new one.
#[derive(Clone)]
pub struct HttpClient {
    shared: Arc<Shared>,
}

struct Shared {
    target: Target,
    connector: Connector,
    pool: Pool,
    headers: RwLock<HeaderMap>,
    max_response: usize,
}

impl HttpClient {
    /// A client with defaults for `url`, for example `http://127.0.0.1:8080/mcp`.
    ///
    /// # Errors
    /// When `url` is not an HTTP URL.
    pub fn new(url: &str) -> Result<Self, InvalidTarget> {
        Self::builder(url)?.build()
    }

    /// A client for `url` with options.
    ///
    /// # Errors
    /// When `url` is not an HTTP URL.
    pub fn builder(url: &str) -> Result<HttpClientBuilder, InvalidTarget> {
        Target::parse(url).map(HttpClientBuilder::new)
    }

    /// The URL of the endpoint.
    #[must_use]
    pub fn url(&self) -> String {
        self.shared.target.to_string()
    }

    /// Sets `Authorization` for the calls from now on; `None` takes it away.
    pub fn set_authorization(&self, value: Option<HeaderValue>) {
        let mut headers = self.shared.headers.write();
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
        Box::pin(exchange::exchange(Arc::clone(&self.shared), call))
    }
}
