//! Validation of forms and of their content (`client/elicitation#form-mode-security`).

use super::{
    BooleanSchema, EnumOption, NumberSchema, NumberType, PrimitiveSchemaDefinition as Field,
    RequestedSchema, StringSchema,
};
use crate::{JsonObject, JsonValue};
use std::collections::HashSet;

impl RequestedSchema {
    /// Returns the schema of the field `name`.
    #[must_use]
    pub fn property(&self, name: &str) -> Option<&Field> {
        self.properties
            .iter()
            .find(|(other, _)| other == name)
            .map(|(_, field)| field)
    }

    /// Returns whether the field `name` is required.
    #[must_use]
    pub fn is_required(&self, name: &str) -> bool {
        self.required.iter().flatten().any(|other| other == name)
    }

    /// Checks the content of a form: required fields, types, ranges, formats and choices.
    ///
    /// A member that is not a field of the form is accepted if its value is a string, a number, a
    /// boolean or an array of strings (schema `ElicitResult`).
    ///
    /// # Errors
    /// A message that names the first invalid field and the reason. It does not contain the value,
    /// since it may be logged.
    pub fn check(&self, content: &JsonObject) -> Result<(), String> {
        if let Some(name) = self
            .required
            .iter()
            .flatten()
            .find(|name| !content.contains_key(*name))
        {
            return Err(format!("{name:?} is required"));
        }
        for (name, value) in content {
            let checked = match self.property(name) {
                Some(field) => field.check(value),
                None => check_primitive(value),
            };
            checked.map_err(|problem| format!("{name:?} {problem}"))?;
        }
        Ok(())
    }

    /// Checks the form itself: required fields exist, choices have options, limits do not
    /// contradict each other, and defaults are valid.
    ///
    /// # Errors
    /// A message that names the first invalid field and the reason.
    pub fn validate(&self) -> Result<(), String> {
        if let Some(name) = self
            .required
            .iter()
            .flatten()
            .find(|name| self.property(name).is_none())
        {
            return Err(format!("{name:?} is required but is not a field"));
        }
        for (name, field) in &self.properties {
            field
                .validate()
                .map_err(|problem| format!("{name:?} {problem}"))?;
        }
        Ok(())
    }

    /// Returns the default content of the form (`client/elicitation#requested-schema`).
    #[must_use]
    pub fn defaults(&self) -> JsonObject {
        self.with_defaults(JsonObject::new())
    }

    /// Returns `content` with the defaults of all missing fields.
    #[must_use]
    pub fn with_defaults(&self, mut content: JsonObject) -> JsonObject {
        for (name, field) in &self.properties {
            if let Some(default) = field.default_value()
                && !content.contains_key(name)
            {
                content.insert(name.clone(), default);
            }
        }
        content
    }
}

impl Field {
    /// Returns the label of the field, if it has one.
    #[must_use]
    pub fn title(&self) -> Option<&str> {
        match self {
            Self::String(schema) => schema.title.as_deref(),
            Self::Number(schema) => schema.title.as_deref(),
            Self::Boolean(schema) => schema.title.as_deref(),
            Self::UntitledSingleSelect(schema) => schema.title.as_deref(),
            Self::TitledSingleSelect(schema) => schema.title.as_deref(),
            Self::UntitledMultiSelect(schema) => schema.title.as_deref(),
            Self::TitledMultiSelect(schema) => schema.title.as_deref(),
            Self::LegacyTitled(schema) => schema.title.as_deref(),
        }
    }

    /// Returns the description of the field, if it has one.
    #[must_use]
    pub fn description(&self) -> Option<&str> {
        match self {
            Self::String(schema) => schema.description.as_deref(),
            Self::Number(schema) => schema.description.as_deref(),
            Self::Boolean(schema) => schema.description.as_deref(),
            Self::UntitledSingleSelect(schema) => schema.description.as_deref(),
            Self::TitledSingleSelect(schema) => schema.description.as_deref(),
            Self::UntitledMultiSelect(schema) => schema.description.as_deref(),
            Self::TitledMultiSelect(schema) => schema.description.as_deref(),
            Self::LegacyTitled(schema) => schema.description.as_deref(),
        }
    }

    /// Returns the default of the field, if it has one.
    #[must_use]
    pub fn default_value(&self) -> Option<JsonValue> {
        match self {
            Self::String(schema) => schema.default.clone().map(JsonValue::from),
            Self::Number(schema) => schema.default.map(plain_number),
            Self::Boolean(schema) => schema.default.map(JsonValue::from),
            Self::UntitledSingleSelect(schema) => schema.default.clone().map(JsonValue::from),
            Self::TitledSingleSelect(schema) => schema.default.clone().map(JsonValue::from),
            Self::UntitledMultiSelect(schema) => schema.default.clone().map(JsonValue::from),
            Self::TitledMultiSelect(schema) => schema.default.clone().map(JsonValue::from),
            Self::LegacyTitled(schema) => schema.default.clone().map(JsonValue::from),
        }
    }

    /// Returns the options as pairs of value and title. Empty if the field is not a choice.
    #[must_use]
    pub fn options(&self) -> Vec<(&str, &str)> {
        fn untitled(options: &[String]) -> Vec<(&str, &str)> {
            options
                .iter()
                .map(|option| (option.as_str(), option.as_str()))
                .collect()
        }
        fn titled(options: &[EnumOption]) -> Vec<(&str, &str)> {
            options
                .iter()
                .map(|option| (option.value.as_str(), option.title.as_str()))
                .collect()
        }
        match self {
            Self::String(_) | Self::Number(_) | Self::Boolean(_) => Vec::new(),
            Self::UntitledSingleSelect(schema) => untitled(&schema.options),
            Self::TitledSingleSelect(schema) => titled(&schema.options),
            Self::UntitledMultiSelect(schema) => untitled(&schema.items.options),
            Self::TitledMultiSelect(schema) => titled(&schema.items.options),
            Self::LegacyTitled(schema) => {
                let names = schema.enum_names.as_deref().unwrap_or_default();
                let titles = names.iter().map(Some).chain(std::iter::repeat(None));
                schema
                    .options
                    .iter()
                    .zip(titles)
                    .map(|(value, name)| (value.as_str(), name.unwrap_or(value).as_str()))
                    .collect()
            }
        }
    }

