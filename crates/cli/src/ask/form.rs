//! A form, field by field.

use super::{PromptError, Source, Tone, short};
use crate::text;
use carryall::types::{
    ElicitResult, JsonObject, JsonValue, NumberSchema, NumberType,
    PrimitiveSchemaDefinition as Schema, RequestedSchema, StringFormat,
};
use std::io;

/// What stands for a choice that is not made.
const NONE: &str = "(leave it out)";

/// Fills the form in, and shows it before it is sent. It can be declined or cancelled at either
/// end.
pub(super) fn ask(
    source: &mut dyn Source,
    form: &RequestedSchema,
) -> Result<ElicitResult, PromptError> {
    if let Some(name) = hopeless(form) {
        return Err(PromptError::Question(format!(
            "its form requires {:?}, which it gives no way to fill in",
            short(name)
        )));
    }
    match source.one_of("Choose", &["Answer", "Decline", "Cancel"], 0)? {
        0 => {}
        1 => return Ok(ElicitResult::decline()),
        _ => return Ok(ElicitResult::cancel()),
    }
    let mut content = JsonObject::new();
    loop {
        content = fill_in(source, form, &content)?;
        review(source, form, &content);
        match source.one_of("Send this", &["Send", "Change", "Decline", "Cancel"], 0)? {
            0 => return Ok(ElicitResult::accept(content)),
            1 => {}
            2 => return Ok(ElicitResult::decline()),
            _ => return Ok(ElicitResult::cancel()),
        }
    }
}

/// A field that has to be filled in and cannot be.
fn hopeless(form: &RequestedSchema) -> Option<&str> {
    let cannot = |name: &str| match form.property(name) {
        Some(Schema::String(_) | Schema::Number(_) | Schema::Boolean(_)) => false,
        Some(choice) => choice.options().is_empty(),
        None => true,
    };
    form.required
        .iter()
        .flatten()
        .map(String::as_str)
        .find(|name| cannot(name))
}

/// All fields. What was filled in before, or else the default, stands there already.
fn fill_in(
    source: &mut dyn Source,
    form: &RequestedSchema,
    before: &JsonObject,
) -> io::Result<JsonObject> {
    let mut content = JsonObject::new();
    for (name, schema) in &form.properties {
        let default = || {
            schema
                .default_value()
                .filter(|default| schema.check(default).is_ok())
        };
        let before = before.get(name).cloned().or_else(default);
        let field = Field {
            name,
            schema,
            required: form.is_required(name),
        };
        if let Some(value) = field.ask(source, before.as_ref())? {
            content.insert(name.clone(), value);
        }
    }
    Ok(content)
}

/// Shows what is about to be sent.
fn review(source: &mut dyn Source, form: &RequestedSchema, content: &JsonObject) {
    for (name, schema) in &form.properties {
        let Some(value) = content.get(name) else {
            continue;
        };
        source.tell(&[
            (Tone::Plain, "  "),
            (Tone::Faint, &format!("{}:", label(name, schema))),
            (Tone::Plain, " "),
            (Tone::Plain, &shown(schema, value)),
        ]);
    }
    if content.is_empty() {
        source.tell(&[(Tone::Faint, "  nothing is filled in")]);
    }
}

fn label(name: &str, schema: &Schema) -> String {
    short(
        schema
            .title()
            .filter(|title| !text::line(title).is_empty())
            .unwrap_or(name),
    )
}

/// A value as it was chosen or typed.
fn shown(schema: &Schema, value: &JsonValue) -> String {
    let options = schema.options();
    let title = |value: &str| {
        let known = options.iter().find(|(option, _)| *option == value);
        text::line(known.map_or(value, |(_, title)| title))
    };
    match value {
        JsonValue::String(text) => title(text),
        JsonValue::Bool(yes) => if *yes { "yes" } else { "no" }.to_owned(),
        JsonValue::Array(items) if items.is_empty() => "none".to_owned(),
        JsonValue::Array(items) => items
            .iter()
            .filter_map(JsonValue::as_str)
            .map(title)
            .collect::<Vec<_>>()
            .join(", "),
        other => other.to_string(),
    }
}

struct Field<'a> {
    name: &'a str,
    schema: &'a Schema,
    required: bool,
}

