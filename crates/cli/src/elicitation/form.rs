//! Form elicitation: prompts for the fields of a form one by one.

use super::{PromptError, PromptUi, Tone, prompt_line};
use crate::output::text;
use carryall::types::{
    ElicitResult, JsonObject, JsonValue, NumberSchema, NumberType,
    PrimitiveSchemaDefinition as Schema, RequestedSchema, StringFormat,
};
use std::io;

/// The item that leaves an optional field out.
const NONE: &str = "(none)";

/// Prompts for all fields and shows them before they are sent. The user can decline or cancel
/// before and after.
pub(super) fn ask(
    ui: &mut dyn PromptUi,
    form: &RequestedSchema,
) -> Result<ElicitResult, PromptError> {
    if let Some(name) = unanswerable_field(form) {
        return Err(PromptError::Question(format!(
            "its form requires the field {:?}, which has no valid value",
            prompt_line(name)
        )));
    }
    match ui.select("Choose", &["Answer", "Decline", "Cancel"], 0)? {
        0 => {}
        1 => return Ok(ElicitResult::decline()),
        _ => return Ok(ElicitResult::cancel()),
    }
    let mut content = JsonObject::new();
    loop {
        content = prompt_fields(ui, form, &content)?;
        review(ui, form, &content);
        match ui.select("Send this", &["Send", "Change", "Decline", "Cancel"], 0)? {
            0 => return Ok(ElicitResult::accept(content)),
            1 => {}
            2 => return Ok(ElicitResult::decline()),
            _ => return Ok(ElicitResult::cancel()),
        }
    }
}

/// Returns a required field that no value can satisfy.
fn unanswerable_field(form: &RequestedSchema) -> Option<&str> {
    let unanswerable = |name: &str| match form.property(name) {
        Some(Schema::String(_) | Schema::Number(_) | Schema::Boolean(_)) => false,
        Some(choice) => choice.options().is_empty(),
        None => true,
    };
    form.required
        .iter()
        .flatten()
        .map(String::as_str)
        .find(|name| unanswerable(name))
}

/// Prompts for all fields. Previous answers, or else defaults, are filled in already.
fn prompt_fields(
    ui: &mut dyn PromptUi,
    form: &RequestedSchema,
    previous: &JsonObject,
) -> io::Result<JsonObject> {
    let mut content = JsonObject::new();
    for (name, schema) in &form.properties {
        let default = || {
            schema
                .default_value()
                .filter(|default| schema.check(default).is_ok())
        };
        let previous = previous.get(name).cloned().or_else(default);
        let field = Field {
            name,
            schema,
            required: form.is_required(name),
        };
        if let Some(value) = field.ask(ui, previous.as_ref())? {
            content.insert(name.clone(), value);
        }
    }
    Ok(content)
}

/// Shows what will be sent.
fn review(ui: &mut dyn PromptUi, form: &RequestedSchema, content: &JsonObject) {
    for (name, schema) in &form.properties {
        let Some(value) = content.get(name) else {
            continue;
        };
        ui.print(&[
            (Tone::Plain, "  "),
            (Tone::Faint, &format!("{}:", label(name, schema))),
            (Tone::Plain, " "),
            (Tone::Plain, &shown(schema, value)),
        ]);
    }
    if content.is_empty() {
        ui.print(&[(Tone::Faint, "  (empty)")]);
    }
}

fn label(name: &str, schema: &Schema) -> String {
    prompt_line(
        schema
            .title()
            .filter(|title| !text::one_line(title).is_empty())
            .unwrap_or(name),
    )
}

