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
            /// The programmatic name.
            name: String = "name",
            /// The JSON Schema of the arguments, with `"type": "object"` at its root.
            input_schema: JsonObject = "inputSchema",
        }
        optional {
            /// The display name.
            title / with_title: String = "title",
            /// A description of the tool for the model.
            description / with_description: String = "description",
            /// Icons to display.
            icons / with_icons: Vec<Icon> = "icons",
            /// The JSON Schema of `structuredContent`.
            output_schema / with_output_schema: JsonObject = "outputSchema",
            /// Hints about the tool's behaviour.
            annotations / with_annotations: ToolAnnotations = "annotations",
            /// The `_meta` member.
            meta / with_meta: JsonObject = "_meta",
        }
        open extra;
    }
}

impl Tool {
    /// Returns the name to display: the title, else the title in the annotations, else the name.
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
    /// Hints about a tool's behaviour. They are not guaranteed to be true: never base decisions on
    /// the hints of an untrusted server.
    #[derive(Default)]
    pub struct ToolAnnotations {
        optional {
            /// The display name.
            title / with_title: String = "title",
            /// The tool does not modify its environment.
            read_only_hint / with_read_only_hint: bool = "readOnlyHint",
            /// The tool may destroy or overwrite something.
            destructive_hint / with_destructive_hint: bool = "destructiveHint",
            /// Repeating a call with the same arguments has no additional effect.
            idempotent_hint / with_idempotent_hint: bool = "idempotentHint",
            /// The tool interacts with external entities.
            open_world_hint / with_open_world_hint: bool = "openWorldHint",
        }
        open extra;
    }
}

impl ToolAnnotations {
    /// Returns whether the tool does not modify its environment; `false` by default.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.read_only_hint.unwrap_or(false)
    }

    /// Returns whether the tool may destroy something; `true` by default. Meaningless for a
    /// read-only tool.
    #[must_use]
    pub fn is_destructive(&self) -> bool {
        self.destructive_hint.unwrap_or(true)
    }

    /// Returns whether repeating a call has no additional effect; `false` by default. Meaningless
    /// for a read-only tool.
    #[must_use]
    pub fn is_idempotent(&self) -> bool {
        self.idempotent_hint.unwrap_or(false)
    }

    /// Returns whether the tool interacts with external entities; `true` by default.
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
    /// The parameters of `tools/call`.
    #[derive(Default)]
    pub struct CallToolRequestParams {
        required {
            /// The name of the tool.
            name: String = "name",
        }
        optional {
            /// The arguments of the call.
            arguments / with_arguments: JsonObject = "arguments",
            /// The answers to the input requests of the previous round.
            input_responses / with_input_responses: JsonObject = "inputResponses",
            /// The `requestState` of the previous round, unchanged.
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
            /// Whether the tool failed; absent means `false`. Protocol errors are JSON-RPC errors,
            /// not results.
            is_error / with_is_error: bool = "isError",
            /// The `_meta` member.
            meta / with_meta: JsonObject = "_meta",
        }
        nullable {
            /// The structured result: any JSON value, `null` included, that matches the tool's
            /// `outputSchema`.
            structured_content / with_structured_content: JsonValue = "structuredContent",
        }
        skip { "resultType" }
        open extra;
    }
}

impl CallToolResult {
    /// Creates a result with one text block.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::new([ContentBlock::text(text)])
    }

    /// Creates the result of a failed tool, with a text for the model, which may retry.
    #[must_use]
    pub fn error(text: impl Into<String>) -> Self {
        Self::text(text).with_is_error(true)
    }

    /// Creates a structured result, with its JSON text as a text block for clients that ignore
    /// `structuredContent`.
    #[must_use]
    pub fn structured(value: JsonValue) -> Self {
        Self::text(value.to_string()).with_structured_content(value)
    }

    /// Returns whether the tool failed.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.is_error == Some(true)
    }
}
