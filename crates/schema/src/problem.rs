//! The errors of compiling a schema.

use std::fmt;

/// The reason why a schema is rejected.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SchemaProblem {
    /// The schema, or an embedded one, declares another dialect than 2020-12; contains its URI.
    UnsupportedDialect(String),
    /// The schema declares none of the published dialects, where all of them are accepted; contains
    /// the URI.
    UnknownDialect(String),
    /// The schema nests deeper than [`MAX_DEPTH`](crate::MAX_DEPTH), including references that
    /// apply to the same value.
    TooDeep,
    /// A limit other than the depth is exceeded; the text says which.
    TooLarge(&'static str),
    /// The schema is not valid in its dialect.
    Invalid(String),
    /// A regular expression is malformed, or not supported by a linear-time engine.
    UnsupportedPattern(String),
    /// A `$ref` leaves the schema; contains its URI. References are never fetched.
    ExternalRef(String),
    /// The schema of a tool's arguments lacks `"type": "object"` at its root.
    NotAnObject,
}

impl fmt::Display for SchemaProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnsupportedDialect(uri) => {
                write!(
                    f,
                    "the JSON Schema dialect {uri:?} is not supported; supported is 2020-12 ({})",
                    crate::DIALECT
                )
            }
            Self::UnknownDialect(uri) => write!(
                f,
                "the JSON Schema dialect {uri:?} is not supported; supported are 2020-12, 2019-09 and drafts 7, 6 and 4"
            ),
            Self::TooDeep => write!(
                f,
                "the schema nests deeper than {} levels",
                crate::MAX_DEPTH
            ),
            Self::TooLarge(bound) => write!(f, "the schema is too large: {bound}"),
            Self::Invalid(reason) => {
                write!(f, "the schema is not valid JSON Schema: {reason}")
            }
            Self::UnsupportedPattern(reason) => {
                write!(
                    f,
                    "the schema has a pattern that cannot be used: {reason} (look-around and back-references are not supported)"
                )
            }
            Self::ExternalRef(uri) => {
                write!(
                    f,
                    "the schema refers to {uri:?}, which is not part of it; references are never fetched"
                )
            }
            Self::NotAnObject => f.write_str(
                "the schema of a tool's arguments must have \"type\": \"object\" at its root",
            ),
        }
    }
}

impl std::error::Error for SchemaProblem {}
