//! Argument completion (`server/utilities/completion`).

use crate::JsonObject;
use crate::object::object;
use crate::tagged::tagged;
use std::collections::BTreeMap;

tagged! {
    /// What the argument to complete belongs to.
    pub enum CompletionReference {
        /// A prompt.
        Prompt(PromptReference) = "ref/prompt",
        /// A resource or resource template.
        Resource(ResourceTemplateReference) = "ref/resource",
    }
}

object! {
    /// A prompt, by its name.
    #[derive(Default)]
    pub struct PromptReference {
        required {
            /// The name of the prompt.
            name: String = "name",
        }
        optional {
            /// The name for people.
            title / with_title: String = "title",
        }
        skip { "type" }
        open extra;
    }
}

object! {
    /// A resource or resource template, by its URI.
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
            /// What has been typed so far.
            value: String = "value",
        }
    }
}

object! {
    /// What else is known while an argument is completed.
    #[derive(Default)]
    pub struct CompletionContext {
        optional {
            /// The arguments that already have a value.
            arguments / with_arguments: BTreeMap<String, String> = "arguments",
        }
    }
}

object! {
    /// The parameters of `completion/complete`.
    pub struct CompleteRequestParams {
        required {
            /// What the argument belongs to.
            reference: CompletionReference = "ref",
            /// The argument to complete.
            argument: CompletionArgument = "argument",
        }
        optional {
            /// What else is known.
            context / with_context: CompletionContext = "context",
        }
    }
}

object! {
    /// Suggestions for the value of an argument.
    #[derive(Default)]
    pub struct Completion {
        required {
            /// The suggestions, best first; at most [`Completion::MAX_VALUES`] of them.
            values: Vec<String> = "values",
        }
        optional {
            /// How many suggestions there are in all.
            total / with_total: u64 = "total",
            /// Whether there are more than were sent, even if the number is unknown.
            has_more / with_has_more: bool = "hasMore",
        }
        open extra;
    }
}

impl Completion {
    /// The most values that one response may carry.
    pub const MAX_VALUES: usize = 100;

    /// Keeps the first [`Self::MAX_VALUES`] suggestions, and says so in `has_more` and `total` if
    /// that cut any off.
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
