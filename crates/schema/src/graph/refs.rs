//! Resolves `$ref`, `$dynamicRef` and `$recursiveRef` within the schema.
//!
//! The `jsonschema` crate resolves references exactly and rejects missing targets. Here they are
//! resolved only to estimate costs: an ambiguous reference gets several targets, and a missing
//! target is ignored.

use super::NodeId;
use super::walk::{Reference, SchemaWalk};
use crate::SchemaProblem;
use carryall_types::{JsonObject, JsonValue};
use percent_encoding::percent_decode_str;

/// Links all references to their targets.
pub(super) fn resolve(walk: &mut SchemaWalk<'_>) -> Result<(), SchemaProblem> {
    // Resolving one may add others.
    while let Some(reference) = walk.references.pop() {
        for target in targets(walk, &reference)? {
            walk.link(reference.from, target);
        }
    }
    Ok(())
}

fn targets(
    walk: &mut SchemaWalk<'_>,
    reference: &Reference<'_>,
) -> Result<Vec<NodeId>, SchemaProblem> {
    let (document, fragment) = reference.uri.split_once('#').unwrap_or((reference.uri, ""));
    // A fragment that is not UTF-8 matches nothing.
    let fragment = percent_decode_str(fragment).decode_utf8_lossy();
    let mut found = Vec::new();
    for resource in resources(walk, reference, document)? {
        if fragment.is_empty() {
            found.push(walk.root(resource));
        } else if let Some(pointer) = fragment.strip_prefix('/') {
            let root: &JsonObject = walk.resources[resource].root;
            if let Some(value) = resolve_pointer(root, pointer) {
                found.push(walk.node(value)?);
            }
        } else if let Some(id) = walk.anchors.get(&(resource, &*fragment)) {
            found.push(*id);
        }
    }
    if reference.dynamic
        && let Some(ids) = walk.dynamic.get(&*fragment)
    {
        found.extend(ids);
    }
    Ok(found)
}

/// Returns the resources that `document` may refer to.
///
/// If it is empty, these are the resource of the reference and all outer ones, because `jsonschema`
/// skips identifiers on the path of some references. Otherwise they are the resources whose
/// identifier ends in the same path segment, since resolution against a base URI keeps the last
/// segment.
fn resources(
    walk: &SchemaWalk<'_>,
    reference: &Reference<'_>,
    document: &str,
) -> Result<Vec<usize>, SchemaProblem> {
    if document.is_empty() {
        return Ok(match reference.resource {
            Some(inner) => {
                std::iter::successors(Some(inner), |&at| walk.resources[at].outer).collect()
            }
            None => (0..walk.resources.len()).collect(),
        });
    }
    let wanted = last_segment(document);
    let found: Vec<_> = (0..walk.resources.len())
        .filter(|&index| {
            walk.resources[index]
                .id
                .is_some_and(|id| last_segment(id) == wanted)
        })
        .collect();
    if found.is_empty() {
        Err(SchemaProblem::ExternalRef(reference.uri.to_owned()))
    } else {
        Ok(found)
    }
}

fn last_segment(uri: &str) -> &str {
    let uri = uri.split_once('#').map_or(uri, |(document, _)| document);
    uri.rsplit('/').next().unwrap_or(uri)
}

fn resolve_pointer<'a>(root: &'a JsonObject, pointer: &str) -> Option<&'a JsonValue> {
    let mut segments = pointer
        .split('/')
        .map(|segment| segment.replace("~1", "/").replace("~0", "~"));
    let first = root.get(&segments.next()?)?;
    segments.try_fold(first, |value, segment| match value {
        JsonValue::Object(members) => members.get(&segment),
        JsonValue::Array(items) => items.get(segment.parse::<usize>().ok()?),
        _ => None,
    })
}
