//! Sampling: the server asks the client's language model (`client/sampling`).
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
    /// Which model would suit. The client may ignore this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_preferences: Option<ModelPreferences>,
    /// The system prompt to use. The client may change or ignore it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_prompt: Option<String>,
    /// Context of which servers to add to the prompt. The client may ignore this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub include_context: Option<IncludeContext>,
    /// How random the answer may be; the range depends on the provider.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        serialize_with = "plain"
    )]
    pub temperature: Option<f64>,
    /// The most tokens to generate. The client must keep to it and may generate fewer.
    pub max_tokens: u64,
    /// Texts that end the generation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_sequences: Option<Vec<String>>,
    /// Parameters for the provider, passed through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<JsonObject>,
    /// Tools that the model may use. Needs the client capability `sampling.tools`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tools: Option<Vec<Tool>>,
    /// How the model uses the tools. Needs the client capability `sampling.tools`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_choice: Option<ToolChoice>,
    /// Members that this revision does not name.
    #[serde(flatten)]
    pub extra: JsonObject,
}

impl CreateMessageRequestParams {
    /// Asks for the next message of a conversation in at most `max_tokens` tokens.
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

    /// The same request with model preferences.
    #[must_use]
    pub fn with_model_preferences(mut self, preferences: ModelPreferences) -> Self {
        self.model_preferences = Some(preferences);
        self
    }

    /// The same request with a system prompt.
    #[must_use]
    pub fn with_system_prompt(mut self, prompt: impl Into<String>) -> Self {
        self.system_prompt = Some(prompt.into());
        self
    }

    /// The same request with context of other servers. Best left out; see [`IncludeContext`].
    #[must_use]
    pub fn with_include_context(mut self, context: IncludeContext) -> Self {
        self.include_context = Some(context);
        self
    }

    /// The same request with a temperature.
    #[must_use]
    pub fn with_temperature(mut self, temperature: f64) -> Self {
        self.temperature = Some(temperature);
        self
    }

    /// The same request with texts that end the generation.
    #[must_use]
    pub fn with_stop_sequences<I: IntoIterator<Item: Into<String>>>(
        mut self,
        sequences: I,
    ) -> Self {
        self.stop_sequences = Some(sequences.into_iter().map(Into::into).collect());
        self
    }

    /// The same request with parameters for the provider.
    #[must_use]
    pub fn with_metadata(mut self, metadata: JsonObject) -> Self {
        self.metadata = Some(metadata);
        self
    }

    /// The same request with tools for the model.
    #[must_use]
    pub fn with_tools(mut self, tools: Vec<Tool>) -> Self {
        self.tools = Some(tools);
        self
    }

    /// The same request with a rule for the use of tools.
    #[must_use]
    pub fn with_tool_choice(mut self, choice: ToolChoice) -> Self {
        self.tool_choice = Some(choice);
        self
    }

    /// Whether this may only be sent to a client that declares `sampling.tools`
    /// (`client/sampling#capabilities`).
    #[must_use]
    pub fn uses_tools(&self) -> bool {
        self.tools.is_some() || self.tool_choice.is_some()
    }

    /// Checks what the types cannot express: the rules for tool calls and their results
    /// (`client/sampling#message-content-constraints`) and the range of the model priorities.
    ///
    /// - A user message with a tool result holds tool results alone.
    /// - Each assistant message that calls tools is followed at once by a user message that answers
    ///   every call.
    /// - Each tool result answers a call of the message before it.
    ///
    /// # Errors
    /// Which message breaks which rule.
    pub fn validate(&self) -> Result<(), String> {
        if let Some(preferences) = &self.model_preferences {
            preferences.validate()?;
        }
        rules::check_tool_exchange(&self.messages)
    }
}

/// The client's answer to `sampling/createMessage`: one message of its model.
///
/// Deprecated by SEP-2577; earliest removal: the first revision released on or after 2027-07-28.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CreateMessageResult {
    /// Who speaks; normally the assistant.
    pub role: Role,
    /// What the model said.
    pub content: SamplingMessageContent,
    /// The name of the model that was used.
    pub model: String,
    /// Why the model stopped, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_reason: Option<StopReason>,
    /// The `_meta` member.
    #[serde(rename = "_meta", default, skip_serializing_if = "Option::is_none")]
    pub meta: Option<JsonObject>,
    /// Members that this revision does not name.
    #[serde(flatten)]
    pub extra: JsonObject,
}

impl CreateMessageResult {
    /// An answer of `model` in the role of the assistant.
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

    /// The same answer with the reason why the model stopped.
    #[must_use]
    pub fn with_stop_reason(mut self, reason: StopReason) -> Self {
        self.stop_reason = Some(reason);
        self
    }

    /// The same answer with `_meta`.
    #[must_use]
    pub fn with_meta(mut self, meta: JsonObject) -> Self {
        self.meta = Some(meta);
        self
    }

    /// The answer as a message of the conversation, `_meta` of it and of its blocks included, so
    /// that the next request may carry it (`client/sampling#multi-turn-tool-loop`).
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

/// How the model may use the tools it is given. The default is `auto`.
///
/// Deprecated by SEP-2577; earliest removal: the first revision released on or after 2027-07-28.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ToolChoice {
    /// The mode; absent means [`ToolChoiceMode::Auto`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<ToolChoiceMode>,
    /// Members that this revision does not name.
    #[serde(flatten)]
    pub extra: JsonObject,
}

impl ToolChoice {
    /// A choice with a mode.
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

/// Context of which servers the client should add to the prompt.
///
/// Every value but [`IncludeContext::None`] is deprecated by SEP-2596 since 2025-11-25, goes away
/// with sampling at the latest, and needs the client capability `sampling.context`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum IncludeContext {
    /// No context; the default.
    #[default]
    None,
    /// Context of the server that asks. Deprecated.
    ThisServer,
    /// Context of every server that the client is connected to. Deprecated.
    AllServers,
}

/// Why a model stopped. The set is open: providers have reasons of their own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum StopReason {
    /// `endTurn`: the assistant was done.
    EndTurn,
    /// `stopSequence`: one of the stop sequences came up.
    StopSequence,
    /// `maxTokens`: the limit was reached.
    MaxTokens,
    /// `toolUse`: the model wants to use tools.
    ToolUse,
    /// Any other reason, as the client gave it.
    Other(String),
}

impl StopReason {
    /// The reason as it is on the wire.
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

/// Writes `1`, not `1.0`, as the sender of the number did.
fn plain<S: Serializer>(number: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    number.map(Plain::from).serialize(serializer)
}

#[cfg(test)]
mod tests;
