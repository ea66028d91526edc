//! Validates a decoded request: `_meta`, mirrored headers, protocol version.

use crate::call::CallName;
use crate::headers::check_standard;
use crate::json::decode_string;
use crate::{Call, Encoded, Meta, MetaError, Params, encode_error};
use carryall_types::{ErrorObject, Method, ProtocolVersion, RawJson, RequestId, code};
use http::{HeaderMap, StatusCode};

/// The protocol versions that this implementation supports.
pub const SUPPORTED_VERSIONS: &[ProtocolVersion] = &[ProtocolVersion::V2026_07_28];

/// Why a message was rejected.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rejection {
    /// The id of the request, if it could be read.
    pub id: Option<RequestId>,
    /// The JSON-RPC error to answer with.
    pub error: ErrorObject,
    /// The HTTP status, on that binding.
    pub status: StatusCode,
}

impl Rejection {
    /// Creates a rejection with status 400.
    #[must_use]
    pub fn bad_request(id: Option<RequestId>, error: ErrorObject) -> Self {
        Self {
            id,
            error,
            status: StatusCode::BAD_REQUEST,
        }
    }

    /// Encodes the rejection as a JSON-RPC message.
    #[must_use]
    pub fn encode(&self) -> Encoded {
        encode_error(self.id.as_ref(), &self.error)
    }
}

/// Returns the error for an unsupported protocol version, `-32022`
/// (`basic/versioning#protocol-version-negotiation`).
#[must_use]
pub fn unsupported_version(requested: &str) -> ErrorObject {
    let supported = supported_versions();
    let data = serde_json::json!({"supported": supported, "requested": requested});
    ErrorObject::new(
        code::UNSUPPORTED_PROTOCOL_VERSION,
        format!(
            "Unsupported protocol version; this server supports {}",
            supported.join(", ")
        ),
    )
    .with_data(RawJson::from(&data))
}

/// A request whose envelope and parameters are well-formed.
pub(crate) struct DecodedRequest {
    pub(crate) id: RequestId,
    pub(crate) method: Method,
    pub(crate) params: Params,
    pub(crate) meta: Result<Meta, MetaError>,
}

/// Validates a request. `headers` are those of its POST, on that binding.
pub(crate) fn validate(
    request: DecodedRequest,
    headers: Option<HeaderMap>,
) -> Result<Call, Rejection> {
    let DecodedRequest {
        id,
        method,
        params,
        meta,
    } = request;
    let reject = |id, error| Err(Rejection::bad_request(Some(id), error));
    let is_initialize = method.as_str() == "initialize";
    if is_initialize && matches!(meta, Err(MetaError::Missing(_) | MetaError::Malformed(_))) {
        return reject(id, legacy_initialize(&params));
    }
    let name = CallName::find(&method, &params);
    if let Some(headers) = &headers {
        let version = match &meta {
            Ok(meta) => Some(meta.version().as_str()),
            Err(MetaError::UnknownVersion(version)) => Some(version.as_str()),
            Err(_) => None,
        };
        let name = name.as_ref().map(|name| name.resolve(&params));
        if let Err(mismatch) = check_standard(headers, version, method.as_str(), name) {
            return reject(id, mismatch.to_error());
        }
    }
    let meta = match meta {
        Ok(meta) if SUPPORTED_VERSIONS.contains(&meta.version()) => meta,
        Ok(meta) => return reject(id, unsupported_version(meta.version().as_str())),
        Err(MetaError::UnknownVersion(version)) => {
            return reject(id, unsupported_version(&version));
        }
        Err(error) => return reject(id, ErrorObject::invalid_params(error.to_string())),
    };
    if is_initialize {
        return Err(Rejection {
            id: Some(id),
            error: modern_initialize(),
            status: StatusCode::NOT_FOUND,
        });
    }
    let mut call = Call::from_validated(id, method, params, meta, name);
    *call.headers_mut() = headers;
    Ok(call)
}

/// Returns the error for the `initialize` of a legacy client. The error is all that such a client
/// learns about the server, so it lists the supported versions
/// (`basic/versioning#backward-compatibility-with-initialization-based-versions`).
fn legacy_initialize(params: &Params) -> ErrorObject {
    let requested = params.get_str("protocolVersion").and_then(decode_string);
    unsupported_version(
        requested
            .as_deref()
            .unwrap_or("(initialize without protocolVersion)"),
    )
}

/// Returns the error for an `initialize` that is a valid modern request otherwise: an unknown
/// method (`basic/transports/streamable-http#server-validation`). It lists the supported versions
/// nevertheless.
fn modern_initialize() -> ErrorObject {
    let supported = supported_versions();
    let data = RawJson::from(&serde_json::json!({"supported": supported}));
    let message = format!(
        "Method not found: initialize; this server supports {}",
        supported.join(", ")
    );
    ErrorObject::new(code::METHOD_NOT_FOUND, message).with_data(data)
}

fn supported_versions() -> Vec<&'static str> {
    let versions = SUPPORTED_VERSIONS.iter();
    versions.map(|version| version.as_str()).collect()
}
