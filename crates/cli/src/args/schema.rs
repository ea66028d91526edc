//! What a JSON Schema says about arguments, as far as a command line needs to know.

use super::choices::choices;
use carryall::types::{JsonObject, JsonValue};
use std::collections::BTreeSet;

/// Nested references and branches that are followed: schemas may refer to themselves.
pub(super) const MAX_DEPTH: usize = 16;
/// Schemas that are looked at for one argument: branches that refer to each other would multiply.
pub(super) const MAX_SCHEMAS: usize = 1_000;

/// The type of a JSON value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Integer,
    Number,
    Boolean,
    Array,
    Object,
    String,
    Null,
}

impl Kind {
    const ALL: [(&'static str, Self); 7] = [
        ("integer", Self::Integer),
        ("number", Self::Number),
        ("boolean", Self::Boolean),
        ("array", Self::Array),
        ("object", Self::Object),
        ("string", Self::String),
        ("null", Self::Null),
    ];

    fn of_name(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, kind)| *kind)
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

    /// Its name in JSON Schema.
    pub(crate) fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, kind)| *kind == self)
            .map_or("", |(name, _)| name)
    }
}

/// The schema of one argument.
pub(crate) fn property<'a>(schema: &'a JsonObject, key: &str) -> Option<&'a JsonValue> {
    schema.get("properties")?.get(key)
}

/// The names of the required arguments.
pub(crate) fn required(schema: &JsonObject) -> impl Iterator<Item = &str> {
    schema
        .get("required")
        .and_then(JsonValue::as_array)
        .into_iter()
        .flatten()
        .filter_map(JsonValue::as_str)
}

/// The types that an argument may have; none when the schema does not say.
pub(crate) fn kinds_of(schema: &JsonObject, key: &str) -> BTreeSet<Kind> {
    let mut kinds = BTreeSet::new();
    if let Some(property) = property(schema, key) {
        visit(
            property,
            schema,
            MAX_DEPTH,
            &mut { MAX_SCHEMAS },
            &mut |schema| collect(schema, &mut kinds),
        );
    }
    kinds
}

/// Calls `look` with a schema, with its branches, and with what they refer to, as far as the bounds
/// allow.
fn visit<'a>(
    schema: &'a JsonValue,
    root: &'a JsonObject,
    depth: usize,
    left: &mut usize,
    look: &mut dyn FnMut(&'a JsonValue),
) {
    let (Some(depth), Some(rest)) = (depth.checked_sub(1), left.checked_sub(1)) else {
        return;
    };
    *left = rest;
    look(schema);
    for branches in ["anyOf", "oneOf", "allOf"] {
        for branch in schema
            .get(branches)
            .and_then(JsonValue::as_array)
            .into_iter()
            .flatten()
        {
            visit(branch, root, depth, left, look);
        }
    }
    if let Some(target) = schema
        .get("$ref")
        .and_then(JsonValue::as_str)
        .and_then(|reference| resolve(reference, root))
    {
        visit(target, root, depth, left, look);
    }
}

fn collect(schema: &JsonValue, kinds: &mut BTreeSet<Kind>) {
    match schema.get("type") {
        Some(JsonValue::String(name)) => kinds.extend(Kind::of_name(name)),
        Some(JsonValue::Array(names)) => kinds.extend(
            names
                .iter()
                .filter_map(JsonValue::as_str)
                .filter_map(Kind::of_name),
        ),
        _ => {
            let values = schema
                .get("enum")
                .and_then(JsonValue::as_array)
                .into_iter()
                .flatten()
                .chain(schema.get("const"));
            kinds.extend(values.map(Kind::of_value));
        }
    }
}

/// What a reference within the schema leads to. Others are never followed.
pub(super) fn resolve<'a>(reference: &str, root: &'a JsonObject) -> Option<&'a JsonValue> {
    let mut steps = reference
        .strip_prefix("#/")?
        .split('/')
        .map(|step| step.replace("~1", "/").replace("~0", "~"));
    let first = root.get(&steps.next()?)?;
    steps.try_fold(first, |value, step| value.get(step))
}

/// `integer`, `string or null`, `array of string`, `low|normal|high`: what an argument takes, for
/// people.
pub(crate) fn types_shown(schema: &JsonObject, key: &str) -> String {
    let Some(property) = property(schema, key) else {
        return "any".into();
    };
    let target = property
        .get("$ref")
        .and_then(JsonValue::as_str)
        .and_then(|reference| resolve(reference, schema))
        .unwrap_or(property);
    match choices(schema, key) {
        Some(choices) if choices.of_items => return format!("array of {}", choices.shown()),
        Some(choices) => return choices.shown(),
        None => {}
    }
    let kinds = kinds_of(schema, key);
    let names: Vec<String> = kinds
        .iter()
        .map(|kind| {
            match (
                kind,
                target
                    .get("items")
                    .and_then(|items| items.get("type"))
                    .and_then(JsonValue::as_str),
            ) {
                (Kind::Array, Some(item)) => format!("array of {item}"),
                (kind, _) => kind.name().to_owned(),
            }
        })
        .collect();
    if names.is_empty() {
        "any".into()
    } else {
        names.join(" or ")
    }
}

/// The JSON value that `text` stands for where these types are allowed. Where strings are, it is a
/// string.
pub(super) fn convert(text: &str, kinds: &BTreeSet<Kind>) -> Result<JsonValue, String> {
    if kinds.is_empty() || kinds.contains(&Kind::String) {
        return Ok(text.into());
    }
    let parsed = serde_json::from_str::<JsonValue>(text.trim()).ok();
    let fits = |value: &JsonValue| {
        let kind = Kind::of_value(value);
        kinds.contains(&kind)
            || kind == Kind::Integer && kinds.contains(&Kind::Number)
            // `2.0` is an integer in JSON Schema.
            || kind == Kind::Number && kinds.contains(&Kind::Integer) && value.as_f64().is_some_and(|number| number.fract() == 0.0)
    };
    match parsed {
        Some(value) if fits(&value) => Ok(value),
        _ => {
            let names: Vec<String> = kinds.iter().map(|kind| with_article(*kind)).collect();
            Err(format!("{text:?} is not {}", names.join(" or ")))
        }
    }
}

fn with_article(kind: Kind) -> String {
    match kind {
        Kind::Null => "null".into(),
        Kind::Boolean => "a boolean (true or false)".into(),
        Kind::Array => "an array, like [1, 2]".into(),
        Kind::Object => "an object, like {\"key\": 1}".into(),
        Kind::Integer => "an integer".into(),
        Kind::Number => "a number".into(),
        Kind::String => "a string".into(),
    }
}
