//! Forms from types, and values from filled-in forms (`client/elicitation#requested-schema`).

use carryall_server::form_of;
use carryall_types::JsonObject;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeSet;

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Size {
    #[default]
    Small,
    Large,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
enum Color {
    /// Like blood
    #[serde(rename = "#ff0000")]
    Red,
    /// Like the sea
    #[schemars(title = "Deep blue")]
    #[serde(rename = "#0000ff")]
    Blue,
    Plain,
}

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
struct Order {
    /// What it is called
    #[schemars(length(min = 1, max = 40))]
    name: String,
    #[schemars(extend("format" = "email"), title = "E-mail")]
    email: Option<String>,
    #[schemars(range(min = 1, max = 9))]
    count: u8,
    #[serde(default = "half")]
    weight: f64,
    #[serde(default)]
    gift: bool,
    #[serde(default)]
    size: Size,
    color: Option<Color>,
    #[schemars(length(min = 1))]
    sizes: BTreeSet<Size>,
    colors: Vec<Color>,
}

fn half() -> f64 {
    0.5
}

// spec: elicitation-13
#[test]
fn each_type_becomes_a_field_of_the_specification() {
    let form = serde_json::to_value(form_of::<Order>().unwrap()).unwrap();
    let field = |name: &str| form["properties"][name].clone();
    let colors = json!([
        {"const": "#ff0000", "title": "Like blood"},
        {"const": "#0000ff", "title": "Deep blue"},
        {"const": "Plain", "title": "Plain"},
    ]);
    let sorted = |value: &Value| {
        let mut all: Vec<String> = value
            .as_array()
            .unwrap()
            .iter()
            .map(Value::to_string)
            .collect();
        all.sort();
        all
    };
    assert_eq!(
        field("name"),
        json!({"type": "string", "description": "What it is called", "minLength": 1, "maxLength": 40})
    );
    assert_eq!(
        field("email"),
        json!({"type": "string", "title": "E-mail", "format": "email"})
    );
    assert_eq!(
        field("count"),
        json!({"type": "integer", "minimum": 1, "maximum": 9})
    );
    assert_eq!(field("weight"), json!({"type": "number", "default": 0.5}));
    assert_eq!(field("gift"), json!({"type": "boolean", "default": false}));
    assert_eq!(
        field("size"),
        json!({"type": "string", "enum": ["small", "large"], "default": "small"})
    );
    assert_eq!(sorted(&field("color")["oneOf"]), sorted(&colors));
    assert_eq!(
        field("sizes"),
        json!({"type": "array", "items": {"type": "string", "enum": ["small", "large"]}, "minItems": 1})
    );
    assert_eq!(sorted(&field("colors")["items"]["anyOf"]), sorted(&colors));
    assert_eq!(
        form["required"],
        json!(["name", "count", "sizes", "colors"])
    );
    assert!(form_of::<Order>().unwrap().validate().is_ok());
}

#[test]
fn content_that_conforms_decodes_into_the_type() {
    let form = form_of::<Order>().unwrap();
    let filled = json!({"name": "A", "count": 2, "sizes": ["large"], "colors": ["#ff0000", "Plain"], "color": "#0000ff"});
    let content: JsonObject = serde_json::from_value(filled.clone()).unwrap();
    form.check(&content).unwrap();
    let order: Order = serde_json::from_value(filled).unwrap();
    assert_eq!(order.colors, [Color::Red, Color::Plain]);
    for bad in [
        json!({"name": ""}),
        json!({"count": 10}),
        json!({"sizes": []}),
        json!({"color": "green"}),
    ] {
        let mut content = content.clone();
        content.extend(bad.as_object().unwrap().clone());
        form.check(&content).unwrap_err();
    }
}

#[test]
fn errors_name_the_field_that_no_form_can_ask_for() {
    #[derive(JsonSchema)]
    #[allow(dead_code)]
    struct Nested {
        fine: String,
        nested: Option<Box<Nested>>,
    }
    #[derive(JsonSchema)]
    #[allow(dead_code)]
    struct Listed {
        names: Vec<String>,
    }
    #[derive(JsonSchema)]
    #[allow(dead_code)]
    struct Anything {
        value: serde_json::Value,
    }
    #[derive(JsonSchema)]
    #[allow(dead_code)]
    enum Data {
        A { x: u8 },
        B(String),
    }
    #[derive(JsonSchema)]
    #[allow(dead_code)]
    struct WithData {
        data: Data,
    }
    let said = [
        form_of::<Nested>().unwrap_err().to_string(),
        form_of::<Listed>().unwrap_err().to_string(),
        form_of::<Anything>().unwrap_err().to_string(),
        form_of::<WithData>().unwrap_err().to_string(),
        form_of::<Data>().unwrap_err().to_string(),
    ];
    for (said, named) in said
        .iter()
        .zip(["nested", "names", "value", "data", "Data"])
    {
        assert!(said.contains(named), "{said}");
    }
}

#[test]
fn a_single_value_is_a_form_with_one_field() {
    let fields = |form: &carryall_types::RequestedSchema| {
        let form = serde_json::to_value(form).unwrap();
        (form["properties"].clone(), form["required"].clone())
    };
    assert_eq!(
        fields(&form_of::<Size>().unwrap()),
        (
            json!({"value": {"type": "string", "enum": ["small", "large"]}}),
            json!(["value"])
        )
    );
    assert_eq!(
        fields(&form_of::<Option<Size>>().unwrap()).1,
        Value::Null,
        "an option may stay empty"
    );
    assert_eq!(
        fields(&form_of::<Vec<Size>>().unwrap()),
        (
            json!({"value": {"type": "array", "items": {"type": "string", "enum": ["small", "large"]}}}),
            json!(["value"])
        )
    );
    assert_eq!(
        fields(&form_of::<bool>().unwrap()).0,
        json!({"value": {"type": "boolean"}})
    );
}

#[test]
fn the_fields_of_a_nested_struct_have_its_name_in_front() {
    #[derive(JsonSchema)]
    #[allow(dead_code)]
    struct Address {
        street: String,
        /// Where the bell is
        note: Option<String>,
    }
    #[derive(JsonSchema)]
    #[allow(dead_code)]
    struct Customer {
        name: String,
        home: Address,
        work: Option<Address>,
    }
    let form = form_of::<Customer>().unwrap();
    let names: Vec<&str> = form
        .properties
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(
        names,
        [
            "name",
            "home.street",
            "home.note",
            "work.street",
            "work.note"
        ]
    );
    assert_eq!(
        form.required,
        Some(vec!["name".to_owned(), "home.street".to_owned()])
    );
    assert_eq!(
        form.property("work.note").unwrap().description(),
        Some("Where the bell is")
    );
}
