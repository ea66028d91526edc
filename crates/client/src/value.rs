//! The value that a tool's result stands for.

use crate::warnings::Warnings;
use crate::{ClientError, salvage};
use carryall_types::{CallToolResult, ContentBlock, JsonValue, Method, RawJson, decode_text};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

/// The texts of a result, one below the other: what to show to a model or a person.
#[must_use]
pub fn text_of(result: &CallToolResult) -> String {
    let texts: Vec<&str> = result
        .content
        .iter()
        .filter_map(ContentBlock::as_text)
        .collect();
    texts.join("\n")
}

/// What a result holds as `T`, without decoding the rest of it where that is not needed.
///
/// `structuredContent` if it is there, else the text: as JSON of type `T`, or as it stands if `T`
/// is a string. Some servers wrap values that are no objects as `{"result": value}`; that is looked
/// through.
pub(crate) fn typed<T: DeserializeOwned>(
    method: &Method,
    result: &RawJson,
    warnings: &mut Warnings,
) -> Result<T, ClientError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Output<'a> {
        #[serde(borrow, default)]
        structured_content: Option<&'a RawValue>,
        #[serde(default)]
        is_error: Option<bool>,
    }
    let fail = |why| ClientError::Decode {
        method: method.clone(),
        why,
    };
    let output: Option<Output<'_>> = serde_json::from_slice(result.as_bytes()).ok();
    if let Some(Output {
        structured_content: Some(content),
        is_error: None | Some(false),
    }) = output
    {
        return structured(content.get()).map_err(fail);
    }
    let result: CallToolResult = salvage::decode(method, result, warnings)?;
    if result.failed() {
        return Err(ClientError::Tool(Box::new(result)));
    }
    match &result.structured_content {
        Some(content) if !content.is_null() => structured(&content.to_string()),
        _ => unstructured(&text_of(&result)),
    }
    .map_err(fail)
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
    wrapped
        .and_then(|wrapped| decode_text(wrapped.result.get()).ok())
        .ok_or_else(|| error.to_string())
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

    /// `None` for a tool that failed.
    fn read<T: DeserializeOwned>(result: JsonValue) -> Result<Option<T>, String> {
        match typed(
            &Method::ToolsCall,
            &RawJson::from(&result),
            &mut Warnings::default(),
        ) {
            Ok(value) => Ok(Some(value)),
            Err(ClientError::Tool(_)) => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn structured_content_comes_first() {
        assert_eq!(
            read(json!({"content": [{"type": "text", "text": "no"}], "structuredContent": 5})),
            Ok(Some(5))
        );
        assert_eq!(
            read(json!({"content": [], "structuredContent": {"result": [1]}})),
            Ok(Some(vec![1]))
        );
        assert!(
            read::<i64>(json!({"content": [], "structuredContent": {"result": 1, "more": 2}}))
                .is_err()
        );
    }

    #[test]
    fn integers_may_have_a_fraction_of_nothing() {
        assert_eq!(
            read(json!({"content": [], "structuredContent": 5.0})),
            Ok(Some(5))
        );
        assert_eq!(
            read(json!({"content": [], "structuredContent": {"result": [1.0]}})),
            Ok(Some(vec![1_u8]))
        );
        assert_eq!(
            read(json!({"content": [{"type": "text", "text": "1e3"}]})),
            Ok(Some(1000))
        );
        assert_eq!(
            read(json!({"content": [], "structuredContent": 5.0})),
            Ok(Some(5.0))
        );
    }

    #[test]
    fn text_is_json_or_itself() {
        assert_eq!(
            read(json!({"content": [{"type": "text", "text": "5"}]})),
            Ok(Some(5))
        );
        assert_eq!(
            read(json!({"content": [{"type": "text", "text": "sunny"}]})),
            Ok(Some("sunny".to_owned()))
        );
        assert!(read::<i64>(json!({"content": [{"type": "text", "text": "sunny"}]})).is_err());
    }

    #[test]
    fn a_failed_tool_has_no_value() {
        assert_eq!(
            read::<i64>(json!({"content": [{"type": "text", "text": "5"}], "isError": true})),
            Ok(None)
        );
    }
}
