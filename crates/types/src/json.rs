//! JSON kept as text, and the two `serde_json` types that appear in the public API.

use bytes::Bytes;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// Any JSON value.
pub type JsonValue = serde_json::Value;
/// A JSON object whose members keep their order.
pub type JsonObject = serde_json::Map<String, serde_json::Value>;

/// One well-formed JSON value as UTF-8 text, cheap to clone and to pass on untouched.
///
/// Parsing is put off until somebody knows the type: a gateway forwards the text, a handler decodes
/// it once.
// Invariant: the bytes are UTF-8. `as_str` relies on it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RawJson(Bytes);

impl RawJson {
    /// The value `{}`.
    pub const EMPTY_OBJECT: Self = Self(Bytes::from_static(b"{}"));
    /// The value `null`.
    pub const NULL: Self = Self(Bytes::from_static(b"null"));

    /// Takes text that is already known to be one well-formed JSON value; only its encoding is
    /// looked at again.
    ///
    /// Meant for text that was just scanned or serialised. Text that is not JSON breaks the message
    /// it is put into, nothing worse; in debug builds it panics here. Bytes that are not UTF-8
    /// become `null`.
    #[must_use]
    pub fn from_trusted(text: Bytes) -> Self {
        Self::debug_check(&text);
        if std::str::from_utf8(&text).is_err() {
            return Self::NULL;
        }
        Self(text)
    }

    /// As [`RawJson::from_trusted`], without looking at the encoding either: for the hot path,
    /// where the text was written or checked as UTF-8 a moment ago and may be large.
    ///
    /// # Safety
    /// `text` has to be UTF-8.
    #[allow(unsafe_code)]
    #[must_use]
    pub unsafe fn from_utf8_unchecked(text: Bytes) -> Self {
        Self::debug_check(&text);
        Self(text)
    }

    fn debug_check(text: &Bytes) {
        debug_assert!(
            serde_json::from_slice::<serde::de::IgnoredAny>(text).is_ok(),
            "not JSON: {text:?}"
        );
    }

    /// A part of the text that is a JSON value by itself, sharing the buffer.
    ///
    /// # Panics
    /// When the range is not within the text or cuts a character.
    #[must_use]
    pub fn slice(&self, range: std::ops::Range<usize>) -> Self {
        let part = &self.as_str()[range.clone()];
        debug_assert!(
            serde_json::from_str::<serde::de::IgnoredAny>(part).is_ok(),
            "not JSON: {part:?}"
        );
        Self(self.0.slice(range))
    }

    /// Checks that `text` is one well-formed JSON value.
    ///
    /// # Errors
    /// The position and kind of the first syntax error.
    pub fn parse(text: impl Into<Bytes>) -> Result<Self, serde_json::Error> {
        let text = text.into();
        let checked = std::str::from_utf8(&text).map_err(serde::de::Error::custom)?;
        serde_json::from_str::<serde::de::IgnoredAny>(checked)?;
        Ok(Self(text))
    }

    /// Serialises `value`.
    ///
    /// # Errors
    /// Whatever the type's own `Serialize` reports, for example a map with keys that are not
    /// strings.
    pub fn from_value<T: Serialize + ?Sized>(value: &T) -> Result<Self, serde_json::Error> {
        serde_json::to_vec(value).map(|text| Self(text.into()))
    }

    /// Decodes the value as `T`, as [`decode_text`](crate::decode_text) does: an integer may be
    /// written as `2.0`, and half of a surrogate pair decodes to U+FFFD.
    ///
    /// # Errors
    /// When the value does not have the shape of `T`.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        crate::decode_text(self.as_str())
    }

    /// The JSON text.
    #[allow(unsafe_code)]
    #[must_use]
    pub fn as_str(&self) -> &str {
        // SAFETY: every constructor has checked, or was promised, that the bytes are UTF-8.
        unsafe { std::str::from_utf8_unchecked(&self.0) }
    }

    /// The JSON text as bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The shared buffer that holds the text.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.0
    }
}

impl fmt::Debug for RawJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for RawJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<&JsonValue> for RawJson {
    fn from(value: &JsonValue) -> Self {
        Self(value.to_string().into())
    }
}

impl Serialize for RawJson {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &serde_json::value::RawValue = serde_json::from_slice(&self.0)
            .map_err(|_| serde::ser::Error::custom("malformed raw JSON"))?;
        raw.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for RawJson {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<serde_json::value::RawValue>::deserialize(deserializer)
            .map_err(D::Error::custom)?;
        Ok(Self(Bytes::from(Box::<str>::from(raw).into_string())))
    }
}
