//! Schemas in the dialects published before 2020-12, which clients accept.

#[allow(dead_code)]
mod common;

use carryall_schema::{Schema, SchemaProblem};
use carryall_types::RawJson;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use std::time::{Duration, Instant};

const DRAFT_4: &str = "http://json-schema.org/draft-04/schema#";
const DRAFT_6: &str = "http://json-schema.org/draft-06/schema#";
const DRAFT_7: &str = "http://json-schema.org/draft-07/schema#";
const DRAFT_2019: &str = "https://json-schema.org/draft/2019-09/schema";
const DRAFT_2020: &str = "https://json-schema.org/draft/2020-12/schema";
const CLASSIC: [&str; 3] = [DRAFT_4, DRAFT_6, DRAFT_7];
const ALL: [&str; 5] = [DRAFT_4, DRAFT_6, DRAFT_7, DRAFT_2019, DRAFT_2020];

fn declared(dialect: &str, mut schema: Value) -> Value {
    schema["$schema"] = dialect.into();
    schema
}

fn compile(dialect: &str, schema: Value) -> Result<Schema, SchemaProblem> {
    Schema::compile_published(declared(dialect, schema).as_object().expect("an object"))
}

fn accepts(dialect: &str, schema: &Value, value: &Value) -> bool {
    let compiled = compile(dialect, schema.clone())
        .unwrap_or_else(|problem| panic!("{dialect} {schema}: {problem}"));
    compiled.check(&RawJson::from(value)).is_ok()
}

// spec: json-schema-05
#[test]
fn each_published_dialect_has_its_own_meaning() {
    let tuple = json!({"items": [{"type": "string"}], "additionalItems": {"type": "integer"}});
    for dialect in [DRAFT_4, DRAFT_6, DRAFT_7, DRAFT_2019] {
        assert!(accepts(dialect, &tuple, &json!(["a", 1])), "{dialect}");
        assert!(
            !accepts(dialect, &tuple, &json!([1])) && !accepts(dialect, &tuple, &json!(["a", "b"])),
            "{dialect}"
        );
        let needs = json!({"dependencies": {"a": ["b"], "c": {"required": ["d"]}}});
        assert!(
            accepts(dialect, &needs, &json!({"a": 1, "b": 1, "c": 1, "d": 1})),
            "{dialect}"
        );
        assert!(
            !accepts(dialect, &needs, &json!({"a": 1}))
                && !accepts(dialect, &needs, &json!({"c": 1})),
            "{dialect}"
        );
        let named = json!({"definitions": {"n": {"type": "number"}}, "properties": {"a": {"$ref": "#/definitions/n"}}});
        assert!(
            accepts(dialect, &named, &json!({"a": 1}))
                && !accepts(dialect, &named, &json!({"a": "1"})),
            "{dialect}"
        );
        assert!(
            accepts(
                dialect,
                &json!({"format": "email"}),
                &json!("formats are annotations")
            ),
            "{dialect}"
        );
    }
    let exclusive = json!({"minimum": 1, "exclusiveMinimum": true});
    assert!(!accepts(DRAFT_4, &exclusive, &json!(1)) && accepts(DRAFT_4, &exclusive, &json!(2)));
    assert!(compile(DRAFT_6, exclusive).is_err());
    assert!(
        accepts(DRAFT_4, &json!({"const": 1}), &json!(2)),
        "draft 4 has no const"
    );
    assert!(!accepts(DRAFT_6, &json!({"const": 1}), &json!(2)));
    let chosen = json!({"if": {"required": ["a"]}, "then": {"required": ["b"]}});
    assert!(
        accepts(DRAFT_6, &chosen, &json!({"a": 1})) && !accepts(DRAFT_7, &chosen, &json!({"a": 1}))
    );
    let closed = json!({"allOf": [{"properties": {"a": true}}], "unevaluatedProperties": false});
    assert!(
        accepts(DRAFT_7, &closed, &json!({"b": 1}))
            && !accepts(DRAFT_2019, &closed, &json!({"b": 1}))
    );
}

// spec: json-schema-05
#[test]
fn the_default_dialect_is_2020_12() {
    let tuple = json!({"prefixItems": [{"type": "string"}], "items": false});
    let schema = Schema::compile_published(tuple.as_object().unwrap()).unwrap();
    assert!(schema.check(&RawJson::from(&json!(["a"]))).is_ok());
    assert!(schema.check(&RawJson::from(&json!(["a", 1]))).is_err());
}

