//! The messages of a sampled conversation and their content blocks.

use crate::object::object;
use crate::tagged::tagged;
use crate::{AudioContent, ContentBlock, ImageContent, JsonObject, JsonValue, Role, TextContent};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

/// One message of a conversation with a model.
///
/// Deprecated by SEP-2577; earliest removal: the first revision released on or after 2027-07-28.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SamplingMessage {
    /// The role of the sender.
    pub role: Role,
    /// The content of the message.
    pub content: SamplingMessageContent,
    /// The `_meta` member.
    #[serde(rename = "_meta", default, skip_serializing_if = "Option::is_none")]
    pub meta: Option<JsonObject>,
    /// Members that this revision does not define.
    #[serde(flatten)]
    pub extra: JsonObject,
}

impl SamplingMessage {
    /// Creates a message.
    #[deprecated(
        note = "SEP-2577: sampling is deprecated since 2026-07-28, removal from 2027-07-28 at the earliest; call the provider of the model directly"
    )]
    #[must_use]
    pub fn new(role: Role, content: impl Into<SamplingMessageContent>) -> Self {
        Self {
            role,
            content: content.into(),
            meta: None,
            extra: JsonObject::new(),
        }
    }

    /// Returns the message with `_meta`.
    #[must_use]
    pub fn with_meta(mut self, meta: JsonObject) -> Self {
        self.meta = Some(meta);
        self
    }
}

/// The content of a message: a single block or an array of blocks. The two forms are kept apart, so
/// that a message round-trips unchanged.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
// A single block is the usual case, and a box would complicate pattern matching.
#[allow(clippy::large_enum_variant)]
pub enum SamplingMessageContent {
    /// A single block, not in an array.
    One(SamplingMessageContentBlock),
    /// An array of blocks.
    Many(Vec<SamplingMessageContentBlock>),
}

impl SamplingMessageContent {
    /// Returns the blocks of either form.
    #[must_use]
    pub fn blocks(&self) -> &[SamplingMessageContentBlock] {
        match self {
            Self::One(block) => std::slice::from_ref(block),
            Self::Many(blocks) => blocks,
        }
    }

    /// Returns the tool calls among the blocks.
    pub fn tool_uses(&self) -> impl Iterator<Item = &ToolUseContent> {
        self.blocks().iter().filter_map(|block| match block {
            SamplingMessageContentBlock::ToolUse(tool_use) => Some(tool_use),
            _ => None,
        })
    }

    /// Returns the text blocks, concatenated without a separator.
    #[must_use]
    pub fn text(&self) -> String {
        let texts = self.blocks().iter().filter_map(|block| match block {
            SamplingMessageContentBlock::Text(text) => Some(text.text.as_str()),
            _ => None,
        });
        texts.collect()
    }
}

impl<B: Into<SamplingMessageContentBlock>> From<B> for SamplingMessageContent {
    fn from(block: B) -> Self {
        Self::One(block.into())
    }
}

impl From<Vec<SamplingMessageContentBlock>> for SamplingMessageContent {
    fn from(blocks: Vec<SamplingMessageContentBlock>) -> Self {
        Self::Many(blocks)
    }
}

impl<'de> Deserialize<'de> for SamplingMessageContent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let decoded = match JsonValue::deserialize(deserializer)? {
            JsonValue::Array(blocks) => blocks
                .into_iter()
                .map(serde_json::from_value)
                .collect::<Result<_, _>>()
                .map(Self::Many),
            block => serde_json::from_value(block).map(Self::One),
        };
        decoded.map_err(D::Error::custom)
    }
}

tagged! {
    /// A content block of a message, distinguished by its `type`.
    ///
    /// Deprecated by SEP-2577; earliest removal: the first revision released on or after
    /// 2027-07-28.
    pub enum SamplingMessageContentBlock {
        /// Text.
        Text(TextContent) = "text",
        /// An image.
        Image(ImageContent) = "image",
        /// Audio.
        Audio(AudioContent) = "audio",
        /// A tool call of the assistant.
        ToolUse(ToolUseContent) = "tool_use",
        /// The result of a tool call, in a user message.
        ToolResult(ToolResultContent) = "tool_result",
    } else {
        /// A block of a type that this revision does not define, unchanged.
        Unknown(JsonObject)
    }
}

impl SamplingMessageContentBlock {
    /// Creates a text block.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(TextContent::new(text))
    }
}

impl From<&str> for SamplingMessageContentBlock {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

impl From<String> for SamplingMessageContentBlock {
    fn from(text: String) -> Self {
        Self::text(text)
    }
}

object! {
    /// A tool call of the assistant.
    ///
    /// Deprecated by SEP-2577; earliest removal: the first revision released on or after
    /// 2027-07-28.
    pub struct ToolUseContent {
        required {
            /// The id of the call, to which its result refers.
            id: String = "id",
            /// The name of the tool.
            name: String = "name",
            /// The arguments, according to the tool's input schema.
            input: JsonObject = "input",
        }
        optional {
            /// The `_meta` member. Keep it when the block is sent again, since the provider may use
            /// it for caching.
            meta / with_meta: JsonObject = "_meta",
        }
        skip { "type" }
        open extra;
    }
}

object! {
    /// The result of a tool call.
    ///
    /// Deprecated by SEP-2577; earliest removal: the first revision released on or after
    /// 2027-07-28.
    pub struct ToolResultContent {
        required {
            /// The id of the call.
            tool_use_id: String = "toolUseId",
            /// The result for the model to read.
            content: Vec<ContentBlock> = "content",
        }
        optional {
            /// Whether the tool failed; absent means `false`.
            is_error / with_is_error: bool = "isError",
            /// The `_meta` member. Keep it when the block is sent again, since the provider may use
            /// it for caching.
            meta / with_meta: JsonObject = "_meta",
        }
        nullable {
            /// The structured result: any JSON value, `null` included, according to the tool's
            /// output schema.
            structured_content / with_structured_content: JsonValue = "structuredContent",
        }
        skip { "type" }
        open extra;
    }
}
