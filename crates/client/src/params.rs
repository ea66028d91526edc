//! Writing the parameters of requests.

use crate::ClientError;
use carryall_proto::ParamsWriter;
use carryall_proto::json::WriteError;
use carryall_types::{JsonObject, JsonValue};
use serde::Serialize;

/// Parameters as `f` writes them.
pub(crate) fn write(
    f: impl FnOnce(&mut ParamsWriter) -> Result<(), WriteError>,
) -> Result<ParamsWriter, ClientError> {
    let mut params = ParamsWriter::new();
    f(&mut params).map_err(|error| {
        ClientError::Request(format!("the parameters cannot be written as JSON: {error}"))
    })?;
    Ok(params)
}

/// Adds `arguments`, which must be an object; `null` stands for none.
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

/// The members of any value that serialises to an object.
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
            // The client writes it; members of its own go in by `Request::meta`.
            if name != "_meta" {
                params.put(name, value)?;
            }
        }
        Ok(())
    })
}
