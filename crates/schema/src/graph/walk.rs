//! Finds every subschema and counts what is bounded.

use super::{Node, NodeId};
use crate::{DIALECT, MAX_BYTES, MAX_DEPTH, MAX_PATTERNS, MAX_SUBSCHEMAS, SchemaProblem};
use carryall_types::{JsonObject, JsonValue};
use std::collections::HashMap;

/// What is known of a schema while it is read.
pub(super) struct Walk<'a> {
    nodes: Vec<Node>,
    /// Subschemas by the address of their object, which does not move while the schema is borrowed.
    ids: HashMap<*const JsonObject, NodeId>,
    pending: Vec<Pending<'a>>,
    /// Schema resources: the root, and every subschema with an `$id`.
    pub(super) resources: Vec<Resource<'a>>,
    /// `$anchor` and `$dynamicAnchor`, each in its resource.
    pub(super) anchors: HashMap<(usize, &'a str), NodeId>,
    /// `$dynamicAnchor` wherever it is.
    pub(super) dynamic: HashMap<&'a str, Vec<NodeId>>,
    pub(super) references: Vec<Reference<'a>>,
    bytes: usize,
    patterns: usize,
}

pub(super) struct Resource<'a> {
    pub(super) id: Option<&'a str>,
    pub(super) root: &'a JsonObject,
}

/// A `$ref` or `$dynamicRef`.
pub(super) struct Reference<'a> {
    pub(super) from: NodeId,
    pub(super) resource: usize,
    pub(super) uri: &'a str,
    pub(super) dynamic: bool,
}

