//! Lenient decoding of responses whose meaning is clear in spite of faults.

use crate::Printable;
use carryall_types::{ErrorObject, JsonValue, RawJson, RequestId, code};
use serde::Deserialize;

/// Text in place of an error object is kept up to this many characters.
const SHOWN: usize = 300;

/// Decodes the id of a response. `7.0` is `7`: JSON has one kind of number, and some languages
/// write integers so.
pub(crate) fn read_lenient_id(token: &str) -> Option<RequestId> {
    super::read_id(token).or_else(|| integer(token.parse().ok()?).map(RequestId::Number))
}

/// Decodes an error object. A malformed one is an error nevertheless, so it is never refused: values
/// of the wrong type become part of the message, and a missing or unusable code becomes `-32603`.
#[must_use]
pub fn read_error(error: &str) -> ErrorObject {
    let whole = error;
    // An array would do for an object, as far as serde is concerned.
    let error = if whole.starts_with('{') { whole } else { "" };
    if let Ok(error) = serde_json::from_str(error) {
        return error;
    }
    #[derive(Deserialize)]
    struct Loose {
        #[serde(default)]
        code: JsonValue,
        #[serde(default)]
        message: JsonValue,
        #[serde(default)]
        data: Option<RawJson>,
    }
    let Ok(Loose {
        code,
        message,
        data,
    }) = serde_json::from_str(error)
    else {
        return ErrorObject::new(
            code::INTERNAL_ERROR,
            format!(
                "malformed error object: {}",
                Printable(whole).clipped(SHOWN)
            ),
        );
    };
    let mut text = match &message {
        JsonValue::String(text) => text.clone(),
        JsonValue::Null => "an error without a message".to_owned(),
        other => Printable(&other.to_string()).clipped(SHOWN).to_string(),
    };
    let number = match &code {
        JsonValue::Number(number) => number.as_i64().or_else(|| integer(number.as_f64()?)),
        JsonValue::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    if number.is_none() {
        let shown = code.to_string();
        text.push_str(&format!(
            " (its code, {}, is not an integer)",
            Printable(&shown).clipped(SHOWN)
        ));
    }
    ErrorObject {
        code: number.unwrap_or(code::INTERNAL_ERROR),
        message: text,
        data,
    }
}

fn integer(number: f64) -> Option<i64> {
    // Beyond 2^53 a float does not say which integer it was.
    let exact = number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0;
    exact.then_some(number as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_with_faults_is_still_an_error() {
        let read = |text: &str| {
            let error = read_error(text);
            (error.code, error.message)
        };
        assert_eq!(
            read(r#"{"code":-32601,"message":"no"}"#),
            (-32601, "no".into())
        );
        assert_eq!(
            read(r#"{"code":"-32601","message":"no"}"#),
            (-32601, "no".into())
        );
        assert_eq!(
            read(r#"{"code":-32601.0,"message":"no"}"#),
            (-32601, "no".into())
        );
        assert_eq!(
            read(r#"{"code":"E_GONE","message":"no"}"#),
            (
                -32603,
                r#"no (its code, "E_GONE", is not an integer)"#.into()
            )
        );
        assert_eq!(
            read(r#"{"code":1}"#),
            (1, "an error without a message".into())
        );
        assert_eq!(
            read(r#"{"code":1,"message":{"a":1}}"#),
            (1, r#"{"a":1}"#.into())
        );
        for text in [r#""boom""#, "[1]", "7", r#"[1,"x"]"#] {
            let (code, message) = read(text);
            assert_eq!(code, -32603);
            assert!(message.contains(text), "{message}");
        }
        assert!(
            read_error(&format!("\"{}\"", "x".repeat(10_000)))
                .message
                .len()
                < 1000
        );
        assert_eq!(
            read_error(r#"{"code":"x","data":[1]}"#)
                .data
                .unwrap()
                .as_str(),
            "[1]"
        );
    }

    #[test]
    fn an_id_that_is_a_whole_number_is_that_number() {
        assert_eq!(read_lenient_id("7.0"), Some(7.into()));
        assert_eq!(read_lenient_id("7e1"), Some(70.into()));
        for other in ["7.5", "1e300", "null", "true", "{}", "[1]", ""] {
            assert_eq!(read_lenient_id(other), None, "{other}");
        }
    }
}
