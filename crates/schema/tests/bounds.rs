//! The limits on the cost of schemas and values.

#[allow(dead_code)]
mod common;

use carryall_schema::{MAX_DEPTH, MAX_PATTERNS, MAX_SUBSCHEMAS, Schema, SchemaProblem};
use carryall_types::RawJson;
use common::{accepts, check, compile};
use serde_json::{Map, Value, json};
use std::time::{Duration, Instant};

/// The time limit of each step, for a slow machine and without optimisation.
const SOON: Duration = Duration::from_secs(20);

/// Drops a value without recursion.
fn drop_without_recursion(value: Value) {
    let mut rest = vec![value];
    while let Some(value) = rest.pop() {
        match value {
            Value::Array(items) => rest.extend(items),
            Value::Object(members) => rest.extend(members.into_iter().map(|(_, value)| value)),
            _ => {}
        }
    }
}

fn object(key: &str, value: Value) -> Value {
    Value::Object(Map::from_iter([(key.to_owned(), value)]))
}

fn nested(levels: usize, wrap: impl Fn(Value) -> Value) -> Value {
    (0..levels).fold(json!({}), |inner, _| wrap(inner))
}

fn value_of_depth(depth: usize) -> String {
    r#"{"a":"#.repeat(depth) + "{}" + &"}".repeat(depth)
}

// spec: json-schema-13
#[test]
fn a_schema_nested_ten_thousand_deep_is_rejected() {
    for keyword in [
        "items",
        "properties",
        "allOf",
        "x-unknown",
        "const",
        "$defs",
    ] {
        // Not with `json!`, which clones its input recursively.
        let schema = (0..10_000).fold(Value::Bool(true), |inner, _| {
            let inner = match keyword {
                "properties" | "$defs" => object("a", inner),
                "allOf" => Value::Array(vec![inner]),
                _ => inner,
            };
            object(keyword, inner)
        });
        assert_eq!(
            compile(&schema).unwrap_err(),
            SchemaProblem::TooDeep,
            "{keyword}"
        );
        drop_without_recursion(schema);
    }
}

// spec: json-schema-13
#[test]
fn nesting_is_allowed_up_to_the_limit() {
    let schema = nested(
        MAX_DEPTH - 1,
        |inner| json!({"type": "object", "properties": {"a": inner}}),
    );
    let schema = compile(&schema).unwrap();
    assert!(
        schema
            .check(&RawJson::parse(value_of_depth(MAX_DEPTH)).unwrap())
            .is_ok()
    );
    let schema = nested(MAX_DEPTH, |inner| json!({"properties": {"a": inner}}));
    assert_eq!(compile(&schema).unwrap_err(), SchemaProblem::TooDeep);
}

// spec: json-schema-13
#[test]
fn subschemas_bytes_and_patterns_are_limited() {
    let many = |count: usize| json!({"anyOf": vec![json!({"type": "null"}); count]});
    assert!(compile(&many(MAX_SUBSCHEMAS - 1)).is_ok());
    assert_eq!(
        compile(&many(MAX_SUBSCHEMAS)).unwrap_err(),
        SchemaProblem::TooLarge("more than 2,000 subschemas")
    );

    let long = |bytes: usize| json!({"description": "x".repeat(bytes)});
    assert!(compile(&long(250 * 1024)).is_ok());
    assert_eq!(
        compile(&long(256 * 1024)).unwrap_err(),
        SchemaProblem::TooLarge("more than 256 KiB")
    );
    let numbers = json!({"enum": (0..60_000).collect::<Vec<_>>()});
    assert_eq!(
        compile(&numbers).unwrap_err(),
        SchemaProblem::TooLarge("more than 256 KiB")
    );

    let patterns = |count: usize| {
        let map: Map<_, _> = (0..count)
            .map(|n| (format!("^a{n}$"), json!(true)))
            .collect();
        json!({"patternProperties": map})
    };
    assert!(compile(&patterns(MAX_PATTERNS)).is_ok());
    assert_eq!(
        compile(&patterns(MAX_PATTERNS + 1)).unwrap_err(),
        SchemaProblem::TooLarge("more than 256 regular expressions")
    );
}

// spec: json-schema-13
#[test]
fn patterns_take_linear_time_and_little_memory() {
    let start = Instant::now();
    let evil = json!({"type": "string", "pattern": "^(a+)+$"});
    assert!(!accepts(&evil, &json!("a".repeat(50_000) + "!")));
    assert!(start.elapsed() < SOON);
    for pattern in [r"(\w{100}){100}{100}", "^(?=a)", r"(a)\1"] {
        let problem = compile(&json!({"pattern": pattern})).unwrap_err();
        assert!(
            matches!(problem, SchemaProblem::UnsupportedPattern(_)),
            "{pattern}: {problem:?}"
        );
    }
    let message = compile(&json!({"pattern": "^(?=a)"}))
        .unwrap_err()
        .to_string();
    assert!(message.contains("look-around"), "{message}");
}

