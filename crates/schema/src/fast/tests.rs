use super::{PlanVerdict, compile};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

fn verdict(schema: &Value, text: &str) -> PlanVerdict {
    compile(schema.as_object().unwrap())
        .expect("a plain schema")
        .check(text)
}

#[test]
fn simple_values_are_accepted_on_the_text() {
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {
            "name": {"type": "string", "minLength": 1, "maxLength": 5, "description": "Who"},
            "age": {"type": "integer", "minimum": 0, "exclusiveMaximum": 150, "format": "uint8"},
            "kind": {"$ref": "#/$defs/Kind", "x-mcp-header": "Kind"},
            "tags": {"type": "array", "items": {"type": "string"}},
            "ratio": {"type": ["number", "null"]}
        },
        "required": ["name", "extra"],
        "$defs": {"Kind": {"enum": ["a", "b", null, 7]}}
    });
    for text in [
        r#"{"name":"möwen","extra":{"any":["thing"]}}"#,
        r#" { "extra" : null , "tags" : [ "a\n" , "" ] , "age" : 149 , "name" : "x" , "kind" : 7 , "ratio" : -1.5 } "#,
        r#"{"name":"x","extra":0,"kind":null,"ratio":null,"more":1.5e3}"#,
    ] {
        assert_eq!(verdict(&schema, text), PlanVerdict::Valid, "{text}");
    }
    for text in [
        r#"{"name":"x"}"#,
        r#"{"extra":1}"#,
        r#"{"name":"","extra":1}"#,
        r#"{"name":"abcdef","extra":1}"#,
        r#"{"name":1,"extra":1}"#,
        r#"{"name":"x","extra":1,"age":-1}"#,
        r#"{"name":"x","extra":1,"age":150}"#,
        r#"{"name":"x","extra":1,"age":1.0}"#,
        r#"{"name":"x","extra":1,"kind":"c"}"#,
        r#"{"name":"x","extra":1,"tags":[1]}"#,
        r#"{"name":"x","extra":1,"name":"y"}"#,
        r#"{"name":"x","extra":1,"\u0061ge":-1}"#,
        r#"{"name":"\u0061","extra":1}"#,
        r#"{"name":"x","extra":1,"ratio":1e999}"#,
        r#"{"name":"x","extra":1"#,
        r#"{"name":"x","extra":1} 2"#,
        "[]",
    ] {
        assert_eq!(verdict(&schema, text), PlanVerdict::Unsure, "{text}");
    }
}

#[test]
fn schemas_with_other_keywords_have_no_plan() {
    for schema in [
        json!({"type": "string", "pattern": "^a"}),
        json!({"anyOf": [{"type": "string"}]}),
        json!({"properties": {"a": {"not": {}}}}),
        json!({"$id": "https://example.com/a", "type": "string"}),
        json!({"properties": {"a": {"$ref": "#"}}}),
        json!({"$defs": {"a": {"properties": {"a": {"$ref": "#/$defs/a"}}}}, "$ref": "#/$defs/a"}),
        json!({"enum": [1.5]}),
        json!({"const": {"a": 1}}),
        json!({"minimum": 0.5}),
        json!({"someday": true}),
    ] {
        assert_eq!(compile(schema.as_object().unwrap()), None, "{schema}");
    }
}

