//! Lenient decoding of valid JSON that serde rejects but other implementations write.
//!
//! Two deviations are repaired, and only after strict decoding has failed, so that regular messages
//! are decoded only once:
//!
//! - **Integers written as `2.0` or `1e3`.** Both are integers in JSON Schema (2020-12 validation,
//!   section 6.1.1) and in languages with a single number type. The digits are rewritten as text,
//!   without rounding: `9007199254740993.0` is exactly that integer. Integers of more than 40
//!   digits are not rewritten.
//! - **Unpaired surrogates**, such as `\ud83d` alone, which languages with UTF-16 strings write
//!   when they truncate a string inside an emoji. They decode to U+FFFD.

use serde::de::DeserializeOwned;
use serde_json::error::Category;
use serde_json::{Number, Value as JsonValue};
use std::borrow::Cow;

/// The maximum number of digits of a rewritten integer: enough for `u128`, which has 39. Without a
/// limit, `1e999999999` would be rewritten to a gigabyte of zeros.
const MAX_DIGITS: usize = 40;

/// Decodes JSON text as `T`. An integer may be written as `2.0` or `1e3`, and an unpaired surrogate
/// decodes to U+FFFD.
///
/// Text that `serde_json::from_str` accepts is decoded by it alone.
///
/// # Errors
/// When the text does not have the shape of `T`.
pub fn decode_text<T: DeserializeOwned>(text: &str) -> Result<T, serde_json::Error> {
    serde_json::from_str(text).or_else(|error| retry(text, error))
}

/// Decodes a JSON value as `T`. An integer may be a float without a fraction.
///
/// # Errors
/// When the value does not have the shape of `T`.
pub fn decode_value<T: DeserializeOwned>(mut value: JsonValue) -> Result<T, serde_json::Error> {
    T::deserialize(&value).or_else(|error| {
        if convert_integral_floats(&mut value) {
            serde_json::from_value(value)
        } else {
            Err(error)
        }
    })
}

/// Decodes `text` again after repairing what strict decoding rejected with `error`.
#[cold]
fn retry<T: DeserializeOwned>(
    text: &str,
    mut error: serde_json::Error,
) -> Result<T, serde_json::Error> {
    let mut text = Cow::Borrowed(text);
    // One attempt per kind of repair: the text may need both.
    for _ in 0..2 {
        // An unpaired surrogate is a syntax error, a number of the wrong form a data error.
        let repaired = match error.classify() {
            Category::Syntax => replace_lone_surrogates(&text),
            Category::Data => rewrite_integers(&text),
            Category::Eof | Category::Io => None,
        };
        let Some(repaired) = repaired else { break };
        match serde_json::from_str(&repaired) {
            Ok(value) => return Ok(value),
            Err(other) => (text, error) = (Cow::Owned(repaired), other),
        }
    }
    Err(error)
}

/// Replaces each escape of an unpaired surrogate in a JSON text by `\ufffd`. Returns `None` if
/// there is none.
#[must_use]
pub fn replace_lone_surrogates(text: &str) -> Option<String> {
    let utf16_escape_at = |at: usize| -> Option<u16> {
        let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
        u16::from_str_radix(digits, 16).ok()
    };
    let (mut out, mut copied, mut at) = (String::new(), 0, 0);
    // In JSON, backslashes occur only within strings.
    while let Some(found) = text[at..].find('\\') {
        at += found;
        let length = match utf16_escape_at(at) {
            Some(0xD800..=0xDBFF) if matches!(utf16_escape_at(at + 6), Some(0xDC00..=0xDFFF)) => 12,
            Some(0xD800..=0xDFFF) => {
                out.push_str(&text[copied..at]);
                out.push_str("\\ufffd");
                copied = at + 6;
                6
            }
            Some(_) => 6,
            None => 1 + text[at + 1..].chars().next().map_or(0, char::len_utf8),
        };
        at += length;
    }
    (copied > 0).then(|| out + &text[copied..])
}

