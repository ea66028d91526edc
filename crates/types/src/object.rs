//! The `object!` macro, which declares an object of the schema: the struct, its builder methods and
//! its codec.
//!
//! The generated decoder reads each member once and matches on its key. serde's `flatten` would
//! buffer every object, since nearly all objects of the schema are open and collect unknown members
//! in `extra`.

use serde::de::{self, Deserializer, MapAccess, Visitor};
use std::fmt;
use std::marker::PhantomData;

/// A type that is decoded from the members of a JSON object.
pub(crate) trait FromMembers<'de>: Sized {
    /// The name of the type, for error messages.
    const NAME: &'static str;

    /// Decodes the remaining members of `map`.
    fn from_members<A: MapAccess<'de>>(map: A) -> Result<Self, A::Error>;
}

/// A type that can write its members into a JSON object that the caller has opened.
pub(crate) trait WriteMembers {
    /// Writes all present members.
    fn write_members<M: serde::ser::SerializeMap>(&self, map: &mut M) -> Result<(), M::Error>;
}

/// Decodes one JSON object as `T`.
pub(crate) fn deserialize_object<'de, T: FromMembers<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    struct V<T>(PhantomData<T>);
    impl<'de, T: FromMembers<'de>> Visitor<'de> for V<T> {
        type Value = T;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a {} object", T::NAME)
        }
        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
            T::from_members(map)
        }
    }
    deserializer.deserialize_map(V(PhantomData))
}

/// The key of a member, borrowed from the input if possible.
pub(crate) enum MemberKey<'de> {
    /// A key without escapes, decoded from a buffer.
    Borrowed(&'de str),
    /// A key with escapes, or decoded from a stream.
    Owned(String),
}

impl MemberKey<'_> {
    /// Returns the key.
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Borrowed(s) => s,
            Self::Owned(s) => s,
        }
    }

    /// Converts the key to an owned string.
    pub(crate) fn into_string(self) -> String {
        match self {
            Self::Borrowed(s) => s.to_owned(),
            Self::Owned(s) => s,
        }
    }
}

impl<'de> de::Deserialize<'de> for MemberKey<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = MemberKey<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E: de::Error>(self, s: &'de str) -> Result<MemberKey<'de>, E> {
                Ok(MemberKey::Borrowed(s))
            }
            fn visit_str<E: de::Error>(self, s: &str) -> Result<MemberKey<'de>, E> {
                Ok(MemberKey::Owned(s.to_owned()))
            }
            fn visit_string<E: de::Error>(self, s: String) -> Result<MemberKey<'de>, E> {
                Ok(MemberKey::Owned(s))
            }
        }
        deserializer.deserialize_str(V)
    }
}

