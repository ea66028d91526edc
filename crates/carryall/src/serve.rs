//! The one-line ways to serve.

use crate::eras::{self, LegacyOptions};
use carryall_proto::BoxError;
use carryall_server::Server;
use carryall_transport::http::{Endpoint, HttpServer};
use carryall_transport::stdio::StdioServer;
use tokio::net::ToSocketAddrs;

/// Serves clients of every revision over Streamable HTTP on `address`, with the endpoint at `/mcp`,
/// until the process is told to stop (Ctrl-C or SIGTERM). Then subscriptions are closed and running
/// calls get a moment to finish.
///
/// On a loopback address only requests from this machine are accepted; see [`HttpServer`] for
/// everything that can be set.
///
/// # Errors
/// When the server is not valid or the address cannot be bound.
pub async fn serve<S>(address: impl ToSocketAddrs, server: S) -> Result<(), BoxError>
where
    S: TryInto<Server>,
    S::Error: Into<BoxError>,
{
    let endpoint = endpoint(server)?;
    HttpServer::bind(address)
        .await?
        .run_endpoint(endpoint, stopped())
        .await?;
    Ok(())
}

/// The HTTP endpoint of a server, for clients of every revision, as a service that any HTTP server
/// can run.
///
/// What old clients need is derived from the server: their sessions are sealed with its
/// [keyring](carryall_server::ServerBuilder::keyring), and if it is
/// [`replicated`](carryall_server::ServerBuilder::replicated), replicas share what a session needs
/// in its [store](carryall_server::ServerBuilder::store). When the endpoint
/// [closes](Endpoint::close), subscriptions end.
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
/// let endpoint = carryall::endpoint(Server::new("calculator", "1.0.0").tool(add))?.allow_host("mcp.example.com");
/// let shutdown = endpoint.close_on(async { drop(tokio::signal::ctrl_c().await) });
/// let app = axum::Router::new().route_service("/mcp", endpoint);
/// let listener = tokio::net::TcpListener::bind("0.0.0.0:8080").await?;
/// axum::serve(listener, app).with_graceful_shutdown(shutdown).await?;
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
    endpoint_with(server, |legacy| legacy)
}

/// As [`endpoint`], with changes to how clients of earlier revisions are served: `legacy` gets the
/// options that were derived from the server.
///
/// ```
/// # fn run(server: carryall::Server) -> carryall::Result<()> {
/// let endpoint = carryall::endpoint_with(server, |legacy| legacy.http_sse_2024(true))?;
/// # Ok(()) }
/// ```
///
/// # Errors
/// When the server is not valid.
pub fn endpoint_with<S>(
    server: S,
    legacy: impl FnOnce(LegacyOptions) -> LegacyOptions,
) -> Result<Endpoint, BoxError>
where
    S: TryInto<Server>,
    S::Error: Into<BoxError>,
{
    let server = server.try_into().map_err(Into::into)?;
    let options = legacy(legacy_options(&server));
    let ending = server.clone();
    let endpoint = eras::service_endpoint(server.into_shared(), options);
    Ok(endpoint.on_close(move || ending.close_subscriptions()))
}

/// Serves a client of any revision on this process's standard input and output until the input
/// ends.
///
/// # Errors
/// When the server is not valid or a stream breaks.
pub async fn serve_stdio<S>(server: S) -> Result<(), BoxError>
where
    S: TryInto<Server>,
    S::Error: Into<BoxError>,
{
    let server = server.try_into().map_err(Into::into)?;
    let alternates = eras::alternates(server.clone(), legacy_options(&server));
    StdioServer::take()?
        .alternates(alternates)
        .run(server.into_shared())
        .await?;
    Ok(())
}

/// Sessions of earlier revisions are sealed with the keys of the server and bound to its name, and
/// its replicas meet in the store that they share.
fn legacy_options(server: &Server) -> LegacyOptions {
    let mut options = LegacyOptions::default().server_name(server.name());
    if let Some(keyring) = server.keyring() {
        options = options.keyring(keyring.as_ref().clone());
    }
    match server.shared_store() {
        Some(store) => eras::meeting_in(options, store),
        None => options,
    }
}

/// Waits for Ctrl-C or SIGTERM.
async fn stopped() {
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
    let _ = tokio::signal::ctrl_c().await;
}
