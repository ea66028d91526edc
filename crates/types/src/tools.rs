//! Tools (`server/tools`).

use crate::common::Icon;
use crate::number::Ttl;
use crate::object::object;
use crate::{CacheScope, ContentBlock, JsonObject, JsonValue};

object! {
    /// A tool that the client can call.
    #[derive(Default)]
    pub struct Tool {
        required {
            /// The name for programs.
            name: String = "name",
            /// The JSON Schema of the arguments; `type` is `object` at its root.
            input_schema: JsonObject = "inputSchema",
        }
        optional {
            /// The name for people.
            title / with_title: String = "title",
            /// What the tool does, for the model.
            description / with_description: String = "description",
            /// Icons for a user interface.
            icons / with_icons: Vec<Icon> = "icons",
            /// The JSON Schema of `structuredContent`.
            output_schema / with_output_schema: JsonObject = "outputSchema",
            /// Hints about what the tool does to the world.
            annotations / with_annotations: ToolAnnotations = "annotations",
            /// The `_meta` member.
            meta / with_meta: JsonObject = "_meta",
        }
        open extra;
    }
}

impl Tool {
    /// The name to show to people: the title, else the one in the annotations, else the name.
    #[must_use]
    pub fn display_name(&self) -> &str {
        let annotated = || self.annotations.as_ref()?.title.as_deref();
        self.title
            .as_deref()
            .or_else(annotated)
            .unwrap_or(&self.name)
    }
}

object! {
    /// Hints about a tool. A server that is not trusted can lie in them: never decide by them
    /// alone.
    #[derive(Default)]
    pub struct ToolAnnotations {
        optional {
            /// The name for people.
            title / with_title: String = "title",
            /// The tool does not modify its environment.
            read_only_hint / with_read_only_hint: bool = "readOnlyHint",
            /// The tool may destroy or overwrite something.
            destructive_hint / with_destructive_hint: bool = "destructiveHint",
            /// Calling again with the same arguments changes nothing more.
            idempotent_hint / with_idempotent_hint: bool = "idempotentHint",
            /// The tool deals with an open world of external entities.
            open_world_hint / with_open_world_hint: bool = "openWorldHint",
        }
        open extra;
    }
}

impl ToolAnnotations {
    /// Whether the tool leaves its environment alone; `false` unless stated.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.read_only_hint.unwrap_or(false)
    }

    /// Whether the tool may destroy something; `true` unless stated. Means nothing for a read-only
    /// tool.
    #[must_use]
    pub fn is_destructive(&self) -> bool {
        self.destructive_hint.unwrap_or(true)
    }

    /// Whether calling twice is as good as once; `false` unless stated. Means nothing for a
    /// read-only tool.
    #[must_use]
    pub fn is_idempotent(&self) -> bool {
        self.idempotent_hint.unwrap_or(false)
    }

    /// Whether the tool deals with an open world; `true` unless stated.
    #[must_use]
    pub fn is_open_world(&self) -> bool {
        self.open_world_hint.unwrap_or(true)
    }
}

object! {
    /// One page of `tools/list`.
    #[derive(Default)]
    pub struct ListToolsResult {
        required {
            /// The tools.
            tools: Vec<Tool> = "tools",
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
    /// The parameters of `tools/call`.
    #[derive(Default)]
    pub struct CallToolRequestParams {
        required {
            /// The tool to call.
            name: String = "name",
        }
        optional {
            /// What to call it with.
            arguments / with_arguments: JsonObject = "arguments",
            /// The answers to the input requests of the round before.
            input_responses / with_input_responses: JsonObject = "inputResponses",
            /// The state of the round before, as the server sent it.
            request_state / with_request_state: String = "requestState",
        }
    }
}

object! {
    /// The result of `tools/call`.
    #[derive(Default)]
    pub struct CallToolResult {
        required {
            /// The result for the model to read.
            content: Vec<ContentBlock> = "content",
        }
        optional {
            /// Whether the tool failed; absent means no. Failures of the protocol are errors, not
            /// results.
            is_error / with_is_error: bool = "isError",
            /// The `_meta` member.
            meta / with_meta: JsonObject = "_meta",
        }
        nullable {
            /// The result for programs: any JSON value, `null` included, that fits the tool's
            /// `outputSchema`.
            structured_content / with_structured_content: JsonValue = "structuredContent",
        }
        skip { "resultType" }
        open extra;
    }
}

impl CallToolResult {
    /// One block of text.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::new([ContentBlock::text(text)])
    }

    /// The tool failed, and this says why; the model reads it and may try again.
    #[must_use]
    pub fn error(text: impl Into<String>) -> Self {
        Self::text(text).with_is_error(true)
    }

    /// A structured result, with its JSON text as content for clients that do not look at the
    /// structure.
    #[must_use]
    pub fn structured(value: JsonValue) -> Self {
        Self::text(value.to_string()).with_structured_content(value)
    }

    /// Whether the tool failed.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.is_error == Some(true)
    }
}
