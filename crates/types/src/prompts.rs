//! Prompts (`server/prompts`).

use crate::common::{Icon, Role};
use crate::number::Ttl;
use crate::object::object;
use crate::{CacheScope, ContentBlock, JsonObject};
use std::collections::BTreeMap;

object! {
    /// A prompt or prompt template that the server offers.
    #[derive(Default)]
    pub struct Prompt {
        required {
            /// The name for programs.
            name: String = "name",
        }
        optional {
            /// The name for people.
            title / with_title: String = "title",
            /// What the prompt is for.
            description / with_description: String = "description",
            /// Icons for a user interface.
            icons / with_icons: Vec<Icon> = "icons",
            /// What the template can be filled in with.
            arguments / with_arguments: Vec<PromptArgument> = "arguments",
            /// The `_meta` member.
            meta / with_meta: JsonObject = "_meta",
        }
        open extra;
    }
}

object! {
    /// An argument of a prompt.
    #[derive(Default)]
    pub struct PromptArgument {
        required {
            /// The name for programs.
            name: String = "name",
        }
        optional {
            /// The name for people.
            title / with_title: String = "title",
            /// What the argument is.
            description / with_description: String = "description",
            /// Whether it must be given; absent means no.
            required / with_required: bool = "required",
        }
        open extra;
    }
}

object! {
    /// One page of `prompts/list`.
    #[derive(Default)]
    pub struct ListPromptsResult {
        required {
            /// The prompts.
            prompts: Vec<Prompt> = "prompts",
        }
        defaulted {
            /// How long the result stays fresh, in milliseconds.
            ttl_ms: u64 = "ttlMs" as Ttl,
            /// Who may share a cached copy.
            cache_scope: CacheScope = "cacheScope",
        }
        optional {
            /// Where the next page starts. Any string, even an empty one, means that there is one.
            next_cursor / with_next_cursor: String = "nextCursor",
            /// The `_meta` member.
            meta / with_meta: JsonObject = "_meta",
        }
        skip { "resultType" }
        open extra;
    }
}

object! {
    /// The parameters of `prompts/get`.
    #[derive(Default)]
    pub struct GetPromptRequestParams {
        required {
            /// The prompt to get.
            name: String = "name",
        }
        optional {
            /// What to fill it in with.
            arguments / with_arguments: BTreeMap<String, String> = "arguments",
            /// The answers to the input requests of the round before.
            input_responses / with_input_responses: JsonObject = "inputResponses",
            /// The state of the round before, as the server sent it.
            request_state / with_request_state: String = "requestState",
        }
    }
}

object! {
    /// The result of `prompts/get`.
    #[derive(Default)]
    pub struct GetPromptResult {
        required {
            /// The prompt, message by message.
            messages: Vec<PromptMessage> = "messages",
        }
        optional {
            /// What the prompt is for.
            description / with_description: String = "description",
            /// The `_meta` member.
            meta / with_meta: JsonObject = "_meta",
        }
        skip { "resultType" }
        open extra;
    }
}

object! {
    /// One message of a prompt.
    pub struct PromptMessage {
        required {
            /// Who says it.
            role: Role = "role",
            /// What is said.
            content: ContentBlock = "content",
        }
        open extra;
    }
}

impl PromptMessage {
    /// Something the user says.
    #[must_use]
    pub fn user(content: impl Into<ContentBlock>) -> Self {
        Self::new(Role::User, content)
    }

    /// Something the assistant says.
    #[must_use]
    pub fn assistant(content: impl Into<ContentBlock>) -> Self {
        Self::new(Role::Assistant, content)
    }
}
