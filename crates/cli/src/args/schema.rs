//! Reads the parts of a JSON Schema that a command line needs.

use carryall::types::{JsonObject, JsonValue};
use std::collections::BTreeSet;

/// Maximum nesting of references and branches, since schemas may refer to themselves.
pub(super) const MAX_DEPTH: usize = 16;
/// Maximum number of subschemas per argument, since branches that refer to each other multiply.
pub(super) const MAX_SCHEMAS: usize = 1_000;

/// The type of a JSON value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum JsonType {
    Integer,
    Number,
    Boolean,
    Array,
    Object,
    String,
    Null,
}

impl JsonType {
    const ALL: [(&'static str, Self); 7] = [
        ("integer", Self::Integer),
        ("number", Self::Number),
        ("boolean", Self::Boolean),
        ("array", Self::Array),
        ("object", Self::Object),
        ("string", Self::String),
        ("null", Self::Null),
    ];

    fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, json_type)| *json_type)
    }

    fn of_value(value: &JsonValue) -> Self {
        match value {
            JsonValue::Null => Self::Null,
            JsonValue::Bool(_) => Self::Boolean,
            JsonValue::Number(number) if number.is_f64() => Self::Number,
            JsonValue::Number(_) => Self::Integer,
            JsonValue::String(_) => Self::String,
            JsonValue::Array(_) => Self::Array,
            JsonValue::Object(_) => Self::Object,
        }
    }

    /// Returns the name in JSON Schema.
    pub(crate) fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, known)| *known == self)
            .map_or("", |(name, _)| name)
    }
}

/// Returns the schema of one argument.
pub(crate) fn property<'a>(schema: &'a JsonObject, key: &str) -> Option<&'a JsonValue> {
    schema.get("properties")?.get(key)
}

/// Returns the names of the required arguments.
pub(crate) fn required(schema: &JsonObject) -> impl Iterator<Item = &str> {
    schema
        .get("required")
        .and_then(JsonValue::as_array)
        .into_iter()
        .flatten()
        .filter_map(JsonValue::as_str)
}

/// Returns the types that an argument may have; empty if the schema does not say.
pub(super) fn types_of(schema: &JsonObject, key: &str) -> BTreeSet<JsonType> {
    let mut types = BTreeSet::new();
    if let Some(property) = property(schema, key) {
        visit(
            property,
            schema,
            MAX_DEPTH,
            &mut { MAX_SCHEMAS },
            &mut |schema| collect_types(schema, &mut types),
        );
    }
    types
}

/// Calls `visitor` with a schema, its branches, and the schemas that they refer to, within the
/// bounds.
fn visit<'a>(
    schema: &'a JsonValue,
    root: &'a JsonObject,
    depth: usize,
    budget: &mut usize,
    visitor: &mut dyn FnMut(&'a JsonValue),
) {
    let (Some(depth), Some(rest)) = (depth.checked_sub(1), budget.checked_sub(1)) else {
        return;
    };
    *budget = rest;
    visitor(schema);
    for branches in ["anyOf", "oneOf", "allOf"] {
        for branch in schema
            .get(branches)
            .and_then(JsonValue::as_array)
            .into_iter()
            .flatten()
        {
            visit(branch, root, depth, budget, visitor);
        }
    }
    if let Some(target) = schema
        .get("$ref")
        .and_then(JsonValue::as_str)
        .and_then(|reference| resolve(reference, root))
    {
        visit(target, root, depth, budget, visitor);
    }
}

fn collect_types(schema: &JsonValue, types: &mut BTreeSet<JsonType>) {
    match schema.get("type") {
        Some(JsonValue::String(name)) => types.extend(JsonType::from_name(name)),
        Some(JsonValue::Array(names)) => types.extend(
            names
                .iter()
                .filter_map(JsonValue::as_str)
                .filter_map(JsonType::from_name),
        ),
        _ => {
            let values = schema
                .get("enum")
                .and_then(JsonValue::as_array)
                .into_iter()
                .flatten()
                .chain(schema.get("const"));
            types.extend(values.map(JsonType::of_value));
        }
    }
}

/// Resolves a reference within the schema. Others are not followed.
pub(super) fn resolve<'a>(reference: &str, root: &'a JsonObject) -> Option<&'a JsonValue> {
    let mut steps = reference
        .strip_prefix("#/")?
        .split('/')
        .map(|step| step.replace("~1", "/").replace("~0", "~"));
    let first = root.get(&steps.next()?)?;
    steps.try_fold(first, |value, step| value.get(step))
}

/// Converts text to a JSON value of one of these types; to a string if strings are allowed.
///
/// # Errors
/// Text that is a value of none of the types.
pub(super) fn convert(text: &str, types: &BTreeSet<JsonType>) -> Result<JsonValue, String> {
    if types.is_empty() || types.contains(&JsonType::String) {
        return Ok(text.into());
    }
    let parsed = serde_json::from_str::<JsonValue>(text.trim()).ok();
    let fits = |value: &JsonValue| {
        let found = JsonType::of_value(value);
        types.contains(&found)
            || found == JsonType::Integer && types.contains(&JsonType::Number)
            // `2.0` is an integer in JSON Schema.
            || found == JsonType::Number && types.contains(&JsonType::Integer) && value.as_f64().is_some_and(|number| number.fract() == 0.0)
    };
    match parsed {
        Some(value) if fits(&value) => Ok(value),
        _ => {
            let names: Vec<String> = types.iter().copied().map(with_article).collect();
            Err(format!("{text:?} is not {}", names.join(" or ")))
        }
    }
}

fn with_article(json_type: JsonType) -> String {
    match json_type {
        JsonType::Null => "null".into(),
        JsonType::Boolean => "a boolean (true or false)".into(),
        JsonType::Array => "an array, like [1, 2]".into(),
        JsonType::Object => "an object, like {\"key\": 1}".into(),
        JsonType::Integer => "an integer".into(),
        JsonType::Number => "a number".into(),
        JsonType::String => "a string".into(),
    }
}
