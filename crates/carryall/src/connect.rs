//! [`connect`]: connects to a server at a URL, or to one that it starts as a child process.

use ::http::{HeaderName, HeaderValue};
use carryall_client::{Client, ClientBuilder, ClientError};
use carryall_proto::BoxFuture;
use carryall_transport::HttpClient;
use carryall_transport::http::HttpClientBuilder;
#[cfg(unix)]
use carryall_transport::stdio::ServerCommand;
use std::future::IntoFuture;
use std::time::Duration;

#[cfg(feature = "legacy")]
use carryall_legacy::call::{DualEraOptions, Era, EraCache, SessionScope};

/// Connects to a server at a URL, or starts a [`ServerCommand`] and connects to it.
///
/// With the feature `legacy`, the server may be of any revision. The client detects the era of the
/// server (2026-07-28 and later, or earlier) with `server/discover`: over HTTP at the first
/// request, on stdio before this future completes. [`Client::era`] returns the result.
///
/// ```no_run
/// # async fn run() -> carryall::Result<()> {
/// let client = carryall::connect("https://mcp.example.com/mcp").bearer("secret").await?;
/// let answer: String = client.call("whoami", ()).typed().await?;
/// # Ok(()) }
/// ```
///
/// # Errors
/// Awaiting the result fails if the URL, a header or the token is not valid, or if the process does
/// not start or does not complete the handshake.
pub fn connect(target: impl Into<Target>) -> Connect {
    let (destination, error) = match target.into() {
        Target::Url(url) => match HttpClient::builder(&url) {
            Ok(builder) => (Destination::Url(Box::new(builder)), None),
            Err(error) => (
                Destination::Invalid,
                Some(ClientError::Request(format!("{url:?}: {error}"))),
            ),
        },
        Target::Http(client) => (Destination::Http(client), None),
        #[cfg(unix)]
        Target::Process(command) => (Destination::Process(command), None),
    };
    Connect {
        destination,
        error,
        client: Client::builder(),
        #[cfg(feature = "legacy")]
        options: DualEraOptions::default(),
    }
}

/// The server to connect to.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Target {
    /// The HTTP endpoint at a URL.
    Url(String),
    /// The endpoint of an HTTP client that is already configured.
    Http(HttpClient),
    /// A child process to start.
    #[cfg(unix)]
    Process(ServerCommand),
}

impl From<&str> for Target {
    fn from(url: &str) -> Self {
        Self::Url(url.into())
    }
}

impl From<String> for Target {
    fn from(url: String) -> Self {
        Self::Url(url)
    }
}

impl From<HttpClient> for Target {
    fn from(client: HttpClient) -> Self {
        Self::Http(client)
    }
}

#[cfg(unix)]
impl From<ServerCommand> for Target {
    fn from(command: ServerCommand) -> Self {
        Self::Process(command)
    }
}

/// A [`Target`] with its URL parsed.
#[derive(Debug)]
enum Destination {
    Url(Box<HttpClientBuilder>),
    Http(HttpClient),
    #[cfg(unix)]
    Process(ServerCommand),
    /// The target or a setting is not valid; [`Connect::error`] tells why.
    Invalid,
}

/// Configures a connection; see [`connect`]. Awaiting it returns the [`Client`].
#[must_use = "the connection is made when this is awaited"]
#[derive(Debug)]
pub struct Connect {
    destination: Destination,
    /// The first error in the target or a setting, returned when the connection is awaited.
    error: Option<ClientError>,
    client: ClientBuilder,
    #[cfg(feature = "legacy")]
    options: DualEraOptions,
}

impl Connect {
    /// Sets the builder of the client, with its name, handlers and limits. The connection overrides
    /// its service, server id and header mirroring. Default: [`Client::builder`].
    pub fn client(mut self, client: ClientBuilder) -> Self {
        self.client = client;
        self
    }

    /// Sends `Authorization: Bearer` with `token` on each request. For URLs only.
    pub fn bearer(self, token: &str) -> Self {
        self.configure_http(|builder| builder.bearer(token).map_err(|error| error.to_string()))
    }

