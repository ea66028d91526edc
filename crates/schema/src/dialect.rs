//! The dialects of JSON Schema, as far as they differ in what a schema may cost.

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

/// Which dialects may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AcceptedDialects {
    /// 2020-12.
    Current,
    /// All of them.
    Published,
}

impl AcceptedDialects {
    /// The dialect that `schema` declares; without a declaration it is 2020-12.
    pub(crate) fn dialect_of(self, schema: &JsonObject) -> Result<Dialect, SchemaProblem> {
        match schema.get("$schema") {
            Some(JsonValue::String(uri)) => self.dialect(uri),
            // What is not a string is not valid, and found to be so later.
            _ => Ok(Dialect::Draft202012),
        }
    }

    /// The dialect that is declared by `uri`.
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

    /// Up to draft 7 whatever stands beside a `$ref` is ignored, and a plain-name fragment is
    /// declared by the identifier.
    pub(crate) fn is_classic(self) -> bool {
        matches!(self, Self::Draft4 | Self::Draft6 | Self::Draft7)
    }

    /// The keyword that gives a schema its URI.
    pub(crate) fn id_keyword(self) -> &'static str {
        if self == Self::Draft4 { "id" } else { "$id" }
    }

    /// The keyword whose target depends on the way to it.
    pub(crate) fn dynamic_ref(self) -> Option<&'static str> {
        match self {
            Self::Draft201909 => Some("$recursiveRef"),
            Self::Draft202012 => Some("$dynamicRef"),
            _ => None,
        }
    }

    /// Whether what a plan knows means the same here. Draft 4 has no `const`, `true` or numeric
    /// `exclusiveMinimum`.
    pub(crate) fn has_plans(self) -> bool {
        self != Self::Draft4
    }
}
