//! Sampling: the server requests a completion from the client's model (`client/sampling`).
//!
//! Deprecated by SEP-2577 as of 2026-07-28. The earliest removal is the first revision released on
//! or after 2027-07-28; until then servers and clients that sample stay valid. Call the provider of
//! the model directly instead.

mod content;
mod model;
mod rules;

pub use content::{
    SamplingMessage, SamplingMessageContent, SamplingMessageContentBlock, ToolResultContent,
    ToolUseContent,
};
pub use model::{ModelHint, ModelPreferences};

use crate::number::Plain;
use crate::{JsonObject, Role, Tool};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// The parameters of a `sampling/createMessage` input request.
///
/// Deprecated by SEP-2577; earliest removal: the first revision released on or after 2027-07-28.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CreateMessageRequestParams {
    /// The conversation so far, oldest message first.
    pub messages: Vec<SamplingMessage>,
    /// Preferences about the model. The client may ignore them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_preferences: Option<ModelPreferences>,
    /// The system prompt to use. The client may change or ignore it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_prompt: Option<String>,
    /// Which servers' context to add to the prompt. The client may ignore this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub include_context: Option<IncludeContext>,
    /// The sampling temperature; its range depends on the provider.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        serialize_with = "plain"
    )]
    pub temperature: Option<f64>,
    /// The maximum number of tokens. The client must not exceed it.
    pub max_tokens: u64,
    /// Sequences that end the generation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_sequences: Option<Vec<String>>,
    /// Provider-specific parameters, passed through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<JsonObject>,
    /// Tools for the model. Requires the client capability `sampling.tools`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tools: Option<Vec<Tool>>,
    /// How the model may use the tools. Requires the client capability `sampling.tools`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_choice: Option<ToolChoice>,
    /// Members that this revision does not define.
    #[serde(flatten)]
    pub extra: JsonObject,
}

impl CreateMessageRequestParams {
    /// Creates a request for the next message of a conversation, of at most `max_tokens` tokens.
    #[deprecated(
        note = "SEP-2577: sampling is deprecated since 2026-07-28, removal from 2027-07-28 at the earliest; call the provider of the model directly"
    )]
    #[must_use]
    pub fn new(messages: Vec<SamplingMessage>, max_tokens: u64) -> Self {
        Self {
            messages,
            model_preferences: None,
            system_prompt: None,
            include_context: None,
            temperature: None,
            max_tokens,
            stop_sequences: None,
            metadata: None,
            tools: None,
            tool_choice: None,
            extra: JsonObject::new(),
        }
    }

    /// Returns the request with model preferences.
    #[must_use]
    pub fn with_model_preferences(mut self, preferences: ModelPreferences) -> Self {
        self.model_preferences = Some(preferences);
        self
    }

    /// Returns the request with a system prompt.
    #[must_use]
    pub fn with_system_prompt(mut self, prompt: impl Into<String>) -> Self {
        self.system_prompt = Some(prompt.into());
        self
    }

    /// Returns the request with context of servers. Discouraged; see [`IncludeContext`].
    #[must_use]
    pub fn with_include_context(mut self, context: IncludeContext) -> Self {
        self.include_context = Some(context);
        self
    }

    /// Returns the request with a temperature.
    #[must_use]
    pub fn with_temperature(mut self, temperature: f64) -> Self {
        self.temperature = Some(temperature);
        self
    }

    /// Returns the request with sequences that end the generation.
    #[must_use]
    pub fn with_stop_sequences<I: IntoIterator<Item: Into<String>>>(
        mut self,
        sequences: I,
    ) -> Self {
        self.stop_sequences = Some(sequences.into_iter().map(Into::into).collect());
        self
    }

    /// Returns the request with provider-specific parameters.
    #[must_use]
    pub fn with_metadata(mut self, metadata: JsonObject) -> Self {
        self.metadata = Some(metadata);
        self
    }

    /// Returns the request with tools for the model.
    #[must_use]
    pub fn with_tools(mut self, tools: Vec<Tool>) -> Self {
        self.tools = Some(tools);
        self
    }

    /// Returns the request with a tool choice.
    #[must_use]
    pub fn with_tool_choice(mut self, choice: ToolChoice) -> Self {
        self.tool_choice = Some(choice);
        self
    }

    /// Returns whether the request requires the client capability `sampling.tools`
    /// (`client/sampling#capabilities`).
    #[must_use]
    pub fn uses_tools(&self) -> bool {
        self.tools.is_some() || self.tool_choice.is_some()
    }

    /// Checks the rules for tool calls and their results
    /// (`client/sampling#message-content-constraints`), and the range of the model priorities:
    ///
    /// - A user message with a tool result contains only tool results.
    /// - An assistant message with tool calls is followed by a user message with a result for each
    ///   call.
    /// - Each tool result belongs to a call of the previous message.
    ///
    /// # Errors
    /// A message that names the first violation.
    pub fn validate(&self) -> Result<(), String> {
        if let Some(preferences) = &self.model_preferences {
            preferences.validate()?;
        }
        rules::check_tool_exchange(&self.messages)
    }
}

