//! [`Endpoint`]: the MCP endpoint as a service over HTTP requests.

mod body_reader;
mod close;
mod cors;
mod fallback;
mod future;
mod policy;
mod rejection;
mod rejection_log;
mod reply_body;
mod response;
mod sse_body;
mod validate;

pub use fallback::FallbackProtocol;
pub use future::EndpointFuture;
pub use policy::{HostPolicy, OriginPolicy};
pub use reply_body::ReplyBody;

use carryall_proto::budget::{Amount, Budget};
use carryall_proto::sync::Mutex;
use carryall_proto::{Call, CallError, CallSource, MetaCache, Reply, SharedService};
use close::CloseHooks;
use http_body::Body;
use rejection_log::RejectionLog;
use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tower_service::Service;

/// The MCP endpoint as a service over HTTP requests. It nests in axum (`Router::route_service`),
/// runs under hyper, and is cheap to clone.
///
/// The call's future lives in the response future, and after that in the response body. Dropping
/// either cancels the call; HTTP servers do that when the client is gone.
///
/// Safe by default: `Host` has to be a loopback name, `Origin` loopback or the same host, and
/// bodies are bounded. A service with a public name allows it with [`allow_host`](Self::allow_host).
///
/// ```
/// # fn example(service: carryall_proto::SharedService) -> axum::Router {
/// use carryall_transport::http::Endpoint;
///
/// let endpoint = Endpoint::new(service).allow_host("mcp.example.com");
/// axum::Router::new().route_service("/mcp", endpoint)
/// # }
/// ```
#[derive(Clone)]
pub struct Endpoint {
    connection: Arc<EndpointConnection>,
}

/// What the requests of one connection share. An endpoint whose connections are not told apart has
/// one of these for all of them.
struct EndpointConnection {
    inner: Arc<EndpointInner>,
    source: CallSource,
    /// Contended only by concurrent HTTP/2 streams of the connection; a request that finds it
    /// locked is decoded without it.
    meta_cache: Mutex<MetaCache>,
}

#[derive(Clone, Debug)]
struct EndpointInner {
    service: SharedService,
    fallback: Option<Arc<dyn FallbackProtocol>>,
    options: EndpointOptions,
    close_hooks: CloseHooks,
    rejection_log: Arc<RejectionLog>,
    /// Bounds the request bodies that have not arrived completely.
    body_budget: Budget,
}

#[derive(Clone, Debug)]
struct EndpointOptions {
    max_body: usize,
    body_timeout: Duration,
    sse_after: Duration,
    keep_alive: Duration,
    origins: OriginPolicy,
    hosts: Option<HostPolicy>,
    path: Option<Box<str>>,
}

impl Endpoint {
    /// Makes an endpoint for `service`.
    pub fn new<S>(service: S) -> Self
    where
        S: Service<Call, Response = Reply> + Clone + Send + Sync + 'static,
        S::Error: Into<CallError>,
        S::Future: Send,
    {
        let options = EndpointOptions {
            max_body: 4 * 1024 * 1024,
            body_timeout: Duration::from_secs(30),
            sse_after: Duration::from_secs(5),
            keep_alive: Duration::from_secs(15),
            origins: OriginPolicy::default(),
            hosts: None,
            path: None,
        };
        let inner = EndpointInner {
            service: SharedService::new(service),
            fallback: None,
            options,
            close_hooks: CloseHooks::default(),
            rejection_log: Arc::default(),
            body_budget: body_budget(512 * 1024 * 1024),
        };
        Self {
            connection: Arc::new(EndpointConnection::new(inner.into(), CallSource::UNKNOWN)),
        }
    }

    /// Sets the maximum size of a request body in bytes; larger bodies are answered with status 413
    /// without being read. Default: 4 MiB.
    #[must_use]
    pub fn max_body(self, bytes: usize) -> Self {
        self.with_options(|options| options.max_body = bytes)
    }

    /// Sets how long a body may take to arrive; slower bodies are answered with status 408.
    /// Default: 30 s.
    #[must_use]
    pub fn body_timeout(self, limit: Duration) -> Self {
        self.with_options(|options| options.body_timeout = limit)
    }

    /// Sets how many bytes of incomplete request bodies are held in memory for all clients
    /// together, of which one address may use half; bodies that exceed this are answered with
    /// status 503. Bodies below 64 KiB are not counted. Default: 512 MiB.
    #[must_use]
    pub fn max_pending_bodies(mut self, bytes: usize) -> Self {
        self.inner_mut().body_budget = body_budget(bytes);
        self
    }

