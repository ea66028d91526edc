//! The depth limit of untrusted JSON values.
//!
//! Cloning, comparing, writing and even dropping a `serde_json` value recurses, so that a value
//! nested ten thousand levels deep would overflow the stack.

use crate::SchemaProblem;
use carryall_types::{JsonObject, JsonValue};

/// The maximum nesting of the JSON of a schema. More than a schema within
/// [`MAX_DEPTH`](crate::MAX_DEPTH) needs, and safe for recursion.
const MAX_JSON_DEPTH: usize = 256;

/// Returns the schema if it nests at most 256 levels deep. A deeper one is dropped without
/// recursion.
///
/// # Errors
/// [`SchemaProblem::TooDeep`] for a deeper schema.
pub fn limit_depth(schema: JsonObject) -> Result<JsonObject, SchemaProblem> {
    if is_shallow(&schema) {
        return Ok(schema);
    }
    drop_without_recursion(schema);
    Err(SchemaProblem::TooDeep)
}

fn is_shallow(schema: &JsonObject) -> bool {
    let mut open: Vec<(&JsonValue, usize)> = schema.values().map(|value| (value, 1)).collect();
    while let Some((value, depth)) = open.pop() {
        if depth > MAX_JSON_DEPTH {
            return false;
        }
        match value {
            JsonValue::Object(members) => {
                open.extend(members.values().map(|value| (value, depth + 1)))
            }
            JsonValue::Array(items) => open.extend(items.iter().map(|value| (value, depth + 1))),
            _ => {}
        }
    }
    true
}

fn drop_without_recursion(schema: JsonObject) {
    let mut open: Vec<JsonValue> = schema.into_iter().map(|(_, value)| value).collect();
    while let Some(value) = open.pop() {
        match value {
            JsonValue::Object(members) => open.extend(members.into_iter().map(|(_, value)| value)),
            JsonValue::Array(items) => open.extend(items),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nested(levels: usize, in_arrays: bool) -> JsonObject {
        let inner = (0..levels).fold(JsonValue::Null, |inner, _| {
            if in_arrays {
                JsonValue::Array(vec![inner])
            } else {
                JsonObject::from_iter([("a".into(), inner)]).into()
            }
        });
        JsonObject::from_iter([("not".to_owned(), inner)])
    }

    // spec: json-schema-13
    #[test]
    fn a_schema_too_deep_for_recursion_is_rejected_and_dropped() {
        for in_arrays in [false, true] {
            assert_eq!(
                limit_depth(nested(100_000, in_arrays)),
                Err(SchemaProblem::TooDeep)
            );
            assert_eq!(
                limit_depth(nested(MAX_JSON_DEPTH, in_arrays)),
                Err(SchemaProblem::TooDeep)
            );
            let fits = nested(MAX_JSON_DEPTH - 1, in_arrays);
            assert_eq!(limit_depth(fits.clone()), Ok(fits));
        }
    }
}
