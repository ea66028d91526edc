//! Forms from types, and values from filled-in forms (`client/elicitation#requested-schema`).

use crate::schema_of;
use carryall_types::{JsonObject, JsonValue, PrimitiveSchemaDefinition, RequestedSchema};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use std::fmt;

/// The keywords that fields may have.
const COMMON: [&str; 3] = ["title", "description", "default"];
const TEXT: [&str; 3] = ["minLength", "maxLength", "format"];
const NUMBER: [&str; 2] = ["minimum", "maximum"];
const LIST: [&str; 2] = ["minItems", "maxItems"];
/// The formats of the specification.
const FORMATS: [&str; 4] = ["email", "uri", "date", "date-time"];
/// How many references in a row are followed. More are a cycle.
const MAX_STEPS: usize = 8;

/// The name of the field of a form that asks for one value.
const VALUE: &str = "value";
/// How deeply structs may be nested.
const MAX_DEPTH: usize = 4;

/// The error of a type that no form can ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormError(String);

impl fmt::Display for FormError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for FormError {}

/// Returns the form that asks for a `T`: a struct with named fields, or a single value.
///
/// | Field | becomes |
/// |---|---|
/// | `String` and other strings | a text field; `#[schemars(length(min = 1, max = 9))]`, `#[schemars(extend("format" = "email"))]` |
/// | integers, floats | a number; `#[schemars(range(min = 1, max = 9))]` |
/// | `bool` | a checkbox |
/// | an enum of unit variants | a single select; variants with comments or `#[schemars(title = "...")]` have titles |
/// | a `Vec` or set of such an enum | a multi-select; `#[schemars(length(min = 1))]` |
/// | a struct with named fields | its fields, named `group.field` |
/// | `Option<...>`, or with `#[serde(default)]` | optional; a default is shown in the field |
///
/// A `T` that is not a struct becomes a form with one field named `value`. Of an optional struct
/// all fields are optional; the answer has the struct if one of the fields that the struct requires
/// is filled in, or any field if it requires none. Comments become descriptions.
///
/// # Errors
/// When the type is something else. The error names the field.
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
    FormLayout::of::<T>().map(|layout| layout.schema)
}

/// A form, and how its flat content becomes a value of the type that it asks for.
pub(super) struct FormLayout {
    pub(super) schema: RequestedSchema,
    root: FormNode,
}

enum FormNode {
    /// The field of this name.
    Field(String),
    Group {
        optional: bool,
        members: Vec<GroupMember>,
    },
}

struct GroupMember {
    name: String,
    required: bool,
    node: FormNode,
}

impl FormLayout {
    pub(super) fn of<T: JsonSchema>() -> Result<Self, FormError> {
        let schema = JsonValue::Object(schema_of::<T>());
        let nothing = JsonObject::new();
        let definitions = schema.get("$defs").and_then(JsonValue::as_object);
        let mut fields = FormFields {
            definitions: definitions.unwrap_or(&nothing),
            form: RequestedSchema::new(),
        };
        let name = T::schema_name();
        let root = fields.resolved(&schema).and_then(|resolved| {
            if is_struct(&resolved) {
                fields.group(&resolved, "", false, 0)
            } else {
                fields.add(VALUE, &schema, !is_nullable(&schema))
            }
        });
        match root {
            Ok(root) => Ok(Self {
                schema: fields.form,
                root,
            }),
            Err(why) => Err(FormError(format!("no form can ask for {name}: {why}"))),
        }
    }

    /// Turns the content of a form, which has been checked against the schema, into a value.
    pub(super) fn nest(&self, mut content: JsonObject) -> JsonValue {
        let root = self.root.take(&mut content);
        match root {
            // Members that no field asks for are left to the type.
            Some(JsonValue::Object(mut root)) => {
                root.extend(content);
                JsonValue::Object(root)
            }
            other => other.unwrap_or_default(),
        }
    }
}

impl FormNode {
    fn take(&self, content: &mut JsonObject) -> Option<JsonValue> {
        let (optional, members) = match self {
            Self::Field(name) => return content.shift_remove(name),
            Self::Group { optional, members } => (*optional, members),
        };
        let requires_any = members.iter().any(|member| member.required);
        let mut is_filled_in = !optional;
        let mut object = JsonObject::new();
        for member in members {
            if let Some(value) = member.node.take(content) {
                is_filled_in |= member.required || !requires_any;
                object.insert(member.name.clone(), value);
            }
        }
        is_filled_in.then_some(JsonValue::Object(object))
    }
}

/// The fields of a form being made.
struct FormFields<'a> {
    definitions: &'a JsonObject,
    form: RequestedSchema,
}

