use super::*;
use serde_json::{Value, json};

fn params(wire: Value) -> ElicitRequestParams {
    let params: ElicitRequestParams = serde_json::from_value(wire.clone()).unwrap();
    assert_eq!(serde_json::to_value(&params).unwrap(), wire);
    params
}

fn schema(properties: Value) -> RequestedSchema {
    let wire = json!({"type": "object", "properties": properties});
    let schema: RequestedSchema = serde_json::from_value(wire.clone()).unwrap();
    let written = serde_json::to_value(&schema).unwrap();
    assert_eq!(written, wire);
    // Comparing JSON objects ignores the order of members, which is the display order here.
    let names = |schema: &Value| {
        schema["properties"]
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&written), names(&wire));
    assert_eq!(
        serde_json::from_str::<RequestedSchema>(&wire.to_string()).unwrap(),
        schema
    );
    schema
}

fn content(wire: Value) -> JsonObject {
    serde_json::from_value(wire).unwrap()
}

fn accepts(field: &Value, value: &Value) -> bool {
    schema(json!({ "f": field }))
        .check(&content(json!({ "f": value })))
        .is_ok()
}

// spec: elicitation-11, elicitation-12
#[test]
fn a_request_without_mode_is_a_form_and_round_trips() {
    let schema = json!({"type": "object", "properties": {}});
    let bare = params(json!({"message": "m", "requestedSchema": schema}));
    assert!(matches!(&bare, ElicitRequestParams::Form(form) if form.mode.is_none()));
    let spelt_out =
        params(json!({"mode": "form", "message": "m", "requestedSchema": schema, "later": 1}));
    assert!(matches!(&spelt_out, ElicitRequestParams::Form(form) if form.mode.is_some()));
}

// spec: elicitation-10, elicitation-15
#[test]
fn a_request_needs_a_message_and_the_members_of_its_mode() {
    let url = params(json!({"mode": "url", "message": "m", "url": "https://example.com/"}));
    assert_eq!(url.message(), "m");
    for wire in [
        json!({"mode": "url", "url": "https://example.com/"}),
        json!({"mode": "url", "message": "m"}),
        json!({"message": "m", "url": "https://example.com/"}),
        json!({"mode": "form", "message": "m"}),
        json!({"mode": "form", "requestedSchema": {"type": "object", "properties": {}}}),
        json!({"mode": "voice", "message": "m", "url": "https://example.com/"}),
        json!({"mode": null, "message": "m", "requestedSchema": {"type": "object", "properties": {}}}),
    ] {
        assert!(
            serde_json::from_value::<ElicitRequestParams>(wire.clone()).is_err(),
            "{wire}"
        );
    }
}

// spec: elicitation-15
#[test]
fn unsafe_urls_are_rejected() {
    let check = |url: &str| ElicitRequestURLParams::new("m", url).check();
    assert_eq!(check("https://example.com/connect?x=1"), Ok(()));
    assert_eq!(check("http://localhost:3000/"), Ok(()));
    for bad in [
        "",
        "example.com",
        "javascript:alert(1)",
        "file:///a",
        "https://",
        "https://user:pass@example.com/",
        "https://a b/",
    ] {
        assert!(check(bad).is_err(), "{bad}");
    }
}

#[test]
fn the_host_is_returned_and_suspicious_urls_have_warnings() {
    let url = |url: &str| ElicitRequestURLParams::new("m", url);
    assert_eq!(
        url("https://Login.Example.com:8443/a@b.example")
            .host()
            .as_deref(),
        Some("login.example.com")
    );
    assert_eq!(url("https://bank.example@evil.example/").host(), None);
    assert!(url("https://example.com/").warnings().is_empty());
    assert!(url("http://127.0.0.1:3000/").warnings().is_empty());
    assert_eq!(url("https://xn--exmple-cua.com/").warnings().len(), 1);
    assert_eq!(url("http://example.com/").warnings().len(), 1);
    assert_eq!(url("nonsense").warnings().len(), 1);
}

