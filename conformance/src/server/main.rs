//! `everything-server --listen ADDR`: the server for the scenarios of the official conformance suite.
//!
//! The suite and its documentation define the names and the results of the tools, prompts and
//! resources.

mod catalogue;
mod legacy_features;
mod media;
mod prompts;
mod resources;
mod rounds;
mod schemas;
mod tasks;
mod tools;

#[cfg(test)]
mod tests;

use carryall::{Result, Server, serve};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

#[tokio::main]
async fn main() -> Result<()> {
    let address = address(std::env::args().skip(1))?;
    serve(address, server()?).await
}

/// Returns the value of `--listen`.
fn address(arguments: impl Iterator<Item = String>) -> Result<String> {
    let arguments: Vec<String> = arguments.collect();
    match arguments.as_slice() {
        [] => Ok("127.0.0.1:3000".to_owned()),
        [flag, address] if flag == "--listen" => Ok(address.clone()),
        _ => Err("usage: everything-server [--listen ADDR]".into()),
    }
}

fn server() -> Result<Server> {
    // The tools that change the catalogue need the server, which is not built yet.
    let built_server: Arc<OnceLock<Server>> = Arc::default();
    // Logging is deprecated and still has to work (SEP-2577).
    #[allow(deprecated)]
    let builder = Server::new("everything-server", env!("CARGO_PKG_VERSION"))
        .title("carryall, everything")
        .description("All fixtures of the official conformance suite")
        .with_logging()
        .list_ttl(Duration::from_secs(1))
        .state(Arc::clone(&built_server));
    let builder = tools::add(builder);
    let builder = catalogue::add(builder);
    let builder = schemas::add(builder);
    let builder = rounds::add(builder);
    let builder = legacy_features::add(builder);
    let builder = tasks::add(builder);
    let builder = prompts::add(builder);
    let builder = resources::add(builder);
    let server = builder.build()?;
    built_server
        .set(server.clone())
        .map_err(|_| "the server was built twice")?;
    Ok(server)
}