#[test]
fn schemas_with_many_members_have_no_plan() {
    let named = |count: usize| -> Value {
        let properties: Map<_, _> = (0..count)
            .map(|n| (format!("p{n}"), json!({"type": "integer"})))
            .collect();
        json!({"type": "object", "properties": properties, "required": [format!("p{}", count - 1)]})
    };
    assert_eq!(verdict(&named(64), r#"{"p63":1}"#), PlanVerdict::Valid);
    assert_eq!(verdict(&named(64), r#"{"p62":1}"#), PlanVerdict::Unsure);
    assert_eq!(compile(named(65).as_object().unwrap()), None);
}

const NAMES: [&str; 4] = ["a", "b", "ab", ""];

fn leaf() -> impl Strategy<Value = Value> {
    let bounds = (-3..3_i64, 0..4_i64);
    prop_oneof![
        Just(json!(true)),
        Just(json!({})),
        Just(json!({"type": "boolean"})),
        Just(json!({"type": ["null", "integer"]})),
        Just(json!({"type": "number"})),
        Just(json!({"type": "integer", "format": "int64"})),
        bounds.clone().prop_map(
            |(low, size)| json!({"type": "integer", "minimum": low, "maximum": low + size})
        ),
        bounds.clone().prop_map(
            |(low, size)| json!({"exclusiveMinimum": low, "exclusiveMaximum": low + size + 2})
        ),
        bounds
            .prop_map(
                |(_, size)| json!({"type": "string", "minLength": size - 1, "maxLength": size + 1})
            )
            .prop_filter("lengths are not negative", |schema| schema["minLength"]
                .as_i64()
                >= Some(0)),
        Just(json!({"enum": ["a", "é", 1, null]})),
        Just(json!({"const": "ab"})),
        Just(json!({"const": 0})),
        Just(json!({"$ref": "#/$defs/d"})),
    ]
}

fn schema() -> impl Strategy<Value = Value> {
    let nested = leaf().prop_recursive(3, 24, 4, |inner| {
        let name = || prop::sample::select(NAMES.to_vec());
        let properties = prop::collection::btree_map(name(), inner.clone(), 0..4);
        let required = prop::collection::btree_set(name(), 0..2);
        let extra = prop_oneof![
            Just(None),
            Just(Some(json!(false))),
            inner.clone().prop_map(Some)
        ];
        prop_oneof![
            inner.prop_map(|items| json!({"type": "array", "items": items})),
            (properties, required, extra).prop_map(|(properties, required, extra)| {
                let mut schema =
                    json!({"type": "object", "properties": properties, "required": required});
                if let Some(extra) = extra {
                    schema["additionalProperties"] = extra;
                }
                schema
            })
        ]
    });
    nested.prop_map(|schema| json!({"$defs": {"d": {"type": "string"}}, "items": schema, "properties": {"a": schema}}))
}

/// Generates JSON texts likely to match the schemas above, including duplicate and escaped keys.
fn text() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "null",
        "true",
        "0",
        "1",
        "-1",
        "-0",
        "1.0",
        "2.5",
        "1e1",
        "9223372036854775808",
        r#""""#,
        r#""a""#,
        r#""ab""#,
        r#""é""#,
        r#""\u00e9""#,
        r#""\n""#,
        r#""abcd""#,
        "123456789012345678901234567890",
    ]);
    leaf.prop_map(str::to_owned)
        .prop_recursive(3, 24, 4, |inner| {
            let key = prop::sample::select(vec!["a", "b", "ab", "", r"\u0061", "c"]);
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3)
                    .prop_map(|items| format!("[{}]", items.join(" , "))),
                prop::collection::vec((key, inner), 0..4).prop_map(|members| {
                    let members: Vec<_> = members
                        .into_iter()
                        .map(|(key, value)| format!("\"{key}\":{value}"))
                        .collect();
                    format!("{{{}}}", members.join(","))
                })
            ]
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn values_that_a_plan_accepts_are_valid(schema in schema(), texts in prop::collection::vec(text(), 8)) {
        let object = schema.as_object().unwrap();
        let plan = compile(object).expect("a plain schema");
        let library = crate::Schema::compile(object).unwrap();
        let validator = &library.0.full.as_ref().unwrap().validator;
        for text in texts {
            let by_library = serde_json::from_str::<Value>(&text).is_ok_and(|value| validator.is_valid(&value));
            let by_text = plan.check(&text) == PlanVerdict::Valid;
            prop_assert!(by_library || !by_text, "{schema} accepts {text}");
            // The converse holds as well, except for the rare cases.
            let rare = ["\\", "-0", ".", "e1", "9223372036854775808", "123456789012345678901234567890"];
            if by_library && !by_text && !rare.iter().any(|form| text.contains(form)) {
                let repeated = serde_json::from_str::<Value>(&text).unwrap().to_string().len() < text.replace(' ', "").len();
                prop_assert!(repeated, "{schema} leaves {text} to the library");
            }
        }
    }
}
