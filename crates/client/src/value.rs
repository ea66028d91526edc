//! The value that a tool's result stands for.

use carryall_types::{CallToolResult, ContentBlock, JsonValue, RawJson, decode_text};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

/// The texts of a result, one below the other: what to show to a model or a person.
#[must_use]
pub fn text_of(result: &CallToolResult) -> String {
    let texts: Vec<&str> = result.content.iter().filter_map(ContentBlock::as_text).collect();
    texts.join("\n")
}

/// What a result holds as `T`, without decoding the rest of it.
///
/// `structuredContent` if it is there, else the text: as JSON of type `T`, or as it stands if `T` is a string. Some
/// servers wrap values that are no objects as `{"result": value}`; that is looked through.
///
/// `Ok(None)` means that the tool has failed (`isError`).
pub(crate) fn typed<T: DeserializeOwned>(result: &RawJson) -> Result<Option<T>, String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Output<'a> {
        #[serde(borrow, default)]
        structured_content: Option<&'a RawValue>,
        #[serde(default)]
        is_error: Option<bool>,
    }
    let output: Output<'_> = serde_json::from_slice(result.as_bytes()).map_err(|error| error.to_string())?;
    if output.is_error == Some(true) {
        return Ok(None);
    }
    match output.structured_content {
        Some(content) => structured(content.get()).map(Some),
        None => {
            let result: CallToolResult = result.decode().map_err(|error| error.to_string())?;
            unstructured(&text_of(&result)).map(Some)
        }
    }
}

fn structured<T: DeserializeOwned>(content: &str) -> Result<T, String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wrapped<'a> {
        #[serde(borrow)]
        result: &'a RawValue,
    }
    let error = match decode_text(content) {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    let wrapped = serde_json::from_str::<Wrapped<'_>>(content).ok();
    wrapped.and_then(|wrapped| decode_text(wrapped.result.get()).ok()).ok_or_else(|| error.to_string())
}

fn unstructured<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    decode_text(text).or_else(|error| {
        // Not JSON of the type: perhaps the text itself is what was asked for.
        serde_json::from_value(JsonValue::from(text))
            .map_err(|_| format!("neither structuredContent nor JSON text: {error}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read<T: DeserializeOwned>(result: JsonValue) -> Result<Option<T>, String> {
        typed(&RawJson::from(&result))
    }

    #[test]
    fn structured_content_comes_first() {
        assert_eq!(read(json!({"content": [{"type": "text", "text": "no"}], "structuredContent": 5})), Ok(Some(5)));
        assert_eq!(read(json!({"content": [], "structuredContent": {"result": [1]}})), Ok(Some(vec![1])));
        assert!(read::<i64>(json!({"content": [], "structuredContent": {"result": 1, "more": 2}})).is_err());
    }

    #[test]
    fn text_is_json_or_itself() {
        assert_eq!(read(json!({"content": [{"type": "text", "text": "5"}]})), Ok(Some(5)));
        assert_eq!(read(json!({"content": [{"type": "text", "text": "sunny"}]})), Ok(Some("sunny".to_owned())));
        assert!(read::<i64>(json!({"content": [{"type": "text", "text": "sunny"}]})).is_err());
    }

    #[test]
    fn a_failed_tool_has_no_value() {
        assert_eq!(read::<i64>(json!({"content": [{"type": "text", "text": "5"}], "isError": true})), Ok(None));
    }
}
