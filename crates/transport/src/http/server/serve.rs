//! Listening: a socket, a bound on connections, and a way to end.

use super::adapter::WithSource;
use super::listener::{Limits, accept_until, serve};
use super::{Endpoint, HostPolicy};
use carryall_proto::{BoxError, Call, CallError, CallSource, Reply};
use http_body::Body;
use hyper::body::Incoming;
use std::future::pending;
use std::net::SocketAddr;
use std::time::Duration;
use std::{fmt, io};
use tokio::net::{TcpListener, TcpSocket, ToSocketAddrs, lookup_host};
use tower_service::Service;

/// How many connections may wait to be accepted, as far as the system allows.
const BACKLOG: u32 = 4096;

/// An HTTP server: HTTP/1.1, and HTTP/2 with prior knowledge or by ALPN.
///
/// ```no_run
/// # async fn example(service: carryall_proto::SharedService) -> std::io::Result<()> {
/// use carryall_transport::http::HttpServer;
///
/// let server = HttpServer::bind("127.0.0.1:0").await?;
/// println!("http://{}/mcp", server.local_addr()?);
/// server.run(service).await
/// # }
/// ```
pub struct HttpServer {
    listener: TcpListener,
    path: String,
    limits: Limits,
    #[cfg(feature = "tls")]
    tls: Option<tokio_rustls::TlsAcceptor>,
}

/// Listens with a long queue. With the usual 128 places a burst of connections overflows it, and
/// whoever is turned away tries again only after a second.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }?;
    // On Windows this would let others take the port over.
    #[cfg(not(windows))]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