impl FormFields<'_> {
    /// Adds the fields of a struct. Their names begin with `prefix`.
    fn group(
        &mut self,
        schema: &JsonObject,
        prefix: &str,
        optional: bool,
        depth: usize,
    ) -> Result<FormNode, String> {
        if depth > MAX_DEPTH {
            return Err("is nested too deeply".into());
        }
        let required: Vec<&str> = schema
            .get("required")
            .and_then(JsonValue::as_array)
            .into_iter()
            .flatten()
            .filter_map(JsonValue::as_str)
            .collect();
        let properties = schema.get("properties").and_then(JsonValue::as_object);
        let mut members = Vec::new();
        for (name, field) in properties.into_iter().flatten() {
            let required = required.contains(&name.as_str());
            let full_name = format!("{prefix}{name}");
            let resolved = self.resolved(field);
            let node = match resolved {
                Ok(group) if is_struct(&group) => {
                    let optional = optional || !required;
                    self.group(&group, &format!("{full_name}."), optional, depth + 1)
                }
                _ => self.add(&full_name, field, required && !optional),
            };
            let node = node.map_err(|why| match depth {
                0 => format!("field {name:?} {why}"),
                _ => format!("field {name:?}: {why}"),
            })?;
            let name = name.clone();
            members.push(GroupMember {
                name,
                required,
                node,
            });
        }
        Ok(FormNode::Group { optional, members })
    }

    /// Adds one field.
    fn add(&mut self, name: &str, schema: &JsonValue, required: bool) -> Result<FormNode, String> {
        let field = self.field(schema)?;
        let form = std::mem::take(&mut self.form).field(name, field);
        self.form = if required { form.required() } else { form };
        Ok(FormNode::Field(name.to_owned()))
    }

    fn field(&self, schema: &JsonValue) -> Result<PrimitiveSchemaDefinition, String> {
        let schema = self.resolved(schema)?;
        let mut field = kept(&schema, &COMMON);
        // The default `null` of an optional field says that it is empty.
        field.retain(|_, value| !value.is_null());
        if let Some(choices) = choices(&schema) {
            field.insert("type".into(), "string".into());
            let (keyword, choices) = choices.into_keyword("oneOf");
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
                _ => {
                    return Err(
                        "is not a string, a number, a boolean or an enum of unit variants".into(),
                    );
                }
            }
            field.insert(
                "type".into(),
                schema.get("type").cloned().unwrap_or_default(),
            );
        }
        PrimitiveSchemaDefinition::deserialize(JsonValue::Object(field))
            .map_err(|error| format!("cannot be a field: {error}"))
    }

    /// Returns the `items` of a multi-select.
    fn items(&self, schema: &JsonObject) -> Result<JsonValue, String> {
        let items = self.resolved(schema.get("items").unwrap_or(&JsonValue::Null))?;
        let choices =
            choices(&items).ok_or("is a list of something other than an enum of unit variants")?;
        let (keyword, choices) = choices.into_keyword("anyOf");
        Ok(match keyword {
            "enum" => json!({"type": "string", "enum": choices}),
            _ => json!({keyword: choices}),
        })
    }

    /// Follows references, and takes `null` away. Keywords beside a reference override its target.
    fn resolved(&self, schema: &JsonValue) -> Result<JsonObject, String> {
        let mut schema = schema.as_object().cloned().ok_or("may be any value")?;
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
                target.ok_or_else(|| format!("refers to {reference}, which does not exist"))?
            {
                schema.entry(keyword).or_insert_with(|| value.clone());
            }
        }
        Err("refers to itself".into())
    }
}

fn is_struct(schema: &JsonObject) -> bool {
    type_of(schema) == Some("object") && schema.contains_key("properties")
}

/// Whether `null` is a value too, as of an `Option`.
fn is_nullable(schema: &JsonValue) -> bool {
    let is_null = |kind: &JsonValue| kind == "null";
    let has_null = |types: &JsonValue| {
        types
            .as_array()
            .is_some_and(|types| types.iter().any(is_null))
    };
    let branches = schema.get("anyOf").and_then(JsonValue::as_array);
    schema.get("type").is_some_and(has_null)
        || branches.is_some_and(|branches| {
            branches
                .iter()
                .any(|branch| branch.get("type").is_some_and(is_null))
        })
}

/// Turns the schema of `Option<T>` into that of `T`.
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

/// The values to choose from, each with its title if it has one.
struct FormChoices(Vec<(String, Option<String>)>);

impl FormChoices {
    /// Returns the keyword and its value: `enum`, or `titled` if there are titles.
    fn into_keyword(self, titled: &'static str) -> (&'static str, JsonValue) {
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

/// Returns the variants of an enum of unit variants: `enum`, or `oneOf` where variants have titles
/// or comments.
fn choices(schema: &JsonObject) -> Option<FormChoices> {
    let texts = |values: &JsonValue| -> Option<Vec<(String, Option<String>)>> {
        values
            .as_array()?
            .iter()
            .map(|value| Some((value.as_str()?.to_owned(), None)))
            .collect()
    };
    if let Some(values) = schema.get("enum") {
        return texts(values).map(FormChoices);
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
    Some(FormChoices(choices))
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
