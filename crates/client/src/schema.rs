//! JSON Schema validation that cannot be made to fetch anything or to run away (`basic/index#json-schema-usage`).

use carryall_types::{JsonObject, JsonValue};
use jsonschema::{Draft, PatternOptions, Validator};
use std::sync::OnceLock;

/// Deeper schemas are refused.
const MAX_DEPTH: usize = 64;
/// Schemas with more values in them are refused.
const MAX_NODES: usize = 20_000;
/// Steps of one regular expression match.
const BACKTRACK_LIMIT: usize = 50_000;
/// How many differences an error tells of.
const SHOWN_ERRORS: usize = 5;

/// A schema that is compiled when it is first needed.
#[derive(Debug)]
pub(crate) struct LazySchema {
    schema: JsonValue,
    compiled: OnceLock<Result<Validator, String>>,
}

impl PartialEq for LazySchema {
    fn eq(&self, other: &Self) -> bool {
        self.schema == other.schema
    }
}

impl LazySchema {
    pub(crate) fn new(schema: JsonObject) -> Self {
        Self { schema: JsonValue::Object(schema), compiled: OnceLock::new() }
    }

    /// Checks one instance.
    pub(crate) fn check(&self, instance: &JsonValue) -> Result<(), String> {
        let validator = self.compiled.get_or_init(|| compile(&self.schema)).as_ref().map_err(Clone::clone)?;
        differences(validator, instance)
    }
}

fn differences(validator: &Validator, instance: &JsonValue) -> Result<(), String> {
    let found: Vec<String> = validator
        .iter_errors(instance)
        .take(SHOWN_ERRORS)
        .map(|error| match error.instance_path().as_str() {
            "" => error.to_string(),
            path => format!("{path}: {error}"),
        })
        .collect();
    if found.is_empty() { Ok(()) } else { Err(found.join("; ")) }
}

fn compile(schema: &JsonValue) -> Result<Validator, String> {
    check_size(schema)?;
    check_dialect(schema)?;
    jsonschema::options()
        .offline()
        .with_pattern_options(PatternOptions::fancy_regex().backtrack_limit(BACKTRACK_LIMIT))
        .build(schema)
        .map_err(|error| format!("the schema cannot be used: {error}"))
}

/// `$schema` names the dialect; without it, it is 2020-12.
fn check_dialect(schema: &JsonValue) -> Result<(), String> {
    let Some(dialect) = schema.get("$schema") else { return Ok(()) };
    if matches!(Draft::default().detect(schema), Draft::Unknown) || !dialect.is_string() {
        return Err(format!(
            "the schema dialect {dialect} is not supported (2020-12, 2019-09, draft 7, draft 6 and draft 4 are)"
        ));
    }
    Ok(())
}

fn check_size(schema: &JsonValue) -> Result<(), String> {
    let mut left = MAX_NODES;
    // A list of what is still to be looked at, not recursion: the depth is what is being checked.
    let mut open = vec![(schema, 0_usize)];
    while let Some((value, depth)) = open.pop() {
        if depth > MAX_DEPTH {
            return Err(format!("the schema is nested more than {MAX_DEPTH} deep"));
        }
        left = left.checked_sub(1).ok_or_else(|| format!("the schema has more than {MAX_NODES} values"))?;
        match value {
            JsonValue::Object(members) => open.extend(members.values().map(|value| (value, depth + 1))),
            JsonValue::Array(items) => open.extend(items.iter().map(|value| (value, depth + 1))),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check_once(schema: &JsonValue, instance: &JsonValue) -> Result<(), String> {
        differences(&compile(schema)?, instance)
    }

    // spec: json-schema-01, json-schema-05
    #[test]
    fn schemas_without_a_dialect_are_2020_12() {
        let schema = json!({"prefixItems": [{"type": "string"}], "items": false});
        assert!(check_once(&schema, &json!(["a"])).is_ok());
        assert!(check_once(&schema, &json!(["a", 1])).is_err());
        let draft7 = json!({"$schema": "http://json-schema.org/draft-07/schema#", "items": [{"type": "string"}], "additionalItems": false});
        assert!(check_once(&draft7, &json!(["a", 1])).is_err());
    }

    // spec: json-schema-06
    #[test]
    fn an_unsupported_dialect_is_named() {
        let why = check_once(&json!({"$schema": "https://example.com/mine"}), &json!(1)).unwrap_err();
        assert!(why.contains("https://example.com/mine") && why.contains("not supported"), "{why}");
        assert!(check_once(&json!({"$schema": 7}), &json!(1)).is_err());
    }

    // spec: json-schema-08, json-schema-12
    #[test]
    fn references_into_the_network_and_the_file_system_make_a_schema_unusable() {
        for uri in ["http://127.0.0.1:1/s.json", "https://example.com/s.json", "file:///etc/passwd"] {
            let why = check_once(&json!({"$ref": uri}), &json!(1)).unwrap_err();
            assert!(why.contains("cannot be used"), "{why}");
        }
        assert!(check_once(&json!({"$defs": {"n": {"type": "number"}}, "$ref": "#/$defs/n"}), &json!("x")).is_err());
    }

    // spec: json-schema-13
    #[test]
    fn deep_and_large_schemas_are_refused_before_they_cost_anything() {
        let deep = (0..500).fold(json!({}), |inner, _| json!({"not": inner}));
        assert!(check_once(&deep, &json!(1)).unwrap_err().contains("nested"));
        let wide = json!({"enum": vec![0; MAX_NODES]});
        assert!(check_once(&wide, &json!(1)).unwrap_err().contains("more than"));
    }

    #[test]
    fn differences_name_their_place() {
        let schema = json!({"properties": {"a": {"type": "integer"}}, "required": ["b"]});
        let why = check_once(&schema, &json!({"a": "x"})).unwrap_err();
        assert!(why.contains("/a") && why.contains("\"b\""), "{why}");
    }
}