// spec: elicitation-13
#[test]
fn every_field_type_decodes_by_its_keywords_in_order() {
    use PrimitiveSchemaDefinition as Field;
    let schema = schema(json!({
        "z": {"type": "string", "title": "T", "minLength": 1, "format": "email", "pattern": "x"},
        "y": {"type": "number", "minimum": 0, "maximum": 0.5},
        "x": {"type": "integer", "default": 50},
        "w": {"type": "boolean", "default": false},
        "v": {"type": "string", "enum": ["a"], "default": "a"},
        "u": {"type": "string", "oneOf": [{"const": "a", "title": "A"}]},
        "t": {"type": "array", "minItems": 1, "items": {"type": "string", "enum": ["a"]}, "default": ["a"]},
        "s": {"type": "array", "items": {"anyOf": [{"const": "a", "title": "A"}]}},
        "r": {"type": "string", "enum": ["a"], "enumNames": ["A"]},
    }));
    let fields: Vec<&Field> = schema.properties.iter().map(|(_, field)| field).collect();
    assert!(matches!(
        fields[..],
        [
            Field::String(_),
            Field::Number(_),
            Field::Number(_),
            Field::Boolean(_),
            Field::UntitledSingleSelect(_),
            Field::TitledSingleSelect(_),
            Field::UntitledMultiSelect(_),
            Field::TitledMultiSelect(_),
            Field::LegacyTitled(_),
        ]
    ));
    assert_eq!(fields[8].options(), [("a", "A")]);
    assert_eq!(fields[0].title(), Some("T"));
}

// spec: elicitation-13
#[test]
fn nested_and_unknown_fields_are_rejected() {
    for field in [
        json!({"type": "object", "properties": {}}),
        json!({"type": "array", "items": {"type": "object"}}),
        json!({"type": "array", "items": {"type": "number", "enum": ["a"]}}),
        json!({"type": "null"}),
        json!({"type": ["string", "null"]}),
        json!({"type": "string", "format": "password"}),
        json!({"enum": ["a"]}),
        json!("string"),
    ] {
        let wire = json!({"type": "object", "properties": {"f": field}});
        assert!(
            serde_json::from_value::<RequestedSchema>(wire.clone()).is_err(),
            "{wire}"
        );
    }
    assert!(
        serde_json::from_value::<RequestedSchema>(json!({"type": "array", "properties": {}}))
            .is_err()
    );
    let twice = r#"{"type":"object","properties":{"a":{"type":"boolean"},"a":{"type":"string"}}}"#;
    assert!(serde_json::from_str::<RequestedSchema>(twice).is_err());
}

// spec: elicitation-38, elicitation-39
#[test]
fn values_of_another_type_are_rejected() {
    let fields = [
        (json!({"type": "string"}), json!("1")),
        (json!({"type": "number"}), json!(1.5)),
        (json!({"type": "boolean"}), json!(true)),
        (
            json!({"type": "array", "items": {"type": "string", "enum": ["1"]}}),
            json!(["1"]),
        ),
    ];
    for (index, (field, own)) in fields.iter().enumerate() {
        assert!(accepts(field, own), "{field} {own}");
        for (other, (_, value)) in fields.iter().enumerate() {
            assert!(index == other || !accepts(field, value), "{field} {value}");
        }
        for value in [json!(null), json!({}), json!([1]), json!([["1"]])] {
            assert!(!accepts(field, &value), "{field} {value}");
        }
    }
}

