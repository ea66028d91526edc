//! What is told about a value that does not match.

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
            // An enum with documented variants, optional.
            "priority": {"anyOf": [{"$ref": "#/$defs/Priority"}, {"type": "null"}]},
            // An enum without comments, optional.
            "color": {"anyOf": [{"$ref": "#/$defs/Color"}, {"type": "null"}]},
            // A struct, optional.
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
            // Tagged inside.
            "Shape": {"oneOf": [
                {"type": "object", "properties": {"type": {"type": "string", "const": "circle"}, "r": {"type": "number"}}, "required": ["type", "r"]},
                {"type": "object", "properties": {"type": {"type": "string", "const": "square"}, "a": {"type": "number"}}, "required": ["type", "a"]},
            ]},
            // Tagged outside, and one variant without data.
            "Event": {"oneOf": [
                {"type": "string", "enum": ["none"]},
                {"type": "object", "properties": {"moved": {"$ref": "#/$defs/Person"}}, "required": ["moved"], "additionalProperties": false},
                {"type": "object", "properties": {"left": {"type": "integer"}}, "required": ["left"], "additionalProperties": false},
            ]},
        }
    })
}

/// What is told about a ticket with this member.
fn told(name: &str, value: Value) -> String {
    check(&ticket(), &json!({"title": "t", name: value}).to_string())
        .unwrap_err()
        .to_string()
}

