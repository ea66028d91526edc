//! The schema as a graph of subschemas: its bounds are checked while it is built, and
//! [`crate::cost`] walks it.
//!
//! Building never recurses, so that a schema nested ten thousand deep is refused and not a stack
//! overflow.

mod keywords;
mod order;
mod refs;
mod walk;

use crate::SchemaProblem;
use crate::dialect::{AcceptedDialects, Dialect};
use carryall_types::JsonObject;
use std::collections::HashMap;

/// Index of a subschema.
pub(crate) type NodeId = u32;

/// All subschemas; the root comes first.
pub(crate) struct Graph {
    pub(crate) nodes: Vec<Node>,
}

/// One subschema, as far as evaluating it means evaluating others.
#[derive(Default)]
pub(crate) struct Node {
    /// Applied to the same value: `allOf`, `not`, `$ref`, ...
    pub(crate) same: Vec<NodeId>,
    /// `properties`.
    pub(crate) named: HashMap<Box<str>, NodeId>,
    /// `additionalProperties`.
    pub(crate) additional: Option<NodeId>,
    /// What may apply to any member: `patternProperties`, `unevaluatedProperties`.
    pub(crate) members: Vec<NodeId>,
    /// `prefixItems`, `items` as a list.
    pub(crate) prefix: Vec<NodeId>,
    /// What may apply to any item: `items`, `contains`, `additionalItems`, `unevaluatedItems`.
    pub(crate) items: Vec<NodeId>,
    /// What one evaluation costs beside its subschemas.
    pub(crate) weight: u64,
    /// Whether something looks at all of the value: a regular expression at its text or keys,
    /// `uniqueItems` at its items.
    pub(crate) pattern: bool,
    /// `unevaluatedProperties` and `unevaluatedItems` evaluate what is beside them once more.
    pub(crate) twice: bool,
    /// Nodes in `same` have a lower rank.
    pub(crate) rank: u32,
}

impl Graph {
    /// Reads `schema`, which is in `dialect`; schemas embedded in it may declare what is
    /// `accepted`, but no other.
    ///
    /// # Errors
    /// When a bound is exceeded, a dialect is not supported, or references lead out of the schema
    /// or in a circle.
    pub(crate) fn build(
        schema: &JsonObject,
        dialect: Dialect,
        accepted: AcceptedDialects,
    ) -> Result<Self, SchemaProblem> {
        let mut found = walk::SchemaWalk::new(schema, dialect, accepted)?;
        refs::resolve(&mut found)?;
        let mut nodes = found.into_nodes();
        order::rank(&mut nodes)?;
        Ok(Self { nodes })
    }
}