// spec: elicitation-38, elicitation-39
#[test]
fn limits_and_options_are_enforced() {
    let text = json!({"type": "string", "minLength": 2, "maxLength": 3});
    let number = json!({"type": "number", "minimum": 0, "maximum": 1});
    let whole = json!({"type": "integer"});
    let one = json!({"type": "string", "enum": ["a", "b"]});
    let titled = json!({"type": "string", "oneOf": [{"const": "a", "title": "A"}]});
    let legacy = json!({"type": "string", "enum": ["a"], "enumNames": ["A"]});
    let some = json!({"type": "array", "minItems": 1, "maxItems": 2, "items": {"anyOf": [{"const": "a", "title": "A"}]}});
    for (field, value, ok) in [
        (&text, json!("\u{e9}\u{e9}\u{e9}"), true),
        (&text, json!("a"), false),
        (&text, json!("abcd"), false),
        (&number, json!(0), true),
        (&number, json!(1.0), true),
        (&number, json!(-0.1), false),
        (&number, json!(1.1), false),
        (&whole, json!(3), true),
        (&whole, json!(3.0), true),
        (&whole, json!(3.5), false),
        (&one, json!("b"), true),
        (&one, json!("c"), false),
        (&titled, json!("a"), true),
        (&titled, json!("A"), false),
        (&legacy, json!("a"), true),
        (&legacy, json!("A"), false),
        (&some, json!(["a"]), true),
        (&some, json!([]), false),
        (&some, json!(["a", "a", "a"]), false),
        (&some, json!(["A"]), false),
    ] {
        assert_eq!(accepts(field, &value), ok, "{field} {value}");
    }
}

// spec: elicitation-38, elicitation-39
#[test]
fn string_formats_are_checked() {
    for (format, good, bad) in [
        (
            "email",
            &["a@b.example", "a.b+c@b.example"][..],
            &[
                "a",
                "@b",
                "a@",
                "a b@c.example",
                "a@b@c",
                "a@b..c",
                "a.@b.c",
            ][..],
        ),
        (
            "uri",
            &["https://a.example/%20", "urn:a:b"],
            &[
                "a", "1a:b", ":b", "a:", "a:b c", "a:%2", "a:%zz", "a:<b>", "a:\u{e9}",
            ],
        ),
        (
            "date",
            &["2026-07-28", "2024-02-29"],
            &[
                "2026-7-28",
                "2026-02-29",
                "2026-13-01",
                "2026-04-31",
                "2026-01-00",
                "2026-07-28T",
                "+026-07-28",
            ],
        ),
        (
            "date-time",
            &[
                "2026-07-28T09:30:00Z",
                "2026-07-28t09:30:00.123+02:00",
                "2016-12-31T23:59:60z",
            ],
            &[
                "2026-07-28",
                "2026-07-28T09:30:00",
                "2026-07-28T24:00:00Z",
                "2026-07-28T09:30Z",
                "2026-07-28T09:30:00.Z",
                "2026-07-28T09:30:00+2:00",
                "2026-07-28T09:30:00Zx",
                "2026-07-28T09:30:00+\u{e9}",
            ],
        ),
    ] {
        let field = json!({"type": "string", "format": format});
        for text in good {
            assert!(accepts(&field, &json!(text)), "{format} {text}");
        }
        for text in bad {
            assert!(!accepts(&field, &json!(text)), "{format} {text}");
        }
    }
}

// spec: elicitation-38, elicitation-39
#[test]
fn required_fields_must_exist_and_unknown_members_must_be_flat() {
    let schema = RequestedSchema::new()
        .string("a", |field| field)
        .required()
        .string("b", |field| field);
    assert_eq!(
        schema.check(&content(json!({"a": "x", "c": ["y"], "d": 1}))),
        Ok(())
    );
    assert_eq!(
        schema.check(&content(json!({"b": "x"}))),
        Err("\"a\" is required".into())
    );
    for value in [json!(null), json!({"x": 1}), json!([1])] {
        assert!(
            schema
                .check(&content(json!({"a": "x", "c": value})))
                .is_err(),
            "{value}"
        );
    }
}

