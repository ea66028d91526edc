//! Why a schema is refused.

use std::fmt;

/// Why a schema cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SchemaProblem {
    /// `$schema` names a dialect other than 2020-12, here or in an embedded schema.
    UnsupportedDialect(String),
    /// `$schema` names none of the published dialects, where all of them are accepted.
    UnknownDialect(String),
    /// Schemas nest, or refer to each other in place, beyond [`MAX_DEPTH`](crate::MAX_DEPTH).
    TooDeep,
    /// A bound other than depth is exceeded; the text says which.
    TooLarge(&'static str),
    /// The schema is not valid in its dialect.
    Invalid(String),
    /// A regular expression that is malformed, or that no engine with linear time can run.
    UnsupportedPattern(String),
    /// A `$ref` leads out of the schema. It was not fetched and never will be.
    ExternalRef(String),
    /// The schema of a tool's arguments does not have `"type": "object"` at its root.
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
