//! The graph of subschemas, whose limits are checked while it is built. [`crate::cost`] estimates
//! evaluations with it.
//!
//! Building does not recurse, so that a deeply nested schema is rejected instead of overflowing the
//! stack.

mod keywords;
mod order;
mod refs;
mod walk;

use crate::SchemaProblem;
use crate::dialect::{AcceptedDialects, Dialect};
use carryall_types::JsonObject;
use std::collections::HashMap;

/// The index of a subschema.
pub(crate) type NodeId = u32;

/// All subschemas, the root first.
pub(crate) struct Graph {
    pub(crate) nodes: Vec<SchemaNode>,
}

/// A subschema, with the subschemas that its evaluation evaluates.
#[derive(Default)]
pub(crate) struct SchemaNode {
    /// Subschemas applied to the same value: `allOf`, `not`, `$ref`, ...
    pub(crate) same: Vec<NodeId>,
    /// `properties`.
    pub(crate) named: HashMap<Box<str>, NodeId>,
    /// `additionalProperties`.
    pub(crate) additional: Option<NodeId>,
    /// Subschemas that may apply to any member: `patternProperties`, `unevaluatedProperties`.
    pub(crate) members: Vec<NodeId>,
    /// `prefixItems`, or `items` as an array.
    pub(crate) prefix: Vec<NodeId>,
    /// Subschemas that may apply to any item: `items`, `contains`, `additionalItems`,
    /// `unevaluatedItems`.
    pub(crate) items: Vec<NodeId>,
    /// The cost of one evaluation without its subschemas.
    pub(crate) weight: u64,
    /// Whether an evaluation reads the whole value: a regular expression its text or keys,
    /// `uniqueItems` its items.
    pub(crate) pattern: bool,
    /// Whether adjacent keywords are evaluated twice, because of `unevaluatedProperties` or
    /// `unevaluatedItems`.
    pub(crate) twice: bool,
    /// The topological rank: the nodes in `same` have a lower one.
    pub(crate) rank: u32,
}

impl Graph {
    /// Builds the graph of a schema in `dialect`.
    ///
    /// # Errors
    /// When a limit is exceeded, an embedded schema declares a dialect that is not `accepted` or
    /// not `dialect`, or references leave the schema or form a cycle on the same value.
    pub(crate) fn build(
        schema: &JsonObject,
        dialect: Dialect,
        accepted: AcceptedDialects,
    ) -> Result<Self, SchemaProblem> {
        let mut walk = walk::SchemaWalk::new(schema, dialect, accepted)?;
        refs::resolve(&mut walk)?;
        let mut nodes = walk.into_nodes();
        order::rank(&mut nodes)?;
        Ok(Self { nodes })
    }
}
