//! The `tagged!` macro, which declares a union distinguished by its `type` member.

/// Declares a union of types that `object!` declares, and implements `Serialize` and `Deserialize`
/// for it.
///
/// If `type` is the first member, as usual, the other members are decoded directly into the
/// variant. Otherwise the whole object is buffered first. With `else { Unknown(JsonObject) }` an
/// object of an unknown type is kept as it is; without it, an unknown type is an error.
macro_rules! tagged {
    (
        $(#[$attr:meta])*
        pub enum $name:ident {
            $($(#[$doc:meta])* $variant:ident($ty:ident) = $tag:literal,)+
        }
        $(else { $(#[$unknown_doc:meta])* $unknown:ident(JsonObject) })?
    ) => {
        $(#[$attr])*
        #[derive(Clone, Debug, PartialEq)]
        pub enum $name {
            $($(#[$doc])* $variant($ty),)+
            $($(#[$unknown_doc])* $unknown($crate::JsonObject),)?
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
                let mut buffered = $crate::JsonObject::new();
                while let Some(key) = map.next_key::<$crate::object::MemberKey<'de>>()? {
                    if key.as_str() != "type" {
                        buffered.insert(key.into_string(), map.next_value()?);
                        continue;
                    }
                    let tag = map.next_value::<$crate::object::MemberKey<'de>>()?;
                    return match tag.as_str() {
                        $($tag if buffered.is_empty() => {
                            <$ty as $crate::object::FromMembers<'de>>::from_members(map).map(Self::$variant)
                        })+
                        $($tag => {
                            $crate::tagged::buffer_rest(map, &mut buffered)?;
                            <$ty as serde::Deserialize>::deserialize($crate::JsonValue::Object(buffered))
                                .map(Self::$variant)
                                .map_err(A::Error::custom)
                        })+
                        _ => $crate::tagged::unknown_type!(map, buffered, tag, [$($tag),+] $(, $unknown)?),
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

/// The result of decoding an object whose `type` is none of the known ones: an error, or the object
/// if the union has a variant for it.
macro_rules! unknown_type {
    ($map:expr, $buffered:expr, $tag:expr, [$($known:literal),+]) => {
        Err(A::Error::unknown_variant($tag.as_str(), &[$($known),+]))
    };
    ($map:expr, $buffered:expr, $tag:expr, [$($known:literal),+], $unknown:ident) => {{
        $buffered.insert("type".to_owned(), $tag.into_string().into());
        $crate::tagged::buffer_rest($map, &mut $buffered)?;
        Ok(Self::$unknown($buffered))
    }};
}

/// Moves the remaining members of `map` to `object`.
pub(crate) fn buffer_rest<'de, A: serde::de::MapAccess<'de>>(
    mut map: A,
    object: &mut crate::JsonObject,
) -> Result<(), A::Error> {
    while let Some((key, value)) = map.next_entry::<String, crate::JsonValue>()? {
        object.insert(key, value);
    }
    Ok(())
}

pub(crate) use {tagged, unknown_type};
