//! `everything-client URL`: what the scenarios of the official conformance suite expect a client to do.
//!
//! The scenario comes in the environment, as `MCP_CONFORMANCE_SCENARIO`; `MCP_CONFORMANCE_PROTOCOL_VERSION` and
//! `MCP_CONFORMANCE_CONTEXT` say more about it.

mod answers;
mod scenarios;

use carryall::types::{JsonValue, ProtocolVersion};
use carryall::{Client, Result};
use std::env;

#[tokio::main]
async fn main() -> Result<()> {
    let url = env::args().nth(1).ok_or("usage: everything-client URL")?;
    let name = env::var("MCP_CONFORMANCE_SCENARIO").map_err(|_| "MCP_CONFORMANCE_SCENARIO names no scenario")?;
    let scenario = scenarios::find(&name).ok_or_else(|| format!("there is no scenario {name:?}"))?;
    scenario(client(&url)?, context()?).await
}

fn client(url: &str) -> Result<Client> {
    let builder = Client::builder().name("everything-client").version(env!("CARGO_PKG_VERSION")).http(url);
    let builder = answers::provide(builder);
    let builder = match env::var("MCP_CONFORMANCE_PROTOCOL_VERSION") {
        Ok(version) => builder.versions([version.parse::<ProtocolVersion>()?]),
        Err(_) => builder,
    };
    Ok(builder.build()?)
}

/// What the scenario tells its client, as far as it tells anything.
fn context() -> Result<JsonValue> {
    match env::var("MCP_CONFORMANCE_CONTEXT") {
        Ok(context) => Ok(serde_json::from_str(&context)?),
        Err(_) => Ok(JsonValue::Null),
    }
}