    /// Sets how long a call may be silent before its response begins as an event stream, so that
    /// no proxy closes the connection as dead. Default: 5 s.
    #[must_use]
    pub fn sse_after(self, delay: Duration) -> Self {
        self.with_options(|options| options.sse_after = delay)
    }

    /// Sets how long an event stream may be silent before a comment is sent on it. Default: 15 s.
    #[must_use]
    pub fn keep_alive(self, interval: Duration) -> Self {
        self.with_options(|options| options.keep_alive = interval)
    }

    /// Sets which web pages may call. Default: [`OriginPolicy::local`].
    #[must_use]
    pub fn origins(self, policy: OriginPolicy) -> Self {
        self.with_options(|options| options.origins = policy)
    }

    /// Lets pages of one more origin call; see [`OriginPolicy::allow`].
    #[must_use]
    pub fn allow_origin(self, origin: &str) -> Self {
        self.with_options(|options| {
            options.origins = std::mem::take(&mut options.origins).allow(origin)
        })
    }

    /// Sets the names that this server answers to. Default: [`HostPolicy::loopback`], unless
    /// [`HttpServer::run_endpoint`](super::HttpServer::run_endpoint) listens on another address.
    #[must_use]
    pub fn hosts(self, policy: HostPolicy) -> Self {
        self.with_options(|options| options.hosts = Some(policy))
    }

    /// Lets this server answer to one more name, besides loopback; see [`HostPolicy::allow`]. A
    /// server behind a proxy needs the names that the proxy passes on in `Host`.
    #[must_use]
    pub fn allow_host(self, host: &str) -> Self {
        self.with_options(|options| {
            options.hosts = Some(options.hosts.take().unwrap_or_default().allow(host))
        })
    }

    /// Answers requests for this path only, and others with status 404. Default: any path, since
    /// routing is up to the caller.
    #[must_use]
    pub fn path(self, path: &str) -> Self {
        self.with_options(|options| options.path = Some(path.into()))
    }

    /// Lets another protocol answer the requests that are not of this revision. Path, host, origin
    /// and the bounds on bodies are checked for both. Default: none, such requests are rejected.
    #[must_use]
    pub fn fallback(mut self, fallback: Arc<dyn FallbackProtocol>) -> Self {
        self.inner_mut().fallback = Some(fallback);
        self
    }

    /// Returns the endpoint for the requests of one connection: their calls get `source`, unless
    /// the extensions of the request contain a [`CallSource`].
    ///
    /// [`HttpServer`](super::HttpServer) does this for each connection that it accepts. Use it when
    /// you accept connections yourself and have one clone of the endpoint per connection. An
    /// endpoint nested in a router learns the source from the extensions: `HttpServer` inserts it
    /// there for services other than an endpoint; under another listener, a layer can insert it,
    /// for example from axum's `ConnectInfo`. A layer that trusts a proxy replaces the address in
    /// the same way.
    #[must_use]
    pub fn for_connection(self, source: CallSource) -> Self {
        let inner = Arc::clone(&self.connection.inner);
        Self {
            connection: Arc::new(EndpointConnection::new(inner, source)),
        }
    }

    /// Sets path and hosts, unless they are set already.
    pub(super) fn with_defaults(self, path: &str, hosts: HostPolicy) -> Self {
        self.with_options(|options| {
            options.path.get_or_insert_with(|| path.into());
            options.hosts.get_or_insert(hosts);
        })
    }

    fn with_options(mut self, change: impl FnOnce(&mut EndpointOptions)) -> Self {
        change(&mut self.inner_mut().options);
        self
    }

    fn inner_mut(&mut self) -> &mut EndpointInner {
        Arc::make_mut(&mut Arc::make_mut(&mut self.connection).inner)
    }
}

impl EndpointConnection {
    fn new(inner: Arc<EndpointInner>, source: CallSource) -> Self {
        Self {
            inner,
            source,
            meta_cache: Mutex::default(),
        }
    }
}

impl Clone for EndpointConnection {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.inner), self.source)
    }
}

fn body_budget(bytes: usize) -> Budget {
    Budget::new(
        Amount::new(usize::MAX, bytes),
        Amount::new(usize::MAX, bytes / 2),
    )
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("inner", &self.connection.inner)
            .field("source", &self.connection.source)
            .finish_non_exhaustive()
    }
}

impl<B> Service<http::Request<B>> for Endpoint
where
    B: Body,
    B::Error: fmt::Display,
{
    type Response = http::Response<ReplyBody>;
    type Error = Infallible;
    type Future = EndpointFuture<B>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        EndpointFuture::new(&self.connection, request)
    }
}