// spec: elicitation-14
#[test]
fn defaults_fill_missing_fields() {
    let schema = RequestedSchema::new()
        .string("s", |field| field.with_default("d"))
        .integer("n", |field| field.with_default(3))
        .boolean("b", |field| field.with_default(true))
        .select_titled("o", [("a", "A")], |field| field.with_default("a"))
        .multi_select("m", ["a", "b"], |field| {
            field.with_default(vec!["b".to_owned()])
        })
        .string("none", |field| field);
    assert_eq!(
        Value::from(schema.defaults()),
        json!({"s": "d", "n": 3, "b": true, "o": "a", "m": ["b"]})
    );
    let filled = schema.with_defaults(content(json!({"s": "x", "b": false})));
    assert_eq!(
        Value::from(filled),
        json!({"s": "x", "b": false, "n": 3, "o": "a", "m": ["b"]})
    );
}

#[test]
fn the_builder_produces_the_expected_schema() {
    let schema = RequestedSchema::new()
        .string("email", |field| {
            field.with_title("E-mail").with_format(StringFormat::Email)
        })
        .required()
        .number("rate", |field| field.with_minimum(0).with_maximum(0.5))
        .multi_select_titled("tags", [("a", "A")], |field| field.with_max_items(1_u64))
        .required()
        .boolean("ok", |field| field);
    assert_eq!(
        serde_json::to_value(&schema).unwrap(),
        json!({
            "type": "object",
            "properties": {
                "email": {"type": "string", "title": "E-mail", "format": "email"},
                "rate": {"type": "number", "minimum": 0, "maximum": 0.5},
                "tags": {"type": "array", "items": {"anyOf": [{"const": "a", "title": "A"}]}, "maxItems": 1},
                "ok": {"type": "boolean"},
            },
            "required": ["email", "tags"],
        })
    );
    assert!(schema.is_required("tags") && !schema.is_required("rate"));
    assert_eq!(schema.validate(), Ok(()));
}

#[test]
fn forms_that_cannot_be_filled_in_are_rejected() {
    let mut nowhere = RequestedSchema::new();
    nowhere.required = Some(vec!["x".into()]);
    for schema in [
        nowhere,
        RequestedSchema::new().string("f", |field| {
            field.with_min_length(2_u64).with_max_length(1_u64)
        }),
        RequestedSchema::new().number("f", |field| field.with_minimum(2).with_maximum(1)),
        RequestedSchema::new().integer("f", |field| field.with_default(0.5)),
        RequestedSchema::new().select("f", Vec::<String>::new(), |field| field),
        RequestedSchema::new().select("f", ["a"], |field| field.with_default("b")),
    ] {
        assert!(schema.validate().is_err(), "{schema:?}");
    }
}

// spec: elicitation-17
#[test]
fn only_an_accepted_form_has_content() {
    let form = ElicitRequestParams::from(ElicitRequestFormParams::new(
        "m",
        RequestedSchema::new().string("a", |field| field).required(),
    ));
    let url = ElicitRequestParams::from(ElicitRequestURLParams::new("m", "https://example.com/"));
    let filled = ElicitResult::accept(content(json!({"a": "x"})));
    assert_eq!(filled.check(&form), Ok(()));
    assert!(filled.check(&url).is_err());
    assert!(
        ElicitResult::accept(content(json!({"a": 1})))
            .check(&form)
            .is_err()
    );
    assert!(
        ElicitResult::new(ElicitAction::Accept)
            .check(&form)
            .is_err()
    );
    assert_eq!(ElicitResult::new(ElicitAction::Accept).check(&url), Ok(()));
    for (result, wire) in [
        (ElicitResult::decline(), json!({"action": "decline"})),
        (ElicitResult::cancel(), json!({"action": "cancel"})),
        (
            filled.clone(),
            json!({"action": "accept", "content": {"a": "x"}}),
        ),
    ] {
        assert_eq!(serde_json::to_value(&result).unwrap(), wire);
        assert_eq!(
            serde_json::from_value::<ElicitResult>(wire).unwrap(),
            result
        );
    }
    for result in [ElicitResult::decline(), ElicitResult::cancel()] {
        assert_eq!((result.check(&form), result.check(&url)), (Ok(()), Ok(())));
    }
    assert!(serde_json::from_value::<ElicitResult>(json!({"action": "reject"})).is_err());
}
