//! Deep values. Copying, comparing, writing and even dropping a `serde_json` value recurses, so one
//! that nests ten thousand deep has to be taken apart before anybody touches it.

use crate::SchemaProblem;
use carryall_types::{JsonObject, JsonValue};

/// How deep the JSON text of a schema may nest. More than any schema within
/// [`MAX_DEPTH`](crate::MAX_DEPTH) needs, and little enough for recursion.
const MAX_JSON_DEPTH: usize = 256;

/// Takes a schema of unknown origin in: one that nests too deep for recursion is refused, and
/// dropped safely.
///
/// # Errors
/// [`SchemaProblem::TooDeep`].
pub fn take_in(schema: JsonObject) -> Result<JsonObject, SchemaProblem> {
    if is_shallow(&schema) {
        return Ok(schema);
    }
    dismantle(schema);
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

fn dismantle(schema: JsonObject) {
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
    fn a_value_too_deep_for_recursion_is_refused_and_dropped() {
        for in_arrays in [false, true] {
            assert_eq!(
                take_in(nested(100_000, in_arrays)),
                Err(SchemaProblem::TooDeep)
            );
            assert_eq!(
                take_in(nested(MAX_JSON_DEPTH, in_arrays)),
                Err(SchemaProblem::TooDeep)
            );
            let fits = nested(MAX_JSON_DEPTH - 1, in_arrays);
            assert_eq!(take_in(fits.clone()), Ok(fits));
        }
    }
}
