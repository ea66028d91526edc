//! The error messages for values that do not match.

#[allow(dead_code)]
mod common;

use carryall_schema::Schema;
use carryall_types::RawJson;
use common::check;
use serde_json::{Value, json};

/// Schemas as schemars writes them.
fn ticket() -> Value {
    json!({
        "type": "object",
        "properties": {
            "title": {"type": "string"},
            // An optional enum with documented variants.
            "priority": {"anyOf": [{"$ref": "#/$defs/Priority"}, {"type": "null"}]},
            // An optional enum without comments.
            "color": {"anyOf": [{"$ref": "#/$defs/Color"}, {"type": "null"}]},
            // An optional struct.
            "owner": {"anyOf": [{"$ref": "#/$defs/Person"}, {"type": "null"}]},
            "shape": {"$ref": "#/$defs/Shape"},
            "event": {"$ref": "#/$defs/Event"},
            "size": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
        },
        "required": ["title"],
        "additionalProperties": false,
        "$defs": {
            "Priority": {"oneOf": [
                {"description": "Whenever", "type": "string", "const": "low"},
                {"description": "Soon", "type": "string", "const": "normal"},
                {"type": "string", "enum": ["high"]},
            ]},
            "Color": {"type": "string", "enum": ["red", "green"]},
            "Person": {
                "type": "object",
                "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0}},
                "required": ["name"],
                "additionalProperties": false,
            },
            // An internally tagged enum.
            "Shape": {"oneOf": [
                {"type": "object", "properties": {"type": {"type": "string", "const": "circle"}, "r": {"type": "number"}}, "required": ["type", "r"]},
                {"type": "object", "properties": {"type": {"type": "string", "const": "square"}, "a": {"type": "number"}}, "required": ["type", "a"]},
            ]},
            // An externally tagged enum with a variant without data.
            "Event": {"oneOf": [
                {"type": "string", "enum": ["none"]},
                {"type": "object", "properties": {"moved": {"$ref": "#/$defs/Person"}}, "required": ["moved"], "additionalProperties": false},
                {"type": "object", "properties": {"left": {"type": "integer"}}, "required": ["left"], "additionalProperties": false},
            ]},
        }
    })
}

/// Returns the messages about a ticket with this member.
fn messages(name: &str, value: Value) -> String {
    check(&ticket(), &json!({"title": "t", name: value}).to_string())
        .unwrap_err()
        .to_string()
}

