//! Functions that serve a [`Server`] over HTTP or stdio with a single call.

#[cfg(feature = "legacy")]
use crate::dual_era;
use carryall_proto::BoxError;
use carryall_server::Server;
use carryall_transport::http::{Endpoint, HttpServer};
use carryall_transport::stdio::StdioServer;
use tokio::net::ToSocketAddrs;
use tokio::task::JoinSet;

/// Serves a server over Streamable HTTP on `address`, with the endpoint at `/mcp`, until the
/// process receives Ctrl-C or SIGTERM. Then it closes subscriptions and waits for calls in flight,
/// up to the default of [`HttpServer::drain_timeout`].
///
/// With the feature `legacy`, this serves clients of every revision. On a loopback address, only
/// requests from this machine are accepted. While serving, this also runs the server's background
/// work ([`Server::maintain`]). To change settings of the listener, use [`endpoint`] with
/// [`HttpServer::run_endpoint`].
///
/// # Errors
/// When the server is not valid or the address cannot be bound.
pub async fn serve<S>(address: impl ToSocketAddrs, server: S) -> Result<(), BoxError>
where
    S: TryInto<Server>,
    S::Error: Into<BoxError>,
{
    let server = server.try_into().map_err(Into::into)?;
    let http = HttpServer::bind(address).await?;
    let _maintenance = spawn_maintenance(&server);
    http.run_endpoint(endpoint(server)?, shutdown_signal())
        .await?;
    Ok(())
}

/// Returns the HTTP endpoint of a server as a service that any HTTP server can run.
///
/// With the feature `legacy`, the endpoint also serves clients of earlier revisions. It seals their
/// sessions with the [keyring](carryall_server::ServerBuilder::keyring) of the server. If the
/// server is [`replicated`](carryall_server::ServerBuilder::replicated), the replicas share the
/// sessions through its [store](carryall_server::ServerBuilder::store). When the endpoint
/// [closes](Endpoint::close), subscriptions end.
///
/// The endpoint does not run the background work that a server with replicas or with tasks needs.
/// Build the server first, and spawn [`Server::maintain`] as below.
///
/// ```no_run
/// use carryall::{Server, tool};
///
/// /// Adds two numbers.
/// #[tool(read_only)]
/// async fn add(a: i64, b: i64) -> i64 {
///     a + b
/// }
///
/// # async fn run() -> carryall::Result<()> {
/// let server = Server::new("calculator", "1.0.0").tool(add).build()?;
/// let maintenance = tokio::spawn(server.maintain());
/// let endpoint = carryall::endpoint(server)?.allow_host("mcp.example.com");
/// let shutdown = endpoint.close_on(async { drop(tokio::signal::ctrl_c().await) });
/// let app = axum::Router::new().route_service("/mcp", endpoint);
/// let listener = tokio::net::TcpListener::bind("0.0.0.0:8080").await?;
/// axum::serve(listener, app).with_graceful_shutdown(shutdown).await?;
/// maintenance.abort();
/// # Ok(()) }
/// ```
///
/// # Errors
/// When the server is not valid.
pub fn endpoint<S>(server: S) -> Result<Endpoint, BoxError>
where
    S: TryInto<Server>,
    S::Error: Into<BoxError>,
{
    let server = server.try_into().map_err(Into::into)?;
    #[cfg(feature = "legacy")]
    return Ok(dual_era_endpoint(
        &server,
        dual_era::legacy_options(&server),
    ));
    #[cfg(not(feature = "legacy"))]
    {
        let to_close = server.clone();
        let endpoint = Endpoint::new(server.into_shared());
        Ok(endpoint.on_close(move || to_close.close_subscriptions()))
    }
}

/// Like [`endpoint`], with other options for legacy clients: `configure` receives the options that
/// [`endpoint`] would use, and returns the ones to use instead.
///
/// ```
/// # fn run(server: carryall::Server) -> carryall::Result<()> {
/// let endpoint = carryall::endpoint_with(server, |legacy| legacy.http_sse_2024(true))?;
/// # Ok(()) }
/// ```
///
/// # Errors
/// When the server is not valid.
#[cfg(feature = "legacy")]
pub fn endpoint_with<S>(
    server: S,
    configure: impl FnOnce(crate::LegacyOptions) -> crate::LegacyOptions,
) -> Result<Endpoint, BoxError>
where
    S: TryInto<Server>,
    S::Error: Into<BoxError>,
{
    let server = server.try_into().map_err(Into::into)?;
    let options = configure(dual_era::legacy_options(&server));
    Ok(dual_era_endpoint(&server, options))
}

/// Returns an endpoint for clients of every revision.
#[cfg(feature = "legacy")]
fn dual_era_endpoint(server: &Server, options: crate::LegacyOptions) -> Endpoint {
    let to_close = server.clone();
    let endpoint = dual_era::service_endpoint(server.clone().into_shared(), options);
    endpoint.on_close(move || to_close.close_subscriptions())
}

/// Serves one client on this process's standard input and output until the input ends.
///
/// With the feature `legacy`, the client may be of any revision. While serving, this also runs the
/// server's background work ([`Server::maintain`]).
///
/// # Errors
/// When the server is not valid, the streams are in use already, or one of them fails.
pub async fn serve_stdio<S>(server: S) -> Result<(), BoxError>
where
    S: TryInto<Server>,
    S::Error: Into<BoxError>,
{
    let server = server.try_into().map_err(Into::into)?;
    let stdio = StdioServer::take()?;
    let _maintenance = spawn_maintenance(&server);
    #[cfg(feature = "legacy")]
    let stdio = stdio.fallback(dual_era::legacy_channels(
        server.clone(),
        dual_era::legacy_options(&server),
    ));
    stdio.run(server.into_shared()).await?;
    Ok(())
}

/// Spawns the server's background work. Dropping the returned set aborts it.
fn spawn_maintenance(server: &Server) -> JoinSet<()> {
    let mut maintenance = JoinSet::new();
    maintenance.spawn(server.maintain());
    maintenance
}

/// Waits for Ctrl-C or SIGTERM.
async fn shutdown_signal() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    // Not Unix, or no handler for SIGTERM could be installed.
    let _ = tokio::signal::ctrl_c().await;
}
