//! Finds all subschemas, and enforces the limits on their number, their depth and the size of the
//! schema. [`keywords`](super::keywords) reads the keywords of each.

use super::{NodeId, SchemaNode};
use crate::dialect::{AcceptedDialects, Dialect};
use crate::{MAX_BYTES, MAX_DEPTH, MAX_SUBSCHEMAS, SchemaProblem};
use carryall_types::{JsonObject, JsonValue};
use std::collections::HashMap;

/// The index of the schema resource that a subschema belongs to: the closest enclosing schema with
/// an identifier. `None` for a subschema below an unknown keyword, which only a `$ref` reaches: the
/// keyword may change the base URI.
pub(super) type SchemaResourceId = Option<usize>;

/// The state of a traversal, with an explicit stack instead of recursion.
pub(super) struct SchemaWalk<'a> {
    pub(super) dialect: Dialect,
    pub(super) accepted: AcceptedDialects,
    pub(super) nodes: Vec<SchemaNode>,
    /// Subschemas by the address of their object, which is stable while the schema is borrowed.
    pub(super) ids: HashMap<*const JsonObject, NodeId>,
    /// The stack.
    pub(super) pending: Vec<UnreadSchema<'a>>,
    /// The schema resources: the root, and all subschemas with an identifier.
    pub(super) resources: Vec<SchemaResource<'a>>,
    /// Anchors by resource and name: `$anchor`, `$dynamicAnchor`, and identifiers that are
    /// fragments.
    pub(super) anchors: HashMap<(usize, &'a str), NodeId>,
    /// All `$dynamicAnchor` by name. A `$recursiveAnchor` has an empty name.
    pub(super) dynamic: HashMap<&'a str, Vec<NodeId>>,
    pub(super) references: Vec<Reference<'a>>,
    /// The size of the parts read so far, as compact JSON.
    bytes: usize,
    /// The number of regular expressions.
    pub(super) patterns: usize,
}

/// A schema with its own URI.
pub(super) struct SchemaResource<'a> {
    pub(super) id: Option<&'a str>,
    pub(super) root: &'a JsonObject,
    /// The enclosing resource.
    pub(super) outer: Option<usize>,
}

/// A `$ref`, `$dynamicRef` or `$recursiveRef`.
pub(super) struct Reference<'a> {
    pub(super) from: NodeId,
    pub(super) resource: SchemaResourceId,
    pub(super) uri: &'a str,
    pub(super) dynamic: bool,
}

/// A part of the schema that is still to be read.
pub(super) enum UnreadSchema<'a> {
    Schema {
        value: &'a JsonValue,
        id: NodeId,
        depth: usize,
        resource: SchemaResourceId,
    },
    /// The value of a keyword that takes no subschemas.
    Data { value: &'a JsonValue, depth: usize },
}

impl<'a> SchemaWalk<'a> {
    pub(super) fn new(
        root: &'a JsonObject,
        dialect: Dialect,
        accepted: AcceptedDialects,
    ) -> Result<Self, SchemaProblem> {
        let mut walk = Self {
            dialect,
            accepted,
            nodes: vec![SchemaNode::default()],
            ids: HashMap::new(),
            pending: Vec::new(),
            resources: vec![SchemaResource {
                id: None,
                root,
                outer: None,
            }],
            anchors: HashMap::new(),
            dynamic: HashMap::new(),
            references: Vec::new(),
            bytes: 0,
            patterns: 0,
        };
        walk.read_object(root, 0, 1, Some(0))?;
        walk.read_pending()?;
        Ok(walk)
    }

    /// Returns the subschema at `value`. Reads it if necessary, since a reference may point into an
    /// unknown keyword.
    pub(super) fn node(&mut self, value: &'a JsonValue) -> Result<NodeId, SchemaProblem> {
        if let JsonValue::Object(object) = value
            && let Some(id) = self.ids.get(&std::ptr::from_ref(object))
        {
            return Ok(*id);
        }
        let id = self.add(value, 1, None)?;
        self.read_pending()?;
        Ok(id)
    }

    /// Returns the subschema at the root of a resource.
    pub(super) fn root(&self, resource: usize) -> NodeId {
        self.ids
            .get(&std::ptr::from_ref(self.resources[resource].root))
            .copied()
            .unwrap_or(0)
    }

