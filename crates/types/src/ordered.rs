//! A codec for JSON objects whose members all have one type and keep their order, for
//! `#[serde(with = "crate::ordered")]`.
//!
//! The order is that in which questions are asked and form fields are shown. A duplicate key is an
//! error.

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::HashSet;
use std::fmt;
use std::marker::PhantomData;

/// Serialises the pairs as one JSON object.
pub(crate) fn serialize<T: Serialize, S: Serializer>(
    members: &[(String, T)],
    s: S,
) -> Result<S::Ok, S::Error> {
    s.collect_map(members.iter().map(|(name, value)| (name, value)))
}

/// Deserialises one JSON object into pairs.
pub(crate) fn deserialize<'de, T, D>(deserializer: D) -> Result<Vec<(String, T)>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    struct Members<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
        type Value = Vec<(String, T)>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut members = Vec::new();
            let mut seen = HashSet::new();
            while let Some(name) = map.next_key::<String>()? {
                if !seen.insert(name.clone()) {
                    return Err(A::Error::custom(format!("duplicate key {name:?}")));
                }
                members.push((name, map.next_value()?));
            }
            Ok(members)
        }
    }
    deserializer.deserialize_map(Members(PhantomData))
}
