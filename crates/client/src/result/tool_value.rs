//! The value of a tool result.

use super::{FromResult, RawResult, salvage};
use crate::ClientError;
use crate::error::ResponseError;
use crate::text::text_of;
use crate::warnings::Warnings;
use carryall_types::{CallToolResult, JsonValue, Method, RawJson, decode_text};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use std::marker::PhantomData;

/// The value that a tool returned, as `T`; see [`Request::typed`](crate::Request::typed).
#[derive(Debug)]
pub struct ToolValue<T>(PhantomData<fn() -> T>);

impl<T: DeserializeOwned + Send + 'static> FromResult for ToolValue<T> {
    type Output = T;

    fn from_result(result: RawResult<'_>, warnings: &mut Warnings) -> Result<T, ClientError> {
        decode_value(result.method, result.text, warnings)
    }
}

/// Decodes the value of a tool result: `structuredContent` if present, else the text as JSON, else,
/// if `T` is a string, the text itself. `{"result": value}`, which some SDKs wrap around values that
/// are not objects, is unwrapped. The rest of the result is decoded only if needed.
fn decode_value<T: DeserializeOwned>(
    method: &Method,
    result: &RawJson,
    warnings: &mut Warnings,
) -> Result<T, ClientError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct StructuredFields<'a> {
        #[serde(borrow, default)]
        structured_content: Option<&'a RawValue>,
        #[serde(default)]
        is_error: Option<bool>,
    }
    let fail = |reason: String| ResponseError::Decode {
        method: method.clone(),
        reason,
    };
    let fields: Option<StructuredFields<'_>> = serde_json::from_slice(result.as_bytes()).ok();
    if let Some(StructuredFields {
        structured_content: Some(content),
        is_error: None | Some(false),
    }) = fields
    {
        return Ok(decode_structured(content.get()).map_err(fail)?);
    }
    let result: CallToolResult = salvage::decode(method, result, warnings)?;
    if result.failed() {
        return Err(ClientError::Tool(Box::new(result)));
    }
    let value = match &result.structured_content {
        Some(content) if !content.is_null() => decode_structured(&content.to_string()),
        _ => decode_unstructured(&text_of(&result)),
    };
    Ok(value.map_err(fail)?)
}

fn decode_structured<T: DeserializeOwned>(content: &str) -> Result<T, String> {
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

fn decode_unstructured<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    decode_text(text).or_else(|error| {
        // The text itself, if `T` is a string.
        serde_json::from_value(JsonValue::from(text))
            .map_err(|_| format!("neither structuredContent nor JSON text: {error}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Returns `None` for a failed tool.
    fn read<T: DeserializeOwned>(result: JsonValue) -> Result<Option<T>, String> {
        match decode_value(
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
    fn structured_content_takes_precedence() {
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
    fn integers_may_have_a_zero_fraction() {
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
    fn text_is_decoded_as_json_or_used_as_it_is() {
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
