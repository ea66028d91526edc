//! The restricted JSON Schema of a form: one flat object of primitive fields
//! (`client/elicitation#requested-schema`).

use crate::number::Plain;
use crate::object::{FromMembers, WriteMembers, object};
use crate::{JsonObject, JsonValue};
use serde::de::Error as _;
use serde::de::value::MapDeserializer;
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The schema of a form: its fields, in display order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RequestedSchema {
    /// The JSON Schema dialect.
    #[serde(rename = "$schema", default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// The type of the content.
    #[serde(rename = "type")]
    pub object_type: ObjectType,
    /// The fields by name.
    #[serde(with = "crate::ordered")]
    pub properties: Vec<(String, PrimitiveSchemaDefinition)>,
    /// The names of the required fields.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub required: Option<Vec<String>>,
    /// Keywords that this revision does not define.
    #[serde(flatten)]
    pub extra: JsonObject,
}

/// The `type` of a [`RequestedSchema`]: always `object`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ObjectType {
    /// `object`.
    #[default]
    #[serde(rename = "object")]
    Object,
}

/// The schema of a field, distinguished by its keywords.
///
/// The variants contain all keywords except `type`, which follows from the variant.
#[derive(Clone, Debug, PartialEq)]
pub enum PrimitiveSchemaDefinition {
    /// A string.
    String(StringSchema),
    /// A number or an integer.
    Number(NumberSchema),
    /// A boolean.
    Boolean(BooleanSchema),
    /// A single choice (`enum`).
    UntitledSingleSelect(UntitledSingleSelectEnumSchema),
    /// A single choice among titled options (`oneOf`).
    TitledSingleSelect(TitledSingleSelectEnumSchema),
    /// A multiple choice (`items.enum`).
    UntitledMultiSelect(UntitledMultiSelectEnumSchema),
    /// A multiple choice among titled options (`items.anyOf`).
    TitledMultiSelect(TitledMultiSelectEnumSchema),
    /// A single choice with titles in `enumNames`, the form of older revisions.
    LegacyTitled(LegacyTitledEnumSchema),
}

impl Serialize for PrimitiveSchemaDefinition {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self {
            Self::String(schema) => tagged(&mut map, "string", schema)?,
            Self::Number(schema) => schema.write_members(&mut map)?,
            Self::Boolean(schema) => tagged(&mut map, "boolean", schema)?,
            Self::UntitledSingleSelect(schema) => tagged(&mut map, "string", schema)?,
            Self::TitledSingleSelect(schema) => tagged(&mut map, "string", schema)?,
            Self::UntitledMultiSelect(schema) => tagged(&mut map, "array", schema)?,
            Self::TitledMultiSelect(schema) => tagged(&mut map, "array", schema)?,
            Self::LegacyTitled(schema) => tagged(&mut map, "string", schema)?,
        }
        map.end()
    }
}

fn tagged<M: SerializeMap>(
    map: &mut M,
    kind: &str,
    schema: &impl WriteMembers,
) -> Result<(), M::Error> {
    map.serialize_entry("type", kind)?;
    schema.write_members(map)
}

impl<'de> Deserialize<'de> for PrimitiveSchemaDefinition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let schema = JsonObject::deserialize(deserializer)?;
        let has = |keyword: &str| schema.contains_key(keyword);
        let decoded = match schema.get("type").and_then(JsonValue::as_str) {
            Some("string") if has("oneOf") => members(schema).map(Self::TitledSingleSelect),
            Some("string") if has("enumNames") => members(schema).map(Self::LegacyTitled),
            Some("string") if has("enum") => members(schema).map(Self::UntitledSingleSelect),
            Some("string") => members(schema).map(Self::String),
            Some("number" | "integer") => members(schema).map(Self::Number),
            Some("boolean") => members(schema).map(Self::Boolean),
            Some("array")
                if schema
                    .get("items")
                    .is_some_and(|items| items.get("anyOf").is_some()) =>
            {
                members(schema).map(Self::TitledMultiSelect)
            }
            Some("array") => members(schema).map(Self::UntitledMultiSelect),
            // Form mode deliberately has no nested objects.
            _ => {
                return Err(D::Error::custom(
                    "a form field must be a string, number, integer, boolean or enum",
                ));
            }
        };
        decoded.map_err(D::Error::custom)
    }
}

fn members<T: for<'de> FromMembers<'de>>(schema: JsonObject) -> Result<T, serde_json::Error> {
    T::from_members(MapDeserializer::new(schema.into_iter()))
}

/// The format of a text field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StringFormat {
    /// `email`.
    Email,
    /// `uri`.
    Uri,
    /// `date`.
    Date,
    /// `date-time`.
    DateTime,
}

/// The type of a number field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NumberType {
    /// Any number.
    #[default]
    Number,
    /// Integers only.
    Integer,
}

