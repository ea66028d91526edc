//! Error messages for values that do not match, written so that a model can correct the value.

mod alternatives;

use crate::suggest::closest;
use carryall_types::JsonValue;
use jsonschema::ValidationError;
use jsonschema::error::ValidationErrorKind;
use std::fmt;

/// The maximum number of messages.
const MAX_MESSAGES: usize = 5;
/// The maximum number of characters shown of a value.
const MAX_VALUE: usize = 80;
/// The maximum number of characters of a message, since lists of names can be long.
const MAX_MESSAGE: usize = 400;
/// The maximum number of allowed values or known names in a message.
const MAX_LISTED: usize = 20;

/// The reasons why a value does not match its schema: at most five messages of at most 400
/// characters, each prefixed with a JSON pointer to the invalid part.
///
/// - A message about an invalid value lists the allowed ones:
///   `/priority: "urgent" is not one of "low", "normal", "high"`. The schema may list them in
///   `enum`, `const`, or in branches of `oneOf` and `anyOf`, the form that schema generators use
///   for enums with documented variants and for optional fields.
/// - Of several branches, the most likely one is reported: the only one of the value's type, the
///   one whose tag (a member with a `const`) matches, or the one with the fewest errors.
/// - A message about an unknown member suggests the most similar known one, and lists all known
///   ones if they are few.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violations {
    messages: Vec<String>,
    more: bool,
}

impl Violations {
    /// Returns the messages, one per reported violation.
    #[must_use]
    pub fn messages(&self) -> &[String] {
        &self.messages
    }

    pub(crate) fn collect<'a>(
        context: &ErrorContext<'_>,
        errors: impl Iterator<Item = ValidationError<'a>>,
    ) -> Self {
        let mut messages = Vec::new();
        for error in errors {
            context.explain(&error, &mut messages);
            // An error about unknown members produces one message per member.
            if messages.len() > MAX_MESSAGES {
                break;
            }
        }
        let more = messages.len() > MAX_MESSAGES;
        messages.truncate(MAX_MESSAGES);
        Self { messages, more }
    }

    pub(crate) fn somewhere() -> Self {
        Self::one("the value does not match the schema; it is too large to say where".into())
    }

    pub(crate) fn too_costly() -> Self {
        Self::one(
            "the value nests too deep or is too large to be checked against this schema".into(),
        )
    }

    pub(crate) fn unreadable(error: &serde_json::Error) -> Self {
        Self::one(format!("the value cannot be read: {error}"))
    }

    fn one(message: String) -> Self {
        Self {
            messages: vec![message],
            more: false,
        }
    }
}

impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.messages.join("; "))?;
        if self.more {
            f.write_str("; and more")
        } else {
            Ok(())
        }
    }
}

impl std::error::Error for Violations {}

/// The context of an error that its message needs.
pub(crate) struct ErrorContext<'a> {
    /// The invalid value.
    pub(crate) value: &'a JsonValue,
    pub(crate) schema: &'a JsonValue,
    /// Whether the value is the arguments of a tool, whose members are called arguments.
    pub(crate) are_arguments: bool,
}

