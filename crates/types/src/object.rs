//! How the objects of the schema are declared: one macro that writes the struct, its builder and
//! its codec.
//!
//! The codec walks the members once and matches on the key. serde's own `flatten` would buffer
//! every object before looking at it, and nearly every object here is open: what it does not name
//! goes to `extra`.

use serde::de::{self, Deserializer, MapAccess, Visitor};
use std::fmt;
use std::marker::PhantomData;

/// A type that is read member by member out of a JSON object.
pub(crate) trait FromMembers<'de>: Sized {
    /// The name of the type, for error messages.
    const NAME: &'static str;

    /// Reads the members that `map` still holds.
    fn from_members<A: MapAccess<'de>>(map: A) -> Result<Self, A::Error>;
}

/// A type that can write its members into a JSON object somebody else has opened.
pub(crate) trait WriteMembers {
    /// Writes every member that is present.
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

/// The key of a member, borrowed from the input where the input allows it.
pub(crate) enum Key<'de> {
    /// A key without escapes, read from a buffer.
    Borrowed(&'de str),
    /// Any other key.
    Owned(String),
}

impl Key<'_> {
    /// The key as text.
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Borrowed(s) => s,
            Self::Owned(s) => s,
        }
    }

    /// The key as an owned string.
    pub(crate) fn into_string(self) -> String {
        match self {
            Self::Borrowed(s) => s.to_owned(),
            Self::Owned(s) => s,
        }
    }
}

impl<'de> de::Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Key<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E: de::Error>(self, s: &'de str) -> Result<Key<'de>, E> {
                Ok(Key::Borrowed(s))
            }
            fn visit_str<E: de::Error>(self, s: &str) -> Result<Key<'de>, E> {
                Ok(Key::Owned(s.to_owned()))
            }
            fn visit_string<E: de::Error>(self, s: String) -> Result<Key<'de>, E> {
                Ok(Key::Owned(s))
            }
        }
        deserializer.deserialize_str(V)
    }
}

/// Declares an object of the schema: struct, `new`, `with_*`, `Serialize`, `Deserialize`.
///
/// Attributes for `new` come first, as `#[...] new;`. Then these groups, each of them optional:
/// - `required`: must be there; an argument of `new`.
/// - `defaulted`: plain field, always written; absent on the wire means the default.
/// - `optional`: `Option` field with a setter; `null` on the wire means absent.
/// - `silent`: like `optional`, but the setter is written by hand.
/// - `nullable`: like `optional`, but `null` is a value.
/// - `skip`: members that are read and forgotten, because somebody else owns them.
/// - `open extra;`: the field that keeps every other member. Without it they are ignored.
///
/// `as Wrapper` after a member's name encodes and decodes it through `Wrapper`. A member that
/// occurs twice is an error, so that two readers of one message can never disagree about it.
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
                /// Members that this revision does not name.
                pub $extra: $crate::JsonObject,
            )?
        }

        impl $name {
            #[doc = concat!("A `", stringify!($name), "` with what the schema requires, and nothing else.")]
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
                while let Some(key) = map.next_key::<$crate::object::Key<'de>>()? {
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

/// Refuses the second occurrence of a member.
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