#[test]
fn a_value_that_is_not_among_the_choices_is_told_with_them() {
    assert_eq!(
        told("priority", json!("urgent")),
        r#"/priority: "urgent" is not one of "low", "normal", "high""#
    );
    assert_eq!(
        told("priority", json!(3)),
        r#"/priority: 3 is not one of "low", "normal", "high""#
    );
    assert_eq!(
        told("color", json!("blue")),
        r#"/color: "blue" is not one of "red", "green""#
    );
    let one = check(&json!({"const": "a"}), "1").unwrap_err();
    assert_eq!(one.to_string(), r#"1 is not "a""#);
    assert_eq!(
        told("size", json!(true)),
        r#"/size: true is not of type "string" or "integer""#
    );
}

#[test]
fn of_several_branches_the_one_that_was_meant_is_told() {
    assert_eq!(
        told("owner", json!({"name": 5})),
        r#"/owner/name: 5 is not of type "string""#
    );
    assert_eq!(
        told("owner", json!({})),
        r#"/owner: "name" is a required property"#
    );
    assert_eq!(
        told("owner", json!("Ann")),
        r#"/owner: "Ann" is not of type "object""#
    );
    assert_eq!(
        told("owner", json!({"name": "Ann", "nmae": 1})),
        r#"/owner: unknown property "nmae": did you mean "name"? (known: "name", "age")"#
    );
    assert_eq!(
        told("shape", json!({"type": "circle", "r": "x"})),
        r#"/shape/r: "x" is not of type "number""#
    );
    assert_eq!(
        told("shape", json!({"type": "cirle", "r": 1})),
        r#"/shape/type: "cirle" is not one of "circle", "square""#
    );
    assert_eq!(
        told("event", json!({"left": "x"})),
        r#"/event/left: "x" is not of type "integer""#
    );
    assert_eq!(
        told("event", json!({"moved": {"name": 1}})),
        r#"/event/moved/name: 1 is not of type "string""#
    );
    assert_eq!(
        told("event", json!("some")),
        r#"/event: "some" is not "none""#
    );
    let neither = told("event", json!({"gone": 1}));
    assert!(
        neither.starts_with("/event: matches none of 2 alternatives: ")
            && neither.contains(r#""moved""#),
        "{neither}"
    );
}

#[test]
fn unknown_members_are_told_with_what_was_probably_meant() {
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
    let told = nothing
        .check(&RawJson::parse(r#"{"a":1}"#).unwrap())
        .unwrap_err();
    assert_eq!(told.to_string(), r#"unknown argument "a""#);
    let inner = json!({"properties": {"x": {"additionalProperties": false}}});
    let told = check(&inner, r#"{"x":{"a":1,"b":2}}"#).unwrap_err();
    assert_eq!(
        told.to_string(),
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
fn what_is_told_of_choices_and_branches_is_bounded() {
    let choices: Vec<_> = (0..500).map(|n| format!("c{n}")).collect();
    let told = check(&json!({"enum": choices}), "1")
        .unwrap_err()
        .to_string();
    assert!(
        told.starts_with(r#"1 is not one of "c0", "c1","#) && told.ends_with("and 480 more"),
        "{told}"
    );
    let branches: Vec<_> = (0..200)
        .map(|n| json!({"type": "object", "required": ["x".repeat(500) + &n.to_string()]}))
        .collect();
    let told = check(&json!({"anyOf": branches}), "{}")
        .unwrap_err()
        .to_string();
    assert!(told.chars().count() <= 401, "{told}");
    // Deep alternatives.
    let deep = (0..20).fold(
        json!({"type": "string"}),
        |inner, _| json!({"anyOf": [inner, {"type": "null"}]}),
    );
    let told = check(&deep, "1").unwrap_err().to_string();
    assert!(told.contains("is not"), "{told}");
}

// spec: tools-26, tools-20
#[test]
fn messages_name_the_place_and_the_rule() {
    let schema = json!({
        "type": "object",
        "properties": {"to": {"type": "array", "items": {"type": "string", "minLength": 3}}, "n": {"type": "integer", "maximum": 9}},
        "required": ["to"],
        "additionalProperties": false
    });
    let told = |text| check(&schema, text).unwrap_err().to_string();
    assert_eq!(told("{}"), r#""to" is a required property"#);
    assert_eq!(
        told(r#"{"to":["abc","d"]}"#),
        r#"/to/1: "d" is shorter than 3 characters"#
    );
    assert_eq!(
        told(r#"{"to":[],"n":"1"}"#),
        r#"/n: "1" is not of type "integer""#
    );
    assert_eq!(
        told(r#"{"to":[],"n":10}"#),
        "/n: 10 is greater than the maximum of 9"
    );
    assert_eq!(
        told(r#"{"to":[],"x":1}"#),
        r#"unknown property "x" (known: "to", "n")"#
    );
    let two = told(r#"{"to":[1],"n":10}"#);
    assert!(
        two.contains("/to/0: 1 is not of type \"string\"")
            && two.contains("; ")
            && two.contains("/n: 10"),
        "{two}"
    );
}

#[test]
fn at_most_five_messages_are_told() {
    let schema = json!({"items": {"type": "string"}});
    let violations = check(&schema, "[1,2,3,4,5]").unwrap_err();
    assert_eq!(violations.messages().len(), 5);
    assert!(!violations.to_string().contains("and more"));
    let violations = check(&schema, "[1,2,3,4,5,6]").unwrap_err();
    assert_eq!(violations.messages().len(), 5);
    assert!(violations.to_string().ends_with("; and more"));
}

#[test]
fn values_and_messages_are_cut() {
    let long = "ä".repeat(5_000);
    let told = check(&json!({"type": "integer"}), &format!("\"{long}\""))
        .unwrap_err()
        .to_string();
    assert_eq!(
        told,
        format!("\"{}… is not of type \"integer\"", "ä".repeat(79))
    );

    let names: Vec<_> = (0..500).map(|n| format!("\"name{n}\":1")).collect();
    let text = format!("{{{}}}", names.join(","));
    let told = check(&json!({"additionalProperties": false}), &text)
        .unwrap_err()
        .to_string();
    assert!(told.chars().count() <= 401, "{told}");
}

#[test]
fn a_large_wrong_value_is_refused_without_details() {
    let text = format!("[{}\"x\"]", "1,".repeat(100_000));
    let violations = check(&json!({"items": {"type": "integer"}}), &text).unwrap_err();
    assert!(violations.to_string().contains("too large to say where"));
}

#[test]
fn a_number_that_cannot_be_read_does_not_match() {
    let told = check(&json!({"type": "number"}), "1e999")
        .unwrap_err()
        .to_string();
    assert!(told.contains("out of range"), "{told}");
}
