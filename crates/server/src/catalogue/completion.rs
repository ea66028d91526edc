//! Completion of the arguments of prompts and the variables of resource templates.

use crate::call::ctx::Ctx;
use crate::call::extract::{FromInput, ViaInput};
use crate::call::handler::ErasedHandler;
use crate::call::handler_error::HandlerError;
use carryall_types::{CompleteRequestParams, Completion};
use std::collections::HashMap;

/// Maximum number of values in one response (`server/utilities/completion`).
const MAX_VALUES: usize = 100;

/// The input of a completion handler, which takes it as its last parameter.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct CompletionQuery {
    /// The text that the user has typed so far.
    pub value: String,
    /// The values that other arguments or variables already have, by name.
    pub resolved: HashMap<String, String>,
}

impl CompletionQuery {
    pub(crate) fn from_params(params: &CompleteRequestParams) -> Self {
        let context = params.context.as_ref();
        let resolved = context.and_then(|context| context.arguments.clone());
        Self {
            value: params.argument.value.clone(),
            resolved: resolved.unwrap_or_default().into_iter().collect(),
        }
    }
}

impl FromInput<CompletionQuery, ViaInput> for CompletionQuery {
    async fn from_input(_: &Ctx, query: Self) -> Result<Self, HandlerError> {
        Ok(query)
    }
}

pub(crate) type CompletionHandler = ErasedHandler<CompletionQuery, Suggestions>;

/// The argument of a prompt, or the variable of a template, that a handler completes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct CompletionKey {
    pub(crate) target: CompletionTarget,
    pub(crate) argument: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum CompletionTarget {
    /// A prompt, by its name.
    Prompt(String),
    /// A resource template, by its URI template.
    Template(String),
}

/// Suggested values, the most relevant first.
#[derive(Clone, Debug, Default)]
pub struct Suggestions {
    values: Vec<String>,
    total: Option<u64>,
}

impl Suggestions {
    /// Sets how many values match in total, if the handler returns only some of them.
    #[must_use]
    pub fn total(mut self, total: u64) -> Self {
        self.total = Some(total);
        self
    }

    /// Keeps the first [`MAX_VALUES`] values. `total` and `hasMore` tell the client about the rest.
    pub(crate) fn into_completion(mut self) -> Completion {
        let given = self.values.len() as u64;
        let total = self.total.unwrap_or(given).max(given);
        self.values.truncate(MAX_VALUES);
        let has_more = total > self.values.len() as u64;
        let mut completion = Completion::new(self.values);
        completion.total = Some(total);
        completion.has_more = Some(has_more);
        completion
    }
}

impl<T: Into<String>> FromIterator<T> for Suggestions {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        Self {
            values: values.into_iter().map(Into::into).collect(),
            total: None,
        }
    }
}

/// Implemented by the types that a completion handler may return: suggested values, the most
/// relevant first.
#[diagnostic::on_unimplemented(
    message = "the handler of a completion cannot return `{Self}`",
    note = "it returns `Suggestions`, a `Vec` of strings, or a `Result` of one of them"
)]
pub trait IntoSuggestions {
    /// Converts the return value to suggestions.
    ///
    /// # Errors
    /// When the handler failed.
    fn into_suggestions(self) -> Result<Suggestions, HandlerError>;
}

impl IntoSuggestions for Suggestions {
    fn into_suggestions(self) -> Result<Suggestions, HandlerError> {
        Ok(self)
    }
}

impl<T: Into<String>> IntoSuggestions for Vec<T> {
    fn into_suggestions(self) -> Result<Suggestions, HandlerError> {
        Ok(self.into_iter().collect())
    }
}

impl<T: IntoSuggestions, E: Into<HandlerError>> IntoSuggestions for Result<T, E> {
    fn into_suggestions(self) -> Result<Suggestions, HandlerError> {
        self.map_err(Into::into)?.into_suggestions()
    }
}

/// Returns the candidates that begin with what was typed, then those that contain it, ignoring
/// case.
///
/// ```
/// use carryall_server::{CompletionQuery, Prompt, PromptArguments, Server, matching};
///
/// let server = Server::new("code", "1.0.0")
///     .prompt(Prompt::new("review", async || "Review it").argument("language", "", true))
///     .complete_prompt("review", "language", async |query: CompletionQuery| {
///         matching(["C", "Rust", "TypeScript"], &query.value)
///     })
///     .build()
///     .unwrap();
/// ```
pub fn matching<'a>(candidates: impl IntoIterator<Item = &'a str>, typed: &str) -> Suggestions {
    let typed = typed.to_lowercase();
    let (mut prefixes, mut others) = (Vec::new(), Vec::new());
    for candidate in candidates {
        let lower = candidate.to_lowercase();
        if lower.starts_with(&typed) {
            prefixes.push(candidate);
        } else if lower.contains(&typed) {
            others.push(candidate);
        }
    }
    prefixes.into_iter().chain(others).collect()
}
