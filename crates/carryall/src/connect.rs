//! Connecting to a server at a URL or in a child process.

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

/// Connects to a server: the endpoint at a URL, or a [`ServerCommand`] to start.
///
/// With the feature `legacy`, servers of every revision are understood. The era of a server is
/// detected with `server/discover`: over HTTP at the first request, on stdio before this future
/// completes. [`Client::era`] returns the result.
///
/// ```no_run
/// # async fn run() -> carryall::Result<()> {
/// let client = carryall::connect("https://mcp.example.com/mcp").bearer("secret").await?;
/// let answer: String = client.call("whoami", ()).typed().await?;
/// # Ok(()) }
/// ```
///
/// # Errors
/// Awaiting the result fails for a text that is not a URL, a header or token that cannot be sent,
/// and a process that does not start or does not complete its handshake.
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

/// Where a server is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Target {
    /// At a URL.
    Url(String),
    /// Behind an HTTP client with settings of its own.
    Http(HttpClient),
    /// In a child process that is started.
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

/// A [`Target`] whose URL has been parsed.
#[derive(Debug)]
enum Destination {
    Url(Box<HttpClientBuilder>),
    Http(HttpClient),
    #[cfg(unix)]
    Process(ServerCommand),
    Invalid,
}

/// Configures a connection; see [`connect`]. Awaiting it returns the [`Client`].
#[must_use = "the connection is made when this is awaited"]
#[derive(Debug)]
pub struct Connect {
    destination: Destination,
    /// The first setting that cannot be used, reported when the connection is awaited.
    error: Option<ClientError>,
    client: ClientBuilder,
    #[cfg(feature = "legacy")]
    options: DualEraOptions,
}

impl Connect {
    /// The client to build: its name, handlers and limits. Its service, server id and header
    /// mirroring are set by the connection. [`Client::builder`] unless set.
    pub fn client(mut self, client: ClientBuilder) -> Self {
        self.client = client;
        self
    }

    /// Sends `Authorization: Bearer` with `token` on each request. For URLs only.
    pub fn bearer(self, token: &str) -> Self {
        self.http(|builder| builder.bearer(token).map_err(|error| error.to_string()))
    }

    /// Sends a header on each request. For URLs only. Headers that the binding itself defines, such
    /// as `Mcp-Method`, cannot be set.
    pub fn header(self, name: &str, value: &str) -> Self {
        self.http(|builder| {
            let name =
                HeaderName::try_from(name).map_err(|_| format!("{name:?} is not a header name"))?;
            // The value may be a secret, so it is not repeated.
            let mut value = HeaderValue::try_from(value)
                .map_err(|_| format!("the value of the header {name} cannot be sent"))?;
            value.set_sensitive(true);
            Ok(builder.header(name, value))
        })
    }

    /// How long connecting may take, TLS handshake included. For URLs only. 10 s unless set.
    pub fn connect_timeout(self, limit: Duration) -> Self {
        self.http(|builder| Ok(builder.connect_timeout(limit)))
    }

    /// Trusts the certificates in `pem` in addition to those of the platform. For URLs only; needs
    /// the feature `tls`.
    #[cfg(feature = "tls")]
    pub fn extra_roots(self, pem: &[u8]) -> Self {
        self.http(|builder| Ok(builder.extra_roots(pem)))
    }

    /// The era to speak, instead of detecting it.
    #[cfg(feature = "legacy")]
    pub fn era(mut self, era: Era) -> Self {
        self.options = self.options.era(era);
        self
    }

    /// Which callers share a session with a server of an earlier revision. Matters to clients that
    /// call on behalf of others. [`SessionScope::Principal`] unless set.
    #[cfg(feature = "legacy")]
    pub fn session_scope(mut self, scope: SessionScope) -> Self {
        self.options = self.options.session_scope(scope);
        self
    }

    /// Where to cache the eras of servers. Nothing is cached unless set.
    #[cfg(feature = "legacy")]
    pub fn era_cache(mut self, cache: EraCache) -> Self {
        self.options = self.options.era_cache(cache);
        self
    }

    /// How long a server on stdio may leave `server/discover` unanswered before it is also sent
    /// `ping`, which servers of every revision answer. 1 s unless set.
    #[cfg(feature = "legacy")]
    pub fn probe_timeout(mut self, limit: Duration) -> Self {
        self.options = self.options.probe_timeout(limit);
        self
    }

    fn http(
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
                "settings of the connection belong into `HttpClient::builder` when an HTTP client is given"
                    .into()
            }
            #[cfg(unix)]
            Destination::Process(_) => {
                self.destination = Destination::Invalid;
                "a server on stdio has no HTTP settings; pass credentials in its environment".into()
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