// spec: json-schema-06
#[test]
fn unknown_dialects_are_rejected_by_name() {
    for dialect in [
        "https://example.com/mine",
        "http://json-schema.org/draft-03/schema#",
        "",
    ] {
        let problem = compile(dialect, json!({})).unwrap_err();
        assert_eq!(problem, SchemaProblem::UnknownDialect(dialect.into()));
        assert!(
            problem
                .to_string()
                .contains(&format!("{dialect:?} is not supported")),
            "{problem}"
        );
    }
    assert!(matches!(
        Schema::compile_published(json!({"$schema": 7}).as_object().unwrap()),
        Err(SchemaProblem::Invalid(_))
    ));
}

// spec: json-schema-06
#[test]
fn an_embedded_schema_cannot_switch_the_dialect() {
    for (outer, inner) in [
        (DRAFT_7, DRAFT_2020),
        (DRAFT_2020, DRAFT_7),
        (DRAFT_4, DRAFT_6),
    ] {
        let problem = compile(outer, json!({"properties": {"a": {"$schema": inner}}})).unwrap_err();
        assert!(
            problem.to_string().contains("switches to the dialect"),
            "{problem}"
        );
    }
    assert!(compile(DRAFT_7, json!({"properties": {"a": {"$schema": DRAFT_7}}})).is_ok());
}

// spec: json-schema-08, json-schema-12
#[test]
fn external_references_are_rejected_in_each_dialect() {
    for dialect in ALL {
        for schema in [
            json!({"$ref": "https://example.com/x.json"}),
            json!({"dependencies": {"a": {"$ref": "https://example.com/x.json"}}}),
            json!({"items": [{"$ref": "https://example.com/x.json"}]}),
            json!({"items": [{}], "additionalItems": {"$ref": "https://example.com/x.json"}}),
        ] {
            let problem = compile(dialect, schema).unwrap_err();
            assert_eq!(
                problem,
                SchemaProblem::ExternalRef("https://example.com/x.json".into()),
                "{dialect}"
            );
        }
    }
}

// spec: json-schema-05
#[test]
fn keywords_beside_classic_references_are_ignored() {
    for dialect in CLASSIC {
        // Keywords beside it are ignored: the type is not checked, and there is no cycle.
        let schema = json!({
            "definitions": {"a": {"$ref": "#/definitions/b", "type": "null", "allOf": [{"$ref": "#/definitions/a"}]}, "b": {"type": "string"}},
            "properties": {"a": {"$ref": "#/definitions/a"}}
        });
        assert!(
            accepts(dialect, &schema, &json!({"a": "x"}))
                && !accepts(dialect, &schema, &json!({"a": null}))
        );
        // References may still point to the ignored keywords.
        let beside = json!({
            "definitions": {"a": {"$ref": "#/definitions/b", "definitions": {"n": {"type": "null"}}}, "b": {}},
            "properties": {"a": {"$ref": "#/definitions/a/definitions/n"}}
        });
        assert!(
            accepts(dialect, &beside, &json!({"a": null}))
                && !accepts(dialect, &beside, &json!({"a": 1}))
        );
    }
    // In later dialects they are not ignored, and there is a cycle.
    let circle = json!({"definitions": {"a": {"$ref": "#/definitions/b", "allOf": [{"$ref": "#/definitions/a"}]}, "b": {}}});
    assert!(
        compile(DRAFT_2019, circle)
            .unwrap_err()
            .to_string()
            .contains("refers back")
    );
}

// spec: json-schema-05
#[test]
fn classic_identifiers_declare_fragments_and_documents() {
    for dialect in CLASSIC {
        let id = if dialect == DRAFT_4 { "id" } else { "$id" };
        let schema = json!({
            id: "https://example.com/root.json",
            "definitions": {
                "text": {id: "#text", "type": "string"},
                "leaf": {id: "leaf.json", "definitions": {"n": {"type": "number"}}, "items": {"$ref": "#/definitions/n"}}
            },
            "properties": {
                "a": {"$ref": "#text"}, "b": {"$ref": "leaf.json"}, "c": {"$ref": "leaf.json#/definitions/n"}
            }
        });
        assert!(
            accepts(dialect, &schema, &json!({"a": "x", "b": [1], "c": 1})),
            "{dialect}"
        );
        for wrong in [json!({"a": 1}), json!({"b": ["x"]}), json!({"c": "x"})] {
            assert!(!accepts(dialect, &schema, &wrong), "{dialect} {wrong}");
        }
    }
}

