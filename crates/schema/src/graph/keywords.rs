//! Reads the keywords of one subschema.

use super::walk::{Reference, SchemaResource, SchemaResourceId, SchemaWalk, UnreadSchema};
use super::{NodeId, SchemaNode};
use crate::{MAX_PATTERNS, SchemaProblem};
use carryall_types::{JsonObject, JsonValue};

/// The maximum number of embedded schemas with a URI.
const MAX_RESOURCES: usize = 256;

impl<'a> SchemaWalk<'a> {
    /// Reads an object as the subschema `id`, and queues its subschemas.
    pub(super) fn read_object(
        &mut self,
        object: &'a JsonObject,
        id: NodeId,
        depth: usize,
        outer: SchemaResourceId,
    ) -> Result<(), SchemaProblem> {
        self.ids.insert(std::ptr::from_ref(object), id);
        // Up to draft 7, the keywords beside a `$ref` are ignored.
        let alone = self.dialect.is_classic() && object.contains_key("$ref");
        let resource = self.resource(object, id, outer, alone)?;
        let mut node = SchemaNode {
            weight: 1,
            ..SchemaNode::default()
        };
        self.count_bytes(2)?;
        for (keyword, value) in object {
            self.count_bytes(keyword.len() + 4)?;
            if !self.applicator(keyword, value, depth, resource, &mut node)? {
                self.other(keyword, value, id, depth, resource, &mut node)?;
            }
        }
        if self.patterns > MAX_PATTERNS {
            return Err(SchemaProblem::TooLarge("more than 256 regular expressions"));
        }
        // Ignored keywords are read nevertheless, since references may point into them.
        self.nodes[id as usize] = if alone {
            SchemaNode {
                weight: 1,
                ..SchemaNode::default()
            }
        } else {
            node
        };
        Ok(())
    }

