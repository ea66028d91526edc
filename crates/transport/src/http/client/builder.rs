//! Options of a client.

use super::connect::Connector;
use super::pool::Pool;
use super::request::base_headers;
use super::target::{InvalidTarget, Target};
use super::{HttpClient, Shared};
use carryall_proto::sync::RwLock;
use http::{HeaderName, HeaderValue};
use std::sync::Arc;
use std::time::Duration;

/// Options of an [`HttpClient`].
#[derive(Debug)]
pub struct HttpClientBuilder {
    target: Target,
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
    pub(super) fn new(target: Target) -> Self {
        Self {
            target,
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

    /// A header for each request. Those that the binding itself defines cannot be set.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// `Authorization: Bearer` with `token` for each request.
    ///
    /// # Errors
    /// When the token has characters that no header can carry.
    pub fn bearer(self, token: &str) -> Result<Self, InvalidTarget> {
        let mut value = HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| {
            InvalidTarget("the token has characters that a header cannot carry".into())
        })?;
        value.set_sensitive(true);
        Ok(self.header(http::header::AUTHORIZATION, value))
    }

    /// The largest message accepted, in bytes: a JSON body, or one event. 16 MiB unless set.
    #[must_use]
    pub fn max_response(mut self, bytes: usize) -> Self {
        self.max_response = bytes;
        self
    }

    /// How long connecting may take, TLS included. 10 s unless set.
    #[must_use]
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.connect_timeout = limit;
        self
    }

    /// How many connections are kept open between calls, and for how long. 64 and 60 s unless set.
    #[must_use]
    pub fn keep_idle(mut self, connections: usize, timeout: Duration) -> Self {
        self.idle_connections = connections;
        self.idle_timeout = timeout;
        self
    }

    /// Speaks HTTP/2 without asking, for servers known to understand it. Over TLS the two sides
    /// agree by themselves.
    #[must_use]
    pub fn http2_prior_knowledge(mut self) -> Self {
        self.http2 = true;
        self
    }

    /// Trusts these certificates too, in PEM, beside those of the platform.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn extra_roots(mut self, pem: &[u8]) -> Self {
        self.extra_roots.extend_from_slice(pem);
        self.extra_roots.push(b'\n');
        self
    }

    /// The client.
    ///
    /// # Errors
    /// When the extra roots are no certificates, or the platform's cannot be used.
    pub fn build(self) -> Result<HttpClient, InvalidTarget> {
        let connector = Connector {
            timeout: self.connect_timeout,
            http2: self.http2,
            #[cfg(feature = "tls")]
            tls: self
                .target
                .tls
                .then(|| super::tls::connector(&self.extra_roots))
                .transpose()?,
        };
        let headers = base_headers(&self.target, self.headers)?;
        let shared = Shared {
            target: self.target,
            connector,
            pool: Pool::new(self.idle_connections, self.idle_timeout),
            headers: RwLock::new(headers),
            max_response: self.max_response,
        };
        Ok(HttpClient {
            shared: Arc::new(shared),
        })
    }
}
