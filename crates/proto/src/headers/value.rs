//! The Base64 sentinel of `Mcp-Name` and `Mcp-Param-*`
//! (`basic/transports/streamable-http#value-encoding`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::borrow::Cow;
use std::fmt;

const PREFIX: &str = "=?base64?";
const SUFFIX: &str = "?=";

/// Why a header value cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderDecodeError {
    /// A byte that is neither visible ASCII, space nor tab.
    Character,
    /// Wrong alphabet, padding or trailing bits between the sentinels.
    Base64,
    /// The decoded bytes are not UTF-8.
    Utf8,
}

impl fmt::Display for HeaderDecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Character => "contains characters outside visible ASCII, space and tab",
            Self::Base64 => "is not well-formed Base64",
            Self::Utf8 => "is not UTF-8 after decoding",
        })
    }
}

impl std::error::Error for HeaderDecodeError {}

/// Encodes a header value: as it is where that is unambiguous, else in the sentinel form.
#[must_use]
pub fn encode_value(value: &str) -> Cow<'_, str> {
    if is_plain(value) {
        return Cow::Borrowed(value);
    }
    let mut encoded =
        String::with_capacity(PREFIX.len() + value.len().div_ceil(3) * 4 + SUFFIX.len());
    encoded.push_str(PREFIX);
    STANDARD.encode_string(value, &mut encoded);
    encoded.push_str(SUFFIX);
    Cow::Owned(encoded)
}

/// Decodes a header value. Surrounding optional white space is ignored, and half a sentinel is
/// literal text.
///
/// # Errors
/// When the value has characters that no field value may have, or is not Base64 of UTF-8 between
/// the sentinels.
pub fn decode_value(raw: &[u8]) -> Result<Cow<'_, str>, HeaderDecodeError> {
    let text = visible(raw)?;
    let Some(encoded) = between_sentinels(text) else {
        return Ok(Cow::Borrowed(text));
    };
    let bytes = STANDARD
        .decode(encoded)
        .map_err(|_| HeaderDecodeError::Base64)?;
    String::from_utf8(bytes)
        .map(Cow::Owned)
        .map_err(|_| HeaderDecodeError::Utf8)
}

/// A field value without its surrounding white space, if all of it is printable ASCII.
pub(super) fn visible(raw: &[u8]) -> Result<&str, HeaderDecodeError> {
    let trimmed = trim_ows(raw);
    if !trimmed.iter().all(|&byte| is_field_byte(byte)) {
        return Err(HeaderDecodeError::Character);
    }
    std::str::from_utf8(trimmed).map_err(|_| HeaderDecodeError::Character)
}

fn is_plain(value: &str) -> bool {
    let bytes = value.as_bytes();
    bytes.iter().all(|&byte| is_field_byte(byte))
        && trim_ows(bytes).len() == bytes.len()
        // Prefix and suffix may overlap here, as in `=?base64?=`: encoding a little too much is
        // never ambiguous.
        && !(value.starts_with(PREFIX) && value.ends_with(SUFFIX))
}

fn between_sentinels(text: &str) -> Option<&str> {
    text.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)
}

fn is_field_byte(byte: u8) -> bool {
    matches!(byte, b' '..=b'~' | b'\t')
}

fn trim_ows(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    // spec: http-headers-10, http-headers-26
    #[test]
    fn the_examples_of_the_specification_encode_as_printed() {
        for (value, header) in [
            ("us-west1", "us-west1"),
            ("Hello, 世界", "=?base64?SGVsbG8sIOS4lueVjA==?="),
            (" padded ", "=?base64?IHBhZGRlZCA=?="),
            ("line1\nline2", "=?base64?bGluZTEKbGluZTI=?="),
            ("=?base64?literal?=", "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?="),
        ] {
            assert_eq!(encode_value(value), header);
            assert_eq!(decode_value(header.as_bytes()).unwrap(), value);
        }
    }

    // spec: http-headers-edge-10
    #[test]
    fn empty_and_inner_white_space_travel_plain() {
        for value in ["", "a b", "a\tb", "~!\"#"] {
            assert!(matches!(encode_value(value), Cow::Borrowed(same) if same == value));
            assert!(
                matches!(decode_value(value.as_bytes()), Ok(Cow::Borrowed(same)) if same == value)
            );
        }
    }

    // spec: http-headers-28
    #[test]
    fn text_that_looks_encoded_is_encoded() {
        for value in ["=?base64??=", "=?base64?=", "=?base64?SGk=?="] {
            assert_ne!(encode_value(value), value);
            assert_eq!(decode_value(encode_value(value).as_bytes()).unwrap(), value);
        }
    }

    // spec: http-headers-27, http-headers-edge-07
    #[test]
    fn half_sentinels_and_other_cases_are_literal() {
        for value in [
            "=?base64?SGk=",
            "SGk=?=",
            "=?BASE64?SGk=?=",
            "=?Base64?SGk=?=",
            "x=?base64?SGk=?=",
            "=?base64?=",
        ] {
            assert_eq!(decode_value(value.as_bytes()).unwrap(), value);
        }
    }

    #[test]
    fn broken_base64_is_refused() {
        for value in [
            "=?base64?SGk?=",
            "=?base64?SGk==?=",
            "=?base64?S*k=?=",
            "=?base64?SGl=?=",
            "=?base64?_-8=?=",
            "=?base64? SGk=?=",
        ] {
            assert_eq!(
                decode_value(value.as_bytes()),
                Err(HeaderDecodeError::Base64),
                "{value}"
            );
        }
        assert_eq!(
            decode_value(b"=?base64?//8=?="),
            Err(HeaderDecodeError::Utf8)
        );
    }

    // spec: http-headers-34
    #[test]
    fn control_and_non_ascii_bytes_are_refused() {
        for raw in [
            &b"a\x00b"[..],
            b"a\nb",
            b"a\rb",
            b"a\x7fb",
            "ä".as_bytes(),
            b"\xff",
        ] {
            assert_eq!(decode_value(raw), Err(HeaderDecodeError::Character));
        }
    }

    // spec: http-headers-edge-08
    #[test]
    fn surrounding_white_space_does_not_count() {
        assert_eq!(decode_value(b" \t us-west1\t ").unwrap(), "us-west1");
        assert_eq!(decode_value(b" =?base64?SGk=?= ").unwrap(), "Hi");
        assert_eq!(decode_value(b" \t ").unwrap(), "");
    }

    proptest! {
        #[test]
        fn every_text_survives_the_way_through_a_header(value in "\\PC{0,40}|[ \\t=?base64a-z\\n\\r]{0,24}") {
            let header = encode_value(&value);
            prop_assert!(http::HeaderValue::from_str(&header).is_ok());
            prop_assert_eq!(&*decode_value(header.as_bytes()).unwrap(), &*value);
        }
    }
}
