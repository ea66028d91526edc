//! Bounded JSON Schema checks: one place for the rules that servers apply to what they receive and
//! return, and clients to what they are sent (`basic/index#json-schema-usage`).
//!
//! The dialect is 2020-12, declared or by default. Whoever makes a schema has to use it; any other
//! is refused with [`SchemaProblem::UnsupportedDialect`]. Whoever is sent one may take the older
//! published dialects too ([`Schema::compile_published`]), under the same bounds. Nothing is ever
//! fetched: a `$ref` must stay inside its schema. Formats are annotations, as 2020-12 has it, in
//! every dialect. Patterns run on an engine with linear time, so look-around and back-references
//! are refused.
//!
//! A schema may come from a stranger, so everything it can cost is bounded: its depth, subschemas,
//! bytes and patterns when it is compiled, and the number and nesting of evaluations for each value
//! it is applied to.

mod cost;
mod depth;
mod dialect;
mod fast;
mod graph;
mod problem;
mod suggest;
mod violations;

pub use depth::take_in;
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

/// The dialect that schemas are written in.
pub const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";
/// How deep schemas may nest, subschema in subschema, references in place included.
pub const MAX_DEPTH: usize = 64;
/// How many subschemas a schema may have.
pub const MAX_SUBSCHEMAS: usize = 2_000;
/// How many bytes a schema may take as compact JSON text.
pub const MAX_BYTES: usize = 256 * 1024;
/// How many regular expressions a schema may hold.
pub const MAX_PATTERNS: usize = 256;
/// How much memory one compiled regular expression may take.
const MAX_PATTERN_BYTES: usize = 256 * 1024;

/// A compiled schema. Cheap to clone.
#[derive(Clone)]
pub struct Schema(Arc<Compiled>);

struct Compiled {
    plan: Option<CheckPlan>,
    /// `None` accepts everything.
    full: Option<Full>,
    /// Whether the members of the root are the arguments of a tool.
    are_arguments: bool,
}

/// What decides where the plan does not, and says why.
struct Full {
    validator: Validator,
    graph: Graph,
    /// The schema itself, for the names in messages.
    text: JsonValue,
}

impl Schema {
    /// Compiles `schema`.
    ///
    /// # Errors
    /// When the dialect is not supported, a bound is exceeded, the schema is not valid for its
    /// dialect, or a reference leads out of it.
    pub fn compile(schema: &JsonObject) -> Result<Self, SchemaProblem> {
        Self::compile_as(schema, AcceptedDialects::Current, false)
    }

    /// Compiles `schema` in the dialect it declares: 2020-12, 2019-09, draft 7, draft 6 or draft 4;
    /// 2020-12 if it declares none. For a client, which has to live with what servers in the field
    /// declare. A schema embedded in another cannot switch to another dialect.
    ///
    /// # Errors
    /// As [`compile`](Self::compile).
    pub fn compile_published(schema: &JsonObject) -> Result<Self, SchemaProblem> {
        Self::compile_as(schema, AcceptedDialects::Published, false)
    }

    fn compile_as(
        schema: &JsonObject,
        accepted: AcceptedDialects,
        are_arguments: bool,
    ) -> Result<Self, SchemaProblem> {
        let dialect = accepted.dialect_of(schema)?;
        // First of all, because everything after it recurses.
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
            .map_err(|error| problem(&error))?;
        let plan = if dialect.has_plans() {
            fast::compile(schema)
        } else {
            None
        };
        let full = Some(Full {
            validator,
            graph,
            text: value,
        });
        Ok(Self(Arc::new(Compiled {
            plan,
            full,
            are_arguments,
        })))
    }

    /// Compiles the schema of a tool's arguments, which must describe an object
    /// (`server/tools#tool`). Messages call the members of that object arguments.
    ///
    /// # Errors
    /// As [`compile`](Self::compile), and when the root lacks `"type": "object"`.
    pub fn compile_arguments(schema: &JsonObject) -> Result<Self, SchemaProblem> {
        if schema.get("type").and_then(JsonValue::as_str) != Some("object") {
            return Err(SchemaProblem::NotAnObject);
        }
        Self::compile_as(schema, AcceptedDialects::Current, true)
    }

    /// The schema that any value matches.
    #[must_use]
    pub fn accept_everything() -> Self {
        Self(Arc::new(Compiled {
            plan: Some(CheckPlan::anything()),
            full: None,
            are_arguments: false,
        }))
    }

    /// Checks a value.
    ///
    /// Plain schemas are checked on the text itself, without building the value.
    ///
    /// # Errors
    /// What does not match, in words for whoever made the value. A value that would take this
    /// schema too many evaluations does not match either.
    pub fn check(&self, text: &RawJson) -> Result<(), Violations> {
        if self.decides_fast(text) {
            return Ok(());
        }
        let Some(Full {
            validator,
            graph,
            text: schema,
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
            // Collecting errors costs many times what deciding costs, so a large value gets no more
            // than the verdict.
            Cost::Large => Violations::somewhere(),
        })
    }

    /// Whether the text alone shows that the value matches.
    fn decides_fast(&self, text: &RawJson) -> bool {
        self.0
            .plan
            .as_ref()
            .is_some_and(|plan| plan.check(text.as_str()) == PlanVerdict::Valid)
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schema")
            .field("plain", &self.0.plan.is_some())
            .finish_non_exhaustive()
    }
}

fn problem(error: &jsonschema::ValidationError<'_>) -> SchemaProblem {
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