/// Rewrites each integer with a fraction or an exponent in a JSON text. Returns `None` if there is
/// none.
fn rewrite_integers(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let (mut out, mut copied, mut at) = (String::new(), 0, 0);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => at = end_of_string(bytes, at),
            b'-' | b'0'..=b'9' => {
                let end = end_of_number(bytes, at);
                if let Some(integer) = plain_integer(&text[at..end]) {
                    out.push_str(&text[copied..at]);
                    out.push_str(&integer);
                    copied = end;
                }
                at = end;
            }
            _ => at += 1,
        }
    }
    (copied > 0).then(|| out + &text[copied..])
}

fn end_of_string(bytes: &[u8], quote: usize) -> usize {
    let mut at = quote + 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

fn end_of_number(bytes: &[u8], from: usize) -> usize {
    let is_part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
    bytes[from..]
        .iter()
        .position(|byte| !is_part(byte))
        .map_or(bytes.len(), |length| from + length)
}

/// Returns `2` for `2.0`, `1000` for `1e3` and `0` for `-0`; `None` for other numbers: those that
/// are no integers, have too many digits, or need no rewriting.
fn plain_integer(number: &str) -> Option<String> {
    let (sign, unsigned) = number
        .strip_prefix('-')
        .map_or(("", number), |rest| ("-", rest));
    if unsigned.bytes().all(|byte| byte.is_ascii_digit()) && number != "-0" {
        return None;
    }
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = [whole, fraction].concat();
    let significant = digits.trim_start_matches('0').trim_end_matches('0');
    if significant.is_empty() {
        return Some("0".to_owned());
    }
    let leading_zeros = digits.len() - digits.trim_start_matches('0').len();
    let exponent: i64 = exponent.parse().ok()?;
    // The number of digits from the first significant digit to the decimal point. The number is an
    // integer if these include all significant digits.
    let integer_digits = i64::try_from(whole.len()).ok()?.checked_add(exponent)?
        - i64::try_from(leading_zeros).ok()?;
    let integer_digits = usize::try_from(integer_digits)
        .ok()
        .filter(|digits| (significant.len()..=MAX_DIGITS).contains(digits))?;
    Some(format!("{sign}{significant:0<integer_digits$}"))
}

/// Converts floats without a fraction to integers, in place. Returns whether there were any. A
/// float beyond 2^53 becomes its exact integer value.
fn convert_integral_floats(value: &mut JsonValue) -> bool {
    match value {
        JsonValue::Number(number) => match integral_float(number) {
            Some(integer) => {
                *number = integer;
                true
            }
            None => false,
        },
        // Not `any`, which would leave the items after the first match unconverted.
        JsonValue::Array(items) => items
            .iter_mut()
            .fold(false, |found, item| convert_integral_floats(item) | found),
        JsonValue::Object(members) => members
            .values_mut()
            .fold(false, |found, item| convert_integral_floats(item) | found),
        _ => false,
    }
}

/// Returns the integer that a float without a fraction represents.
fn integral_float(number: &Number) -> Option<Number> {
    /// The first floats beyond the range of `i64` and `u64`.
    const I64_END: f64 = 9_223_372_036_854_775_808.0;
    const U64_END: f64 = 18_446_744_073_709_551_616.0;
    let float = number
        .as_f64()
        .filter(|float| number.is_f64() && float.fract() == 0.0)?;
    if (-I64_END..I64_END).contains(&float) {
        Some(Number::from(float as i64))
    } else if (0.0..U64_END).contains(&float) {
        Some(Number::from(float as u64))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use serde_json::json;
    use std::collections::BTreeMap;

    #[derive(Debug, Deserialize, PartialEq)]
    struct All {
        signed: i64,
        #[serde(default)]
        small: Option<u32>,
        #[serde(default)]
        many: Vec<i16>,
        #[serde(default)]
        by_name: BTreeMap<String, u64>,
        #[serde(default)]
        inner: Option<Box<All>>,
        #[serde(default)]
        half: Option<f64>,
        #[serde(default)]
        text: String,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct Flat {
        #[serde(flatten)]
        rest: Inner,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct Inner {
        n: u8,
        x: f64,
    }

    #[test]
    fn integers_may_be_written_with_fraction_and_exponent() {
        let text = r#"{"signed":-2.0,"small":1e3,"many":[1.0,2,3.00e0],"by_name":{"2.0":4.0},
            "inner":{"signed":0.2e1,"text":"\"5.0"},"half":2.0}"#;
        let inner = All {
            signed: 2,
            small: None,
            many: vec![],
            by_name: BTreeMap::new(),
            inner: None,
            half: None,
            text: "\"5.0".into(),
        };
        let expected = All {
            signed: -2,
            small: Some(1000),
            many: vec![1, 2, 3],
            by_name: BTreeMap::from([("2.0".to_owned(), 4)]),
            inner: Some(Box::new(inner)),
            half: Some(2.0),
            text: String::new(),
        };
        assert_eq!(decode_text::<All>(text).unwrap(), expected);
        assert_eq!(
            decode_value::<All>(serde_json::from_str(text).unwrap()).unwrap(),
            expected
        );
        assert_eq!(
            decode_text::<Flat>(r#"{"n":7.0,"x":7.0}"#).unwrap(),
            Flat {
                rest: Inner { n: 7, x: 7.0 }
            }
        );
        assert_eq!(decode_text::<f64>("2").unwrap(), 2.0);
    }

    #[test]
    fn integers_are_rewritten_without_rounding() {
        assert_eq!(
            decode_text::<i64>("9007199254740993.0").unwrap(),
            9_007_199_254_740_993
        );
        assert_eq!(
            decode_text::<u64>("1.8446744073709551615e19").unwrap(),
            u64::MAX
        );
        assert_eq!(decode_text::<i64>("-0").unwrap(), 0);
        assert_eq!(decode_text::<i64>("-0.0").unwrap(), 0);
        assert_eq!(decode_text::<i64>("1200e-2").unwrap(), 12);
        assert_eq!(
            decode_value::<i64>(json!(1e18)).unwrap(),
            1_000_000_000_000_000_000
        );
        assert_eq!(
            decode_value::<u64>(json!(1e19)).unwrap(),
            10_000_000_000_000_000_000
        );
    }

    #[test]
    fn other_numbers_are_rejected() {
        for text in [
            "2.5",
            "1e-1",
            "0.01e1",
            "1e19",
            "1e999999999",
            "1e99999999999999999999",
            "\"2.0\"",
            "[2.0]",
        ] {
            assert!(decode_text::<i64>(text).is_err(), "{text}");
        }
        assert!(
            decode_text::<u8>("256.0")
                .unwrap_err()
                .to_string()
                .contains("256")
        );
        for value in [json!(2.5), json!(1e19), json!(f64::MAX), json!("2")] {
            assert!(decode_value::<i64>(value).is_err());
        }
        // The error reports the invalid `small`, not the rewritten `signed`.
        let error = decode_text::<All>(r#"{"signed":2.0,"small":"x"}"#)
            .unwrap_err()
            .to_string();
        assert!(error.contains("string \"x\""), "{error}");
    }

    #[test]
    fn an_unpaired_surrogate_becomes_a_replacement_character() {
        let text = |json: &str| decode_text::<String>(json).unwrap();
        assert_eq!(text(r#""a\ud83d""#), "a\u{fffd}");
        assert_eq!(text(r#""\ud83d\ude00\ude00b""#), "\u{1f600}\u{fffd}b");
        assert_eq!(text(r#""\ud83d\ud83d\ude00""#), "\u{fffd}\u{1f600}");
        assert_eq!(text(r#""\ud83d\\ude00ä\\""#), "\u{fffd}\\ude00ä\\");
        assert_eq!(text(r#""\\ud83d\uD83D\n""#), "\\ud83d\u{fffd}\n");
        assert_eq!(
            decode_text::<JsonValue>(r#"{"k\udead":["\uDEAD",2.0]}"#).unwrap(),
            json!({"k\u{fffd}": ["\u{fffd}", 2.0]})
        );
        let both = decode_text::<All>(r#"{"signed":2.0,"text":"\ud83d"}"#).unwrap();
        assert_eq!((both.signed, both.text.as_str()), (2, "\u{fffd}"));
    }

    #[test]
    fn invalid_json_is_rejected() {
        for text in [
            r#""\ud83""#,
            r#""\ud83d"#,
            r#""\x""#,
            "\"\\",
            "{",
            "-",
            "2.0.0",
            "\"\\ud83d\" x",
        ] {
            assert!(decode_text::<JsonValue>(text).is_err(), "{text}");
        }
    }
}