    /// Reads a keyword with subschemas. Returns `false` if it is not one.
    ///
    /// The keywords of all dialects are read in every dialect: `jsonschema` does so for some of
    /// them, and counting too many only overestimates the cost.
    fn applicator(
        &mut self,
        keyword: &str,
        value: &'a JsonValue,
        depth: usize,
        resource: SchemaResourceId,
        node: &mut SchemaNode,
    ) -> Result<bool, SchemaProblem> {
        let inner = depth + 1;
        match (keyword, value) {
            ("allOf" | "anyOf" | "oneOf", JsonValue::Array(schemas)) => {
                node.same.extend(self.add_list(schemas, depth, resource)?);
            }
            ("not" | "if" | "then" | "else", _) => {
                node.same.push(self.add(value, inner, resource)?)
            }
            ("dependentSchemas" | "dependencies", JsonValue::Object(schemas)) => {
                node.same.extend(
                    self.add_map(schemas, depth, resource)?
                        .into_iter()
                        .map(|(_, id)| id),
                );
            }
            ("properties", JsonValue::Object(schemas)) => {
                node.named = self
                    .add_map(schemas, depth, resource)?
                    .into_iter()
                    .map(|(name, id)| (name.into(), id))
                    .collect();
            }
            ("patternProperties", JsonValue::Object(schemas)) => {
                self.patterns += schemas.len();
                node.pattern = true;
                node.members.extend(
                    self.add_map(schemas, depth, resource)?
                        .into_iter()
                        .map(|(_, id)| id),
                );
            }
            ("additionalProperties", _) => {
                node.additional = Some(self.add(value, inner, resource)?)
            }
            ("unevaluatedProperties", _) => {
                node.twice = true;
                node.members.push(self.add(value, inner, resource)?);
            }
            ("prefixItems" | "items", JsonValue::Array(schemas)) => {
                node.prefix.extend(self.add_list(schemas, depth, resource)?);
            }
            ("unevaluatedItems", _) => {
                node.twice = true;
                node.items.push(self.add(value, inner, resource)?);
            }
            ("items" | "contains" | "additionalItems", _) => {
                node.items.push(self.add(value, inner, resource)?)
            }
            ("propertyNames", _) => {
                // It applies to keys, which have no members or items, so it counts like a pattern.
                node.pattern = true;
                node.members.push(self.add(value, inner, resource)?);
            }
            ("contentSchema", _) => {
                self.add(value, inner, resource)?;
            }
            ("$defs" | "definitions", JsonValue::Object(schemas)) => {
                self.add_map(schemas, depth, resource)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Reads any other keyword.
    fn other(
        &mut self,
        keyword: &str,
        value: &'a JsonValue,
        from: NodeId,
        depth: usize,
        resource: SchemaResourceId,
        node: &mut SchemaNode,
    ) -> Result<(), SchemaProblem> {
        match (keyword, value) {
            ("$schema", JsonValue::String(uri)) => {
                self.read_data(value, depth)?;
                if self.accepted.dialect(uri)? != self.dialect {
                    let why = format!("an embedded schema switches to the dialect {uri:?}");
                    return Err(SchemaProblem::Invalid(why));
                }
            }
            ("$ref", JsonValue::String(uri)) => {
                self.read_data(value, depth)?;
                self.references.push(Reference {
                    from,
                    resource,
                    uri,
                    dynamic: false,
                });
            }
            (keyword, JsonValue::String(uri)) if Some(keyword) == self.dialect.dynamic_ref() => {
                self.read_data(value, depth)?;
                if keyword == "$recursiveRef" && uri != "#" {
                    return Err(SchemaProblem::Invalid(format!(
                        "$recursiveRef is {uri:?} and not \"#\""
                    )));
                }
                self.references.push(Reference {
                    from,
                    resource,
                    uri,
                    dynamic: true,
                });
            }
            ("pattern", JsonValue::String(_)) => {
                self.read_data(value, depth)?;
                self.patterns += 1;
                node.pattern = true;
            }
            ("uniqueItems" | "contentMediaType" | "contentEncoding", _) => {
                self.pending.push(UnreadSchema::Data {
                    value,
                    depth: depth + 1,
                });
                node.pattern = true;
            }
            ("enum" | "required", JsonValue::Array(list)) => {
                node.weight += list.len() as u64 / 8;
                self.pending.push(UnreadSchema::Data {
                    value,
                    depth: depth + 1,
                });
            }
            _ => self.pending.push(UnreadSchema::Data {
                value,
                depth: depth + 1,
            }),
        }
        Ok(())
    }

    /// Returns the resource that `object` belongs to, which it may define itself.
    fn resource(
        &mut self,
        object: &'a JsonObject,
        id: NodeId,
        outer: SchemaResourceId,
        alone: bool,
    ) -> Result<SchemaResourceId, SchemaProblem> {
        let text = |keyword| object.get(keyword).and_then(JsonValue::as_str);
        let mut resource = outer;
        let fragment = text(self.dialect.id_keyword()).filter(|_| self.dialect.is_classic());
        if let Some(name) = fragment.and_then(|uri| uri.strip_prefix('#')) {
            self.anchor(resource, name, id);
        } else if let Some(uri) = text(self.dialect.id_keyword()).filter(|_| !alone) {
            if id == 0 {
                self.resources[0].id = Some(uri);
            } else if outer.is_none() {
                let why = format!("{uri:?} identifies a schema below a keyword that is not known");
                return Err(SchemaProblem::Invalid(why));
            } else if self.resources.len() == MAX_RESOURCES {
                return Err(SchemaProblem::TooLarge(
                    "more than 256 embedded schemas with a URI",
                ));
            } else {
                resource = Some(self.resources.len());
                self.resources.push(SchemaResource {
                    id: Some(uri),
                    root: object,
                    outer,
                });
            }
        }
        if let Some(name) = text("$anchor") {
            self.anchor(resource, name, id);
        }
        if let Some(name) = text("$dynamicAnchor") {
            self.anchor(resource, name, id);
            self.dynamic.entry(name).or_default().push(id);
        }
        if object.get("$recursiveAnchor") == Some(&JsonValue::Bool(true)) {
            self.dynamic.entry("").or_default().push(id);
        }
        Ok(resource)
    }

    fn anchor(&mut self, resource: SchemaResourceId, name: &'a str, id: NodeId) {
        if let Some(resource) = resource {
            self.anchors.insert((resource, name), id);
        }
    }
}
