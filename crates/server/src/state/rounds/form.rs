//! From a type to a form: the schema of a struct, within what forms may hold
//! (`client/elicitation#requested-schema`).

use crate::schema_of;
use carryall_types::{JsonObject, JsonValue, PrimitiveSchemaDefinition, RequestedSchema};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use std::fmt;

/// What a field of each kind may say, besides its choices.
const COMMON: [&str; 3] = ["title", "description", "default"];
const TEXT: [&str; 3] = ["minLength", "maxLength", "format"];
const NUMBER: [&str; 2] = ["minimum", "maximum"];
const LIST: [&str; 2] = ["minItems", "maxItems"];
/// The formats that clients know.
const FORMATS: [&str; 4] = ["email", "uri", "date", "date-time"];
/// References lead to choices, which refer to nothing. More steps than this are a circle.
const MAX_STEPS: usize = 8;

/// A type that no form can ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormError(String);

impl fmt::Display for FormError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for FormError {}

/// The form that asks for a `T`: a struct with named fields.
///
/// | Field | becomes |
/// |---|---|
/// | `String` and other texts | a text; `#[schemars(length(min = 1, max = 9))]`, `#[schemars(extend("format" = "email"))]` |
/// | integers, floats | a number; `#[schemars(range(min = 1, max = 9))]` |
/// | `bool` | yes or no |
/// | an enum without data | one of its variants; with a title for each if variants have comments or `#[schemars(title = "...")]` |
/// | a `Vec` or set of such an enum | some of its variants |
/// | `Option<...>`, or with `#[serde(default)]` | a field that may stay empty; a default is shown in it |
///
/// Comments become descriptions.
///
/// # Errors
/// When the type is something else, naming the field.
///
/// ```
/// #[derive(serde::Deserialize, schemars::JsonSchema)]
/// enum Size {
///     Small,
///     Large,
/// }
///
/// #[derive(serde::Deserialize, schemars::JsonSchema)]
/// struct Order {
///     /// What it is called
///     name: String,
///     size: Option<Size>,
/// }
///
/// let form = carryall_server::form_of::<Order>().unwrap();
/// assert_eq!(form.required, Some(vec!["name".to_owned()]));
/// assert_eq!(form.property("size").unwrap().options(), [("Small", "Small"), ("Large", "Large")]);
/// ```
pub fn form_of<T: JsonSchema>() -> Result<RequestedSchema, FormError> {
    let schema = schema_of::<T>();
    let nothing = JsonObject::new();
    let object = |name: &str| {
        schema
            .get(name)
            .and_then(JsonValue::as_object)
            .unwrap_or(&nothing)
    };
    if schema.get("type").and_then(JsonValue::as_str) != Some("object") {
        return Err(FormError(format!(
            "{} is not a struct with named fields, so no form asks for it",
            T::schema_name()
        )));
    }
    let required: Vec<&str> = schema
        .get("required")
        .and_then(JsonValue::as_array)
        .into_iter()
        .flatten()
        .filter_map(JsonValue::as_str)
        .collect();
    let mut form = RequestedSchema::new();
    for (name, field) in object("properties") {
        let field = Fields {
            definitions: object("$defs"),
        }
        .field(field)
        .map_err(|why| {
            FormError(format!(
                "no form asks for {}: field {name:?} {why}",
                T::schema_name()
            ))
        })?;
        form = form.field(name, field);
        if required.contains(&name.as_str()) {
            form = form.required();
        }
    }
    Ok(form)
}

struct Fields<'a> {
    definitions: &'a JsonObject,
}