impl fmt::Debug for HttpServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpServer")
            .field("listener", &self.listener)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl HttpServer {
    /// Listens on `address`. A server on a developer's machine belongs on `127.0.0.1`
    /// (`basic/transports/streamable-http#security--endpoint`).
    ///
    /// # Errors
    /// When the address cannot be resolved or bound.
    pub async fn bind(address: impl ToSocketAddrs) -> io::Result<Self> {
        let mut failed = None;
        for address in lookup_host(address).await? {
            match listen(address) {
                Ok(listener) => return Ok(Self::from_listener(listener)),
                Err(error) => failed = Some(error),
            }
        }
        Err(failed.unwrap_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                "the address resolves to nothing",
            )
        }))
    }

    /// Serves a socket that already listens.
    #[must_use]
    pub fn from_listener(listener: TcpListener) -> Self {
        Self {
            listener,
            path: "/mcp".into(),
            limits: Limits::default(),
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the operating system does not say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The path of the endpoint, `/mcp` unless set.
    #[must_use]
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// How many connections may be open; further ones wait to be accepted. 16,384 unless set.
    #[must_use]
    pub fn max_connections(mut self, max: u32) -> Self {
        self.limits.connections = max.max(1);
        self
    }

    /// How many of the connections may come from one address, or from one /64 network of IPv6
    /// addresses; further ones are closed at once. Three quarters of
    /// [`max_connections`](Self::max_connections) unless set: a proxy in front has one address for
    /// all of its clients, and still one host does not lock out all others.
    #[must_use]
    pub fn max_connections_per_address(mut self, max: u32) -> Self {
        self.limits.per_address = Some(max.max(1));
        self
    }

    /// How long a connection may take over the head of a request, and how long it may leave what is
    /// written unread. 10 s and 30 s unless set. A client with a full buffer has to take at least
    /// 16 KiB within `stalled`. Enforcement is coarse: a connection may exceed the limits by up to
    /// 50 %.
    ///
    /// Over HTTP/2 `stalled` also applies to each stream: one whose flow-control window stays
    /// closed is reset, which cancels its call, while the other streams of the connection go on.
    #[must_use]
    pub fn connection_timeouts(mut self, head: Duration, stalled: Duration) -> Self {
        self.limits.head = head;
        self.limits.stalled = stalled;
        self
    }

    /// How long a connection may stay open without a request. 2 min unless set.
    #[must_use]
    pub fn idle_timeout(mut self, limit: Duration) -> Self {
        self.limits.idle = limit;
        self
    }

    /// How long calls may go on after the shutdown began, before they are cut off. 10 s unless set.
    #[must_use]
    pub fn drain_timeout(mut self, limit: Duration) -> Self {
        self.limits.drain = limit;
        self
    }

    /// Serves HTTPS, HTTP/2 by ALPN.
    ///
    /// # Errors
    /// When the certificate chain or the key is not valid PEM, or they do not belong together.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, cert_pem: &[u8], key_pem: &[u8]) -> io::Result<Self> {
        self.tls = Some(super::tls::acceptor(cert_pem, key_pem)?);
        Ok(self)
    }

    /// Serves MCP calls, for ever.
    ///
    /// # Errors
    /// When the socket fails for good.
    pub async fn run<S>(self, service: S) -> io::Result<()>
    where
        S: Service<Call, Response = Reply> + Clone + Send + Sync + 'static,
        S::Error: Into<CallError>,
        S::Future: Send,
    {
        self.run_until(service, pending()).await
    }

    /// Serves MCP calls until `shutdown` completes. Then nothing new is accepted, calls under way
    /// finish within the drain time, and what is left after that is cut off.
    ///
    /// # Errors
    /// When the socket fails for good.
    pub async fn run_until<S>(
        self,
        service: S,
        shutdown: impl Future<Output = ()>,
    ) -> io::Result<()>
    where
        S: Service<Call, Response = Reply> + Clone + Send + Sync + 'static,
        S::Error: Into<CallError>,
        S::Future: Send,
    {
        self.run_endpoint(Endpoint::new(service), shutdown).await
    }

    /// As [`run_until`](Self::run_until), with an endpoint that has options of its own.
    ///
    /// Unless the endpoint says what its hosts are, a server on loopback answers to loopback names
    /// alone, and one on any other address to every name.
    ///
    /// When the shutdown begins, the endpoint is [closed](Endpoint::close) before its connections
    /// are drained.
    ///
    /// # Errors
    /// When the socket fails for good.
    pub async fn run_endpoint(
        self,
        endpoint: Endpoint,
        shutdown: impl Future<Output = ()>,
    ) -> io::Result<()> {
        let local = self.local_addr()?.ip().is_loopback();
        let path = self.path.clone();
        let endpoint = endpoint.with(|options| {
            options.path.get_or_insert_with(|| path.into());
            options.hosts.get_or_insert_with(|| {
                if local {
                    HostPolicy::loopback()
                } else {
                    HostPolicy::any()
                }
            });
        });
        let shutdown = endpoint.close_on(shutdown);
        self.run_connections(
            move |source| endpoint.clone().for_connection(source),
            shutdown,
        )
        .await
    }

    /// Serves any HTTP service, such as an endpoint behind an authorization layer. `path` is up to
    /// that service, and so is ending streams when the shutdown begins: see [`Endpoint::close_on`].
    /// Requests have the [`CallSource`] of their connection in their extensions, where an endpoint
    /// finds it.
    ///
    /// # Errors
    /// When the socket fails for good.
    pub async fn run_http<S, B>(
        self,
        service: S,
        shutdown: impl Future<Output = ()>,
    ) -> io::Result<()>
    where
        S: Service<http::Request<Incoming>, Response = http::Response<B>> + Clone + Send + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        self.run_connections(
            move |source| WithSource {
                service: service.clone(),
                source,
            },
            shutdown,
        )
        .await
    }

    /// Serves each connection with the service that `service` makes for it.
    async fn run_connections<S, B>(
        self,
        service: impl Fn(CallSource) -> S + Clone + Send + 'static,
        shutdown: impl Future<Output = ()>,
    ) -> io::Result<()>
    where
        S: Service<http::Request<Incoming>, Response = http::Response<B>> + Clone + Send + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        let Self {
            listener, limits, ..
        } = self;
        #[cfg(feature = "tls")]
        if let Some(acceptor) = self.tls {
            return accept_until(listener, limits, shutdown, move |stream, connection| {
                let (acceptor, service) = (acceptor.clone(), service(connection.source));
                async move {
                    if let Some((stream, http2)) =
                        super::tls::handshake(&acceptor, stream, limits.head).await
                    {
                        serve(stream, http2, service, connection).await;
                    }
                }
            })
            .await;
        }
        accept_until(listener, limits, shutdown, move |stream, connection| {
            let service = service(connection.source);
            async move {
                if let Some(http2) = super::listener::speaks_http2(&stream, limits.head).await {
                    serve(stream, http2, service, connection).await;
                }
            }
        })
        .await
    }
}
