//! The endpoint itself: where it listens, how it ends, and what it logs.

use super::asked;
use super::front::EdgeService;
use crate::allow::AllowOptions;
use crate::fail::{Exit, Fail};
use carryall::gateway::Gateway;
use carryall::transport::http::HttpServer;
use carryall::{LegacyOptions, service_endpoint};
use std::io::{ErrorKind, IsTerminal as _};
use tokio::sync::watch;
use tracing_subscriber::EnvFilter;

const DEFAULT_HOST: &str = "127.0.0.1";
const DEFAULT_PORT: u16 = 8080;
/// How many ports after the default one are tried when it is taken.
const PORTS_TRIED: u16 = 20;

/// Logs to standard error. What stands in `RUST_LOG` goes before the options.
pub(super) fn log(quiet: bool, verbose: bool) {
    let usual = match (quiet, verbose) {
        (true, _) => "warn",
        (false, false) => "warn,carryall=info,carryall_gateway=info",
        (false, true) => "warn,carryall=debug,carryall_gateway=debug",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(usual));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .compact();
    // Fails when there is a subscriber already, which then goes on.
    let _ = subscriber.try_init();
}

/// Listens where it was told to, or on the first free port from the default one on.
pub(super) async fn bind(wanted: Option<&str>) -> Result<HttpServer, Fail> {
    let Some(wanted) = wanted else {
        return bind_default().await;
    };
    // A port alone is what one types; anywhere else it belongs on loopback.
    let address = if wanted.parse::<u16>().is_ok() {
        format!("{DEFAULT_HOST}:{wanted}")
    } else {
        wanted.to_owned()
    };
    HttpServer::bind(address.as_str()).await.map_err(|error| {
        let fail = Fail::new(Exit::Local, format!("cannot listen on {address}: {}", reason(&error)));
        match error.kind() {
            ErrorKind::AddrInUse => {
                fail.hint("another program listens there: stop it, or choose another port with --listen")
            }
            ErrorKind::PermissionDenied => {
                fail.hint("ports below 1024 need privileges: choose a higher one with --listen")
            }
            _ => fail.hint("--listen takes HOST:PORT, for example 127.0.0.1:8080, or 127.0.0.1:0 for any free port"),
        }
    })
}

async fn bind_default() -> Result<HttpServer, Fail> {
    let ports = (DEFAULT_PORT..=DEFAULT_PORT + PORTS_TRIED).chain([0]);
    for port in ports {
        match HttpServer::bind((DEFAULT_HOST, port)).await {
            Ok(listener) => {
                if port != DEFAULT_PORT {
                    tracing::warn!(
                        "port {DEFAULT_PORT} is taken, so this takes another one; choose one with --listen"
                    );
                }
                return Ok(listener);
            }
            Err(error) if error.kind() == ErrorKind::AddrInUse => {}
            Err(error) => {
                let what = format!("cannot listen on {DEFAULT_HOST}:{port}: {}", reason(&error));
                return Err(Fail::new(Exit::Local, what)
                    .hint("choose another address with --listen HOST:PORT"));
            }
        }
    }
    Err(Fail::new(Exit::Local, "no port is free").hint("choose an address with --listen HOST:PORT"))
}

fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::AddrInUse => "the address is in use".into(),
        ErrorKind::PermissionDenied => "permission denied".into(),
        ErrorKind::AddrNotAvailable => "this machine does not have that address".into(),
        _ => error.to_string(),
    }
}

/// The path of the endpoint.
pub(super) const ENDPOINT: &str = "/mcp";

/// Serves until asked to stop. Then subscriptions are closed, nothing new is accepted, and what is
/// in flight gets the drain time of the server.
pub(super) async fn serve(
    listener: HttpServer,
    gateway: Gateway,
    legacy: LegacyOptions,
    names: &AllowOptions,
    stopping: watch::Receiver<u32>,
) -> Result<(), Fail> {
    let failed =
        |error: std::io::Error| Fail::new(Exit::Local, format!("the endpoint failed: {error}"));
    let local = listener.local_addr().map_err(failed)?.ip().is_loopback();
    let endpoint = names.apply(
        service_endpoint(gateway.clone(), legacy).path(ENDPOINT),
        local,
    );
    let front = EdgeService {
        endpoint,
        gateway: gateway.clone(),
        stopping: stopping.clone(),
    };
    let stop = async move {
        asked(stopping, 1).await;
        tracing::info!("stopping: waiting for requests in flight; once more stops at once");
        gateway.close_subscriptions();
    };
    let stop = front.endpoint.close_on(stop);
    listener.run_http(front, stop).await.map_err(failed)
}