    /// Records that evaluating `from` evaluates `to` on the same value.
    pub(super) fn link(&mut self, from: NodeId, to: NodeId) {
        let same = &mut self.nodes[from as usize].same;
        if !same.contains(&to) {
            same.push(to);
        }
    }

    pub(super) fn into_nodes(self) -> Vec<SchemaNode> {
        self.nodes
    }

    fn read_pending(&mut self) -> Result<(), SchemaProblem> {
        while let Some(pending) = self.pending.pop() {
            match pending {
                UnreadSchema::Schema {
                    value: JsonValue::Object(object),
                    id,
                    depth,
                    resource,
                } => {
                    self.read_object(object, id, depth, resource)?;
                }
                UnreadSchema::Schema { value, depth, .. } | UnreadSchema::Data { value, depth } => {
                    self.read_data(value, depth)?
                }
            }
        }
        Ok(())
    }

    /// Queues `value` to be read as a subschema.
    pub(super) fn add(
        &mut self,
        value: &'a JsonValue,
        depth: usize,
        resource: SchemaResourceId,
    ) -> Result<NodeId, SchemaProblem> {
        if depth > MAX_DEPTH {
            return Err(SchemaProblem::TooDeep);
        }
        if self.nodes.len() == MAX_SUBSCHEMAS {
            return Err(SchemaProblem::TooLarge("more than 2,000 subschemas"));
        }
        let id = self.nodes.len() as NodeId;
        self.nodes.push(SchemaNode::default());
        self.pending.push(UnreadSchema::Schema {
            value,
            id,
            depth,
            resource,
        });
        Ok(id)
    }

    /// Queues the subschemas in an array.
    pub(super) fn add_list(
        &mut self,
        schemas: &'a [JsonValue],
        depth: usize,
        resource: SchemaResourceId,
    ) -> Result<Vec<NodeId>, SchemaProblem> {
        schemas
            .iter()
            .map(|schema| self.add(schema, depth + 1, resource))
            .collect()
    }

    /// Queues the subschemas in an object, and returns them by name.
    pub(super) fn add_map(
        &mut self,
        schemas: &'a JsonObject,
        depth: usize,
        resource: SchemaResourceId,
    ) -> Result<Vec<(&'a str, NodeId)>, SchemaProblem> {
        self.count_bytes(2)?;
        let mut ids = Vec::with_capacity(schemas.len().min(MAX_SUBSCHEMAS));
        for (name, schema) in schemas {
            self.count_bytes(name.len() + 4)?;
            ids.push((name.as_str(), self.add(schema, depth + 1, resource)?));
        }
        Ok(ids)
    }

    /// Reads a value that contains no subschemas, to limit its size and depth.
    pub(super) fn read_data(
        &mut self,
        value: &'a JsonValue,
        depth: usize,
    ) -> Result<(), SchemaProblem> {
        // Cloning and compiling the schema recurse into data as well.
        if depth > 2 * MAX_DEPTH {
            return Err(SchemaProblem::TooDeep);
        }
        match value {
            JsonValue::Null | JsonValue::Bool(_) => self.count_bytes(4),
            JsonValue::Number(number) => self.count_bytes(number.to_string().len()),
            JsonValue::String(text) => self.count_bytes(text.len() + 2),
            JsonValue::Array(items) => {
                self.count_bytes(2 + items.len())?;
                self.pending
                    .extend(items.iter().map(|value| UnreadSchema::Data {
                        value,
                        depth: depth + 1,
                    }));
                Ok(())
            }
            JsonValue::Object(members) => {
                self.count_bytes(2)?;
                for (name, value) in members {
                    self.count_bytes(name.len() + 4)?;
                    self.pending.push(UnreadSchema::Data {
                        value,
                        depth: depth + 1,
                    });
                }
                Ok(())
            }
        }
    }

    /// Adds to the size of the schema as compact JSON.
    pub(super) fn count_bytes(&mut self, bytes: usize) -> Result<(), SchemaProblem> {
        self.bytes += bytes;
        if self.bytes > MAX_BYTES {
            Err(SchemaProblem::TooLarge("more than 256 KiB"))
        } else {
            Ok(())
        }
    }
}
