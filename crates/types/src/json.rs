//! JSON as text, and the two `serde_json` types of the public API.

use bytes::Bytes;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// Any JSON value.
pub type JsonValue = serde_json::Value;
/// A JSON object that preserves the order of its members.
pub type JsonObject = serde_json::Map<String, serde_json::Value>;

/// A well-formed JSON value as UTF-8 text in a shared buffer, cheap to clone.
///
/// Decoding is deferred until the type is known: a gateway forwards the text unchanged, a handler
/// decodes it once.
///
/// ```
/// use carryall_types::RawJson;
///
/// let json = RawJson::parse(r#"{"n": 2.0}"#)?;
/// assert_eq!(json.as_str(), r#"{"n": 2.0}"#);
/// let decoded: std::collections::BTreeMap<String, u8> = json.decode()?;
/// assert_eq!(decoded["n"], 2);
/// # Ok::<(), serde_json::Error>(())
/// ```
// Invariant: the bytes are UTF-8. `as_str` relies on it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RawJson(Bytes);

impl RawJson {
    /// The value `{}`.
    pub const EMPTY_OBJECT: Self = Self(Bytes::from_static(b"{}"));
    /// The value `null`.
    pub const NULL: Self = Self(Bytes::from_static(b"null"));

    /// Wraps text that is known to be one well-formed JSON value. Only the encoding is checked:
    /// bytes that are not UTF-8 become `null`.
    ///
    /// Meant for text that was just scanned or serialised. Other text makes the message that
    /// contains it malformed.
    ///
    /// # Panics
    /// In debug builds, when the text is not JSON.
    #[must_use]
    pub fn from_trusted(text: Bytes) -> Self {
        Self::debug_check(&text);
        if std::str::from_utf8(&text).is_err() {
            return Self::NULL;
        }
        Self(text)
    }

    /// Wraps text like [`RawJson::from_trusted`], without checking the encoding. For the hot path,
    /// where the text was just written or checked as UTF-8 and may be large.
    ///
    /// # Safety
    /// `text` must be UTF-8.
    ///
    /// # Panics
    /// In debug builds, when the text is not JSON.
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

    /// Returns a part of the text that is itself a JSON value, sharing the buffer.
    ///
    /// # Panics
    /// When the range is out of bounds or not on character boundaries.
    #[must_use]
    pub fn slice(&self, range: std::ops::Range<usize>) -> Self {
        let part = &self.as_str()[range.clone()];
        debug_assert!(
            serde_json::from_str::<serde::de::IgnoredAny>(part).is_ok(),
            "not JSON: {part:?}"
        );
        Self(self.0.slice(range))
    }

    /// Checks that `text` is one well-formed JSON value, and wraps it.
    ///
    /// # Errors
    /// When the text is not UTF-8 or not JSON.
    pub fn parse(text: impl Into<Bytes>) -> Result<Self, serde_json::Error> {
        let text = text.into();
        let checked = std::str::from_utf8(&text).map_err(serde::de::Error::custom)?;
        serde_json::from_str::<serde::de::IgnoredAny>(checked)?;
        Ok(Self(text))
    }

    /// Serialises a value.
    ///
    /// # Errors
    /// When `Serialize` fails, for example because a map has keys that are not strings.
    pub fn from_value<T: Serialize + ?Sized>(value: &T) -> Result<Self, serde_json::Error> {
        serde_json::to_vec(value).map(|text| Self(text.into()))
    }

    /// Decodes the value as `T` like [`decode_text`](crate::decode_text): an integer may be written
    /// as `2.0`, and an unpaired surrogate decodes to U+FFFD.
    ///
    /// # Errors
    /// When the value does not have the shape of `T`.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        crate::decode_text(self.as_str())
    }

    /// Returns the JSON text.
    #[allow(unsafe_code)]
    #[must_use]
    pub fn as_str(&self) -> &str {
        // SAFETY: every constructor checks that the bytes are UTF-8, or requires it of its caller.
        unsafe { std::str::from_utf8_unchecked(&self.0) }
    }

    /// Returns the JSON text as bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the shared buffer with the text.
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