object! {
    /// A text field.
    #[derive(Default)]
    pub struct StringSchema {
        optional {
            /// The label.
            title / with_title: String = "title",
            /// A description.
            description / with_description: String = "description",
            /// The minimum number of characters.
            min_length / with_min_length: u64 = "minLength",
            /// The maximum number of characters.
            max_length / with_max_length: u64 = "maxLength",
            /// The format of the text.
            format / with_format: StringFormat = "format",
            /// The default value.
            default / with_default: String = "default",
        }
        skip { "type" }
        open extra;
    }
}

object! {
    /// A number field.
    pub struct NumberSchema {
        required {
            /// The type: any number, or integers only.
            number_type: NumberType = "type",
        }
        optional {
            /// The label.
            title / with_title: String = "title",
            /// A description.
            description / with_description: String = "description",
            /// The minimum value, inclusive.
            minimum / with_minimum: f64 = "minimum" as Plain,
            /// The maximum value, inclusive.
            maximum / with_maximum: f64 = "maximum" as Plain,
            /// The default value.
            default / with_default: f64 = "default" as Plain,
        }
        open extra;
    }
}

object! {
    /// A boolean field.
    #[derive(Default)]
    pub struct BooleanSchema {
        optional {
            /// The label.
            title / with_title: String = "title",
            /// A description.
            description / with_description: String = "description",
            /// The default value.
            default / with_default: bool = "default",
        }
        skip { "type" }
        open extra;
    }
}

object! {
    /// A single choice.
    pub struct UntitledSingleSelectEnumSchema {
        required {
            /// The choices.
            options: Vec<String> = "enum",
        }
        optional {
            /// The label.
            title / with_title: String = "title",
            /// A description.
            description / with_description: String = "description",
            /// The default choice.
            default / with_default: String = "default",
        }
        skip { "type" }
        open extra;
    }
}

object! {
    /// An option with its title.
    pub struct EnumOption {
        required {
            /// The value.
            value: String = "const",
            /// The displayed title.
            title: String = "title",
        }
        open extra;
    }
}

object! {
    /// A single choice among titled options.
    pub struct TitledSingleSelectEnumSchema {
        required {
            /// The choices.
            options: Vec<EnumOption> = "oneOf",
        }
        optional {
            /// The label.
            title / with_title: String = "title",
            /// A description.
            description / with_description: String = "description",
            /// The default choice.
            default / with_default: String = "default",
        }
        skip { "type" }
        open extra;
    }
}

object! {
    /// A multiple choice.
    pub struct UntitledMultiSelectEnumSchema {
        required {
            /// The choices.
            items: UntitledItems = "items",
        }
        optional {
            /// The label.
            title / with_title: String = "title",
            /// A description.
            description / with_description: String = "description",
            /// The minimum number of choices.
            min_items / with_min_items: u64 = "minItems",
            /// The maximum number of choices.
            max_items / with_max_items: u64 = "maxItems",
            /// The default choice.
            default / with_default: Vec<String> = "default",
        }
        skip { "type" }
        open extra;
    }
}

object! {
    /// A multiple choice among titled options.
    pub struct TitledMultiSelectEnumSchema {
        required {
            /// The choices.
            items: TitledItems = "items",
        }
        optional {
            /// The label.
            title / with_title: String = "title",
            /// A description.
            description / with_description: String = "description",
            /// The minimum number of choices.
            min_items / with_min_items: u64 = "minItems",
            /// The maximum number of choices.
            max_items / with_max_items: u64 = "maxItems",
            /// The default choice.
            default / with_default: Vec<String> = "default",
        }
        skip { "type" }
        open extra;
    }
}

object! {
    /// A single choice with titles in a parallel array. Superseded by
    /// [`TitledSingleSelectEnumSchema`], and still decoded.
    pub struct LegacyTitledEnumSchema {
        required {
            /// The choices.
            options: Vec<String> = "enum",
        }
        optional {
            /// The label.
            title / with_title: String = "title",
            /// A description.
            description / with_description: String = "description",
            /// The displayed titles, in the order of `enum`.
            enum_names / with_enum_names: Vec<String> = "enumNames",
            /// The default choice.
            default / with_default: String = "default",
        }
        skip { "type" }
        open extra;
    }
}

/// The `items` of an [`UntitledMultiSelectEnumSchema`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UntitledItems {
    /// The type of each item.
    #[serde(rename = "type")]
    pub string_type: StringType,
    /// The choices.
    #[serde(rename = "enum")]
    pub options: Vec<String>,
    /// Keywords that this revision does not define.
    #[serde(flatten)]
    pub extra: JsonObject,
}

impl From<Vec<String>> for UntitledItems {
    fn from(options: Vec<String>) -> Self {
        Self {
            string_type: StringType::String,
            options,
            extra: JsonObject::new(),
        }
    }
}

/// The `type` of the items of an [`UntitledMultiSelectEnumSchema`]: always `string`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum StringType {
    /// `string`.
    #[default]
    #[serde(rename = "string")]
    String,
}

object! {
    /// The `items` of a [`TitledMultiSelectEnumSchema`].
    pub struct TitledItems {
        required {
            /// The choices.
            options: Vec<EnumOption> = "anyOf",
        }
        open extra;
    }
}
