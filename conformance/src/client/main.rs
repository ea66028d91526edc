//! `everything-client URL`: the client for the scenarios of the official conformance suite.
//!
//! The variable `MCP_CONFORMANCE_SCENARIO` names the scenario. `MCP_CONFORMANCE_PROTOCOL_VERSION` and
//! `MCP_CONFORMANCE_CONTEXT` are its parameters.

mod answers;
mod scenarios;

use carryall::types::{JsonValue, ProtocolVersion};
use carryall::{Client, Result};
use std::env;

#[tokio::main]
async fn main() -> Result<()> {
    let url = env::args().nth(1).ok_or("usage: everything-client URL")?;
    let name =
        env::var("MCP_CONFORMANCE_SCENARIO").map_err(|_| "MCP_CONFORMANCE_SCENARIO is not set")?;
    let scenario = scenarios::find(&name).ok_or_else(|| format!("unknown scenario {name:?}"))?;
    scenario(client(&url).await?, context()?).await
}

/// Connects a client that detects the era of the server, or uses the modern version that the scenario
/// requires.
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

/// Returns the parameters of the scenario, or `null`.
fn context() -> Result<JsonValue> {
    match env::var("MCP_CONFORMANCE_CONTEXT") {
        Ok(context) => Ok(serde_json::from_str(&context)?),
        Err(_) => Ok(JsonValue::Null),
    }
}