// spec: json-schema-05, json-schema-13
#[test]
fn recursive_references_resolve_to_the_outermost_schema() {
    let tree = json!({
        "$id": "https://example.com/strict-tree",
        "$recursiveAnchor": true,
        "$ref": "tree",
        "unevaluatedProperties": false,
        "$defs": {"tree": {
            "$id": "tree",
            "$recursiveAnchor": true,
            "type": "object",
            "properties": {"data": true, "children": {"type": "array", "items": {"$recursiveRef": "#"}}}
        }}
    });
    assert!(accepts(
        DRAFT_2019,
        &tree,
        &json!({"children": [{"data": 1}]})
    ));
    assert!(!accepts(
        DRAFT_2019,
        &tree,
        &json!({"children": [{"daat": 1}]})
    ));
    assert!(compile(DRAFT_2019, json!({"$recursiveRef": "#/x"})).is_err());
    assert!(
        compile(DRAFT_2019, json!({"anyOf": [{"$recursiveRef": "#"}]}))
            .unwrap_err()
            .to_string()
            .contains("refers back")
    );
    // Not a keyword in any other dialect.
    assert!(accepts(
        DRAFT_7,
        &json!({"anyOf": [{"$recursiveRef": "#"}]}),
        &json!(1)
    ));
}

// spec: json-schema-13
#[test]
fn cycles_are_rejected_in_each_dialect() {
    for dialect in ALL {
        let id = if dialect == DRAFT_4 { "id" } else { "$id" };
        for schema in [
            json!({"$ref": "#"}),
            json!({"allOf": [{"$ref": "#"}]}),
            json!({"dependencies": {"a": {"$ref": "#"}}}),
            json!({"definitions": {"a": {"$ref": "#/definitions/b"}, "b": {"not": {"$ref": "#/definitions/a"}}}}),
            // Reached only by a reference, below an identifier that changes the meaning of `#`.
            json!({
                "allOf": [{"$ref": "#/definitions/e/x"}],
                "definitions": {"e": {id: "https://example.com/e", "x": {"allOf": [{"$ref": "#/x"}]}}}
            }),
            json!({
                "allOf": [{"$ref": "#/x/definitions/a"}],
                "x": {"definitions": {"a": {"anyOf": [{"$ref": "#/x/definitions/a"}]}}}
            }),
        ] {
            let problem = compile(dialect, schema.clone()).unwrap_err();
            assert!(
                problem.to_string().contains("refers back"),
                "{dialect} {schema}: {problem}"
            );
        }
        let below = json!({"allOf": [{"$ref": "#/x"}], "x": {id: "https://example.com/e"}});
        assert!(
            compile(dialect, below)
                .unwrap_err()
                .to_string()
                .contains("not known"),
            "{dialect}"
        );
    }
}

