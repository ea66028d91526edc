//! The server side: [`Endpoint`], a `Service<http::Request>`, and [`HttpServer`], which listens for
//! it.

mod adapter;
mod alternate;
mod answer;
mod body;
mod close;
mod collect;
mod cors;
mod door;
mod listener;
mod refusal_log;
mod refuse;
mod serve;
mod streams;
mod watch;

#[cfg(feature = "tls")]
mod tls;

pub use alternate::FallbackProtocol;
pub use answer::EndpointFuture;
pub use body::ReplyBody;
pub use door::{HostPolicy, OriginPolicy};
pub use serve::HttpServer;

use carryall_proto::budget::{Amount, Budget};
use carryall_proto::{Call, CallError, CallSource, Reply, SharedService};
use http_body::Body;
use refusal_log::RefusalLog;
use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tower_service::Service;

/// The MCP endpoint as a service over HTTP requests. It nests in axum (`Router::route_service`),
/// runs under hyper, and is cheap to clone.
///
/// The call's future lives in the response future, and after that in the response body: dropping
/// either, which is what an HTTP server does when its client is gone, cancels the call.
///
/// Safe by default: only loopback names are accepted as `Host`, only loopback and same-host pages
/// as `Origin`, and bodies are bounded. A service behind a public name says so with
/// [`allow_host`](Self::allow_host).
#[derive(Clone, Debug)]
pub struct Endpoint {
    shared: Arc<Shared>,
    /// Set on the clone that serves one connection.
    source: CallSource,
}

#[derive(Clone, Debug)]
struct Shared {
    service: SharedService,
    alternate: Option<Arc<dyn FallbackProtocol>>,
    options: Options,
    on_close: close::CloseHooks,
    refusals: Arc<RefusalLog>,
    /// Request bodies that are on their way.
    bodies: Budget,
}

#[derive(Clone, Debug)]
struct Options {
    max_body: usize,
    body_timeout: Duration,
    sse_after: Duration,
    keep_alive: Duration,
    origins: OriginPolicy,
    hosts: Option<HostPolicy>,
    path: Option<Box<str>>,
}

impl Endpoint {
    /// An endpoint for `service`.
    pub fn new<S>(service: S) -> Self
    where
        S: Service<Call, Response = Reply> + Clone + Send + Sync + 'static,
        S::Error: Into<CallError>,
        S::Future: Send,
    {
        let options = Options {
            max_body: 4 * 1024 * 1024,
            body_timeout: Duration::from_secs(30),
            sse_after: Duration::from_secs(5),
            keep_alive: Duration::from_secs(15),
            origins: OriginPolicy::default(),
            hosts: None,
            path: None,
        };
        let shared = Shared {
            service: SharedService::new(service),
            alternate: None,
            options,
            on_close: close::CloseHooks::default(),
            refusals: Arc::default(),
            bodies: body_budget(512 * 1024 * 1024),
        };
        Self {
            shared: Arc::new(shared),
            source: CallSource::UNKNOWN,
        }
    }

    /// The largest request body, in bytes; larger ones are answered 413 without being read. 4 MiB
    /// unless set.
    #[must_use]
    pub fn max_body(self, bytes: usize) -> Self {
        self.with(|options| options.max_body = bytes)
    }

    /// How long a body may take to arrive; slower ones are answered 408. 30 s unless set.
    #[must_use]
    pub fn body_timeout(self, limit: Duration) -> Self {
        self.with(|options| options.body_timeout = limit)
    }

    /// How many bytes of unfinished request bodies are held for all clients together, of which one
    /// address may use half; what does not fit is answered 503. Bodies below 64 KiB are not
    /// counted. 512 MiB unless set.
    #[must_use]
    pub fn max_pending_bodies(mut self, bytes: usize) -> Self {
        Arc::make_mut(&mut self.shared).bodies = body_budget(bytes);
        self
    }

    /// How long a call may stay silent before its response begins, as an event stream, so that
    /// nothing on the way takes the connection for dead. 5 s unless set.
    #[must_use]
    pub fn sse_after(self, delay: Duration) -> Self {
        self.with(|options| options.sse_after = delay)
    }

    /// The longest silence on an event stream; a comment breaks it. 15 s unless set.
    #[must_use]
    pub fn keep_alive(self, interval: Duration) -> Self {
        self.with(|options| options.keep_alive = interval)
    }

    /// Which web pages may call.
    #[must_use]
    pub fn origins(self, policy: OriginPolicy) -> Self {
        self.with(|options| options.origins = policy)
    }

    /// Lets pages of one more origin call; see [`OriginPolicy::allow`]. Can be repeated.
    #[must_use]
    pub fn allow_origin(self, origin: &str) -> Self {
        self.with(|options| options.origins = std::mem::take(&mut options.origins).allow(origin))
    }

    /// Under which names this server is called.
    #[must_use]
    pub fn hosts(self, policy: HostPolicy) -> Self {
        self.with(|options| options.hosts = Some(policy))
    }

    /// One more name under which this server is called, besides loopback; see
    /// [`HostPolicy::allow`]. Can be repeated. A server behind a proxy needs the names that the
    /// proxy passes on in `Host`.
    #[must_use]
    pub fn allow_host(self, host: &str) -> Self {
        self.with(|options| {
            options.hosts = Some(options.hosts.take().unwrap_or_default().allow(host))
        })
    }

    /// Answers under this path alone, 404 elsewhere. Unless set, the path is the business of
    /// whoever routes here.
    #[must_use]
    pub fn path(self, path: &str) -> Self {
        self.with(|options| options.path = Some(path.into()))
    }

    /// Lets another protocol answer what is not of this revision, behind the same door: path, host,
    /// origin and the bounds on bodies are checked for both.
    #[must_use]
    pub fn alternate(mut self, alternate: Arc<dyn FallbackProtocol>) -> Self {
        Arc::make_mut(&mut self.shared).alternate = Some(alternate);
        self
    }

    /// The endpoint for the requests of one connection: their calls get `source`, unless the
    /// request has a [`CallSource`] in its extensions.
    ///
    /// [`HttpServer`] does this for each connection that it accepts. It is needed by those who
    /// accept connections themselves and have one clone of the endpoint per connection. An endpoint
    /// that is nested in a router learns the source from the extensions: `HttpServer` puts it there
    /// for services other than an endpoint, and under another listener a layer can, for example
    /// from axum's `ConnectInfo`. A layer that trusts a proxy in front replaces the address in the
    /// same way.
    #[must_use]
    pub fn for_connection(mut self, source: CallSource) -> Self {
        self.source = source;
        self
    }

    fn with(mut self, change: impl FnOnce(&mut Options)) -> Self {
        change(&mut Arc::make_mut(&mut self.shared).options);
        self
    }

    fn answer<B>(&self, request: http::Request<B>) -> EndpointFuture<B>
    where
        B: Body,
        B::Error: std::fmt::Display,
    {
        EndpointFuture::new(&self.shared, self.source, request)
    }
}

fn body_budget(bytes: usize) -> Budget {
    Budget::new(
        Amount::new(usize::MAX, bytes),
        Amount::new(usize::MAX, bytes / 2),
    )
}

impl<B> Service<http::Request<B>> for Endpoint
where
    B: Body,
    B::Error: std::fmt::Display,
{
    type Response = http::Response<ReplyBody>;
    type Error = Infallible;
    type Future = EndpointFuture<B>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        self.answer(request)
    }
}
