//! Messages of a sampled conversation and what they are made of.

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
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: SamplingMessageContent,
    /// The `_meta` member.
    #[serde(rename = "_meta", default, skip_serializing_if = "Option::is_none")]
    pub meta: Option<JsonObject>,
    /// Members that this revision does not name.
    #[serde(flatten)]
    pub extra: JsonObject,
}

impl SamplingMessage {
    /// A message of `role`.
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

    /// The same message with `_meta`.
    #[must_use]
    pub fn with_meta(mut self, meta: JsonObject) -> Self {
        self.meta = Some(meta);
        self
    }
}

/// The content of a message: one block, or an array of them. Which of the two it was survives a
/// round trip.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
// One block is the rule, and a box around it would be in the way of whoever matches on it.
#[allow(clippy::large_enum_variant)]
pub enum SamplingMessageContent {
    /// One block, not in an array.
    One(SamplingMessageContentBlock),
    /// An array of blocks.
    Many(Vec<SamplingMessageContentBlock>),
}

impl SamplingMessageContent {
    /// The blocks, however they were written.
    #[must_use]
    pub fn blocks(&self) -> &[SamplingMessageContentBlock] {
        match self {
            Self::One(block) => std::slice::from_ref(block),
            Self::Many(blocks) => blocks,
        }
    }

    /// The calls of tools among the blocks.
    pub fn tool_uses(&self) -> impl Iterator<Item = &ToolUseContent> {
        self.blocks().iter().filter_map(|block| match block {
            SamplingMessageContentBlock::ToolUse(tool_use) => Some(tool_use),
            _ => None,
        })
    }

    /// The text blocks, joined without a separator.
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
    /// One block of a message, told apart by its `type`.
    ///
    /// Deprecated by SEP-2577; earliest removal: the first revision released on or after
    /// 2027-07-28.
    pub enum SamplingMessageContentBlock {
        /// Text.
        Text(TextContent) = "text",
        /// An image.
        Image(ImageContent) = "image",
        /// A recording.
        Audio(AudioContent) = "audio",
        /// The assistant calls a tool.
        ToolUse(ToolUseContent) = "tool_use",
        /// The user brings back what the tool said.
        ToolResult(ToolResultContent) = "tool_result",
    } else {
        /// A block of a type that this revision does not know, whole.
        Unknown(JsonObject)
    }
}

impl SamplingMessageContentBlock {
    /// Text.
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
    /// The assistant calls a tool.
    ///
    /// Deprecated by SEP-2577; earliest removal: the first revision released on or after
    /// 2027-07-28.
    pub struct ToolUseContent {
        required {
            /// What the result of the call will refer to.
            id: String = "id",
            /// The name of the tool.
            name: String = "name",
            /// The arguments, in the shape of the tool's input schema.
            input: JsonObject = "input",
        }
        optional {
            /// The `_meta` member. Keep it when the block is sent again, so that the provider may
            /// cache.
            meta / with_meta: JsonObject = "_meta",
        }
        skip { "type" }
        open extra;
    }
}

object! {
    /// What came of a tool call.
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
            /// Whether the tool failed; absent means it did not.
            is_error / with_is_error: bool = "isError",
            /// The `_meta` member. Keep it when the block is sent again, so that the provider may
            /// cache.
            meta / with_meta: JsonObject = "_meta",
        }
        nullable {
            /// The result as any JSON value, `null` included, in the shape of the tool's output
            /// schema.
            structured_content / with_structured_content: JsonValue = "structuredContent",
        }
        skip { "type" }
        open extra;
    }
}
