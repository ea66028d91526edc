//! Argument completion (`server/utilities/completion`).

use crate::JsonObject;
use crate::object::object;
use crate::tagged::tagged;
use std::collections::BTreeMap;

tagged! {
    /// The owner of the argument to complete.
    pub enum CompletionReference {
        /// A prompt.
        Prompt(PromptReference) = "ref/prompt",
        /// A resource or resource template.
        Resource(ResourceTemplateReference) = "ref/resource",
    }
}

object! {
    /// A reference to a prompt by name.
    #[derive(Default)]
    pub struct PromptReference {
        required {
            /// The name of the prompt.
            name: String = "name",
        }
        optional {
            /// The display name.
            title / with_title: String = "title",
        }
        skip { "type" }
        open extra;
    }
}

object! {
    /// A reference to a resource or resource template by URI.
    #[derive(Default)]
    pub struct ResourceTemplateReference {
        required {
            /// The URI or URI template.
            uri: String = "uri",
        }
        skip { "type" }
        open extra;
    }
}

object! {
    /// The argument to complete.
    #[derive(Default)]
    pub struct CompletionArgument {
        required {
            /// The name of the argument.
            name: String = "name",
            /// The value typed so far.
            value: String = "value",
        }
    }
}

object! {
    /// The context in which an argument is completed.
    #[derive(Default)]
    pub struct CompletionContext {
        optional {
            /// The values of other arguments.
            arguments / with_arguments: BTreeMap<String, String> = "arguments",
        }
    }
}

object! {
    /// The parameters of `completion/complete`.
    pub struct CompleteRequestParams {
        required {
            /// The owner of the argument.
            reference: CompletionReference = "ref",
            /// The argument to complete.
            argument: CompletionArgument = "argument",
        }
        optional {
            /// The context.
            context / with_context: CompletionContext = "context",
        }
    }
}

object! {
    /// Suggested values of an argument.
    #[derive(Default)]
    pub struct Completion {
        required {
            /// The suggestions, best first; at most [`Completion::MAX_VALUES`] of them.
            values: Vec<String> = "values",
        }
        optional {
            /// The total number of suggestions.
            total / with_total: u64 = "total",
            /// Whether there are more suggestions than sent, even if the total is unknown.
            has_more / with_has_more: bool = "hasMore",
        }
        open extra;
    }
}

impl Completion {
    /// The maximum number of values in one response.
    pub const MAX_VALUES: usize = 100;

    /// Truncates the suggestions to [`Self::MAX_VALUES`], and sets `has_more` and `total` if any
    /// were removed.
    #[must_use]
    pub fn capped(mut self) -> Self {
        if self.values.len() > Self::MAX_VALUES {
            self.total = self.total.or(u64::try_from(self.values.len()).ok());
            self.has_more = Some(true);
            self.values.truncate(Self::MAX_VALUES);
        }
        self
    }
}

object! {
    /// The result of `completion/complete`.
    #[derive(Default)]
    pub struct CompleteResult {
        required {
            /// The suggestions.
            completion: Completion = "completion",
        }
        optional {
            /// The `_meta` member.
            meta / with_meta: JsonObject = "_meta",
        }
        skip { "resultType" }
        open extra;
    }
}
