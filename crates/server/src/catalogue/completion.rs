//! Completion of prompt arguments and template variables.

use crate::call::ctx::Ctx;
use crate::call::handler_error::HandlerError;
use carryall_proto::BoxFuture;
use carryall_types::{CompleteRequestParams, Completion};
use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;

/// The most values that one answer may hold (`server/utilities/completion`).
const MAX_VALUES: usize = 100;

/// What the user has typed, and what is already settled.
#[derive(Clone, Debug, Default)]
pub struct CompletionQuery {
    /// The beginning of the value.
    pub value: String,
    /// Arguments or variables that are settled.
    pub settled: HashMap<String, String>,
}

pub(crate) type Handler =
    Arc<dyn Fn(Ctx, CompletionQuery) -> BoxFuture<Result<Suggestions, HandlerError>> + Send + Sync>;

/// Which argument of what a completion is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct CompletionKey {
    pub(crate) of: CompletionTarget,
    pub(crate) argument: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum CompletionTarget {
    Prompt(String),
    Template(String),
}

/// Suggested values, the most relevant first.
#[derive(Clone, Debug, Default)]
pub struct Suggestions {
    values: Vec<String>,
    total: Option<u64>,
}

impl Suggestions {
    /// Says how many there are in all, when that is more than are given.
    #[must_use]
    pub fn total(mut self, total: u64) -> Self {
        self.total = Some(total);
        self
    }

    /// At most 100 values; what was cut off shows in `total` and `hasMore`.
    pub(crate) fn into_completion(mut self) -> Completion {
        let given = self.values.len();
        let total = self.total.unwrap_or(given as u64).max(given as u64);
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

/// What a completion handler may return.
pub trait IntoSuggestions {
    /// The suggestions, or why there are none.
    ///
    /// # Errors
    /// When they cannot be found.
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

pub(crate) fn handler<F, Fut, R>(handler: F) -> Handler
where
    F: Fn(Ctx, CompletionQuery) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = R> + Send + 'static,
    R: IntoSuggestions + 'static,
{
    Arc::new(move |ctx, typed| {
        let suggestions = handler(ctx, typed);
        Box::pin(async move { suggestions.await.into_suggestions() })
    })
}

/// Those of `candidates` that fit what was typed: prefixes first, then what contains it, in their
/// own order.
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

pub(crate) fn typed(params: &CompleteRequestParams) -> CompletionQuery {
    let settled = params
        .context
        .as_ref()
        .and_then(|context| context.arguments.clone())
        .unwrap_or_default();
    CompletionQuery {
        value: params.argument.value.clone(),
        settled: settled.into_iter().collect(),
    }
}