// spec: json-schema-13
#[test]
fn cyclic_references_are_rejected() {
    for schema in [
        json!({"$ref": "#"}),
        json!({"anyOf": [{"type": "null"}, {"not": {"$ref": "#"}}]}),
        json!({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}),
    ] {
        let problem = compile(&schema).unwrap_err();
        assert!(
            problem.to_string().contains("refers back to itself"),
            "{schema}: {problem}"
        );
    }
    let list = json!({"properties": {"a": {"$ref": "#"}}, "additionalProperties": false});
    assert!(check(&list, &value_of_depth(100)).is_ok());
    assert!(!accepts(&list, &json!({"a": {"a": {"b": 1}}})));
}

// spec: json-schema-13
#[test]
fn long_chains_of_references_are_rejected() {
    let chain = |length: usize| {
        let links = (0..length).map(|n| {
            (
                format!("d{n}"),
                json!({"$ref": format!("#/$defs/d{}", n + 1)}),
            )
        });
        let mut defs: Map<_, _> = links.collect();
        defs.insert(
            format!("d{length}"),
            json!({"type": "object", "properties": {"a": {"$ref": "#"}}}),
        );
        json!({"$defs": defs, "$ref": "#/$defs/d0"})
    };
    assert!(check(&chain(60), "{}").is_ok());
    assert_eq!(compile(&chain(70)).unwrap_err(), SchemaProblem::TooDeep);
    // The maximum nesting fits into the stack of a thread, even when errors are collected.
    let deepest = value_of_depth(28).replace("{}", "1");
    assert!(check(&chain(14), &value_of_depth(28)).is_ok());
    assert_eq!(check(&chain(14), &deepest).unwrap_err().messages().len(), 1);
    // Each of the two is allowed, but together they would overflow the stack.
    let refused = check(&chain(60), &value_of_depth(100)).unwrap_err();
    assert!(refused.to_string().contains("too deep"), "{refused}");
}

// spec: json-schema-13
#[test]
fn exponential_references_are_rejected() {
    let mut defs: Map<_, _> = (0..40)
        .map(|n| {
            let next = json!({"$ref": format!("#/$defs/d{}", n + 1)});
            (format!("d{n}"), json!({"allOf": [next, {"anyOf": [next]}]}))
        })
        .collect();
    defs.insert("d40".into(), json!({"type": "string"}));
    let problem = compile(&json!({"$defs": defs, "$ref": "#/$defs/d0"})).unwrap_err();
    assert!(
        matches!(problem, SchemaProblem::TooLarge(_) | SchemaProblem::TooDeep),
        "{problem:?}"
    );
}

// spec: json-schema-13
#[test]
fn exponential_recursion_is_rejected_for_deep_values() {
    let step = json!({"properties": {"a": {"$ref": "#"}}, "required": ["b"]});
    let schema = json!({"anyOf": [step, step, {"type": "object"}]});
    let start = Instant::now();
    assert!(check(&schema, &value_of_depth(5)).is_ok());
    let refused = check(&schema, &value_of_depth(100)).unwrap_err();
    assert!(
        refused.to_string().contains("checked against this schema"),
        "{refused}"
    );
    // In between, the value is validated, but errors are not collected, which takes far longer.
    assert!(check(&json!({"anyOf": [step, step]}), &value_of_depth(14)).is_err());
    assert!(start.elapsed() < SOON);
}

// spec: json-schema-13
#[test]
fn a_large_value_with_a_large_schema_is_rejected() {
    let options: Vec<_> = (0..1_500)
        .map(|n| json!({"minimum": 1_000_000 + n}))
        .collect();
    let schema = json!({"items": {"anyOf": options}});
    let start = Instant::now();
    assert!(check(&schema, "[1,2]").is_err());
    let text = format!("[{}1]", "1,".repeat(200_000));
    assert!(
        check(&schema, &text)
            .unwrap_err()
            .to_string()
            .contains("checked against this schema")
    );
    // A large value with a small schema is accepted.
    assert!(
        check(
            &json!({"items": {"anyOf": [{"type": "null"}, {"type": "integer"}]}}),
            &text
        )
        .is_ok()
    );
    assert!(start.elapsed() < SOON);
}

// spec: json-schema-13
#[test]
fn unevaluated_keywords_count_twice() {
    let schema = nested(
        40,
        |inner| json!({"allOf": [inner], "unevaluatedProperties": false}),
    );
    assert!(matches!(
        compile(&schema).unwrap_err(),
        SchemaProblem::TooLarge(_)
    ));
}

#[test]
fn ordinary_recursive_schemas_are_cheap() {
    // An expression tree as schema generators write it.
    let binary = |op: &str| json!({"type": "object", "properties": {"op": {"const": op}, "l": {"$ref": "#/$defs/e"}, "r": {"$ref": "#/$defs/e"}}, "required": ["op", "l", "r"]});
    let schema = json!({"$ref": "#/$defs/e", "$defs": {"e": {"oneOf": [binary("add"), binary("mul"), {"type": "number"}]}}});
    let schema: Schema = compile(&schema).unwrap();
    let mut value = json!(1);
    for n in 0..8 {
        value = json!({"op": if n % 2 == 0 { "add" } else { "mul" }, "l": value, "r": 2});
    }
    assert!(schema.check(&RawJson::from(&value)).is_ok());
    value["l"]["l"]["op"] = json!("div");
    assert!(schema.check(&RawJson::from(&value)).is_err());
}
