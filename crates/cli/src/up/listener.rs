//! Binds the address of the endpoint.

use crate::error::CliError;
use carryall::transport::http::HttpServer;
use std::io::ErrorKind;

const DEFAULT_HOST: &str = "127.0.0.1";
const DEFAULT_PORT: u16 = 8080;
/// Number of ports after the default one that are tried if it is in use.
const FALLBACK_PORTS: u16 = 20;

/// Binds the address of `--listen`, or the first free port starting with the default one.
pub(super) async fn bind(address: Option<&str>) -> Result<HttpServer, CliError> {
    let Some(address) = address else {
        return bind_default().await;
    };
    // A port without a host means loopback.
    let address = if address.parse::<u16>().is_ok() {
        format!("{DEFAULT_HOST}:{address}")
    } else {
        address.to_owned()
    };
    HttpServer::bind(address.as_str()).await.map_err(|error| {
        let failed = CliError::local(format!("cannot listen on {address}: {}", reason(&error)));
        match error.kind() {
            ErrorKind::AddrInUse => {
                failed.hint("another program listens there: stop it, or choose another port with --listen")
            }
            ErrorKind::PermissionDenied => {
                failed.hint("ports below 1024 need privileges: choose a higher one with --listen")
            }
            _ => failed.hint("--listen takes HOST:PORT, for example 127.0.0.1:8080, or 127.0.0.1:0 for any free port"),
        }
    })
}

async fn bind_default() -> Result<HttpServer, CliError> {
    let ports = (DEFAULT_PORT..=DEFAULT_PORT + FALLBACK_PORTS).chain([0]);
    for port in ports {
        match HttpServer::bind((DEFAULT_HOST, port)).await {
            Ok(listener) => {
                if port != DEFAULT_PORT {
                    tracing::warn!(
                        "port {DEFAULT_PORT} is in use, so another one was chosen; --listen sets it"
                    );
                }
                return Ok(listener);
            }
            Err(error) if error.kind() == ErrorKind::AddrInUse => {}
            Err(error) => {
                let what = format!("cannot listen on {DEFAULT_HOST}:{port}: {}", reason(&error));
                return Err(
                    CliError::local(what).hint("choose another address with --listen HOST:PORT")
                );
            }
        }
    }
    Err(CliError::local("no port is free").hint("choose an address with --listen HOST:PORT"))
}

fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::AddrInUse => "the address is in use".into(),
        ErrorKind::PermissionDenied => "permission denied".into(),
        ErrorKind::AddrNotAvailable => "this machine does not have that address".into(),
        _ => error.to_string(),
    }
}
