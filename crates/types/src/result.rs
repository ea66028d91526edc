//! Types shared by the results of several methods.

use crate::JsonObject;
use crate::object::object;
use serde::de::{self, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// The kind of a result (`basic/index#resulttype`).
///
/// The server writes it beside the members of the result, and the client checks it before it
/// decodes them. The result types therefore have no such field.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ResultType {
    /// A final result. Also the meaning of an absent `resultType`.
    #[default]
    Complete,
    /// The server needs input before it can continue.
    InputRequired,
    /// A result type of an extension.
    Other(Box<str>),
}

impl ResultType {
    /// Returns the value on the wire.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Complete => "complete",
            Self::InputRequired => "input_required",
            Self::Other(value) => value,
        }
    }
}

impl From<&str> for ResultType {
    fn from(value: &str) -> Self {
        match value {
            "complete" => Self::Complete,
            "input_required" => Self::InputRequired,
            other => Self::Other(other.into()),
        }
    }
}

impl fmt::Display for ResultType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for ResultType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for ResultType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl Visitor<'_> for V {
            type Value = ResultType;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a result type")
            }
            fn visit_str<E: de::Error>(self, value: &str) -> Result<ResultType, E> {
                Ok(value.into())
            }
        }
        deserializer.deserialize_str(V)
    }
}

/// Who may share a cached copy of a result (`server/utilities/caching#cache-scope-field`).
///
/// Anything but `public` is decoded as private, so that a malformed value leaks nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CacheScope {
    /// Anyone: the result does not depend on the caller.
    Public,
    /// Only the authorization context of the request.
    #[default]
    Private,
}

impl<'de> Deserialize<'de> for CacheScope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CacheScopeVisitor)
    }
}

struct CacheScopeVisitor;

impl<'de> Visitor<'de> for CacheScopeVisitor {
    type Value = CacheScope;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a cache scope")
    }
    fn visit_str<E: de::Error>(self, value: &str) -> Result<CacheScope, E> {
        Ok(if value == "public" {
            CacheScope::Public
        } else {
            CacheScope::Private
        })
    }
    fn visit_bool<E: de::Error>(self, _: bool) -> Result<CacheScope, E> {
        Ok(CacheScope::Private)
    }
    fn visit_i64<E: de::Error>(self, _: i64) -> Result<CacheScope, E> {
        Ok(CacheScope::Private)
    }
    fn visit_u64<E: de::Error>(self, _: u64) -> Result<CacheScope, E> {
        Ok(CacheScope::Private)
    }
    fn visit_f64<E: de::Error>(self, _: f64) -> Result<CacheScope, E> {
        Ok(CacheScope::Private)
    }
    fn visit_unit<E: de::Error>(self) -> Result<CacheScope, E> {
        Ok(CacheScope::Private)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<CacheScope, A::Error> {
        IgnoredAny.visit_seq(seq).map(|_| CacheScope::Private)
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<CacheScope, A::Error> {
        IgnoredAny.visit_map(map).map(|_| CacheScope::Private)
    }
}

object! {
    /// A result without content.
    #[derive(Default)]
    pub struct EmptyResult {
        optional {
            /// The `_meta` member.
            meta / with_meta: JsonObject = "_meta",
        }
        skip { "resultType" }
        open extra;
    }
}

object! {
    /// The parameters of every list method (`server/utilities/pagination`).
    #[derive(Default)]
    pub struct PaginatedRequestParams {
        optional {
            /// The server's `nextCursor` of the previous page. Absent means the first page.
            cursor / with_cursor: String = "cursor",
        }
    }
}