    /// Checks the value of the field. `null` is never valid: a field without a value is omitted.
    ///
    /// # Errors
    /// A message that completes a sentence starting with the name of the field.
    pub fn check(&self, value: &JsonValue) -> Result<(), String> {
        match self {
            Self::String(schema) => check_string(schema, value),
            Self::Number(schema) => check_number(schema, value),
            Self::Boolean(_) => value
                .as_bool()
                .map(drop)
                .ok_or_else(|| "must be true or false".to_owned()),
            Self::UntitledSingleSelect(_) | Self::TitledSingleSelect(_) | Self::LegacyTitled(_) => {
                check_choice(&self.options(), value)
            }
            Self::UntitledMultiSelect(schema) => {
                check_choices(&self.options(), schema.min_items, schema.max_items, value)
            }
            Self::TitledMultiSelect(schema) => {
                check_choices(&self.options(), schema.min_items, schema.max_items, value)
            }
        }
    }

    fn validate(&self) -> Result<(), String> {
        let contradicts = match self {
            Self::String(schema) => exceeds(schema.min_length, schema.max_length),
            Self::Number(schema) => exceeds(schema.minimum, schema.maximum),
            Self::UntitledMultiSelect(schema) => exceeds(schema.min_items, schema.max_items),
            Self::TitledMultiSelect(schema) => exceeds(schema.min_items, schema.max_items),
            _ => false,
        };
        if contradicts {
            return Err("has a lower limit above its upper limit".to_owned());
        }
        let is_choice = !matches!(
            self,
            Self::String(_) | Self::Number(_) | Self::Boolean(BooleanSchema { .. })
        );
        if is_choice && self.options().is_empty() {
            return Err("has no options".to_owned());
        }
        match self.default_value() {
            Some(default) => self
                .check(&default)
                .map_err(|problem| format!("has a default that {problem}")),
            None => Ok(()),
        }
    }
}

fn exceeds<T: PartialOrd>(min: Option<T>, max: Option<T>) -> bool {
    matches!((min, max), (Some(min), Some(max)) if min > max)
}

/// Converts a number to JSON, integers without a fraction: `1`, not `1.0`.
fn plain_number(number: f64) -> JsonValue {
    serde_json::to_value(crate::number::Plain::from(number)).unwrap_or_default()
}

fn check_primitive(value: &JsonValue) -> Result<(), String> {
    let fits = match value {
        JsonValue::String(_) | JsonValue::Number(_) | JsonValue::Bool(_) => true,
        JsonValue::Array(items) => items.iter().all(JsonValue::is_string),
        JsonValue::Null | JsonValue::Object(_) => false,
    };
    if fits {
        Ok(())
    } else {
        Err("must be text, a number, true or false, or a list of text values".to_owned())
    }
}

fn check_string(schema: &StringSchema, value: &JsonValue) -> Result<(), String> {
    let Some(text) = value.as_str() else {
        return Err("must be text".to_owned());
    };
    // JSON Schema counts characters.
    let length = text.chars().count() as u64;
    if let Some(min) = schema.min_length.filter(|min| length < *min) {
        return Err(format!("must have at least {min} characters"));
    }
    if let Some(max) = schema.max_length.filter(|max| length > *max) {
        return Err(format!("must have at most {max} characters"));
    }
    match schema.format {
        Some(format) if !format.accepts(text) => Err(format!("must be {}", format.description())),
        _ => Ok(()),
    }
}

fn check_number(schema: &NumberSchema, value: &JsonValue) -> Result<(), String> {
    let Some(number) = value.as_f64() else {
        return Err("must be a number".to_owned());
    };
    if schema.number_type == NumberType::Integer && number.fract() != 0.0 {
        return Err("must be a whole number".to_owned());
    }
    if let Some(min) = schema.minimum.filter(|min| number < *min) {
        return Err(format!("must be at least {min}"));
    }
    if let Some(max) = schema.maximum.filter(|max| number > *max) {
        return Err(format!("must be at most {max}"));
    }
    Ok(())
}

fn check_choice(options: &[(&str, &str)], value: &JsonValue) -> Result<(), String> {
    match value.as_str() {
        Some(text) if options.iter().any(|(option, _)| *option == text) => Ok(()),
        Some(_) => Err("must be one of the options".to_owned()),
        None => Err("must be text".to_owned()),
    }
}

fn check_choices(
    options: &[(&str, &str)],
    min: Option<u64>,
    max: Option<u64>,
    value: &JsonValue,
) -> Result<(), String> {
    let Some(items) = value.as_array() else {
        return Err("must be a list of options".to_owned());
    };
    let options: HashSet<&str> = options.iter().map(|(option, _)| *option).collect();
    for item in items {
        match item.as_str() {
            Some(text) if options.contains(text) => {}
            Some(_) => return Err("must contain only the given options".to_owned()),
            None => return Err("must be a list of text values".to_owned()),
        }
    }
    let count = items.len() as u64;
    if let Some(min) = min.filter(|min| count < *min) {
        return Err(format!("must have at least {min} options"));
    }
    if let Some(max) = max.filter(|max| count > *max) {
        return Err(format!("must have at most {max} options"));
    }
    Ok(())
}