// spec: json-schema-13
#[test]
fn the_limits_are_those_of_2020_12() {
    const SOON: Duration = Duration::from_secs(20);
    let start = Instant::now();
    for dialect in [DRAFT_4, DRAFT_6, DRAFT_7, DRAFT_2019] {
        // Each step has two branches on the same value, and each level of the value repeats all of
        // them.
        let step =
            json!({"dependencies": {"a": {"properties": {"a": {"$ref": "#"}}}}, "required": ["b"]});
        let schema = compile(dialect, json!({"anyOf": [step, step, {"type": "object"}]})).unwrap();
        let deep = RawJson::parse(r#"{"a":"#.repeat(100) + "{}" + &"}".repeat(100)).unwrap();
        let refused = schema.check(&deep).unwrap_err();
        assert!(
            refused.to_string().contains("checked against this schema"),
            "{dialect}: {refused}"
        );

        let lists = json!({"anyOf": [{"items": [{"$ref": "#"}]}, {"items": [{}], "additionalItems": {"$ref": "#"}}, {"items": [{"$ref": "#"}], "maxItems": 0}]});
        let schema = compile(dialect, lists).unwrap();
        let deep = RawJson::parse("[".repeat(100) + &"]".repeat(100)).unwrap();
        assert!(
            schema
                .check(&deep)
                .unwrap_err()
                .to_string()
                .contains("checked against this schema"),
            "{dialect}"
        );

        let mut definitions: Map<_, _> = (0..40)
            .map(|n| {
                let next = json!({"$ref": format!("#/definitions/d{}", n + 1)});
                (
                    format!("d{n}"),
                    json!({"dependencies": {"a": next, "b": {"allOf": [next]}}}),
                )
            })
            .collect();
        definitions.insert("d40".into(), json!({"type": "string"}));
        let problem = compile(dialect, json!({"definitions": definitions})).unwrap_err();
        assert!(
            matches!(problem, SchemaProblem::TooLarge(_) | SchemaProblem::TooDeep),
            "{dialect}: {problem:?}"
        );

        let nested = (0..64).fold(json!({}), |inner, _| json!({"items": [inner]}));
        assert_eq!(
            compile(dialect, nested).unwrap_err(),
            SchemaProblem::TooDeep,
            "{dialect}"
        );
        let many = json!({"items": vec![json!({}); 2_000]});
        assert_eq!(
            compile(dialect, many).unwrap_err(),
            SchemaProblem::TooLarge("more than 2,000 subschemas")
        );
        assert!(
            compile(dialect, json!({"pattern": "^(?=a)"})).is_err(),
            "{dialect}"
        );
    }
    let named = |count: usize| {
        let all: Map<_, _> = (0..count)
            .map(|n| (format!("d{n}"), json!({"$id": format!("d{n}.json")})))
            .collect();
        compile(DRAFT_7, json!({"definitions": all}))
    };
    assert!(named(255).is_ok());
    assert_eq!(
        named(256).unwrap_err(),
        SchemaProblem::TooLarge("more than 256 embedded schemas with a URI")
    );
    assert!(start.elapsed() < SOON);
}

/// Generates schemas from few keywords, names and targets, so that they often interact.
fn schema() -> impl Strategy<Value = Value> {
    let reference = prop::sample::select(vec![
        "#",
        "#/definitions/a",
        "#/definitions/b",
        "#/$defs/a",
        "#/x",
        "#/x/a",
        "#/x/definitions/a",
        "#n",
        "r.json",
        "s.json",
        "r.json#/definitions/a",
        "s.json#/x",
        "r.json#n",
        "#/properties/a",
        "#/items/0",
        "#/dependencies/a",
        "#/definitions/a/x",
        "#/definitions/a/definitions/b",
        "#/allOf/0",
        "#/definitions/a/allOf/0/x",
        "#/not",
    ]);
    let leaf = prop_oneof![
        Just(json!({})),
        reference.clone().prop_map(|uri| json!({"$ref": uri})),
        Just(json!({"$recursiveRef": "#"})),
        Just(json!({"$dynamicRef": "#n"})),
        Just(json!({"type": "object"})),
    ];
    leaf.prop_recursive(5, 24, 3, move |inner| {
        let keyword = prop_oneof![
            inner.clone().prop_map(|schema| json!({"allOf": [schema]})),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| json!({"anyOf": [a, b]})),
            inner.clone().prop_map(|schema| json!({"not": schema})),
            inner
                .clone()
                .prop_map(|schema| json!({"properties": {"a": schema}})),
            inner
                .clone()
                .prop_map(|schema| json!({"additionalProperties": schema})),
            inner.clone().prop_map(|schema| json!({"items": schema})),
            (inner.clone(), inner.clone())
                .prop_map(|(a, b)| json!({"items": [a], "additionalItems": b})),
            inner
                .clone()
                .prop_map(|schema| json!({"dependencies": {"a": schema}})),
            (inner.clone(), inner.clone())
                .prop_map(|(a, b)| json!({"definitions": {"a": a, "b": b}})),
            inner
                .clone()
                .prop_map(|schema| json!({"$defs": {"a": schema}})),
            inner.clone().prop_map(|schema| json!({"x": schema})),
            inner.prop_map(|schema| json!({"x": {"a": schema}})),
            reference.clone().prop_map(|uri| json!({"$ref": uri})),
            prop::sample::select(vec!["r.json", "s.json", "#n", "https://example.com/r.json"])
                .prop_map(|id| json!({"$id": id, "id": id})),
            Just(json!({"$anchor": "n"})),
            Just(json!({"$dynamicAnchor": "n"})),
            Just(json!({"$recursiveAnchor": true})),
        ];
        prop::collection::vec(keyword, 1..4).prop_map(|keywords| {
            let members = keywords.into_iter().filter_map(|keyword| match keyword {
                Value::Object(members) => Some(members),
                _ => None,
            });
            Value::Object(members.flatten().collect())
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]
    // A recursion that the graph misses would overflow the stack and abort the test.
    // spec: json-schema-13
    #[test]
    fn every_compiled_schema_can_be_applied(schema in schema(), dialect in prop::sample::select(ALL.to_vec())) {
        if let Ok(schema) = compile(dialect, schema) {
            for text in [r#"{"a":[{"a":{"a":[[{}],{"a":1}]}}]}"#, r#"[[{"a":{}}],{"a":[]},1]"#, "1"] {
                let _ = schema.check(&RawJson::parse(text).unwrap());
            }
        }
    }
}
