//! Follows `$ref`, `$dynamicRef` and `$recursiveRef` inside the schema.
//!
//! The library resolves references exactly and refuses what is missing; here they are resolved to
//! learn what an evaluation may cost, so several targets are taken where one cannot be told, and a
//! missing one is left to it.

use super::NodeId;
use super::walk::{Reference, SchemaWalk};
use crate::SchemaProblem;
use carryall_types::{JsonObject, JsonValue};

/// Links every reference to its targets.
pub(super) fn resolve(walk: &mut SchemaWalk<'_>) -> Result<(), SchemaProblem> {
    // Following one may bring more to light.
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
    let fragment = decode(fragment);
    let mut found = Vec::new();
    for resource in resources(walk, reference, document)? {
        if fragment.is_empty() {
            found.push(walk.root(resource));
        } else if let Some(pointer) = fragment.strip_prefix('/') {
            let root: &JsonObject = walk.resources[resource].root;
            if let Some(value) = point(root, pointer) {
                found.push(walk.node(value)?);
            }
        } else if let Some(id) = walk.anchors.get(&(resource, fragment.as_str())) {
            found.push(*id);
        }
    }
    if reference.dynamic
        && let Some(ids) = walk.dynamic.get(fragment.as_str())
    {
        found.extend(ids);
    }
    Ok(found)
}

/// The resources that `document` may name. Without a document it is the one around the reference,
/// or one further out: on the way of some references the library passes over identifiers. Otherwise
/// it is one whose identifier ends in the same segment, because base URIs only ever change what
/// comes before it.
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

fn point<'a>(root: &'a JsonObject, pointer: &str) -> Option<&'a JsonValue> {
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

/// Undoes percent-encoding; what is not UTF-8 then matches nothing.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, tail @ ..] = rest {
        let hex = |at: usize| tail.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        if *byte == b'%'
            && let (Some(high), Some(low)) = (hex(0), hex(1))
        {
            bytes.push((high << 4 | low) as u8);
            rest = &tail[2..];
        } else {
            bytes.push(*byte);
            rest = tail;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
