//! What is wrong with a value, in words that a model can act on.

use jsonschema::ValidationError;
use std::fmt;

/// How many violations are told.
const MAX_MESSAGES: usize = 5;
/// How many characters of a value are shown.
const MAX_VALUE: usize = 80;
/// How long one message may get; an `enum` or a list of names can be long too.
const MAX_MESSAGE: usize = 400;

/// Why a value does not match its schema: at most five messages, each with the JSON pointer to what it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violations {
    messages: Vec<String>,
    more: bool,
}

impl Violations {
    /// The messages, one for each violation told.
    #[must_use]
    pub fn messages(&self) -> &[String] {
        &self.messages
    }

    pub(crate) fn collect<'a>(mut errors: impl Iterator<Item = ValidationError<'a>>) -> Self {
        let messages = errors.by_ref().take(MAX_MESSAGES).map(|error| message(&error)).collect();
        Self { messages, more: errors.next().is_some() }
    }

    pub(crate) fn somewhere() -> Self {
        Self::one("the value does not match the schema; it is too large to say where".into())
    }

    pub(crate) fn too_costly() -> Self {
        Self::one("the value nests too deep or is too large to be checked against this schema".into())
    }

    pub(crate) fn unreadable(error: &serde_json::Error) -> Self {
        Self::one(format!("the value cannot be read: {error}"))
    }

    fn one(message: String) -> Self {
        Self { messages: vec![message], more: false }
    }
}

impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.messages.join("; "))?;
        if self.more { f.write_str("; and more") } else { Ok(()) }
    }
}

impl std::error::Error for Violations {}

/// `/pointer: what is wrong there`.
pub(crate) fn message(error: &ValidationError<'_>) -> String {
    let mut value = error.instance().to_string();
    cut(&mut value, MAX_VALUE);
    let mut message = error.masked_with(value).to_string();
    let path = error.instance_path().as_str();
    if !path.is_empty() {
        let mut path = path.to_owned();
        cut(&mut path, MAX_VALUE);
        message = format!("{path}: {message}");
    }
    cut(&mut message, MAX_MESSAGE);
    message
}

/// Keeps the first `limit` characters.
fn cut(text: &mut String, limit: usize) {
    if let Some((at, _)) = text.char_indices().nth(limit) {
        text.truncate(at);
        text.push('…');
    }
}
