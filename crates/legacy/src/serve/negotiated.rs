//! What `initialize` has settled.

use super::conversation::RequestContext;
use super::options::Options;
use super::translate::capabilities;
use crate::FromLegacyClient;
use crate::revision::{Revision as _, negotiate};
use carryall_proto::{Call, Meta, Outcome, Params, Reply, SharedService, key};
use carryall_types::{
    ClientCapabilities, DiscoverResult, ErrorObject, Implementation, JsonObject, JsonValue, Method,
    ProtocolVersion, RawJson, RequestId, code,
};
use futures_util::StreamExt as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What `initialize` has settled for all that comes after it. It travels sealed in the session's
/// id, so it is kept small.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Negotiated {
    #[serde(
        rename = "v",
        serialize_with = "write_version",
        deserialize_with = "read_version"
    )]
    pub(crate) version: ProtocolVersion,
    #[serde(rename = "i")]
    pub(crate) client_info: Implementation,
    /// As a client of this revision would declare them.
    #[serde(rename = "c")]
    pub(crate) capabilities: ClientCapabilities,
}

fn write_version<S: Serializer>(
    version: &ProtocolVersion,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(version.as_str())
}

fn read_version<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ProtocolVersion, D::Error> {
    String::deserialize(deserializer)?
        .parse()
        .map_err(|_| serde::de::Error::custom("no version"))
}

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

/// Answers `initialize`: the version to speak, what the client can do, and what the service says of
/// itself (2025-11-25 `basic/lifecycle#initialization`).
pub(crate) async fn initialize(
    service: &SharedService,
    options: &Options,
    params: &RawJson,
    origin: &RequestContext,
) -> Result<(Negotiated, RawJson), ErrorObject> {
    let params: InitializeParams = params.decode().map_err(|error| {
        ErrorObject::invalid_params(format!("Invalid params of initialize: {error}"))
    })?;
    let version = negotiate(&params.protocol_version);
    let capabilities = capabilities::of_client(version, &params.capabilities);
    let negotiated = Negotiated {
        version,
        client_info: params.client_info,
        capabilities,
    };
    let mut found = discover(service, &negotiated, origin).await?;
    let server_info = found
        .meta
        .as_mut()
        .and_then(|meta| meta.remove(key::SERVER_INFO));
    let result = InitializeResult {
        protocol_version: version.as_str(),
        capabilities: capabilities::of_server(version, &found.capabilities, options.tasks),
        // A service need not say what it is, a server of these revisions must.
        server_info: server_info
            .unwrap_or_else(|| serde_json::json!({"name": "unnamed", "version": "0"})),
        instructions: found.instructions,
    };
    let result = RawJson::from_value(&result).map_err(|_| ErrorObject::internal())?;
    Ok((negotiated, result))
}

/// Asks the service what it is and can do.
pub(crate) async fn discover(
    service: &SharedService,
    negotiated: &Negotiated,
    origin: &RequestContext,
) -> Result<DiscoverResult, ErrorObject> {
    let meta = negotiated.meta(None, None, &JsonObject::new());
    let call = call(
        RequestId::from(0),
        Method::ServerDiscover,
        RawJson::EMPTY_OBJECT,
        meta,
        origin,
    )?;
    let outcome = match service.answer(call).await {
        Ok(Reply::Once(response)) => Some(response.outcome),
        Ok(Reply::Stream(mut messages)) => loop {
            match messages.next().await {
                Some(Ok(carryall_proto::Message::Response(response))) => {
                    break Some(response.outcome);
                }
                Some(Ok(carryall_proto::Message::Notification(_))) => {}
                Some(Err(_)) | None => break None,
            }
        },
        Err(error) => {
            tracing::error!(%error, "the service cannot be asked what it is");
            None
        }
    };
    match outcome {
        Some(Outcome::Result(result)) => result.decode().map_err(|error| {
            tracing::error!(error = %carryall_proto::PrintableFmt(&error), "the service does not say what it is");
            ErrorObject::internal()
        }),
        Some(Outcome::Error(error)) => Err(error),
        None => Err(ErrorObject::new(code::INTERNAL_ERROR, "The server behind this endpoint does not answer")),
    }
}

impl Negotiated {
    /// The `_meta` with which a client of this revision would have sent a request.
    pub(crate) fn meta(
        &self,
        log_level: Option<carryall_types::LoggingLevel>,
        progress_token: Option<carryall_types::ProgressToken>,
        extra: &JsonObject,
    ) -> Meta {
        Meta::builder(ProtocolVersion::LATEST, self.capabilities.clone())
            .client_info(self.client_info.clone())
            .log_level(log_level)
            .progress_token(progress_token)
            .extra(extra.clone())
            .build()
    }

    pub(crate) fn has_tasks(&self, options: &Options) -> bool {
        options.tasks && self.version.has_tasks()
    }
}

/// A call as a client of this revision would have made it.
pub(crate) fn call(
    id: RequestId,
    method: Method,
    params: RawJson,
    meta: Meta,
    origin: &RequestContext,
) -> Result<Call, ErrorObject> {
    let invalid = |error: carryall_proto::ParamsError| {
        ErrorObject::invalid_params(format!("Invalid params: {error}"))
    };
    let params = Params::parse(params).map_err(invalid)?;
    let mut call = Call::new(id, method, params, meta);
    call.set_principal(origin.principal.clone());
    *call.extensions_mut() = origin.extensions.clone();
    call.extensions_mut().insert(FromLegacyClient);
    call.set_source(origin.source);
    // The headers stay behind: they do not mirror this call, and nobody must take them for its
    // mirror.
    Ok(call)
}
