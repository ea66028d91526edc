//! The accepted dialects and references, and the errors for others.

#[allow(dead_code)]
mod common;

use carryall_schema::{Schema, SchemaProblem};
use carryall_types::RawJson;
use common::{accepts, compile};
use serde_json::{Value, json};

// spec: json-schema-01, json-schema-05
#[test]
fn the_default_dialect_is_2020_12() {
    // Each of these has another meaning, or none, in an older dialect.
    let tuple = json!({"prefixItems": [{"type": "string"}], "items": false});
    assert!(
        accepts(&tuple, &json!(["a"]))
            && !accepts(&tuple, &json!([1]))
            && !accepts(&tuple, &json!(["a", "b"]))
    );
    let dependent = json!({"dependentRequired": {"card": ["address"]}});
    assert!(
        accepts(&dependent, &json!({"card": 1, "address": 2}))
            && !accepts(&dependent, &json!({"card": 1}))
    );
    let closed = json!({"allOf": [{"properties": {"a": true}}], "unevaluatedProperties": false});
    assert!(accepts(&closed, &json!({"a": 1})) && !accepts(&closed, &json!({"b": 1})));
    let beside =
        json!({"$defs": {"text": {"type": "string"}}, "$ref": "#/$defs/text", "minLength": 2});
    assert!(
        accepts(&beside, &json!("ab"))
            && !accepts(&beside, &json!("a"))
            && !accepts(&beside, &json!(10))
    );
    let chosen = json!({"if": {"required": ["a"]}, "then": {"required": ["b"]}, "else": {"required": ["c"]}});
    assert!(
        accepts(&chosen, &json!({"a": 1, "b": 1})) && !accepts(&chosen, &json!({"a": 1, "c": 1}))
    );
    assert!(accepts(
        &json!({"type": "string", "format": "email"}),
        &json!("formats are annotations")
    ));
}

// spec: json-schema-01, json-schema-05
#[test]
fn both_spellings_of_the_2020_12_uri_are_accepted() {
    for dialect in [
        "https://json-schema.org/draft/2020-12/schema",
        "http://json-schema.org/draft/2020-12/schema",
    ] {
        for suffix in ["", "#"] {
            let schema = json!({"$schema": format!("{dialect}{suffix}"), "prefixItems": [{"type": "string"}]});
            assert!(
                accepts(&schema, &json!(["a"])) && !accepts(&schema, &json!([1])),
                "{dialect}{suffix}"
            );
        }
    }
}

// spec: json-schema-03, json-schema-05, json-schema-06
#[test]
fn other_dialects_are_rejected_by_name() {
    for dialect in [
        "http://json-schema.org/draft-07/schema#",
        "https://json-schema.org/draft/2019-09/schema",
        "http://json-schema.org/draft-04/schema#",
        "https://example.com/my-own",
        "",
    ] {
        let problem = compile(&json!({"$schema": dialect, "type": "object"})).unwrap_err();
        assert_eq!(problem, SchemaProblem::UnsupportedDialect(dialect.into()));
        let message = problem.to_string();
        assert!(
            message.contains(&format!("{dialect:?} is not supported"))
                && message.contains("2020-12"),
            "{message}"
        );
    }
}

// spec: json-schema-06
#[test]
fn an_embedded_schema_cannot_switch_the_dialect() {
    let dialect = "http://json-schema.org/draft-07/schema#";
    let schema = json!({"properties": {"a": {"$id": "https://example.com/a", "$schema": dialect}}});
    assert_eq!(
        compile(&schema).unwrap_err(),
        SchemaProblem::UnsupportedDialect(dialect.into())
    );
    assert!(
        accepts(
            &json!({"properties": {"$schema": {"const": dialect}}}),
            &json!({"$schema": dialect})
        ),
        "a member's name"
    );
    assert!(
        accepts(
            &json!({"const": {"$schema": dialect}}),
            &json!({"$schema": dialect})
        ),
        "data"
    );
}

// spec: json-schema-07
#[test]
fn an_invalid_schema_is_rejected_with_its_location() {
    for (schema, place) in [
        (json!({"type": "strin"}), "/type"),
        (json!({"properties": {"a": 3}}), "/properties/a"),
        (json!({"required": "a"}), "/required"),
        (
            json!({"properties": {"a": {"minLength": -1}}}),
            "/properties/a/minLength",
        ),
        (
            json!({"properties": {"a": {"pattern": "("}}}),
            "/properties/a/pattern",
        ),
        (json!({"items": [{"type": "string"}]}), "/items"),
        (json!({"$ref": "#/$defs/missing"}), "missing"),
        (json!({"$ref": "#missing"}), "missing"),
    ] {
        let problem = compile(&schema).unwrap_err();
        let refused = matches!(
            problem,
            SchemaProblem::Invalid(_) | SchemaProblem::UnsupportedPattern(_)
        );
        assert!(
            refused && problem.to_string().contains(place),
            "{schema}: {problem}"
        );
    }
}

