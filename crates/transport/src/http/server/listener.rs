//! [`HttpServer`]: listens on a socket and serves HTTP connections.

mod accept;
mod connection;
mod http2_streams;
mod hyper_service;
mod preface;
mod watchdog;
mod watched_io;

#[cfg(feature = "tls")]
mod tls;

use super::{Endpoint, HostPolicy};
use accept::{ListenerLimits, accept_until};
use carryall_proto::{BoxError, Call, CallError, CallSource, Reply};
use connection::serve;
use http_body::Body;
use hyper::body::Incoming;
use hyper_service::AddSource;
use std::future::pending;
use std::net::SocketAddr;
use std::time::Duration;
use std::{fmt, io};
use tokio::net::{TcpListener, TcpSocket, ToSocketAddrs, lookup_host};
use tower_service::Service;

/// The backlog passed to `listen`; the kernel may cap it. A burst of connections overflows the
/// usual 128 entries, and a client whose connection attempt was dropped retries only after a
/// second.
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
    limits: ListenerLimits,
    #[cfg(feature = "tls")]
    tls: Option<tokio_rustls::TlsAcceptor>,
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
    /// Listens on `address`. A server for the local machine only should bind `127.0.0.1`
    /// (`basic/transports/streamable-http#security--endpoint`).
    ///
    /// # Errors
    /// When the address cannot be resolved or bound.
    pub async fn bind(address: impl ToSocketAddrs) -> io::Result<Self> {
        let mut last_error = None;
        for address in lookup_host(address).await? {
            match listen(address) {
                Ok(listener) => return Ok(Self::from_listener(listener)),
                Err(error) => last_error = Some(error),
            }
        }
        Err(last_error.unwrap_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                "the address does not resolve to any socket address",
            )
        }))
    }

    /// Accepts connections on a socket that is already listening.
    #[must_use]
    pub fn from_listener(listener: TcpListener) -> Self {
        Self {
            listener,
            path: "/mcp".into(),
            limits: ListenerLimits::default(),
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// Returns the address that the server listens on.
    ///
    /// # Errors
    /// When the operating system does not report the address.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Sets the path of the endpoint. Default: `/mcp`.
    #[must_use]
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// Sets the maximum number of open connections, at least 1; further connections wait to be
    /// accepted. Default: 16,384.
    #[must_use]
    pub fn max_connections(mut self, max: u32) -> Self {
        self.limits.connections = max.max(1);
        self
    }

    /// Sets the maximum number of open connections per IPv4 address or IPv6 /64 network, at least
    /// 1; further connections are closed at once. Default: three quarters of
    /// [`max_connections`](Self::max_connections), because a reverse proxy has one address for all
    /// of its clients.
    #[must_use]
    pub fn max_connections_per_address(mut self, max: u32) -> Self {
        self.limits.per_address = Some(max.max(1));
        self
    }

    /// Sets two limits, after which the connection is closed:
    ///
    /// - `head`: how long a client may take to send the head of a request. The TLS handshake has
    ///   the same limit. Default: 10 s.
    /// - `stalled`: how long a client may leave a response unread. While its buffers are full, it
    ///   has to read at least 16 KiB in this time. Default: 30 s.
    ///
    /// The server checks connections at intervals, so a connection may exceed these limits by up to
    /// 50 %.
    ///
    /// Over HTTP/2, `stalled` also applies to each stream: the server resets a stream whose
    /// flow-control window stays closed. That cancels the call of this stream, but does not affect
    /// the other streams of the connection.
    #[must_use]
    pub fn connection_timeouts(mut self, head: Duration, stalled: Duration) -> Self {
        self.limits.head = head;
        self.limits.stalled = stalled;
        self
    }

    /// Sets how long a connection may stay open without a request. Default: 2 min.
    #[must_use]
    pub fn idle_timeout(mut self, limit: Duration) -> Self {
        self.limits.idle = limit;
        self
    }

    /// Sets how long calls in flight may run after the shutdown has begun. Default: 10 s.
    #[must_use]
    pub fn drain_timeout(mut self, limit: Duration) -> Self {
        self.limits.drain = limit;
        self
    }

    /// Serves HTTPS, with HTTP/2 negotiated by ALPN. Default: plain HTTP.
    ///
    /// # Errors
    /// When the certificate chain or the key is not valid PEM, or they do not belong together.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, cert_pem: &[u8], key_pem: &[u8]) -> io::Result<Self> {
        self.tls = Some(tls::acceptor(cert_pem, key_pem)?);
        Ok(self)
    }

    /// Serves MCP calls forever.
    ///
    /// # Errors
    /// As [`run_endpoint`](Self::run_endpoint).
    pub async fn run<S>(self, service: S) -> io::Result<()>
    where
        S: Service<Call, Response = Reply> + Clone + Send + Sync + 'static,
        S::Error: Into<CallError>,
        S::Future: Send,
    {
        self.run_until(service, pending()).await
    }

    /// Serves MCP calls until `shutdown` completes, then drains: the server accepts no more
    /// connections, waits up to [`drain_timeout`](Self::drain_timeout) for calls in flight, and
    /// cancels the rest.
    ///
    /// # Errors
    /// As [`run_endpoint`](Self::run_endpoint).
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

    /// Serves an endpoint until `shutdown` completes, then drains as
    /// [`run_until`](Self::run_until) does. The endpoint is [closed](Endpoint::close) before the
    /// connections are drained.
    ///
    /// If the endpoint does not restrict the `Host` header itself, a server on a loopback address
    /// accepts only loopback names, and a server on any other address accepts every name.
    ///
    /// # Errors
    /// When the operating system does not report the address of the socket.
    pub async fn run_endpoint(
        self,
        endpoint: Endpoint,
        shutdown: impl Future<Output = ()>,
    ) -> io::Result<()> {
        let hosts = if self.local_addr()?.ip().is_loopback() {
            HostPolicy::loopback()
        } else {
            HostPolicy::any()
        };
        let endpoint = endpoint.with_defaults(&self.path, hosts);
        let shutdown = endpoint.close_on(shutdown);
        self.run_connections(
            move |source| endpoint.clone().for_connection(source),
            shutdown,
        )
        .await;
        Ok(())
    }

    /// Serves any HTTP service, such as an [`Endpoint`] behind an authorization layer, until
    /// `shutdown` completes, then drains as [`run_until`](Self::run_until) does.
    ///
    /// The service does its own routing, so [`path`](Self::path) has no effect. The service also
    /// has to end its streams when the shutdown begins; see [`Endpoint::close_on`]. The server adds
    /// the [`CallSource`] of the connection to the extensions of each request, from where an
    /// [`Endpoint`] reads it.
    ///
    /// # Errors
    /// None at present.
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
            move |source| AddSource {
                service: service.clone(),
                source,
            },
            shutdown,
        )
        .await;
        Ok(())
    }

    /// Serves each connection with its own service, made by `make_service`.
    async fn run_connections<S, B>(
        self,
        make_service: impl Fn(CallSource) -> S,
        shutdown: impl Future<Output = ()>,
    ) where
        S: Service<http::Request<Incoming>, Response = http::Response<B>> + Clone + Send + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        let limits = self.limits;
        #[cfg(feature = "tls")]
        if let Some(acceptor) = self.tls {
            return accept_until(self.listener, limits, shutdown, |stream, context| {
                let service = make_service(context.source);
                let handshake = tls::handshake(acceptor.clone(), stream, limits.head);
                serve(Box::pin(handshake), service, context)
            })
            .await;
        }
        accept_until(self.listener, limits, shutdown, |stream, context| {
            let service = make_service(context.source);
            let detect_version = async move {
                let is_http2 = preface::speaks_http2(&stream, limits.head).await?;
                Some((stream, is_http2))
            };
            serve(Box::pin(detect_version), service, context)
        })
        .await;
    }
}

/// Like [`TcpListener::bind`], with a backlog of [`BACKLOG`].
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }?;
    // A restarted server can bind while connections of the old one are in TIME_WAIT. On Windows,
    // SO_REUSEADDR would let another process bind the same port.
    #[cfg(not(windows))]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}