impl Fields<'_> {
    fn field(&self, schema: &JsonValue) -> Result<PrimitiveSchemaDefinition, String> {
        let schema = self.resolved(schema)?;
        let mut field = kept(&schema, &COMMON);
        // `null` is how a field that may stay empty says that it does at first.
        field.retain(|_, value| !value.is_null());
        if let Some(choices) = choices(&schema) {
            field.insert("type".into(), "string".into());
            let (keyword, choices) = choices.written("oneOf");
            field.insert(keyword.into(), choices);
        } else {
            match type_of(&schema) {
                Some("string") => {
                    field.extend(kept(&schema, &TEXT));
                    let is_known = |format: &JsonValue| {
                        format
                            .as_str()
                            .is_some_and(|format| FORMATS.contains(&format))
                    };
                    field.retain(|name, value| name != "format" || is_known(value));
                }
                Some("number" | "integer") => field.extend(kept(&schema, &NUMBER)),
                Some("boolean") => {}
                Some("array") => {
                    field.extend(kept(&schema, &LIST));
                    field.insert("items".into(), self.items(&schema)?);
                }
                _ => return Err("is not a text, a number, a boolean or a choice".into()),
            }
            field.insert(
                "type".into(),
                schema.get("type").cloned().unwrap_or_default(),
            );
        }
        PrimitiveSchemaDefinition::deserialize(JsonValue::Object(field))
            .map_err(|error| format!("is no field: {error}"))
    }

    /// The choices of a field that takes several.
    fn items(&self, schema: &JsonObject) -> Result<JsonValue, String> {
        let items = self.resolved(schema.get("items").unwrap_or(&JsonValue::Null))?;
        let choices = choices(&items).ok_or("is a list of something else than choices")?;
        let (keyword, choices) = choices.written("anyOf");
        Ok(match keyword {
            "enum" => json!({"type": "string", "enum": choices}),
            _ => json!({keyword: choices}),
        })
    }

    /// The schema with references followed and `null` taken away. What stands beside a reference
    /// counts more.
    fn resolved(&self, schema: &JsonValue) -> Result<JsonObject, String> {
        let mut schema = schema.as_object().cloned().ok_or("may be anything")?;
        for _ in 0..MAX_STEPS {
            without_null(&mut schema);
            let Some(reference) = schema.shift_remove("$ref") else {
                return Ok(schema);
            };
            let name = reference
                .as_str()
                .and_then(|reference| reference.strip_prefix("#/$defs/"))
                .unwrap_or_default();
            let target = self.definitions.get(name).and_then(JsonValue::as_object);
            for (keyword, value) in
                target.ok_or_else(|| format!("refers to {reference}, which is not there"))?
            {
                schema.entry(keyword).or_insert_with(|| value.clone());
            }
        }
        Err("refers to itself".into())
    }
}

/// `T` out of `Option<T>`.
fn without_null(schema: &mut JsonObject) {
    if let Some(JsonValue::Array(types)) = schema.get_mut("type") {
        types.retain(|kind| kind != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            schema.insert("type".into(), only);
        }
    }
    if let Some(JsonValue::Array(choices)) = schema.get_mut("enum") {
        choices.retain(|choice| !choice.is_null());
    }
    let is_null = |schema: &JsonValue| schema.get("type").is_some_and(|kind| kind == "null");
    let rest = match schema.get("anyOf") {
        Some(JsonValue::Array(branches)) => {
            branches.iter().filter(|branch| !is_null(branch)).collect()
        }
        _ => Vec::new(),
    };
    if let [JsonValue::Object(only)] = rest.as_slice() {
        let only = only.clone();
        schema.shift_remove("anyOf");
        for (keyword, value) in only {
            schema.entry(keyword).or_insert(value);
        }
    }
}

/// The texts to choose from, each with what people see if that is something else.
struct Choices(Vec<(String, Option<String>)>);

impl Choices {
    /// The keyword and its value: `enum` unless there are titles.
    fn written(self, titled: &'static str) -> (&'static str, JsonValue) {
        if self.0.iter().all(|(_, title)| title.is_none()) {
            return (
                "enum",
                self.0
                    .into_iter()
                    .map(|(value, _)| JsonValue::from(value))
                    .collect(),
            );
        }
        let option = |(value, title): (String, Option<String>)| {
            let title = title.unwrap_or_else(|| value.clone());
            json!({"const": value, "title": title})
        };
        (titled, self.0.into_iter().map(option).collect())
    }
}

/// An enum without data: `enum`, or `oneOf` where variants have more to say.
fn choices(schema: &JsonObject) -> Option<Choices> {
    let texts = |values: &JsonValue| -> Option<Vec<(String, Option<String>)>> {
        values
            .as_array()?
            .iter()
            .map(|value| Some((value.as_str()?.to_owned(), None)))
            .collect()
    };
    if let Some(values) = schema.get("enum") {
        return texts(values).map(Choices);
    }
    let mut choices = Vec::new();
    for variant in schema.get("oneOf")?.as_array()? {
        let said = |name: &str| {
            variant
                .get(name)
                .and_then(JsonValue::as_str)
                .map(str::to_owned)
        };
        match (variant.get("const"), variant.get("enum")) {
            (Some(value), _) => choices.push((
                value.as_str()?.to_owned(),
                said("title").or_else(|| said("description")),
            )),
            (None, Some(values)) => choices.extend(texts(values)?),
            (None, None) => return None,
        }
    }
    Some(Choices(choices))
}

fn type_of(schema: &JsonObject) -> Option<&str> {
    schema.get("type").and_then(JsonValue::as_str)
}

fn kept(schema: &JsonObject, keywords: &[&str]) -> JsonObject {
    let keep = |(keyword, _): &(&String, &JsonValue)| keywords.contains(&keyword.as_str());
    schema
        .iter()
        .filter(keep)
        .map(|(keyword, value)| (keyword.clone(), value.clone()))
        .collect()
}