// spec: json-schema-08, json-schema-10, json-schema-12
#[test]
fn an_external_reference_is_rejected_and_not_fetched() {
    // A fetch would connect to this listener.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}/schema.json", listener.local_addr().unwrap());
    for reference in [
        &*url,
        &format!("{url}#/$defs/a"),
        "https://json-schema.org/draft-07/schema",
        "other.json",
        "file:///etc/hostname",
    ] {
        for keyword in ["$ref", "$dynamicRef"] {
            for schema in [
                json!({keyword: reference}),
                json!({"properties": {"a": {"anyOf": [{keyword: reference}, {}]}}}),
                json!({"$defs": {"unused": {keyword: reference}}}),
            ] {
                assert_eq!(
                    compile(&schema).unwrap_err(),
                    SchemaProblem::ExternalRef(reference.into()),
                    "{schema}"
                );
            }
        }
    }
    let relative = json!({"$id": url, "properties": {"a": {"$ref": "/elsewhere.json"}}});
    assert!(matches!(
        compile(&relative).unwrap_err(),
        SchemaProblem::ExternalRef(_)
    ));
    // The same last segment, but another document.
    let similar =
        json!({"$id": "https://example.com/schema.json", "properties": {"a": {"$ref": url}}});
    assert_eq!(
        compile(&similar).unwrap_err(),
        SchemaProblem::ExternalRef(url.clone())
    );
    assert!(listener.accept().is_err(), "no connection was made");
}

// spec: json-schema-08
#[test]
fn data_that_looks_like_a_reference_is_not_resolved() {
    let data = json!({"$ref": "https://example.com/x"});
    assert!(accepts(
        &json!({"const": data, "default": data, "examples": [data], "x-note": data}),
        &data
    ));
    assert!(accepts(
        &json!({"properties": {"$ref": {"type": "string"}}}),
        &data
    ));
}

// spec: json-schema-01
#[test]
fn references_within_the_schema_are_resolved() {
    let anchored = json!({"$defs": {"n": {"$anchor": "number", "type": "number"}}, "items": {"$ref": "#number"}});
    assert!(accepts(&anchored, &json!([1])) && !accepts(&anchored, &json!(["1"])));

    let embedded = json!({
        "$id": "https://example.com/root.json",
        "$defs": {"leaf": {"$id": "leaf.json", "$defs": {"n": {"type": "number"}}, "items": {"$ref": "#/$defs/n"}}},
        "properties": {"a": {"$ref": "leaf.json"}, "b": {"$ref": "https://example.com/leaf.json#/$defs/n"}}
    });
    assert!(accepts(&embedded, &json!({"a": [1], "b": 2})));
    assert!(!accepts(&embedded, &json!({"a": ["1"]})) && !accepts(&embedded, &json!({"b": "2"})));

    let escaped = json!({"$defs": {"a/b ~c": {"type": "null"}}, "$ref": "#/$defs/a~1b%20~0c"});
    assert!(accepts(&escaped, &json!(null)) && !accepts(&escaped, &json!(1)));

    let unknown_keyword =
        json!({"x-shared": {"text": {"type": "string"}}, "$ref": "#/x-shared/text"});
    assert!(accepts(&unknown_keyword, &json!("a")) && !accepts(&unknown_keyword, &json!(1)));

    let strict_tree = json!({
        "$id": "https://example.com/strict-tree",
        "$dynamicAnchor": "node",
        "$ref": "tree",
        "unevaluatedProperties": false,
        "$defs": {"tree": {
            "$id": "tree",
            "$dynamicAnchor": "node",
            "type": "object",
            "properties": {"data": true, "children": {"type": "array", "items": {"$dynamicRef": "#node"}}}
        }}
    });
    assert!(accepts(&strict_tree, &json!({"children": [{"data": 1}]})));
    assert!(
        !accepts(&strict_tree, &json!({"children": [{"daat": 1}]})),
        "the dynamic reference leads to the strict tree"
    );
}

// spec: tools-10
#[test]
fn the_schema_of_arguments_must_be_an_object() {
    for schema in [
        json!({}),
        json!({"type": "string"}),
        json!({"type": ["object", "null"]}),
        json!({"properties": {}}),
    ] {
        assert_eq!(
            Schema::compile_arguments(schema.as_object().unwrap()).unwrap_err(),
            SchemaProblem::NotAnObject,
            "{schema}"
        );
    }
    let schema = json!({"type": "object", "anyOf": [{"required": ["a"]}, {"required": ["b"]}]});
    let schema = Schema::compile_arguments(schema.as_object().unwrap()).unwrap();
    assert!(schema.check(&RawJson::parse(r#"{"b":1}"#).unwrap()).is_ok());
    assert!(schema.check(&RawJson::EMPTY_OBJECT).is_err());
    assert!(schema.check(&RawJson::parse("[]").unwrap()).is_err());
}

// spec: tools-20
#[test]
fn schemas_can_describe_any_json_value() {
    let values: [Value; 7] = [
        json!({"a": 1}),
        json!([1]),
        json!("a"),
        json!(1),
        json!(1.5),
        json!(true),
        json!(null),
    ];
    let types = [
        "object", "array", "string", "integer", "number", "boolean", "null",
    ];
    for (value, name) in values.iter().zip(types) {
        for other in types {
            let matches = name == other || (name == "integer" && other == "number");
            assert_eq!(
                accepts(&json!({"type": other}), value),
                matches,
                "{value} as {other}"
            );
        }
        assert!(
            Schema::accept_everything()
                .check(&RawJson::from(value))
                .is_ok()
        );
    }
    assert!(
        accepts(&json!({"type": "integer"}), &json!(1.0))
            && accepts(&json!({"type": "integer"}), &json!(1e300))
    );
}