    /// Sends a header on each request. For URLs only. Headers that the transport sets itself, such
    /// as `Mcp-Method`, cannot be set.
    pub fn header(self, name: &str, value: &str) -> Self {
        self.configure_http(|builder| {
            let name =
                HeaderName::try_from(name).map_err(|_| format!("{name:?} is not a header name"))?;
            // The value may be a secret, so the error does not contain it.
            let mut value = HeaderValue::try_from(value)
                .map_err(|_| format!("the value of the header {name} is not valid"))?;
            value.set_sensitive(true);
            Ok(builder.header(name, value))
        })
    }

    /// Sets how long connecting may take, including the TLS handshake. For URLs only.
    /// Default: 10 s.
    pub fn connect_timeout(self, limit: Duration) -> Self {
        self.configure_http(|builder| Ok(builder.connect_timeout(limit)))
    }

    /// Trusts the certificates in `pem` in addition to those of the platform. For URLs only; needs
    /// the feature `tls`.
    #[cfg(feature = "tls")]
    pub fn extra_roots(self, pem: &[u8]) -> Self {
        self.configure_http(|builder| Ok(builder.extra_roots(pem)))
    }

    /// Sets the era of the server. Default: the client detects it.
    #[cfg(feature = "legacy")]
    pub fn era(mut self, era: Era) -> Self {
        self.options = self.options.era(era);
        self
    }

    /// Sets which callers share a session with a server of an earlier revision. This matters for
    /// clients that send requests on behalf of several users. Default: [`SessionScope::Principal`].
    #[cfg(feature = "legacy")]
    pub fn session_scope(mut self, scope: SessionScope) -> Self {
        self.options = self.options.session_scope(scope);
        self
    }

    /// Sets the cache for the detected eras of servers. Default: none.
    #[cfg(feature = "legacy")]
    pub fn era_cache(mut self, cache: EraCache) -> Self {
        self.options = self.options.era_cache(cache);
        self
    }

    /// Sets how long to wait for a server on stdio to answer `server/discover`, before the client
    /// also sends `ping`, which servers of every revision answer. Default: 1 s.
    #[cfg(feature = "legacy")]
    pub fn probe_timeout(mut self, limit: Duration) -> Self {
        self.options = self.options.probe_timeout(limit);
        self
    }

    /// Changes the HTTP settings. If that fails, or the target has no HTTP settings, keeps the
    /// error for when the connection is awaited.
    fn configure_http(
        mut self,
        configure: impl FnOnce(HttpClientBuilder) -> Result<HttpClientBuilder, String>,
    ) -> Self {
        let error = match self.destination {
            Destination::Url(builder) => match configure(*builder) {
                Ok(builder) => {
                    self.destination = Destination::Url(Box::new(builder));
                    return self;
                }
                Err(error) => {
                    self.destination = Destination::Invalid;
                    error
                }
            },
            // The first error is reported.
            Destination::Invalid => return self,
            Destination::Http(_) => {
                self.destination = Destination::Invalid;
                "the HTTP client is already built; make this setting on `HttpClient::builder`"
                    .into()
            }
            #[cfg(unix)]
            Destination::Process(_) => {
                self.destination = Destination::Invalid;
                "a server on stdio has no HTTP settings; pass credentials in environment variables"
                    .into()
            }
        };
        self.error.get_or_insert(ClientError::Request(error));
        self
    }

    async fn open(self) -> Result<Client, ClientError> {
        let http = match self.destination {
            Destination::Url(builder) => builder
                .build()
                .map_err(|error| ClientError::Request(error.to_string()))?,
            Destination::Http(client) => client,
            #[cfg(unix)]
            Destination::Process(command) => {
                #[cfg(feature = "legacy")]
                return crate::dual_era::connect_process(command, self.client, self.options).await;
                #[cfg(not(feature = "legacy"))]
                return self
                    .client
                    .service(carryall_transport::stdio::StdioClient::spawn(command).await?)
                    .build();
            }
            Destination::Invalid => {
                let invalid = || ClientError::Request("the target is not valid".into());
                return Err(self.error.unwrap_or_else(invalid));
            }
        };
        #[cfg(feature = "legacy")]
        return crate::dual_era::connect_http(http, self.client, self.options);
        #[cfg(not(feature = "legacy"))]
        self.client
            .server_id(http.url())
            .mirror_headers(true)
            .service(http)
            .build()
    }
}

impl IntoFuture for Connect {
    type Output = Result<Client, ClientError>;
    type IntoFuture = BoxFuture<Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.open())
    }
}
