//! Finds all subschemas, and enforces the limits on their number, depth and size.

use super::{NodeId, SchemaNode};
use crate::dialect::{AcceptedDialects, Dialect};
use crate::{MAX_BYTES, MAX_DEPTH, MAX_SUBSCHEMAS, SchemaProblem};
use carryall_types::{JsonObject, JsonValue};
use std::collections::HashMap;

/// The resource that a subschema belongs to. `None` for a subschema that is reached only by a
/// reference: its base URI depends on unknown keywords.
pub(super) type SchemaResourceId = Option<usize>;

/// The state of reading a schema.
pub(super) struct SchemaWalk<'a> {
    pub(super) dialect: Dialect,
    pub(super) accepted: AcceptedDialects,
    pub(super) nodes: Vec<SchemaNode>,
    /// Subschemas by the address of their object, which is stable while the schema is borrowed.
    pub(super) ids: HashMap<*const JsonObject, NodeId>,
    pub(super) pending: Vec<UnreadSchema<'a>>,
    /// The schema resources: the root, and all subschemas with an identifier.
    pub(super) resources: Vec<SchemaResource<'a>>,
    /// Anchors by resource and name: `$anchor`, `$dynamicAnchor`, and identifiers that are
    /// fragments.
    pub(super) anchors: HashMap<(usize, &'a str), NodeId>,
    /// All `$dynamicAnchor` by name. A `$recursiveAnchor` has an empty name.
    pub(super) dynamic: HashMap<&'a str, Vec<NodeId>>,
    pub(super) references: Vec<Reference<'a>>,
    bytes: usize,
    pub(super) patterns: usize,
}

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
    Data {
        value: &'a JsonValue,
        depth: usize,
    },
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
        walk.object(root, 0, 1, Some(0))?;
        walk.run()?;
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
        self.run()?;
        Ok(id)
    }

    pub(super) fn root(&self, resource: usize) -> NodeId {
        self.ids
            .get(&std::ptr::from_ref(self.resources[resource].root))
            .copied()
            .unwrap_or(0)
    }

    pub(super) fn link(&mut self, from: NodeId, to: NodeId) {
        let same = &mut self.nodes[from as usize].same;
        if !same.contains(&to) {
            same.push(to);
        }
    }

    pub(super) fn into_nodes(self) -> Vec<SchemaNode> {
        self.nodes
    }

    fn run(&mut self) -> Result<(), SchemaProblem> {
        while let Some(pending) = self.pending.pop() {
            match pending {
                UnreadSchema::Schema {
                    value: JsonValue::Object(object),
                    id,
                    depth,
                    resource,
                } => {
                    self.object(object, id, depth, resource)?;
                }
                UnreadSchema::Schema { value, depth, .. } | UnreadSchema::Data { value, depth } => {
                    self.data(value, depth)?
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

    pub(super) fn list(
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

    pub(super) fn map(
        &mut self,
        schemas: &'a JsonObject,
        depth: usize,
        resource: SchemaResourceId,
    ) -> Result<Vec<(&'a str, NodeId)>, SchemaProblem> {
        self.spend(2)?;
        let mut ids = Vec::with_capacity(schemas.len().min(MAX_SUBSCHEMAS));
        for (name, schema) in schemas {
            self.spend(name.len() + 4)?;
            ids.push((name.as_str(), self.add(schema, depth + 1, resource)?));
        }
        Ok(ids)
    }

    pub(super) fn data(&mut self, value: &'a JsonValue, depth: usize) -> Result<(), SchemaProblem> {
        // Later passes recurse into data as well, so its depth is limited together with that of the
        // schemas around it.
        if depth > 2 * MAX_DEPTH {
            return Err(SchemaProblem::TooDeep);
        }
        match value {
            JsonValue::Null | JsonValue::Bool(_) => self.spend(4),
            JsonValue::Number(number) => self.spend(number.to_string().len()),
            JsonValue::String(text) => self.spend(text.len() + 2),
            JsonValue::Array(items) => {
                self.spend(2 + items.len())?;
                self.pending
                    .extend(items.iter().map(|value| UnreadSchema::Data {
                        value,
                        depth: depth + 1,
                    }));
                Ok(())
            }
            JsonValue::Object(members) => {
                self.spend(2)?;
                for (name, value) in members {
                    self.spend(name.len() + 4)?;
                    self.pending.push(UnreadSchema::Data {
                        value,
                        depth: depth + 1,
                    });
                }
                Ok(())
            }
        }
    }

    pub(super) fn spend(&mut self, bytes: usize) -> Result<(), SchemaProblem> {
        self.bytes += bytes;
        if self.bytes > MAX_BYTES {
            Err(SchemaProblem::TooLarge("more than 256 KiB"))
        } else {
            Ok(())
        }
    }
}
