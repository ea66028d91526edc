//! The handshake (2025-11-25 `basic/lifecycle#initialization`).

use super::discover::discover;
use super::exchange::RequestContext;
use super::negotiated::Negotiated;
use super::options::LegacyOptions;
use super::translate::capabilities;
use crate::revision::negotiate;
use carryall_proto::{SharedService, key};
use carryall_types::{ErrorObject, Implementation, JsonObject, JsonValue, RawJson};
use serde::{Deserialize, Serialize};

/// What `initialize` settled, and its result.
pub(crate) type InitializeOutcome = Result<(Negotiated, RawJson), ErrorObject>;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct InitializeParams {
    protocol_version: String,
    #[serde(default)]
    capabilities: JsonObject,
    client_info: Implementation,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InitializeResult {
    protocol_version: &'static str,
    capabilities: JsonObject,
    server_info: JsonValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    instructions: Option<String>,
}

/// Answers `initialize` with the version to speak and what the service says about itself.
pub(crate) async fn initialize(
    service: &SharedService,
    options: &LegacyOptions,
    params: &RawJson,
    context: &RequestContext,
) -> InitializeOutcome {
    let params: InitializeParams = params.decode().map_err(|error| {
        ErrorObject::invalid_params(format!("Invalid params of initialize: {error}"))
    })?;
    let version = negotiate(&params.protocol_version);
    let negotiated = Negotiated {
        version,
        client_info: params.client_info,
        capabilities: capabilities::of_client(version, &params.capabilities),
    };
    let mut found = discover(service, negotiated.meta(), context).await?;
    let server_info = found
        .meta
        .as_mut()
        .and_then(|meta| meta.remove(key::SERVER_INFO));
    let result = InitializeResult {
        protocol_version: version.as_str(),
        capabilities: capabilities::of_server(version, &found.capabilities, options.tasks),
        // Optional in 2026-07-28, required in the earlier revisions.
        server_info: server_info
            .unwrap_or_else(|| serde_json::json!({"name": "unnamed", "version": "0"})),
        instructions: found.instructions,
    };
    let result = RawJson::from_value(&result).map_err(|_| ErrorObject::internal())?;
    Ok((negotiated, result))
}