/// The client's response to `sampling/createMessage`: one message of its model.
///
/// Deprecated by SEP-2577; earliest removal: the first revision released on or after 2027-07-28.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CreateMessageResult {
    /// The role, normally the assistant.
    pub role: Role,
    /// The content of the message.
    pub content: SamplingMessageContent,
    /// The name of the model.
    pub model: String,
    /// The reason why the model stopped, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_reason: Option<StopReason>,
    /// The `_meta` member.
    #[serde(rename = "_meta", default, skip_serializing_if = "Option::is_none")]
    pub meta: Option<JsonObject>,
    /// Members that this revision does not define.
    #[serde(flatten)]
    pub extra: JsonObject,
}

impl CreateMessageResult {
    /// Creates a response of `model` in the role of the assistant.
    #[deprecated(
        note = "SEP-2577: sampling is deprecated since 2026-07-28, removal from 2027-07-28 at the earliest; call the provider of the model directly"
    )]
    #[must_use]
    pub fn new(model: impl Into<String>, content: impl Into<SamplingMessageContent>) -> Self {
        Self {
            role: Role::Assistant,
            content: content.into(),
            model: model.into(),
            stop_reason: None,
            meta: None,
            extra: JsonObject::new(),
        }
    }

    /// Returns the response with the reason why the model stopped.
    #[must_use]
    pub fn with_stop_reason(mut self, reason: StopReason) -> Self {
        self.stop_reason = Some(reason);
        self
    }

    /// Returns the response with `_meta`.
    #[must_use]
    pub fn with_meta(mut self, meta: JsonObject) -> Self {
        self.meta = Some(meta);
        self
    }

    /// Converts the response to a message for the next request, including `_meta` of the response
    /// and of its blocks (`client/sampling#multi-turn-tool-loop`).
    #[must_use]
    pub fn into_message(self) -> SamplingMessage {
        SamplingMessage {
            role: self.role,
            content: self.content,
            meta: self.meta,
            extra: self.extra,
        }
    }
}

/// How the model may use the tools. The default is `auto`.
///
/// Deprecated by SEP-2577; earliest removal: the first revision released on or after 2027-07-28.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ToolChoice {
    /// The mode; absent means [`ToolChoiceMode::Auto`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<ToolChoiceMode>,
    /// Members that this revision does not define.
    #[serde(flatten)]
    pub extra: JsonObject,
}

impl ToolChoice {
    /// Creates a choice with this mode.
    #[deprecated(
        note = "SEP-2577: sampling is deprecated since 2026-07-28, removal from 2027-07-28 at the earliest; call the provider of the model directly"
    )]
    #[must_use]
    pub fn new(mode: ToolChoiceMode) -> Self {
        Self {
            mode: Some(mode),
            extra: JsonObject::new(),
        }
    }
}

/// Whether the model may, must or must not use tools.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ToolChoiceMode {
    /// The model decides.
    #[default]
    Auto,
    /// The model must use at least one tool before it ends.
    Required,
    /// The model must not use any tool.
    None,
}

/// Which servers' context the client should add to the prompt.
///
/// All values but [`IncludeContext::None`] are deprecated by SEP-2596 since 2025-11-25, will be
/// removed with sampling at the latest, and require the client capability `sampling.context`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum IncludeContext {
    /// No context; the default.
    #[default]
    None,
    /// Context of the requesting server. Deprecated.
    ThisServer,
    /// Context of all connected servers. Deprecated.
    AllServers,
}

/// The reason why a model stopped. The set is open, since providers define their own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StopReason {
    /// `endTurn`: the model finished its turn.
    EndTurn,
    /// `stopSequence`: the model generated a stop sequence.
    StopSequence,
    /// `maxTokens`: the token limit was reached.
    MaxTokens,
    /// `toolUse`: the model calls tools.
    ToolUse,
    /// Any other reason, as the client sent it.
    Other(String),
}

impl StopReason {
    /// Returns the reason on the wire.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::EndTurn => "endTurn",
            Self::StopSequence => "stopSequence",
            Self::MaxTokens => "maxTokens",
            Self::ToolUse => "toolUse",
            Self::Other(reason) => reason,
        }
    }
}

impl From<String> for StopReason {
    fn from(reason: String) -> Self {
        match reason.as_str() {
            "endTurn" => Self::EndTurn,
            "stopSequence" => Self::StopSequence,
            "maxTokens" => Self::MaxTokens,
            "toolUse" => Self::ToolUse,
            _ => Self::Other(reason),
        }
    }
}

impl From<&str> for StopReason {
    fn from(reason: &str) -> Self {
        reason.to_owned().into()
    }
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for StopReason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for StopReason {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::from)
    }
}

/// Serialises integers without a fraction: `1`, not `1.0`.
fn plain<S: Serializer>(number: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    number.map(Plain::from).serialize(serializer)
}

#[cfg(test)]
mod tests;
