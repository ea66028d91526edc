//! Options of a client.

use super::connect::Connector;
use super::pool::ConnectionPool;
use super::request::base_headers;
use super::target::{EndpointUrl, InvalidTarget};
use super::{HttpClient, HttpClientInner};
use carryall_proto::sync::RwLock;
use http::{HeaderName, HeaderValue};
use std::sync::Arc;
use std::time::Duration;

/// Options of an [`HttpClient`].
#[derive(Debug)]
pub struct HttpClientBuilder {
    url: EndpointUrl,
    headers: Vec<(HeaderName, HeaderValue)>,
    max_response: usize,
    connect_timeout: Duration,
    idle_connections: usize,
    idle_timeout: Duration,
    http2: bool,
    #[cfg(feature = "tls")]
    extra_roots: Vec<u8>,
}

impl HttpClientBuilder {
    pub(super) fn new(url: EndpointUrl) -> Self {
        Self {
            url,
            headers: Vec::new(),
            max_response: 16 * 1024 * 1024,
            connect_timeout: Duration::from_secs(10),
            idle_connections: 64,
            idle_timeout: Duration::from_secs(60),
            http2: false,
            #[cfg(feature = "tls")]
            extra_roots: Vec::new(),
        }
    }

    /// Adds a header to each request. [`build`](Self::build) fails for headers that the transport
    /// itself sets. Default: none, and a `User-Agent` of this library.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Adds `Authorization: Bearer` with `token` to each request. Default: none.
    ///
    /// # Errors
    /// When the token contains characters that are not allowed in a header.
    pub fn bearer(self, token: &str) -> Result<Self, InvalidTarget> {
        let mut value = HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| {
            InvalidTarget("the token contains characters that are not allowed in a header".into())
        })?;
        value.set_sensitive(true);
        Ok(self.header(http::header::AUTHORIZATION, value))
    }

    /// Sets the maximum size of a message in bytes: of a JSON body, or of one event. Default:
    /// 16 MiB.
    #[must_use]
    pub fn max_response(mut self, bytes: usize) -> Self {
        self.max_response = bytes;
        self
    }

    /// Sets how long connecting may take, including the TLS handshake. Default: 10 s.
    #[must_use]
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.connect_timeout = limit;
        self
    }

    /// Sets how many idle connections are kept (default: 64), and for how long (default: 60 s).
    #[must_use]
    pub fn keep_idle(mut self, connections: usize, timeout: Duration) -> Self {
        self.idle_connections = connections;
        self.idle_timeout = timeout;
        self
    }

    /// Uses HTTP/2 with prior knowledge, for servers known to support it. Default: HTTP/1.1. Over
    /// TLS the version is negotiated, whatever is set here.
    #[must_use]
    pub fn http2_prior_knowledge(mut self) -> Self {
        self.http2 = true;
        self
    }

    /// Trusts these certificates, in PEM, in addition to those of the platform. Default: none.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn extra_roots(mut self, pem: &[u8]) -> Self {
        self.extra_roots.extend_from_slice(pem);
        self.extra_roots.push(b'\n');
        self
    }

    /// Makes the client. It connects with the first call.
    ///
    /// # Errors
    /// When a header may not be set, the extra roots are not valid certificates, or the platform's
    /// certificates cannot be loaded.
    pub fn build(self) -> Result<HttpClient, InvalidTarget> {
        let connector = Connector {
            timeout: self.connect_timeout,
            http2: self.http2,
            #[cfg(feature = "tls")]
            tls: self
                .url
                .tls
                .then(|| super::tls::connector(&self.extra_roots))
                .transpose()?,
        };
        let headers = base_headers(&self.url, self.headers)?;
        let pool = ConnectionPool::new(self.idle_connections, self.idle_timeout);
        let inner = HttpClientInner {
            url: self.url,
            connector,
            pool: Arc::new(pool),
            headers: RwLock::new(headers),
            max_response: self.max_response,
        };
        Ok(HttpClient {
            inner: Arc::new(inner),
        })
    }
}