impl ErrorContext<'_> {
    /// Adds the messages for `error`.
    fn explain(&self, error: &ValidationError<'_>, messages: &mut Vec<String>) {
        match error.kind() {
            ValidationErrorKind::AnyOf { context }
            | ValidationErrorKind::OneOfNotValid { context } => {
                self.explain_alternatives(error, context, messages);
            }
            ValidationErrorKind::AdditionalProperties { unexpected }
            | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
                self.explain_unknown(error, unexpected.iter(), messages);
            }
            // If no members are allowed at all, the error is about the first member's value and
            // does not name the member.
            ValidationErrorKind::FalseSchema
                if error
                    .schema_path()
                    .as_str()
                    .ends_with("/additionalProperties") =>
            {
                let object = self
                    .value
                    .pointer(error.instance_path().as_str())
                    .and_then(JsonValue::as_object);
                self.explain_unknown(
                    error,
                    object.into_iter().flat_map(|object| object.keys()),
                    messages,
                );
            }
            ValidationErrorKind::Enum { options } => {
                let options = options.as_array().map_or(&[][..], Vec::as_slice);
                messages.push(at(
                    error,
                    &none_of(error, &options.iter().collect::<Vec<_>>()),
                ));
            }
            ValidationErrorKind::Constant { expected_value } => {
                messages.push(at(error, &none_of(error, &[expected_value])));
            }
            _ => messages.push(message(error)),
        }
    }

    fn explain_unknown<'n>(
        &self,
        error: &ValidationError<'_>,
        unknown: impl Iterator<Item = &'n String>,
        messages: &mut Vec<String>,
    ) {
        let known = self.known_members(error);
        // One more than reported, to detect that there are more.
        let unknown = unknown.take(MAX_MESSAGES + 1);
        messages.extend(unknown.map(|name| at(error, &self.unknown_member(error, name, &known))));
    }

    fn unknown_member(&self, error: &ValidationError<'_>, name: &str, known: &[&str]) -> String {
        let is_argument = self.are_arguments && error.instance_path().as_str().is_empty();
        let noun = if is_argument { "argument" } else { "property" };
        let listed = || {
            known
                .iter()
                .map(|name| shown(&JsonValue::from(*name)))
                .collect::<Vec<_>>()
                .join(", ")
        };
        let name_shown = shown(&JsonValue::from(name));
        match closest(name, known.iter().copied()) {
            Some(meant) if (2..=MAX_LISTED).contains(&known.len()) => {
                format!(
                    "unknown {noun} {name_shown}: did you mean {}? (known: {})",
                    shown(&meant.into()),
                    listed()
                )
            }
            Some(meant) => format!(
                "unknown {noun} {name_shown}: did you mean {}?",
                shown(&meant.into())
            ),
            None if known.is_empty() => format!("unknown {noun} {name_shown}"),
            None if known.len() <= MAX_LISTED => {
                format!("unknown {noun} {name_shown} (known: {})", listed())
            }
            None => format!("unknown {noun} {name_shown}"),
        }
    }

    /// Returns the members that `properties` beside the violated keyword defines.
    fn known_members(&self, error: &ValidationError<'_>) -> Vec<&str> {
        let (beside, _) = error
            .schema_path()
            .as_str()
            .rsplit_once('/')
            .unwrap_or_default();
        let properties = self
            .schema
            .pointer(beside)
            .and_then(|schema| schema.get("properties")?.as_object());
        properties
            .into_iter()
            .flat_map(|properties| properties.keys())
            .map(String::as_str)
            .collect()
    }
}

/// Formats `"urgent" is not one of "low", "normal", "high"`.
fn none_of(error: &ValidationError<'_>, allowed: &[&JsonValue]) -> String {
    let value = shown(error.instance());
    let mut listed: Vec<String> = allowed
        .iter()
        .take(MAX_LISTED)
        .map(|value| shown(value))
        .collect();
    if allowed.len() > MAX_LISTED {
        listed.push(format!("and {} more", allowed.len() - MAX_LISTED));
    }
    match listed.as_slice() {
        [only] => format!("{value} is not {only}"),
        _ => format!("{value} is not one of {}", listed.join(", ")),
    }
}

/// Formats a value as JSON, truncated.
fn shown(value: &JsonValue) -> String {
    let mut text = value.to_string();
    truncate(&mut text, MAX_VALUE);
    text
}

/// Formats `/pointer: message`.
pub(crate) fn message(error: &ValidationError<'_>) -> String {
    at(
        error,
        &error.masked_with(shown(error.instance())).to_string(),
    )
}

fn at(error: &ValidationError<'_>, what: &str) -> String {
    let mut path = error.instance_path().as_str().to_owned();
    truncate(&mut path, MAX_VALUE);
    let mut message = if path.is_empty() {
        what.to_owned()
    } else {
        format!("{path}: {what}")
    };
    truncate(&mut message, MAX_MESSAGE);
    message
}

/// Truncates a text to `limit` characters.
fn truncate(text: &mut String, limit: usize) {
    if let Some((at, _)) = text.char_indices().nth(limit) {
        text.truncate(at);
        text.push('…');
    }
}
