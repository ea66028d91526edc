//! JSON Schema validation with bounded cost, for servers and clients
//! (`basic/index#json-schema-usage`).
//!
//! A schema that declares no dialect has the dialect 2020-12. A server's own schemas have to use
//! it; any other dialect is rejected with [`SchemaProblem::UnsupportedDialect`]. A client can also
//! accept the older published dialects ([`Schema::compile_published`]), under the same limits.
//!
//! A `$ref` must not leave its schema; nothing is ever fetched. `format` is an annotation in every
//! dialect and is not validated. Patterns run on a linear-time engine, so look-around and
//! back-references are rejected.
//!
//! Schemas may be untrusted, so their cost is bounded: depth, subschemas, bytes and patterns at
//! compilation, and the number and nesting of evaluations for each value.
//!
//! ```
//! use carryall_schema::Schema;
//! use carryall_types::{JsonObject, RawJson};
//!
//! let schema: JsonObject = serde_json::from_str(
//!     r#"{"type": "object", "properties": {"seats": {"type": "integer", "maximum": 9}}}"#,
//! )?;
//! let schema = Schema::compile_arguments(&schema).unwrap();
//! assert!(schema.check(&RawJson::parse(r#"{"seats": 2}"#)?).is_ok());
//! let violations = schema.check(&RawJson::parse(r#"{"seats": 10}"#)?).unwrap_err();
//! assert!(violations.messages()[0].starts_with("/seats: "));
//! # Ok::<(), serde_json::Error>(())
//! ```

mod cost;
mod depth;
mod dialect;
mod fast;
mod graph;
mod problem;
mod suggest;
mod violations;

pub use depth::limit_depth;
pub use problem::SchemaProblem;
pub use suggest::closest;
pub use violations::Violations;

use carryall_types::{JsonObject, JsonValue, RawJson};
use cost::Cost;
use dialect::AcceptedDialects;
use fast::{CheckPlan, PlanVerdict};
use graph::Graph;
use jsonschema::error::ValidationErrorKind;
use jsonschema::{PatternOptions, Validator};
use std::fmt;
use std::sync::Arc;
use violations::ErrorContext;

/// The URI of the default dialect, 2020-12.
pub const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";
/// The maximum nesting depth of subschemas, including references that apply to the same value.
pub const MAX_DEPTH: usize = 64;
/// The maximum number of subschemas in a schema.
pub const MAX_SUBSCHEMAS: usize = 2_000;
/// The maximum size of a schema as compact JSON text, in bytes.
pub const MAX_BYTES: usize = 256 * 1024;
/// The maximum number of regular expressions in a schema.
pub const MAX_PATTERNS: usize = 256;
/// The maximum memory of a compiled regular expression, in bytes.
const MAX_PATTERN_BYTES: usize = 256 * 1024;

/// A compiled schema. Cheap to clone.
#[derive(Clone)]
pub struct Schema(Arc<CompiledSchema>);

struct CompiledSchema {
    /// The fast path for simple schemas, which checks the JSON text.
    plan: Option<CheckPlan>,
    /// `None` if the schema accepts every value.
    full: Option<FullValidator>,
    /// Whether error messages call the members of the value arguments.
    are_arguments: bool,
}

/// The complete validator, for schemas without a plan and for values that the plan does not accept.
struct FullValidator {
    validator: Validator,
    graph: Graph,
    /// The schema, for error messages.
    schema: JsonValue,
}

impl Schema {
    /// Compiles `schema`.
    ///
    /// # Errors
    /// When the dialect is not supported, a limit is exceeded, the schema is not valid in its
    /// dialect, or a reference leaves the schema.
    pub fn compile(schema: &JsonObject) -> Result<Self, SchemaProblem> {
        Self::compile_as(schema, AcceptedDialects::Current, false)
    }

    /// Compiles `schema` in the dialect it declares: 2020-12 (the default), 2019-09, draft 7, draft
    /// 6 or draft 4.
    ///
    /// For clients, since servers in the field use all of these. An embedded schema cannot switch
    /// to another dialect.
    ///
    /// # Errors
    /// As [`compile`](Self::compile).
    pub fn compile_published(schema: &JsonObject) -> Result<Self, SchemaProblem> {
        Self::compile_as(schema, AcceptedDialects::Published, false)
    }

