//! Errors in the codes of their day.

use crate::message::Request;
use carryall_types::{ErrorObject, JsonObject, code};

/// The one table of codes that differ. `-32002` is 2025-11-25 `server/resources#error-handling`;
/// the others exist in this revision alone, and say to an old client that its request cannot be
/// served as it stands.
pub(crate) fn for_client(request: &Request, mut error: ErrorObject) -> ErrorObject {
    error.code = match error.code {
        code::INVALID_PARAMS if request.method == "resources/read" && names_a_uri(&error) => {
            code::LEGACY_RESOURCE_NOT_FOUND
        }
        code::MISSING_REQUIRED_CLIENT_CAPABILITY => code::INVALID_REQUEST,
        code::HEADER_MISMATCH | code::UNSUPPORTED_PROTOCOL_VERSION => code::INTERNAL_ERROR,
        other => other,
    };
    error
}

/// A resource that is not there is told from other faults by its URI in `data`
/// (`server/resources#error-handling`).
fn names_a_uri(error: &ErrorObject) -> bool {
    error
        .data
        .as_ref()
        .and_then(|data| data.decode::<JsonObject>().ok())
        .is_some_and(|data| data.contains_key("uri"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use carryall_types::RawJson;
    use serde_json::json;

    fn translated(method: &str, code: i64, data: serde_json::Value) -> i64 {
        let request = Request {
            id: 1.into(),
            method: method.into(),
            params: RawJson::EMPTY_OBJECT,
        };
        for_client(
            &request,
            ErrorObject::new(code, "x").with_data(RawJson::from(&data)),
        )
        .code
    }

    #[test]
    fn codes_of_this_revision_never_reach_an_old_client() {
        assert_eq!(
            translated("resources/read", -32602, json!({"uri": "a:"})),
            -32002
        );
        assert_eq!(translated("resources/read", -32602, json!({})), -32602);
        assert_eq!(
            translated("tools/call", -32602, json!({"uri": "a:"})),
            -32602
        );
        assert_eq!(
            translated("tools/call", -32021, json!({"requiredCapabilities": {}})),
            -32600
        );
        assert_eq!(translated("tools/call", -32020, json!({})), -32603);
        assert_eq!(translated("tools/call", -32022, json!({})), -32603);
        assert_eq!(translated("tools/call", -32601, json!({})), -32601);
        assert_eq!(translated("tools/call", 7, json!({})), 7);
    }
}
