//! The dialects of JSON Schema, and the differences that matter for the cost of a schema.

use crate::SchemaProblem;
use carryall_types::{JsonObject, JsonValue};
use jsonschema::Draft;

/// A published dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Draft4,
    Draft6,
    Draft7,
    Draft201909,
    Draft202012,
}

/// The dialects accepted from a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AcceptedDialects {
    /// Only 2020-12.
    Current,
    /// All published dialects.
    Published,
}

impl AcceptedDialects {
    /// Returns the dialect that `schema` declares, 2020-12 by default.
    pub(crate) fn dialect_of(self, schema: &JsonObject) -> Result<Dialect, SchemaProblem> {
        match schema.get("$schema") {
            Some(JsonValue::String(uri)) => self.dialect(uri),
            // Anything but a string is invalid, which the validator reports later.
            _ => Ok(Dialect::Draft202012),
        }
    }

    /// Returns the dialect with this URI.
    pub(crate) fn dialect(self, uri: &str) -> Result<Dialect, SchemaProblem> {
        match (self, Dialect::named(uri)) {
            (Self::Current, Some(Dialect::Draft202012)) => Ok(Dialect::Draft202012),
            (Self::Current, _) => Err(SchemaProblem::UnsupportedDialect(uri.to_owned())),
            (Self::Published, Some(dialect)) => Ok(dialect),
            (Self::Published, None) => Err(SchemaProblem::UnknownDialect(uri.to_owned())),
        }
    }
}

impl Dialect {
    fn named(uri: &str) -> Option<Self> {
        let uri = uri.strip_suffix('#').unwrap_or(uri);
        let uri = uri
            .strip_prefix("http:")
            .or_else(|| uri.strip_prefix("https:"))?;
        Some(match uri.strip_prefix("//json-schema.org/")? {
            "draft-04/schema" => Self::Draft4,
            "draft-06/schema" => Self::Draft6,
            "draft-07/schema" => Self::Draft7,
            "draft/2019-09/schema" => Self::Draft201909,
            "draft/2020-12/schema" => Self::Draft202012,
            _ => return None,
        })
    }

    pub(crate) fn draft(self) -> Draft {
        match self {
            Self::Draft4 => Draft::Draft4,
            Self::Draft6 => Draft::Draft6,
            Self::Draft7 => Draft::Draft7,
            Self::Draft201909 => Draft::Draft201909,
            Self::Draft202012 => Draft::Draft202012,
        }
    }

    /// Returns whether keywords beside a `$ref` are ignored, and fragments are declared in the
    /// identifier, as up to draft 7.
    pub(crate) fn is_classic(self) -> bool {
        matches!(self, Self::Draft4 | Self::Draft6 | Self::Draft7)
    }

    /// Returns the keyword for the URI of a schema.
    pub(crate) fn id_keyword(self) -> &'static str {
        if self == Self::Draft4 { "id" } else { "$id" }
    }

    /// Returns the keyword for references that depend on the dynamic scope.
    pub(crate) fn dynamic_ref(self) -> Option<&'static str> {
        match self {
            Self::Draft201909 => Some("$recursiveRef"),
            Self::Draft202012 => Some("$dynamicRef"),
            _ => None,
        }
    }

    /// Returns whether the keywords supported by plans have the same meaning in this dialect. Draft
    /// 4 has no `const`, `true` or numeric `exclusiveMinimum`.
    pub(crate) fn has_plans(self) -> bool {
        self != Self::Draft4
    }
}
