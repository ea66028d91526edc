//! The one-line ways to serve.

use crate::eras::{self, LegacyOptions};
use carryall_proto::BoxError;
use carryall_server::Server;
use carryall_transport::http::HttpServer;
use carryall_transport::stdio::StdioServer;
use tokio::net::ToSocketAddrs;

/// Serves clients of every revision over Streamable HTTP on `address`, with the endpoint at `/mcp`, until the process is told to stop (Ctrl-C or
/// SIGTERM). Then subscriptions are closed and running calls get a moment to finish.
///
/// On a loopback address only requests from this machine are accepted; see [`HttpServer`] for everything that can be
/// set.
///
/// # Errors
/// When the server is not valid or the address cannot be bound.
pub async fn serve<S>(address: impl ToSocketAddrs, server: S) -> Result<(), BoxError>
where
    S: TryInto<Server>,
    S::Error: Into<BoxError>,
{
    let server = server.try_into().map_err(Into::into)?;
    let listener = HttpServer::bind(address).await?;
    let ending = server.clone();
    let stop = async move {
        stopped().await;
        ending.close_subscriptions();
    };
    let legacy = legacy(&server);
    listener.run_endpoint(eras::endpoint(server.into_shared(), legacy), stop).await?;
    Ok(())
}

/// Serves a client of any revision on this process's standard input and output until the input ends.
///
/// # Errors
/// When the server is not valid or a stream breaks.
pub async fn serve_stdio<S>(server: S) -> Result<(), BoxError>
where
    S: TryInto<Server>,
    S::Error: Into<BoxError>,
{
    let server = server.try_into().map_err(Into::into)?;
    let alternates = eras::alternates(server.clone(), legacy(&server));
    StdioServer::take()?.alternates(alternates).run(server.into_shared()).await?;
    Ok(())
}

/// Sessions of earlier revisions are sealed with the keys of the server, and its replicas meet in the store that they share.
fn legacy(server: &Server) -> LegacyOptions {
    let mut options = LegacyOptions::default();
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
