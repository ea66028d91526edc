//! The `tagged!` macro, which declares a union distinguished by its `type` member.

/// Declares a union of `object!` types, with its codec.
///
/// If `type` comes first, as usual, the rest is decoded directly into the variant. Otherwise the
/// members before it are buffered. With `else { Unknown(JsonObject) }` an object of an unknown type
/// is kept as it is; without it, an unknown type is an error.
macro_rules! tagged {
    (
        $(#[$attr:meta])*
        pub enum $name:ident {
            $($(#[$doc:meta])* $variant:ident($ty:ident) = $tag:literal,)+
        }
        $(else { $(#[$udoc:meta])* $unknown:ident(JsonObject) })?
    ) => {
        $(#[$attr])*
        #[derive(Clone, Debug, PartialEq)]
        pub enum $name {
            $($(#[$doc])* $variant($ty),)+
            $($(#[$udoc])* $unknown($crate::JsonObject),)?
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                use serde::ser::SerializeMap as _;
                match self {
                    $(Self::$variant(value) => {
                        let mut map = serializer.serialize_map(None)?;
                        map.serialize_entry("type", $tag)?;
                        $crate::object::WriteMembers::write_members(value, &mut map)?;
                        map.end()
                    })+
                    $(Self::$unknown(object) => serde::Serialize::serialize(object, serializer),)?
                }
            }
        }

        impl<'de> $crate::object::FromMembers<'de> for $name {
            const NAME: &'static str = stringify!($name);

            fn from_members<A: serde::de::MapAccess<'de>>(mut map: A) -> Result<Self, A::Error> {
                use serde::de::Error as _;
                let mut before = $crate::JsonObject::new();
                while let Some(key) = map.next_key::<$crate::object::MemberKey<'de>>()? {
                    if key.as_str() != "type" {
                        before.insert(key.into_string(), map.next_value()?);
                        continue;
                    }
                    let tag = map.next_value::<$crate::object::MemberKey<'de>>()?;
                    return match tag.as_str() {
                        $($tag if before.is_empty() => {
                            <$ty as $crate::object::FromMembers<'de>>::from_members(map).map(Self::$variant)
                        })+
                        $($tag => {
                            $crate::tagged::drain(map, &mut before)?;
                            <$ty as serde::Deserialize>::deserialize($crate::JsonValue::Object(before))
                                .map(Self::$variant)
                                .map_err(A::Error::custom)
                        })+
                        _ => $crate::tagged::other!(map, before, tag, [$($tag),+] $(, $unknown)?),
                    };
                }
                Err(A::Error::missing_field("type"))
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::object::deserialize_object(deserializer)
            }
        }

        $(
            impl From<$ty> for $name {
                fn from(value: $ty) -> Self {
                    Self::$variant(value)
                }
            }
        )+
    };
}

macro_rules! other {
    ($map:expr, $before:expr, $tag:expr, [$($known:literal),+]) => {
        Err(A::Error::unknown_variant($tag.as_str(), &[$($known),+]))
    };
    ($map:expr, $before:expr, $tag:expr, [$($known:literal),+], $unknown:ident) => {{
        $before.insert("type".to_owned(), $tag.into_string().into());
        $crate::tagged::drain($map, &mut $before)?;
        Ok(Self::$unknown($before))
    }};
}

/// Moves the remaining members of `map` to `object`.
pub(crate) fn drain<'de, A: serde::de::MapAccess<'de>>(
    mut map: A,
    object: &mut crate::JsonObject,
) -> Result<(), A::Error> {
    while let Some((key, value)) = map.next_entry::<String, crate::JsonValue>()? {
        object.insert(key, value);
    }
    Ok(())
}

pub(crate) use {other, tagged};
