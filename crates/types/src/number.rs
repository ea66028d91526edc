//! Codecs for numbers with rules that serde's own do not have.

use serde::de::{self, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// The largest integer that every JSON implementation represents exactly, 2^53 - 1.
const MAX_SAFE: u64 = (1 << 53) - 1;

/// A number that is written without a fraction if it is an integer: `50`, not `50.0`.
#[derive(Clone, Copy)]
pub(crate) struct Plain(f64);

impl From<f64> for Plain {
    fn from(n: f64) -> Self {
        Self(n)
    }
}

impl From<Plain> for f64 {
    fn from(n: Plain) -> Self {
        n.0
    }
}

impl Serialize for Plain {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.fract() == 0.0 && self.0.abs() <= MAX_SAFE as f64 {
            // Exact, because of the condition above.
            serializer.serialize_i64(self.0 as i64)
        } else {
            serializer.serialize_f64(self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Plain {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        f64::deserialize(deserializer).map(Self)
    }
}

/// A time to live in milliseconds. Anything but a positive number is decoded as 0.
///
/// The value is a hint, and a malformed one must not make the whole result fail to decode
/// (`server/utilities/caching`).
#[derive(Clone, Copy)]
pub(crate) struct Ttl(u64);

impl From<u64> for Ttl {
    fn from(millis: u64) -> Self {
        Self(millis)
    }
}

impl From<Ttl> for u64 {
    fn from(ttl: Ttl) -> Self {
        ttl.0
    }
}

impl Serialize for Ttl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0.min(MAX_SAFE))
    }
}

impl<'de> Deserialize<'de> for Ttl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TtlVisitor)
    }
}

struct TtlVisitor;

impl<'de> Visitor<'de> for TtlVisitor {
    type Value = Ttl;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number of milliseconds")
    }
    fn visit_u64<E: de::Error>(self, n: u64) -> Result<Ttl, E> {
        Ok(Ttl(n.min(MAX_SAFE)))
    }
    fn visit_i64<E: de::Error>(self, n: i64) -> Result<Ttl, E> {
        Ok(Ttl(u64::try_from(n).unwrap_or(0)))
    }
    fn visit_f64<E: de::Error>(self, n: f64) -> Result<Ttl, E> {
        // The cast saturates: negative numbers and NaN become 0, fractions are truncated.
        Ok(Ttl((n as u64).min(MAX_SAFE)))
    }
    fn visit_bool<E: de::Error>(self, _: bool) -> Result<Ttl, E> {
        Ok(Ttl(0))
    }
    fn visit_str<E: de::Error>(self, _: &str) -> Result<Ttl, E> {
        Ok(Ttl(0))
    }
    fn visit_unit<E: de::Error>(self) -> Result<Ttl, E> {
        Ok(Ttl(0))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Ttl, A::Error> {
        IgnoredAny.visit_seq(seq).map(|_| Ttl(0))
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Ttl, A::Error> {
        IgnoredAny.visit_map(map).map(|_| Ttl(0))
    }
}