impl Field<'_> {
    /// Asks until what is given fits; `None` when the field stays empty.
    fn ask(
        &self,
        source: &mut dyn Source,
        before: Option<&JsonValue>,
    ) -> io::Result<Option<JsonValue>> {
        if let Some(description) = self.schema.description() {
            source.tell(&[(
                Tone::Faint,
                &text::clipped_line(description, super::MAX_MESSAGE),
            )]);
        }
        loop {
            let given = match self.schema {
                Schema::String(_) => self.text(source, before)?,
                Schema::Number(schema) => self.number(source, schema, before)?,
                Schema::Boolean(_) => {
                    self.yes_or_no(source, before.and_then(JsonValue::as_bool))?
                }
                Schema::UntitledMultiSelect(_) | Schema::TitledMultiSelect(_) => {
                    self.several(source, before)?
                }
                Schema::UntitledSingleSelect(_)
                | Schema::TitledSingleSelect(_)
                | Schema::LegacyTitled(_) => {
                    self.one(source, before.and_then(JsonValue::as_str))?
                }
            };
            let problem = match given {
                None if self.required => "is required".to_owned(),
                None => return Ok(None),
                Some(value) => match self.schema.check(&value) {
                    Ok(()) => return Ok(Some(value)),
                    Err(problem) => problem,
                },
            };
            source.tell(&[(
                Tone::Warning,
                &format!("{} {problem}", label(self.name, self.schema)),
            )]);
        }
    }

    fn text(
        &self,
        source: &mut dyn Source,
        before: Option<&JsonValue>,
    ) -> io::Result<Option<JsonValue>> {
        let typed = source.text(
            &self.prompt(),
            before
                .and_then(JsonValue::as_str)
                .map(text::line)
                .as_deref(),
        )?;
        Ok((!typed.is_empty()).then(|| typed.into()))
    }

    fn number(
        &self,
        source: &mut dyn Source,
        schema: &NumberSchema,
        before: Option<&JsonValue>,
    ) -> io::Result<Option<JsonValue>> {
        let typed = source.text(&self.prompt(), before.map(JsonValue::to_string).as_deref())?;
        let typed = typed.trim();
        if typed.is_empty() {
            return Ok(None);
        }
        let number = serde_json::from_str::<JsonValue>(typed)
            .ok()
            .filter(JsonValue::is_number);
        // What is no number is kept as text, for the check to say so.
        let whole = number
            .as_ref()
            .and_then(JsonValue::as_f64)
            .filter(|_| schema.number_type == NumberType::Integer);
        Ok(Some(match (number, whole) {
            #[allow(clippy::cast_possible_truncation)]
            (Some(number), Some(whole))
                if !number.is_i64() && !number.is_u64() && exactly(whole) =>
            {
                (whole as i64).into()
            }
            (Some(number), _) => number,
            (None, _) => typed.into(),
        }))
    }

    fn yes_or_no(
        &self,
        source: &mut dyn Source,
        before: Option<bool>,
    ) -> io::Result<Option<JsonValue>> {
        if before.is_some() || self.required {
            return Ok(Some(source.yes(&self.prompt(), before)?.into()));
        }
        let chosen = source.one_of(&self.prompt(), &["yes", "no", NONE], 2)?;
        Ok((chosen < 2).then(|| (chosen == 0).into()))
    }

    fn one(&self, source: &mut dyn Source, before: Option<&str>) -> io::Result<Option<JsonValue>> {
        let options = self.schema.options();
        let mut items = titles(&options);
        let known = options.iter().position(|(value, _)| Some(*value) == before);
        let at = known.unwrap_or(if self.required { 0 } else { options.len() });
        if !self.required {
            items.push(NONE.to_owned());
        }
        let items: Vec<&str> = items.iter().map(String::as_str).collect();
        let chosen = source.one_of(&self.prompt(), &items, at)?;
        Ok(options.get(chosen).map(|(value, _)| (*value).into()))
    }

    fn several(
        &self,
        source: &mut dyn Source,
        before: Option<&JsonValue>,
    ) -> io::Result<Option<JsonValue>> {
        let options = self.schema.options();
        let marked: Vec<&str> = before
            .and_then(JsonValue::as_array)
            .into_iter()
            .flatten()
            .filter_map(JsonValue::as_str)
            .collect();
        let titles = titles(&options);
        let items: Vec<(&str, bool)> = titles
            .iter()
            .zip(&options)
            .map(|(title, (value, _))| (title.as_str(), marked.contains(value)))
            .collect();
        let chosen = if items.is_empty() {
            Vec::new()
        } else {
            source.some_of(&self.prompt(), &items)?
        };
        let chosen: Vec<JsonValue> = chosen
            .into_iter()
            .filter_map(|at| options.get(at).map(|(value, _)| (*value).into()))
            .collect();
        // To mark nothing means to leave the field out, unless there was an answer already.
        let out = chosen.is_empty() && !self.required && before.is_none();
        Ok((!out).then(|| chosen.into()))
    }

    /// `Guests (whole number, 1 to 12, required)`
    fn prompt(&self) -> String {
        let mut about = about(self.schema);
        about.push(
            if self.required {
                "required"
            } else {
                "optional"
            }
            .to_owned(),
        );
        format!("{} ({})", label(self.name, self.schema), about.join(", "))
    }
}

/// Whether a number is whole, and small enough to be written as one without loss.
fn exactly(number: f64) -> bool {
    number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0
}

fn titles(options: &[(&str, &str)]) -> Vec<String> {
    let title = |(value, title): &(&str, &str)| {
        [short(title), short(value)]
            .into_iter()
            .find(|text| !text.is_empty())
    };
    options
        .iter()
        .map(|option| title(option).unwrap_or_else(|| "(empty)".to_owned()))
        .collect()
}

/// What may be filled in, in a few words.
fn about(schema: &Schema) -> Vec<String> {
    let words = match schema {
        Schema::String(schema) => schema.format.map(|format| {
            match format {
                StringFormat::Email => "e-mail address",
                StringFormat::Uri => "URI",
                StringFormat::Date => "like 2026-07-28",
                StringFormat::DateTime => "like 2026-07-28T09:30:00Z",
            }
            .to_owned()
        }),
        Schema::Number(schema) => {
            let kind = if schema.number_type == NumberType::Integer {
                "whole number"
            } else {
                "number"
            };
            let range = match (schema.minimum, schema.maximum) {
                (Some(least), Some(greatest)) => format!(", {least} to {greatest}"),
                (Some(least), None) => format!(", at least {least}"),
                (None, Some(greatest)) => format!(", at most {greatest}"),
                (None, None) => String::new(),
            };
            Some(format!("{kind}{range}"))
        }
        Schema::UntitledMultiSelect(_) | Schema::TitledMultiSelect(_) => {
            Some("space marks, Enter ends".to_owned())
        }
        _ => None,
    };
    words.into_iter().collect()
}
