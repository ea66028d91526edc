//! Error codes of earlier revisions.

use carryall_types::{ErrorObject, JsonObject, code};

/// Returns the error with the code that an earlier revision has for it. `-32002` is 2025-11-25
/// `server/resources#error-handling`; the other codes mapped here exist in 2026-07-28 alone.
pub(crate) fn for_client(method: &str, mut error: ErrorObject) -> ErrorObject {
    error.code = match error.code {
        code::INVALID_PARAMS if method == "resources/read" && has_uri(&error) => {
            code::LEGACY_RESOURCE_NOT_FOUND
        }
        code::MISSING_REQUIRED_CLIENT_CAPABILITY => code::INVALID_REQUEST,
        code::HEADER_MISMATCH | code::UNSUPPORTED_PROTOCOL_VERSION => code::INTERNAL_ERROR,
        other => other,
    };
    error
}

/// Returns whether the error names a URI in `data`, which distinguishes a missing resource from
/// other invalid parameters (`server/resources#error-handling`).
fn has_uri(error: &ErrorObject) -> bool {
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
        for_client(
            method,
            ErrorObject::new(code, "x").with_data(RawJson::from(&data)),
        )
        .code
    }

    #[test]
    fn codes_of_2026_07_28_are_mapped_for_legacy_clients() {
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