/// Declares an object of the schema: struct, `new`, `with_*`, `Serialize`, `Deserialize`.
///
/// Attributes for `new` come first, as `#[...] new;`. Then follow these groups, each optional:
/// - `required`: mandatory members; arguments of `new`.
/// - `defaulted`: fields that are always written; an absent member means the default.
/// - `optional`: `Option` fields with a setter; `null` on the wire means absent.
/// - `silent`: like `optional`, but without a generated setter.
/// - `nullable`: like `optional`, but `null` is a value.
/// - `skip`: members that are decoded and ignored, because they are handled elsewhere.
/// - `open extra;`: the field that collects all other members, which are ignored without it.
///
/// `as Wrapper` after the name of a member encodes and decodes it through `Wrapper`. A duplicate
/// member is an error, so that two decoders of one message cannot disagree about its value.
macro_rules! object {
    (
        $(#[$attr:meta])*
        pub struct $name:ident {
            $($(#[$newattr:meta])+ new;)?
            $(required { $($(#[$rdoc:meta])* $rf:ident: $rt:ty = $rk:literal $(as $rw:ident)?,)* })?
            $(defaulted { $($(#[$ddoc:meta])* $df:ident: $dt:ty = $dk:literal $(as $dw:ident)?,)* })?
            $(optional { $($(#[$odoc:meta])* $of:ident / $set:ident: $ot:ty = $ok:literal $(as $ow:ident)?,)* })?
            $(silent { $($(#[$sdoc:meta])* $sf:ident: $st:ty = $sk:literal,)* })?
            $(nullable { $($(#[$ndoc:meta])* $nf:ident / $nset:ident: $nt:ty = $nk:literal,)* })?
            $(skip { $($skip:literal)* })?
            $(open $extra:ident;)?
        }
    ) => {
        $(#[$attr])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name {
            $($($(#[$rdoc])* pub $rf: $rt,)*)?
            $($($(#[$ddoc])* pub $df: $dt,)*)?
            $($($(#[$odoc])* pub $of: Option<$ot>,)*)?
            $($($(#[$sdoc])* pub $sf: Option<$st>,)*)?
            $($($(#[$ndoc])* pub $nf: Option<$nt>,)*)?
            $(
                /// Members that this revision does not define.
                pub $extra: $crate::JsonObject,
            )?
        }

        impl $name {
            #[doc = concat!("Creates a `", stringify!($name), "` with the required members.")]
            $($(#[$newattr])+)?
            #[must_use]
            pub fn new($($($rf: impl Into<$rt>,)*)?) -> Self {
                Self {
                    $($($rf: $rf.into(),)*)?
                    $($($df: Default::default(),)*)?
                    $($($of: None,)*)?
                    $($($sf: None,)*)?
                    $($($nf: None,)*)?
                    $($extra: $crate::JsonObject::new(),)?
                }
            }
            $($(
                #[doc = concat!("Sets `", $ok, "`.")]
                #[must_use]
                pub fn $set(mut self, $of: impl Into<$ot>) -> Self {
                    self.$of = Some($of.into());
                    self
                }
            )*)?
            $($(
                #[doc = concat!("Sets `", $nk, "`.")]
                #[must_use]
                pub fn $nset(mut self, $nf: impl Into<$nt>) -> Self {
                    self.$nf = Some($nf.into());
                    self
                }
            )*)?
        }

        impl $crate::object::WriteMembers for $name {
            #[allow(unused_variables)]
            fn write_members<M: serde::ser::SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
                $($($crate::object::member!(map, $rk, &self.$rf $(, $rw)?);)*)?
                $($(if let Some(value) = &self.$of { $crate::object::member!(map, $ok, value $(, $ow)?); })*)?
                $($(if let Some(value) = &self.$sf { $crate::object::member!(map, $sk, value); })*)?
                $($(if let Some(value) = &self.$nf { $crate::object::member!(map, $nk, value); })*)?
                $($($crate::object::member!(map, $dk, &self.$df $(, $dw)?);)*)?
                $(
                    for (key, value) in &self.$extra {
                        map.serialize_entry(key, value)?;
                    }
                )?
                Ok(())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut map = serializer.serialize_map(None)?;
                $crate::object::WriteMembers::write_members(self, &mut map)?;
                serde::ser::SerializeMap::end(map)
            }
        }

        impl<'de> $crate::object::FromMembers<'de> for $name {
            const NAME: &'static str = stringify!($name);

            #[allow(unused_mut)]
            fn from_members<A: serde::de::MapAccess<'de>>(mut map: A) -> Result<Self, A::Error> {
                $($(let mut $rf: Option<$rt> = None;)*)?
                $($(let mut $df: Option<$dt> = None;)*)?
                $($(let mut $of: Option<$ot> = None;)*)?
                $($(let mut $sf: Option<$st> = None;)*)?
                $($(let mut $nf: Option<$nt> = None;)*)?
                $(let mut $extra = $crate::JsonObject::new();)?
                while let Some(key) = map.next_key::<$crate::object::MemberKey<'de>>()? {
                    match key.as_str() {
                        $($($rk => {
                            $crate::object::once(&$rf, $rk)?;
                            $rf = Some($crate::object::read!(map, $rt $(, $rw)?));
                        })*)?
                        $($($dk => {
                            $crate::object::once(&$df, $dk)?;
                            $df = Some($crate::object::read!(map, $dt $(, $dw)?));
                        })*)?
                        $($($ok => {
                            $crate::object::once(&$of, $ok)?;
                            $of = $crate::object::read_option!(map, $ot $(, $ow)?);
                        })*)?
                        $($($sk => {
                            $crate::object::once(&$sf, $sk)?;
                            $sf = $crate::object::read_option!(map, $st);
                        })*)?
                        $($($nk => {
                            $crate::object::once(&$nf, $nk)?;
                            $nf = Some($crate::object::read!(map, $nt));
                        })*)?
                        $($($skip => {
                            map.next_value::<serde::de::IgnoredAny>()?;
                        })*)?
                        _ => $crate::object::unnamed!(map, key $(, $extra)?),
                    }
                }
                Ok(Self {
                    $($($rf: $rf.ok_or_else(|| <A::Error as serde::de::Error>::missing_field($rk))?,)*)?
                    $($($df: $df.unwrap_or_default(),)*)?
                    $($($of,)*)?
                    $($($sf,)*)?
                    $($($nf,)*)?
                    $($extra,)?
                })
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::object::deserialize_object(deserializer)
            }
        }
    };
}

/// Rejects the second occurrence of a member.
pub(crate) fn once<T, E: de::Error>(slot: &Option<T>, key: &'static str) -> Result<(), E> {
    if slot.is_some() {
        Err(E::duplicate_field(key))
    } else {
        Ok(())
    }
}

macro_rules! member {
    ($map:expr, $key:literal, $value:expr) => {
        $map.serialize_entry($key, $value)?
    };
    ($map:expr, $key:literal, $value:expr, $wrapper:ident) => {
        $map.serialize_entry($key, &$wrapper::from(ToOwned::to_owned($value)))?
    };
}

macro_rules! read {
    ($map:expr, $ty:ty) => {
        $map.next_value::<$ty>()?
    };
    ($map:expr, $ty:ty, $wrapper:ident) => {
        <$ty>::from($map.next_value::<$wrapper>()?)
    };
}

macro_rules! read_option {
    ($map:expr, $ty:ty) => {
        $map.next_value::<Option<$ty>>()?
    };
    ($map:expr, $ty:ty, $wrapper:ident) => {
        $map.next_value::<Option<$wrapper>>()?.map(<$ty>::from)
    };
}

macro_rules! unnamed {
    ($map:expr, $key:expr) => {{
        $map.next_value::<serde::de::IgnoredAny>()?;
    }};
    ($map:expr, $key:expr, $extra:ident) => {{
        let value = $map.next_value()?;
        $extra.insert($key.into_string(), value);
    }};
}

pub(crate) use {member, object, read, read_option, unnamed};
