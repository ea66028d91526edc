//! JSON-RPC ids, progress tokens and errors.

use crate::{Printable, RawJson};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// The `id` of a request: a string or an integer, never `null` (`basic/index#requests`).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RequestId {
    /// An integer id.
    Number(i64),
    /// A string id.
    String(Box<str>),
}

/// The progress token of a request: a string or an integer (`basic/patterns/progress`).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ProgressToken {
    /// An integer token.
    Number(i64),
    /// A string token.
    String(Box<str>),
}

/// The maximum length of an id or progress token in `Display`, in characters.
const MAX_SHOWN_ID: usize = 128;
/// The maximum length of an error message in `Display`, in characters.
const MAX_SHOWN_MESSAGE: usize = 1000;

/// Implements `Display`, `From` and the serde traits for an enum of a `Number` and a `String`.
macro_rules! string_or_integer {
    ($name:ident) => {
        /// Escapes a string with [`Printable`], since the peer may have chosen it.
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    Self::Number(n) => n.fmt(f),
                    Self::String(s) => Printable(s).clipped(MAX_SHOWN_ID).fmt(f),
                }
            }
        }
        impl From<i64> for $name {
            fn from(n: i64) -> Self {
                Self::Number(n)
            }
        }
        impl From<&str> for $name {
            fn from(s: &str) -> Self {
                Self::String(s.into())
            }
        }
        impl From<String> for $name {
            fn from(s: String) -> Self {
                Self::String(s.into())
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                match self {
                    Self::Number(n) => serializer.serialize_i64(*n),
                    Self::String(s) => serializer.serialize_str(s),
                }
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct IdVisitor;
                impl Visitor<'_> for IdVisitor {
                    type Value = $name;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str("a string or an integer")
                    }
                    fn visit_i64<E: de::Error>(self, n: i64) -> Result<$name, E> {
                        Ok($name::Number(n))
                    }
                    fn visit_u64<E: de::Error>(self, n: u64) -> Result<$name, E> {
                        i64::try_from(n)
                            .map($name::Number)
                            .map_err(|_| E::custom("integer out of range"))
                    }
                    fn visit_str<E: de::Error>(self, s: &str) -> Result<$name, E> {
                        Ok($name::String(s.into()))
                    }
                }
                deserializer.deserialize_any(IdVisitor)
            }
        }
    };
}

string_or_integer!(RequestId);
string_or_integer!(ProgressToken);

/// The error codes of this revision (`basic/index#error-codes`).
pub mod code {
    /// The message is not JSON.
    pub const PARSE_ERROR: i64 = -32700;
    /// The message is JSON but not a JSON-RPC request or notification.
    pub const INVALID_REQUEST: i64 = -32600;
    /// The method does not exist, or requires a capability that was not advertised.
    pub const METHOD_NOT_FOUND: i64 = -32601;
    /// The parameters are malformed, or refer to something that does not exist.
    pub const INVALID_PARAMS: i64 = -32602;
    /// An internal error of the receiver.
    pub const INTERNAL_ERROR: i64 = -32603;
    /// A mirrored HTTP header is missing, malformed or differs from the body.
    pub const HEADER_MISMATCH: i64 = -32020;
    /// The request needs a client capability that it did not declare.
    pub const MISSING_REQUIRED_CLIENT_CAPABILITY: i64 = -32021;
    /// The server does not implement the requested protocol version.
    pub const UNSUPPORTED_PROTOCOL_VERSION: i64 = -32022;
    /// Resource not found, in revisions up to 2025-11-25. Accepted by clients, never sent.
    pub const LEGACY_RESOURCE_NOT_FOUND: i64 = -32002;
}

/// The `error` member of an error response.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorObject {
    /// The error code; see [`code`].
    pub code: i64,
    /// A concise sentence.
    pub message: String,
    /// Additional information, defined by the sender.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<RawJson>,
}

impl ErrorObject {
    /// Creates an error without `data`.
    #[must_use]
    pub fn new(code: i64, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            data: None,
        }
    }

    /// Returns the error with `data`.
    #[must_use]
    pub fn with_data(mut self, data: RawJson) -> Self {
        self.data = Some(data);
        self
    }

    /// Creates an invalid params error (`-32602`).
    #[must_use]
    pub fn invalid_params(message: impl Into<String>) -> Self {
        Self::new(code::INVALID_PARAMS, message)
    }

    /// Creates a method not found error (`-32601`).
    #[must_use]
    pub fn method_not_found(method: &str) -> Self {
        Self::new(
            code::METHOD_NOT_FOUND,
            format!("Method not found: {method}"),
        )
    }

    /// Creates an internal error (`-32603`). Details belong in the log, not in `message`.
    #[must_use]
    pub fn internal() -> Self {
        Self::new(code::INTERNAL_ERROR, "Internal error")
    }
}

/// Writes the message and the code. The message is escaped with [`Printable`], since it may come
/// from the peer.
impl fmt::Display for ErrorObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} ({})",
            Printable(&self.message).clipped(MAX_SHOWN_MESSAGE),
            self.code
        )
    }
}

impl std::error::Error for ErrorObject {}
