//! Prompts (`server/prompts`).

use crate::common::{Icon, Role};
use crate::number::Ttl;
use crate::object::object;
use crate::{CacheScope, ContentBlock, JsonObject};
use std::collections::BTreeMap;

object! {
    /// A prompt or prompt template of the server.
    #[derive(Default)]
    pub struct Prompt {
        required {
            /// The programmatic name.
            name: String = "name",
        }
        optional {
            /// The display name.
            title / with_title: String = "title",
            /// A description of the prompt.
            description / with_description: String = "description",
            /// Icons to display.
            icons / with_icons: Vec<Icon> = "icons",
            /// The arguments of the template.
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
            /// The programmatic name.
            name: String = "name",
        }
        optional {
            /// The display name.
            title / with_title: String = "title",
            /// A description of the argument.
            description / with_description: String = "description",
            /// Whether the argument is required; absent means `false`.
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
            /// How long the result may be cached, in milliseconds.
            ttl_ms: u64 = "ttlMs" as Ttl,
            /// Who may be served a cached copy.
            cache_scope: CacheScope = "cacheScope",
        }
        optional {
            /// The cursor of the next page; absent on the last page. It may be an empty string.
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
            /// The name of the prompt.
            name: String = "name",
        }
        optional {
            /// The values of the template's arguments.
            arguments / with_arguments: BTreeMap<String, String> = "arguments",
            /// The answers to the input requests of the previous round.
            input_responses / with_input_responses: JsonObject = "inputResponses",
            /// The `requestState` of the previous round, unchanged.
            request_state / with_request_state: String = "requestState",
        }
    }
}

object! {
    /// The result of `prompts/get`.
    #[derive(Default)]
    pub struct GetPromptResult {
        required {
            /// The messages of the prompt.
            messages: Vec<PromptMessage> = "messages",
        }
        optional {
            /// A description of the prompt.
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
            /// The role of the sender.
            role: Role = "role",
            /// The content of the message.
            content: ContentBlock = "content",
        }
        open extra;
    }
}

impl PromptMessage {
    /// Creates a message of the user.
    #[must_use]
    pub fn user(content: impl Into<ContentBlock>) -> Self {
        Self::new(Role::User, content)
    }

    /// Creates a message of the assistant.
    #[must_use]
    pub fn assistant(content: impl Into<ContentBlock>) -> Self {
        Self::new(Role::Assistant, content)
    }
}