    /// Compiles the schema of a tool's arguments, which must be an object (`server/tools#tool`).
    /// Error messages call its members arguments.
    ///
    /// # Errors
    /// As [`compile`](Self::compile), and when the root lacks `"type": "object"`.
    pub fn compile_arguments(schema: &JsonObject) -> Result<Self, SchemaProblem> {
        if schema.get("type").and_then(JsonValue::as_str) != Some("object") {
            return Err(SchemaProblem::NotAnObject);
        }
        Self::compile_as(schema, AcceptedDialects::Current, true)
    }

    /// Returns the schema that every value matches.
    #[must_use]
    pub fn accept_everything() -> Self {
        Self(Arc::new(CompiledSchema {
            plan: Some(CheckPlan::anything()),
            full: None,
            are_arguments: false,
        }))
    }

    fn compile_as(
        schema: &JsonObject,
        accepted: AcceptedDialects,
        are_arguments: bool,
    ) -> Result<Self, SchemaProblem> {
        let dialect = accepted.dialect_of(schema)?;
        // First: it limits the depth without recursion, and the steps after it recurse.
        let graph = Graph::build(schema, dialect, accepted)?;
        let value = JsonValue::Object(schema.clone());
        let patterns = PatternOptions::regex()
            .size_limit(MAX_PATTERN_BYTES)
            .dfa_size_limit(MAX_PATTERN_BYTES);
        let validator = jsonschema::options()
            .with_draft(dialect.draft())
            .should_validate_formats(false)
            .with_pattern_options(patterns)
            .offline()
            .build(&value)
            .map_err(|error| schema_problem(&error))?;
        let plan = if dialect.has_plans() {
            fast::compile(schema)
        } else {
            None
        };
        let full = Some(FullValidator {
            validator,
            graph,
            schema: value,
        });
        Ok(Self(Arc::new(CompiledSchema {
            plan,
            full,
            are_arguments,
        })))
    }

    /// Checks that a value matches the schema.
    ///
    /// For a simple schema, the JSON text is checked without decoding it.
    ///
    /// # Errors
    /// When the value does not match, or when checking it would take too many evaluations. The
    /// messages are written for the author of the value, such as a model.
    pub fn check(&self, text: &RawJson) -> Result<(), Violations> {
        if self.plan_accepts(text) {
            return Ok(());
        }
        let Some(FullValidator {
            validator,
            graph,
            schema,
        }) = &self.0.full
        else {
            return Ok(());
        };
        let value: JsonValue = text
            .decode()
            .map_err(|error| Violations::unreadable(&error))?;
        let cost =
            Cost::of(graph, &value, text.as_bytes().len()).map_err(|_| Violations::too_costly())?;
        if validator.is_valid(&value) {
            return Ok(());
        }
        Err(match cost {
            Cost::Small => {
                let context = ErrorContext {
                    value: &value,
                    schema,
                    are_arguments: self.0.are_arguments,
                };
                Violations::collect(&context, validator.iter_errors(&value))
            }
            // Collecting errors costs many times as much as validation, so the errors of an
            // expensive validation are not listed.
            Cost::Large => Violations::somewhere(),
        })
    }

    /// Returns whether the plan accepts the value.
    fn plan_accepts(&self, text: &RawJson) -> bool {
        self.0
            .plan
            .as_ref()
            .is_some_and(|plan| plan.check(text.as_str()) == PlanVerdict::Valid)
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schema")
            .field("has_plan", &self.0.plan.is_some())
            .finish_non_exhaustive()
    }
}

fn schema_problem(error: &jsonschema::ValidationError<'_>) -> SchemaProblem {
    match error.kind() {
        ValidationErrorKind::Referencing(jsonschema::ReferencingError::Unretrievable {
            uri,
            ..
        }) => SchemaProblem::ExternalRef(uri.clone()),
        ValidationErrorKind::Format { format } if format == "regex" => {
            SchemaProblem::UnsupportedPattern(violations::message(error))
        }
        _ => SchemaProblem::Invalid(violations::message(error)),
    }
}
