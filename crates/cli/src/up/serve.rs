//! Serves the gateway over HTTP.

use super::service::{ENDPOINT_PATH, EdgeService};
use super::shutdown::ShutdownSignals;
use crate::allow::AllowOptions;
use crate::error::CliError;
use carryall::gateway::Gateway;
use carryall::transport::http::HttpServer;
use carryall::{LegacyOptions, service_endpoint};

/// Serves until shutdown is requested. Then subscriptions are closed, no connections are accepted,
/// and requests in flight get the drain time of the server.
pub(super) async fn serve(
    listener: HttpServer,
    gateway: Gateway,
    legacy: LegacyOptions,
    allow: &AllowOptions,
    shutdown: ShutdownSignals,
) -> Result<(), CliError> {
    let failed = |error: std::io::Error| CliError::local(format!("the endpoint failed: {error}"));
    let loopback = listener.local_addr().map_err(failed)?.ip().is_loopback();
    let endpoint = allow.apply(
        service_endpoint(gateway.clone(), legacy).path(ENDPOINT_PATH),
        loopback,
    );
    let service = EdgeService {
        endpoint,
        gateway: gateway.clone(),
        shutdown: shutdown.clone(),
    };
    let stop = async move {
        shutdown.requested().await;
        tracing::info!("shutting down: waiting for requests in flight; Ctrl-C again stops at once");
        gateway.close_subscriptions();
    };
    let stop = service.endpoint.close_on(stop);
    listener.run_http(service, stop).await.map_err(failed)
}
