//! The one file that joins the eras: it gives servers and clients, which speak 2026-07-28, the
//! adapters of `carryall-legacy` for earlier revisions.

#[cfg(feature = "client")]
use carryall_client::{Client, ClientBuilder, ClientError};
#[cfg(feature = "client")]
use carryall_legacy::call;
use carryall_legacy::serve;
use carryall_proto::{Call, CallError, Reply};
use carryall_transport::http::Endpoint;
use carryall_transport::lines::FallbackChannels;
use std::sync::Arc;
use tower_service::Service;

/// Returns an HTTP endpoint that serves clients of every revision with any service, such as a
/// gateway. For a [`Server`](carryall_server::Server), use [`endpoint`](crate::endpoint) instead.
///
/// Unlike [`endpoint`](crate::endpoint), nothing is derived from `service`. Replicas need the same
/// keyring in `options`, a server name if other services use that keyring
/// ([`serve::LegacyOptions::server_name`]), and a [`serve::SessionBus`]. What has to end when the endpoint
/// [closes](Endpoint::close) is passed to [`Endpoint::on_close`].
///
/// ```no_run
/// use carryall::LegacyOptions;
/// use carryall::proto::SharedService;
/// use carryall::transport::HttpServer;
///
/// # async fn run(service: SharedService) -> carryall::Result<()> {
/// let endpoint = carryall::service_endpoint(service, LegacyOptions::default());
/// let http = HttpServer::bind("127.0.0.1:8080").await?;
/// http.run_endpoint(endpoint, async { drop(tokio::signal::ctrl_c().await) }).await?;
/// # Ok(()) }
/// ```
pub fn service_endpoint<S>(service: S, options: serve::LegacyOptions) -> Endpoint
where
    S: Service<Call, Response = Reply> + Clone + Send + Sync + 'static,
    S::Error: Into<CallError>,
    S::Future: Send,
{
    let fallback = serve::LegacyEndpoint::new(service.clone(), options);
    Endpoint::new(service).fallback(Arc::new(fallback))
}

/// Returns what a server on stdio or a socket needs to serve clients of earlier revisions too; see
/// [`StdioServer::fallback`](carryall_transport::stdio::StdioServer::fallback).
///
/// ```no_run
/// use carryall::LegacyOptions;
/// use carryall::proto::SharedService;
/// use carryall::transport::StdioServer;
///
/// # async fn run(service: SharedService) -> carryall::Result<()> {
/// let legacy = carryall::legacy_channels(service.clone(), LegacyOptions::default());
/// StdioServer::take()?.fallback(legacy).run(service).await?;
/// # Ok(()) }
/// ```
pub fn legacy_channels<S>(service: S, options: serve::LegacyOptions) -> FallbackChannels
where
    S: Service<Call, Response = Reply> + Clone + Send + Sync + 'static,
    S::Error: Into<CallError>,
    S::Future: Send,
{
    serve::lines(service, options)
}

/// Lets the handlers of `client` answer the requests of legacy servers, as they answer the input
/// requests of modern ones, and declares the client's capabilities to those servers.
/// [`connect`](crate::connect) does this by itself.
///
/// ```
/// use carryall::transport::HttpClient;
/// use carryall::types::{ElicitRequestFormParams, ElicitResult};
/// use carryall::{Client, DualEraHttp, DualEraOptions, with_input_handlers};
///
/// # fn example() -> carryall::Result<()> {
/// let client = Client::builder()
///     .on_elicit(async |_: ElicitRequestFormParams| ElicitResult::decline());
/// let options = with_input_handlers(DualEraOptions::default(), &client);
/// let http = HttpClient::new("http://127.0.0.1:8080/mcp")?;
/// let client = client.service(DualEraHttp::new(http, options)).build()?;
/// # drop(client);
/// # Ok(()) }
/// ```
#[cfg(feature = "client")]
pub fn with_input_handlers(
    options: call::DualEraOptions,
    client: &ClientBuilder,
) -> call::DualEraOptions {
    let responder = client.input_responder();
    let options =
        options.client_identity(responder.info().clone(), responder.capabilities().clone());
    let handler: call::InputCallback = Arc::new(move |question| responder.answer(question));
    options.input_handler(handler)
}

/// The options for serving clients of earlier revisions that follow from how `server` is built:
/// sessions are sealed with its keyring and bound to its name, and its replicas share what a session
/// needs through its store.
#[cfg(feature = "server")]
pub(crate) fn options_of(server: &carryall_server::Server) -> serve::LegacyOptions {
    let mut options = serve::LegacyOptions::default().server_name(server.name());
    if let Some(keyring) = server.keyring() {
        options = options.keyring(keyring.as_ref().clone());
    }
    match server.shared_store() {
        Some(store) => options.session_bus(Arc::new(serve::StoreBus::new(store))),
        None => options,
    }
}

#[cfg(feature = "client")]
pub(crate) fn connect_http(
    http: carryall_transport::HttpClient,
    client: ClientBuilder,
    options: call::DualEraOptions,
) -> Result<Client, ClientError> {
    let url = http.url();
    let service = call::DualEraHttp::new(http, with_input_handlers(options, &client));
    let detected = service.clone();
    client
        .era_from(move || detected.decision())
        .service(carryall_proto::SharedService::new_boxed(service))
        .server_id(url)
        .mirror_headers(true)
        .build()
}

#[cfg(all(feature = "client", unix))]
pub(crate) async fn connect_process(
    command: carryall_transport::stdio::ServerCommand,
    client: ClientBuilder,
    options: call::DualEraOptions,
) -> Result<Client, ClientError> {
    let options = with_input_handlers(options, &client);
    let service = call::DualEraStdio::spawn(command, options).await?;
    let detected = service.clone();
    client
        .era_from(move || detected.decision())
        .service(service)
        .build()
}
