//! Support for both eras: combines servers and clients, which speak 2026-07-28, with the adapters
//! of `carryall-legacy` for earlier revisions. Only this module constructs the adapters.

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
/// Unlike [`endpoint`](crate::endpoint), this takes no settings from `service`. Replicas need the
/// same keyring in `options`, a [`serve::SessionBus`], and, if other services use that keyring, a
/// server name ([`serve::LegacyOptions::server_name`]). If anything has to end when the endpoint
/// [closes](Endpoint::close), pass a callback to [`Endpoint::on_close`].
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

/// Returns the fallback with which a server on stdio or a socket also serves clients of earlier
/// revisions; see
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

/// Lets the input handlers of `client` also answer the requests that legacy servers send, and
/// declares the capabilities of `client` to those servers.
/// [`connect`](crate::connect) calls it automatically.
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

/// Returns the options for serving clients of earlier revisions, from the settings of `server`: its
/// name and keyring seal the sessions, and its replicas share sessions through its store.
#[cfg(feature = "server")]
pub(crate) fn legacy_options(server: &carryall_server::Server) -> serve::LegacyOptions {
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
    let detector = service.clone();
    client
        .era_from(move || detector.decision())
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
    let detector = service.clone();
    client
        .era_from(move || detector.decision())
        .service(service)
        .build()
}