/// Formats a value as it was selected or typed.
fn shown(schema: &Schema, value: &JsonValue) -> String {
    let options = schema.options();
    let title = |value: &str| {
        let known = options.iter().find(|(option, _)| *option == value);
        text::one_line(known.map_or(value, |(_, title)| title))
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
    /// Prompts until the answer is valid. Returns `None` if the field is left out.
    fn ask(
        &self,
        ui: &mut dyn PromptUi,
        previous: Option<&JsonValue>,
    ) -> io::Result<Option<JsonValue>> {
        if let Some(description) = self.schema.description() {
            ui.print(&[(
                Tone::Faint,
                &text::clipped_line(description, super::MAX_MESSAGE),
            )]);
        }
        loop {
            let answer = match self.schema {
                Schema::String(_) => self.text(ui, previous)?,
                Schema::Number(schema) => self.number(ui, schema, previous)?,
                Schema::Boolean(_) => self.yes_or_no(ui, previous.and_then(JsonValue::as_bool))?,
                Schema::UntitledMultiSelect(_) | Schema::TitledMultiSelect(_) => {
                    self.multi_select(ui, previous)?
                }
                Schema::UntitledSingleSelect(_)
                | Schema::TitledSingleSelect(_)
                | Schema::LegacyTitled(_) => {
                    self.select(ui, previous.and_then(JsonValue::as_str))?
                }
            };
            let problem = match answer {
                None if self.required => "is required".to_owned(),
                None => return Ok(None),
                Some(value) => match self.schema.check(&value) {
                    Ok(()) => return Ok(Some(value)),
                    Err(problem) => problem,
                },
            };
            ui.print(&[(
                Tone::Warning,
                &format!("{} {problem}", label(self.name, self.schema)),
            )]);
        }
    }

    fn text(
        &self,
        ui: &mut dyn PromptUi,
        previous: Option<&JsonValue>,
    ) -> io::Result<Option<JsonValue>> {
        let typed = ui.text(
            &self.prompt(),
            previous
                .and_then(JsonValue::as_str)
                .map(text::one_line)
                .as_deref(),
        )?;
        Ok((!typed.is_empty()).then(|| typed.into()))
    }

    fn number(
        &self,
        ui: &mut dyn PromptUi,
        schema: &NumberSchema,
        previous: Option<&JsonValue>,
    ) -> io::Result<Option<JsonValue>> {
        let typed = ui.text(
            &self.prompt(),
            previous.map(JsonValue::to_string).as_deref(),
        )?;
        let typed = typed.trim();
        if typed.is_empty() {
            return Ok(None);
        }
        let number = serde_json::from_str::<JsonValue>(typed)
            .ok()
            .filter(JsonValue::is_number);
        // Anything else is kept as text and fails the check with a proper message.
        let whole = number
            .as_ref()
            .and_then(JsonValue::as_f64)
            .filter(|_| schema.number_type == NumberType::Integer);
        Ok(Some(match (number, whole) {
            #[allow(clippy::cast_possible_truncation)]
            (Some(number), Some(whole))
                if !number.is_i64() && !number.is_u64() && is_exact_integer(whole) =>
            {
                (whole as i64).into()
            }
            (Some(number), _) => number,
            (None, _) => typed.into(),
        }))
    }

    fn yes_or_no(
        &self,
        ui: &mut dyn PromptUi,
        previous: Option<bool>,
    ) -> io::Result<Option<JsonValue>> {
        if previous.is_some() || self.required {
            return Ok(Some(ui.confirm(&self.prompt(), previous)?.into()));
        }
        let chosen = ui.select(&self.prompt(), &["yes", "no", NONE], 2)?;
        Ok((chosen < 2).then(|| (chosen == 0).into()))
    }

    fn select(
        &self,
        ui: &mut dyn PromptUi,
        previous: Option<&str>,
    ) -> io::Result<Option<JsonValue>> {
        let options = self.schema.options();
        let mut items = titles(&options);
        let known = options
            .iter()
            .position(|(value, _)| Some(*value) == previous);
        let initial = known.unwrap_or(if self.required { 0 } else { options.len() });
        if !self.required {
            items.push(NONE.to_owned());
        }
        let items: Vec<&str> = items.iter().map(String::as_str).collect();
        let chosen = ui.select(&self.prompt(), &items, initial)?;
        Ok(options.get(chosen).map(|(value, _)| (*value).into()))
    }

    fn multi_select(
        &self,
        ui: &mut dyn PromptUi,
        previous: Option<&JsonValue>,
    ) -> io::Result<Option<JsonValue>> {
        let options = self.schema.options();
        let marked: Vec<&str> = previous
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
            ui.multi_select(&self.prompt(), &items)?
        };
        let chosen: Vec<JsonValue> = chosen
            .into_iter()
            .filter_map(|index| options.get(index).map(|(value, _)| (*value).into()))
            .collect();
        // An empty selection leaves the field out, unless there was an answer before.
        let omitted = chosen.is_empty() && !self.required && previous.is_none();
        Ok((!omitted).then(|| chosen.into()))
    }

    /// `Guests (whole number, 1 to 12, required)`
    fn prompt(&self) -> String {
        let mut notes = constraints(self.schema);
        notes.push(
            if self.required {
                "required"
            } else {
                "optional"
            }
            .to_owned(),
        );
        format!("{} ({})", label(self.name, self.schema), notes.join(", "))
    }
}

/// Whether a number is an integer that converts to `i64` without loss.
fn is_exact_integer(number: f64) -> bool {
    number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0
}

fn titles(options: &[(&str, &str)]) -> Vec<String> {
    let title = |(value, title): &(&str, &str)| {
        [prompt_line(title), prompt_line(value)]
            .into_iter()
            .find(|text| !text.is_empty())
    };
    options
        .iter()
        .map(|option| title(option).unwrap_or_else(|| "(empty)".to_owned()))
        .collect()
}

/// Describes the valid values in a few words.
fn constraints(schema: &Schema) -> Vec<String> {
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
            Some("space selects, Enter confirms".to_owned())
        }
        _ => None,
    };
    words.into_iter().collect()
}
