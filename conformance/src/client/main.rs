//! `everything-client URL`: what the scenarios of the official conformance suite expect a client to
//! do.
//!
//! The scenario comes in the environment, as `MCP_CONFORMANCE_SCENARIO`;
//! `MCP_CONFORMANCE_PROTOCOL_VERSION` and `MCP_CONFORMANCE_CONTEXT` say more about it.

mod answers;
mod scenarios;

use carryall::types::{JsonValue, ProtocolVersion};
use carryall::{Client, Result};
use std::env;

#[tokio::main]
async fn main() -> Result<()> {
    let url = env::args().nth(1).ok_or("usage: everything-client URL")?;
    let name = env::var("MCP_CONFORMANCE_SCENARIO")
        .map_err(|_| "MCP_CONFORMANCE_SCENARIO names no scenario")?;
    let scenario =
        scenarios::find(&name).ok_or_else(|| format!("there is no scenario {name:?}"))?;
    scenario(client(&url).await?, context()?).await
}

/// A client that finds out of which era the scenario's server is; some know versions that only they
/// have, and say which.
async fn client(url: &str) -> Result<Client> {
    let builder = Client::builder()
        .name("everything-client")
        .version(env!("CARGO_PKG_VERSION"));
    let builder = answers::provide(builder);
    let version = env::var("MCP_CONFORMANCE_PROTOCOL_VERSION").ok();
    let version = version
        .map(|version| version.parse::<ProtocolVersion>())
        .transpose()?;
    let builder = match version.filter(|version| version.is_modern()) {
        Some(version) => builder.versions([version]),
        None => builder,
    };
    Ok(carryall::connect(url).client(builder).await?)
}

/// What the scenario tells its client, as far as it tells anything.
fn context() -> Result<JsonValue> {
    match env::var("MCP_CONFORMANCE_CONTEXT") {
        Ok(context) => Ok(serde_json::from_str(&context)?),
        Err(_) => Ok(JsonValue::Null),
    }
}
