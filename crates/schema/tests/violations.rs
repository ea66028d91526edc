//! What is told about a value that does not match.

#[allow(dead_code)]
mod common;

use common::check;
use serde_json::json;

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
    assert_eq!(told(r#"{"to":["abc","d"]}"#), r#"/to/1: "d" is shorter than 3 characters"#);
    assert_eq!(told(r#"{"to":[],"n":"1"}"#), r#"/n: "1" is not of type "integer""#);
    assert_eq!(told(r#"{"to":[],"n":10}"#), "/n: 10 is greater than the maximum of 9");
    assert!(told(r#"{"to":[],"x":1}"#).contains("'x'"));
    let two = told(r#"{"to":[1],"n":10}"#);
    assert!(
        two.contains("/to/0: 1 is not of type \"string\"") && two.contains("; ") && two.contains("/n: 10"),
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
    let told = check(&json!({"type": "integer"}), &format!("\"{long}\"")).unwrap_err().to_string();
    assert_eq!(told, format!("\"{}… is not of type \"integer\"", "ä".repeat(79)));

    let names: Vec<_> = (0..500).map(|n| format!("\"name{n}\":1")).collect();
    let text = format!("{{{}}}", names.join(","));
    let told = check(&json!({"additionalProperties": false}), &text).unwrap_err().to_string();
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
    let told = check(&json!({"type": "number"}), "1e999").unwrap_err().to_string();
    assert!(told.contains("out of range"), "{told}");
}
