//! Writes the parameters of requests.

use crate::ClientError;
use carryall_proto::ParamsWriter;
use carryall_proto::json::WriteError;
use carryall_types::{JsonObject, JsonValue};
use serde::Serialize;

/// Returns the parameters that `f` writes.
pub(crate) fn write(
    f: impl FnOnce(&mut ParamsWriter) -> Result<(), WriteError>,
) -> Result<ParamsWriter, ClientError> {
    let mut params = ParamsWriter::new();
    f(&mut params).map_err(|error| {
        ClientError::Request(format!(
            "the parameters cannot be serialised to JSON: {error}"
        ))
    })?;
    Ok(params)
}

/// Adds `arguments`, which must serialise to an object or, for none, to `null`.
pub(crate) fn put_arguments<A: Serialize>(
    params: &mut ParamsWriter,
    arguments: &A,
) -> Result<(), WriteError> {
    params.put("arguments", arguments)?;
    match params.last_value() {
        Some(b"null") => {
            params.remove_last();
            Ok(())
        }
        Some([b'{', ..]) => Ok(()),
        _ => Err(serde::ser::Error::custom("arguments must be an object")),
    }
}

/// Returns the members of a value that serialises to an object, except `_meta`.
pub(crate) fn object_members<P: Serialize>(params: &P) -> Result<ParamsWriter, ClientError> {
    let value = serde_json::to_value(params)
        .map_err(|error| ClientError::Request(format!("params: {error}")))?;
    let members = match value {
        JsonValue::Object(members) => members,
        JsonValue::Null => JsonObject::new(),
        other => {
            return Err(ClientError::Request(format!(
                "params must be an object, not {other}"
            )));
        }
    };
    write(|params| {
        for (name, value) in &members {
            // The client writes `_meta`; users add members with `Request::meta`.
            if name != "_meta" {
                params.put(name, value)?;
            }
        }
        Ok(())
    })
}
