//! Reads the parameters of calls.

use crate::call::errors;
use carryall_proto::Call;
use carryall_proto::json::{Scanner, ValueKind};
use carryall_types::{ErrorObject, RawJson};
use serde::de::DeserializeOwned;

/// Returns the `arguments` of a call; an empty object if there are none.
///
/// # Errors
/// `-32602`, when they are not an object.
pub(crate) fn arguments(call: &Call) -> Result<RawJson, ErrorObject> {
    let Some(arguments) = given_arguments(call) else {
        return Ok(RawJson::EMPTY_OBJECT);
    };
    match Scanner::new(arguments.as_str()).kind() {
        Ok(ValueKind::Object) => Ok(arguments),
        _ => Err(ErrorObject::invalid_params(
            "Invalid params: \"arguments\" must be an object",
        )),
    }
}

/// Returns the member `arguments`. `null` counts as absent: some clients send it, although the
/// schema does not allow it.
pub(crate) fn given_arguments(call: &Call) -> Option<RawJson> {
    call.params()
        .get("arguments")
        .filter(|arguments| arguments.as_str() != "null")
}

/// Returns a required member that is a string.
pub(super) fn string(call: &Call, name: &str) -> Result<String, ErrorObject> {
    match (call.params().string(name), call.params().get_str(name)) {
        (Some(text), _) => Ok(text.into_owned()),
        (None, None) => Err(ErrorObject::invalid_params(format!(
            "Invalid params: {name:?} is missing"
        ))),
        (None, Some(_)) => Err(ErrorObject::invalid_params(format!(
            "Invalid params: {name:?} has to be a string"
        ))),
    }
}

/// Decodes an optional member.
pub(super) fn optional<T: DeserializeOwned>(
    call: &Call,
    name: &str,
) -> Result<Option<T>, ErrorObject> {
    let Some(text) = call.params().get_str(name) else {
        return Ok(None);
    };
    carryall_types::decode_text(text)
        .map_err(|error| errors::invalid_params(format!("{name:?}: {error}")))
}

/// Decodes all parameters.
pub(super) fn decode<T: DeserializeOwned>(call: &Call) -> Result<T, ErrorObject> {
    call.params().raw().decode().map_err(errors::invalid_params)
}