#[test]
fn invalid_values_are_reported_with_the_allowed_ones() {
    assert_eq!(
        messages("priority", json!("urgent")),
        r#"/priority: "urgent" is not one of "low", "normal", "high""#
    );
    assert_eq!(
        messages("priority", json!(3)),
        r#"/priority: 3 is not one of "low", "normal", "high""#
    );
    assert_eq!(
        messages("color", json!("blue")),
        r#"/color: "blue" is not one of "red", "green""#
    );
    let one = check(&json!({"const": "a"}), "1").unwrap_err();
    assert_eq!(one.to_string(), r#"1 is not "a""#);
    assert_eq!(
        messages("size", json!(true)),
        r#"/size: true is not of type "string" or "integer""#
    );
}

#[test]
fn the_most_likely_branch_is_reported() {
    assert_eq!(
        messages("owner", json!({"name": 5})),
        r#"/owner/name: 5 is not of type "string""#
    );
    assert_eq!(
        messages("owner", json!({})),
        r#"/owner: "name" is a required property"#
    );
    assert_eq!(
        messages("owner", json!("Ann")),
        r#"/owner: "Ann" is not of type "object""#
    );
    assert_eq!(
        messages("owner", json!({"name": "Ann", "nmae": 1})),
        r#"/owner: unknown property "nmae": did you mean "name"? (known: "name", "age")"#
    );
    assert_eq!(
        messages("shape", json!({"type": "circle", "r": "x"})),
        r#"/shape/r: "x" is not of type "number""#
    );
    assert_eq!(
        messages("shape", json!({"type": "cirle", "r": 1})),
        r#"/shape/type: "cirle" is not one of "circle", "square""#
    );
    assert_eq!(
        messages("event", json!({"left": "x"})),
        r#"/event/left: "x" is not of type "integer""#
    );
    assert_eq!(
        messages("event", json!({"moved": {"name": 1}})),
        r#"/event/moved/name: 1 is not of type "string""#
    );
    assert_eq!(
        messages("event", json!("some")),
        r#"/event: "some" is not "none""#
    );
    let neither = messages("event", json!({"gone": 1}));
    assert!(
        neither.starts_with("/event: matches none of 2 alternatives: ")
            && neither.contains(r#""moved""#),
        "{neither}"
    );
}

#[test]
fn unknown_members_are_reported_with_a_suggestion() {
    let arguments = |text: &str| {
        let schema = Schema::compile_arguments(ticket().as_object().unwrap()).unwrap();
        schema
            .check(&RawJson::parse(text.to_owned()).unwrap())
            .unwrap_err()
            .to_string()
    };
    let known = r#"(known: "title", "priority", "color", "owner", "shape", "event", "size")"#;
    assert_eq!(
        arguments(r#"{"title":"t","prioriy":"high"}"#),
        format!(r#"unknown argument "prioriy": did you mean "priority"? {known}"#)
    );
    assert_eq!(
        arguments(r#"{"title":"t","zzz":1}"#),
        format!(r#"unknown argument "zzz" {known}"#)
    );
    assert!(
        arguments(r#"{"title":"t","owner":{"name":"A","zzz":1}}"#)
            .starts_with(r#"/owner: unknown property "zzz""#)
    );
    let nothing = json!({"type": "object", "additionalProperties": false});
    let nothing = Schema::compile_arguments(nothing.as_object().unwrap()).unwrap();
    let message = nothing
        .check(&RawJson::parse(r#"{"a":1}"#).unwrap())
        .unwrap_err();
    assert_eq!(message.to_string(), r#"unknown argument "a""#);
    let inner = json!({"properties": {"x": {"additionalProperties": false}}});
    let message = check(&inner, r#"{"x":{"a":1,"b":2}}"#).unwrap_err();
    assert_eq!(
        message.to_string(),
        r#"/x: unknown property "a"; /x: unknown property "b""#
    );
    let many: serde_json::Map<_, _> = (0..50).map(|n| (format!("name{n}"), json!({}))).collect();
    let many = json!({"properties": many, "additionalProperties": false});
    assert_eq!(
        check(&many, r#"{"zzz":1}"#).unwrap_err().to_string(),
        r#"unknown property "zzz""#
    );
}

#[test]
fn messages_about_choices_and_branches_are_limited() {
    let choices: Vec<_> = (0..500).map(|n| format!("c{n}")).collect();
    let message = check(&json!({"enum": choices}), "1")
        .unwrap_err()
        .to_string();
    assert!(
        message.starts_with(r#"1 is not one of "c0", "c1","#) && message.ends_with("and 480 more"),
        "{message}"
    );
    let branches: Vec<_> = (0..200)
        .map(|n| json!({"type": "object", "required": ["x".repeat(500) + &n.to_string()]}))
        .collect();
    let message = check(&json!({"anyOf": branches}), "{}")
        .unwrap_err()
        .to_string();
    assert!(message.chars().count() <= 401, "{message}");
    // Deeply nested alternatives.
    let deep = (0..20).fold(
        json!({"type": "string"}),
        |inner, _| json!({"anyOf": [inner, {"type": "null"}]}),
    );
    let message = check(&deep, "1").unwrap_err().to_string();
    assert!(message.contains("is not"), "{message}");
}

// spec: tools-26, tools-20
#[test]
fn messages_contain_the_location_and_the_rule() {
    let schema = json!({
        "type": "object",
        "properties": {"to": {"type": "array", "items": {"type": "string", "minLength": 3}}, "n": {"type": "integer", "maximum": 9}},
        "required": ["to"],
        "additionalProperties": false
    });
    let messages = |text| check(&schema, text).unwrap_err().to_string();
    assert_eq!(messages("{}"), r#""to" is a required property"#);
    assert_eq!(
        messages(r#"{"to":["abc","d"]}"#),
        r#"/to/1: "d" is shorter than 3 characters"#
    );
    assert_eq!(
        messages(r#"{"to":[],"n":"1"}"#),
        r#"/n: "1" is not of type "integer""#
    );
    assert_eq!(
        messages(r#"{"to":[],"n":10}"#),
        "/n: 10 is greater than the maximum of 9"
    );
    assert_eq!(
        messages(r#"{"to":[],"x":1}"#),
        r#"unknown property "x" (known: "to", "n")"#
    );
    let two = messages(r#"{"to":[1],"n":10}"#);
    assert!(
        two.contains("/to/0: 1 is not of type \"string\"")
            && two.contains("; ")
            && two.contains("/n: 10"),
        "{two}"
    );
}

#[test]
fn at_most_five_violations_are_reported() {
    let schema = json!({"items": {"type": "string"}});
    let violations = check(&schema, "[1,2,3,4,5]").unwrap_err();
    assert_eq!(violations.messages().len(), 5);
    assert!(!violations.to_string().contains("and more"));
    let violations = check(&schema, "[1,2,3,4,5,6]").unwrap_err();
    assert_eq!(violations.messages().len(), 5);
    assert!(violations.to_string().ends_with("; and more"));
}

#[test]
fn values_and_messages_are_truncated() {
    let long = "ä".repeat(5_000);
    let message = check(&json!({"type": "integer"}), &format!("\"{long}\""))
        .unwrap_err()
        .to_string();
    assert_eq!(
        message,
        format!("\"{}… is not of type \"integer\"", "ä".repeat(79))
    );

    let names: Vec<_> = (0..500).map(|n| format!("\"name{n}\":1")).collect();
    let text = format!("{{{}}}", names.join(","));
    let message = check(&json!({"additionalProperties": false}), &text)
        .unwrap_err()
        .to_string();
    assert!(message.chars().count() <= 401, "{message}");
}

#[test]
fn a_large_invalid_value_is_reported_without_details() {
    let text = format!("[{}\"x\"]", "1,".repeat(100_000));
    let violations = check(&json!({"items": {"type": "integer"}}), &text).unwrap_err();
    assert!(violations.to_string().contains("too large to say where"));
}

#[test]
fn a_number_out_of_range_does_not_match() {
    let message = check(&json!({"type": "number"}), "1e999")
        .unwrap_err()
        .to_string();
    assert!(message.contains("out of range"), "{message}");
}
