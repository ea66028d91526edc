//! What `initialize` settled for a session, and calls on its behalf.

use super::exchange::RequestContext;
use super::options::LegacyOptions;
use crate::FromLegacyClient;
use crate::revision::Revision as _;
use carryall_proto::{Call, Meta, Params};
use carryall_types::{ClientCapabilities, Implementation, Method, ProtocolVersion, RequestId};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The outcome of `initialize`. It travels sealed in the session id, so its names are short.
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
    /// As a client of 2026-07-28 would declare them.
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
        .map_err(|_| serde::de::Error::custom("not a protocol version"))
}

impl Negotiated {
    /// Returns the `_meta` that a client of 2026-07-28 sends with every request.
    pub(crate) fn meta(&self) -> Meta {
        Meta::builder(ProtocolVersion::LATEST, self.capabilities.clone())
            .client_info(self.client_info.clone())
            .build()
    }

    /// Returns whether the session has the experimental tasks of 2025-11-25.
    pub(crate) fn has_tasks(&self, options: &LegacyOptions) -> bool {
        options.tasks && self.version.has_tasks()
    }
}

/// Returns a call as a client of 2026-07-28 would have made it.
///
/// The headers of the HTTP request are left out: they do not mirror this call, and must not be
/// validated as if they did.
pub(crate) fn modern_call(
    id: RequestId,
    method: Method,
    params: Params,
    meta: Meta,
    context: &RequestContext,
) -> Call {
    let mut call = Call::new(id, method, params, meta);
    call.set_principal(context.principal.clone());
    call.set_source(context.source);
    *call.extensions_mut() = context.extensions.clone();
    call.extensions_mut().insert(FromLegacyClient);
    call
}