enum Pending<'a> {
    Schema { value: &'a JsonValue, id: NodeId, depth: usize, resource: usize },
    Data { value: &'a JsonValue, depth: usize },
}

impl<'a> Walk<'a> {
    pub(super) fn new(root: &'a JsonObject) -> Result<Self, SchemaProblem> {
        let mut walk = Self {
            nodes: vec![Node::default()],
            ids: HashMap::new(),
            pending: Vec::new(),
            resources: vec![Resource { id: None, root }],
            anchors: HashMap::new(),
            dynamic: HashMap::new(),
            references: Vec::new(),
            bytes: 0,
            patterns: 0,
        };
        walk.object(root, 0, 1, 0)?;
        walk.run()?;
        Ok(walk)
    }

    /// The subschema that `value` is, read now if it was not before (a reference may lead into a keyword that nobody
    /// knows).
    pub(super) fn node(&mut self, value: &'a JsonValue, resource: usize) -> Result<NodeId, SchemaProblem> {
        if let JsonValue::Object(object) = value
            && let Some(id) = self.ids.get(&std::ptr::from_ref(object))
        {
            return Ok(*id);
        }
        let id = self.add(value, 1, resource)?;
        self.run()?;
        Ok(id)
    }

    pub(super) fn root(&self, resource: usize) -> NodeId {
        self.ids.get(&std::ptr::from_ref(self.resources[resource].root)).copied().unwrap_or(0)
    }

    pub(super) fn link(&mut self, from: NodeId, to: NodeId) {
        let same = &mut self.nodes[from as usize].same;
        if !same.contains(&to) {
            same.push(to);
        }
    }

    pub(super) fn into_nodes(self) -> Vec<Node> {
        self.nodes
    }

    fn run(&mut self) -> Result<(), SchemaProblem> {
        while let Some(pending) = self.pending.pop() {
            match pending {
                Pending::Schema { value: JsonValue::Object(object), id, depth, resource } => {
                    self.object(object, id, depth, resource)?;
                }
                Pending::Schema { value, depth, .. } | Pending::Data { value, depth } => self.data(value, depth)?,
            }
        }
        Ok(())
    }

    /// Plans to read `value` as a subschema.
    fn add(&mut self, value: &'a JsonValue, depth: usize, resource: usize) -> Result<NodeId, SchemaProblem> {
        if depth > MAX_DEPTH {
            return Err(SchemaProblem::TooDeep);
        }
        if self.nodes.len() == MAX_SUBSCHEMAS {
            return Err(SchemaProblem::TooLarge("more than 2,000 subschemas"));
        }
        let id = self.nodes.len() as NodeId;
        self.nodes.push(Node::default());
        self.pending.push(Pending::Schema { value, id, depth, resource });
        Ok(id)
    }

    fn object(&mut self, object: &'a JsonObject, id: NodeId, depth: usize, outer: usize) -> Result<(), SchemaProblem> {
        self.ids.insert(std::ptr::from_ref(object), id);
        let resource = self.resource(object, id, outer)?;
        let mut node = Node { weight: 1, ..Node::default() };
        self.spend(2)?;
        for (keyword, value) in object {
            self.spend(keyword.len() + 4)?;
            match (keyword.as_str(), value) {
                ("allOf" | "anyOf" | "oneOf", JsonValue::Array(schemas)) => {
                    for schema in schemas {
                        node.same.push(self.add(schema, depth + 1, resource)?);
                    }
                }
                ("not" | "if" | "then" | "else", _) => node.same.push(self.add(value, depth + 1, resource)?),
                ("dependentSchemas", JsonValue::Object(schemas)) => {
                    node.same.extend(self.map(schemas, depth, resource)?.into_iter().map(|(_, id)| id));
                }
                ("properties", JsonValue::Object(schemas)) => {
                    node.named =
                        self.map(schemas, depth, resource)?.into_iter().map(|(name, id)| (name.into(), id)).collect();
                }
                ("patternProperties", JsonValue::Object(schemas)) => {
                    self.patterns += schemas.len();
                    node.pattern = true;
                    node.members.extend(self.map(schemas, depth, resource)?.into_iter().map(|(_, id)| id));
                }
                ("additionalProperties", _) => node.additional = Some(self.add(value, depth + 1, resource)?),
                ("unevaluatedProperties", _) => {
                    node.twice = true;
                    node.members.push(self.add(value, depth + 1, resource)?);
                }
                ("prefixItems", JsonValue::Array(schemas)) => {
                    for schema in schemas {
                        node.prefix.push(self.add(schema, depth + 1, resource)?);
                    }
                }
                ("unevaluatedItems", _) => {
                    node.twice = true;
                    node.items.push(self.add(value, depth + 1, resource)?);
                }
                ("items" | "contains", _) => node.items.push(self.add(value, depth + 1, resource)?),
                ("propertyNames", _) => {
                    // Keys are strings: what applies to them goes no deeper, so it counts as one more pattern.
                    node.pattern = true;
                    node.members.push(self.add(value, depth + 1, resource)?);
                }
                ("contentSchema", _) => {
                    self.add(value, depth + 1, resource)?;
                }
                ("$defs" | "definitions", JsonValue::Object(schemas)) => {
                    self.map(schemas, depth, resource)?;
                }
                ("$schema", JsonValue::String(dialect)) => {
                    self.data(value, depth)?;
                    if !is_supported(dialect) {
                        return Err(SchemaProblem::UnsupportedDialect(dialect.clone()));
                    }
                }
                ("$ref" | "$dynamicRef", JsonValue::String(uri)) => {
                    self.data(value, depth)?;
                    let dynamic = keyword == "$dynamicRef";
                    self.references.push(Reference { from: id, resource, uri, dynamic });
                }
                ("pattern", JsonValue::String(_)) => {
                    self.data(value, depth)?;
                    self.patterns += 1;
                    node.pattern = true;
                }
                ("enum" | "required", JsonValue::Array(list)) => {
                    node.weight += list.len() as u64 / 8;
                    self.pending.push(Pending::Data { value, depth: depth + 1 });
                }
                _ => self.pending.push(Pending::Data { value, depth: depth + 1 }),
            }
        }
        if self.patterns > MAX_PATTERNS {
            return Err(SchemaProblem::TooLarge("more than 256 regular expressions"));
        }
        self.nodes[id as usize] = node;
        Ok(())
    }

    fn resource(&mut self, object: &'a JsonObject, id: NodeId, outer: usize) -> Result<usize, SchemaProblem> {
        let text = |keyword| object.get(keyword).and_then(JsonValue::as_str);
        let mut resource = outer;
        if let Some(uri) = text("$id") {
            if id == 0 {
                self.resources[0].id = Some(uri);
            } else {
                resource = self.resources.len();
                self.resources.push(Resource { id: Some(uri), root: object });
            }
        }
        if let Some(name) = text("$anchor") {
            self.anchors.insert((resource, name), id);
        }
        if let Some(name) = text("$dynamicAnchor") {
            self.anchors.insert((resource, name), id);
            self.dynamic.entry(name).or_default().push(id);
        }
        Ok(resource)
    }

    fn map(
        &mut self,
        schemas: &'a JsonObject,
        depth: usize,
        resource: usize,
    ) -> Result<Vec<(&'a str, NodeId)>, SchemaProblem> {
        self.spend(2)?;
        let mut ids = Vec::with_capacity(schemas.len().min(MAX_SUBSCHEMAS));
        for (name, schema) in schemas {
            self.spend(name.len() + 4)?;
            ids.push((name.as_str(), self.add(schema, depth + 1, resource)?));
        }
        Ok(ids)
    }

    fn data(&mut self, value: &'a JsonValue, depth: usize) -> Result<(), SchemaProblem> {
        // Data is part of what later passes recurse into: it shares the bound of the schemas around it.
        if depth > 2 * MAX_DEPTH {
            return Err(SchemaProblem::TooDeep);
        }
        match value {
            JsonValue::Null | JsonValue::Bool(_) => self.spend(4),
            JsonValue::Number(number) => self.spend(number.to_string().len()),
            JsonValue::String(text) => self.spend(text.len() + 2),
            JsonValue::Array(items) => {
                self.spend(2 + items.len())?;
                self.pending.extend(items.iter().map(|value| Pending::Data { value, depth: depth + 1 }));
                Ok(())
            }
            JsonValue::Object(members) => {
                self.spend(2)?;
                for (name, value) in members {
                    self.spend(name.len() + 4)?;
                    self.pending.push(Pending::Data { value, depth: depth + 1 });
                }
                Ok(())
            }
        }
    }

    fn spend(&mut self, bytes: usize) -> Result<(), SchemaProblem> {
        self.bytes += bytes;
        if self.bytes > MAX_BYTES { Err(SchemaProblem::TooLarge("more than 256 KiB")) } else { Ok(()) }
    }
}

fn is_supported(dialect: &str) -> bool {
    let dialect = dialect.strip_suffix('#').unwrap_or(dialect);
    let dialect = dialect.strip_prefix("http:").or_else(|| dialect.strip_prefix("https:"));
    dialect == DIALECT.strip_prefix("https:")
}
