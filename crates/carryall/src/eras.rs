//! Where the eras are joined: the one file that knows the adapters for revisions with a handshake.
//! Everything else speaks 2026-07-28, and is handed these adapters where it meets the world.

use carryall_client::{Client, ClientBuilder, ClientError};
use carryall_legacy::{call, serve};
use carryall_proto::{BoxFuture, Call, CallError, Reply, SharedService};
use carryall_transport::HttpClient;
use carryall_transport::http::Endpoint;
use carryall_transport::lines::FallbackChannels;
#[cfg(unix)]
use carryall_transport::stdio::ServerCommand;
use std::future::IntoFuture;
use std::sync::Arc;
use std::time::Duration;
use tower_service::Service;

/// The revisions of MCP with a handshake: serving their clients, calling their servers.
pub use carryall_legacy as legacy;
#[cfg(unix)]
pub use carryall_legacy::call::Stdio as DualEraStdio;
pub use carryall_legacy::call::{
    Era, EraCache, Http as DualEraHttp, Options as DualEraOptions, SessionScope,
};
pub use carryall_legacy::serve::Options as LegacyOptions;

/// Replicas that tell each other through a store what happens to sessions.
pub(crate) fn meeting_in(
    options: LegacyOptions,
    store: Arc<dyn carryall_store::Store>,
) -> LegacyOptions {
    options.meeting(Arc::new(serve::StoreBus::new(store)))
}

/// An HTTP endpoint that serves clients of every revision with any service, such as a gateway.
///
/// Nothing is known about `service` here: on replicas, `legacy` has to name their keyring, the
/// server, if that keyring is used by others too ([`LegacyOptions::server_name`]), and how replicas
/// learn of each other's sessions, and what must end when the endpoint [closes](Endpoint::close) is
/// given to [`Endpoint::on_close`]. For a [`Server`](crate::Server), [`endpoint`](crate::endpoint)
/// does all of that.
pub fn service_endpoint<S>(service: S, legacy: LegacyOptions) -> Endpoint
where
    S: Service<Call, Response = Reply> + Clone + Send + Sync + 'static,
    S::Error: Into<CallError>,
    S::Future: Send,
{
    let alternate = serve::LegacyEndpoint::new(service.clone(), legacy);
    Endpoint::new(service).alternate(Arc::new(alternate))
}

/// What else is spoken on the channels of a server on stdio or a socket, so that it serves clients
/// of every revision.
pub fn alternates<S>(service: S, legacy: LegacyOptions) -> FallbackChannels
where
    S: Service<Call, Response = Reply> + Clone + Send + Sync + 'static,
    S::Error: Into<CallError>,
    S::Future: Send,
{
    serve::lines(service, legacy)
}

/// Connects to a server of any revision: the endpoint at a URL, or a [`ServerCommand`] to start.
///
/// Which era the server is of is found out with `server/discover`: over HTTP at the first request,
/// on stdio at once. [`Client::era`] tells what was found.
///
/// ```no_run
/// # async fn run() -> carryall::Result<()> {
/// let client = carryall::connect("http://127.0.0.1:8080/mcp").await?;
/// let answer: String = client.call("whoami", ()).typed().await?;
/// # Ok(()) }
/// ```
///
/// # Errors
/// What is not a URL, and whatever keeps a process from starting or from shaking hands.
pub fn connect(target: impl Into<Target>) -> Connect {
    Connect {
        target: target.into(),
        client: Client::builder(),
        way: DualEraOptions::default(),
    }
}

/// Where a server is.
#[derive(Clone, Debug)]
pub enum Target {
    /// At a URL.
    Url(String),
    /// Over HTTP with settings of one's own, such as credentials.
    Http(HttpClient),
    /// In a process that is started.
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

/// Sets up a client of a server of any revision; see [`connect`]. Awaiting it gives the [`Client`].
#[must_use = "a connection is made when it is awaited"]
#[derive(Debug)]
pub struct Connect {
    target: Target,
    client: ClientBuilder,
    way: DualEraOptions,
}

impl Connect {
    /// The client to make: its name, its handlers, its limits. Whatever it says about where to call
    /// is ignored.
    pub fn client(mut self, client: ClientBuilder) -> Self {
        self.client = client;
        self
    }

    /// The era to speak, instead of finding it out.
    pub fn era(mut self, era: Era) -> Self {
        self.way = self.way.era(era);
        self
    }

    /// Which callers share a session with a server of an earlier revision, for clients that call on
    /// behalf of others.
    pub fn session_scope(mut self, scope: SessionScope) -> Self {
        self.way = self.way.session_scope(scope);
        self
    }

    /// Where to remember which server is of which era.
    pub fn memory(mut self, memory: EraCache) -> Self {
        self.way = self.way.memory(memory);
        self
    }

    /// How long a server on stdio may be silent about what it is before it is asked in the old way
    /// too.
    pub fn probe_timeout(mut self, silence: Duration) -> Self {
        self.way = self.way.probe_timeout(silence);
        self
    }

    async fn open(self) -> Result<Client, ClientError> {
        let Self {
            target,
            client,
            way,
        } = self;
        let way = answering(way, &client);
        match target {
            Target::Url(url) => match HttpClient::new(&url) {
                Ok(http) => over_http(client, http, way),
                Err(error) => Err(ClientError::Request(format!("{url:?}: {error}"))),
            },
            Target::Http(http) => over_http(client, http, way),
            #[cfg(unix)]
            Target::Process(command) => {
                let way = DualEraStdio::spawn(command, way).await?;
                let told = way.clone();
                client
                    .era_from(move || told.decision())
                    .service(way)
                    .build()
            }
        }
    }
}

impl IntoFuture for Connect {
    type Output = Result<Client, ClientError>;
    type IntoFuture = BoxFuture<Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.open())
    }
}

/// Has questions of legacy servers answered by the handlers of `client`, as questions of modern
/// ones are, and its capabilities declared to them.
pub fn answering(way: DualEraOptions, client: &ClientBuilder) -> DualEraOptions {
    let answers = client.input_responder();
    let way = way.client_identity(answers.info().clone(), answers.capabilities().clone());
    let answers: call::Answers = Arc::new(move |question| answers.answer(question));
    way.answers(answers)
}

fn over_http(
    client: ClientBuilder,
    http: HttpClient,
    way: DualEraOptions,
) -> Result<Client, ClientError> {
    let url = http.url();
    let way = DualEraHttp::new(http, way);
    let told = way.clone();
    let service = SharedService::new_boxed(way);
    client
        .era_from(move || told.decision())
        .service(service)
        .server_id(url)
        .mirror_headers(true)
        .build()
}
