//! The output of a tool.

use carryall_proto::json::{self, WriteError};
use carryall_types::{ContentBlock, JsonObject, RawJson};
use serde::Serialize;

/// The output of a tool: content for the model, and optionally structured content for programs.
///
/// ```
/// # use carryall_server::ToolOutput;
/// # use carryall_types::ContentBlock;
/// let output = ToolOutput::content([
///     ContentBlock::text("A pixel:"),
///     ContentBlock::image("iVBORw0KGgo=", "image/png"),
/// ]);
/// assert!(!output.is_error);
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ToolOutput {
    /// What the model reads.
    pub content: Vec<ContentBlock>,
    /// The value that conforms to the tool's output schema.
    pub structured: Option<RawJson>,
    /// Whether the tool failed.
    pub is_error: bool,
    /// Members of the result's `_meta`.
    pub meta: Option<JsonObject>,
}

impl ToolOutput {
    /// Makes an output of one block of text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::content([ContentBlock::text(text)])
    }

    /// Makes an output of any content.
    pub fn content(content: impl IntoIterator<Item = ContentBlock>) -> Self {
        Self {
            content: content.into_iter().collect(),
            ..Self::default()
        }
    }

    /// Makes an output of a structured value. The content has it as text too, for clients and models
    /// that read text alone (`server/tools#structured-content`).
    ///
    /// # Errors
    /// When the value cannot be serialised as JSON.
    pub fn structured<T: Serialize + ?Sized>(value: &T) -> Result<Self, WriteError> {
        let structured = RawJson::from_trusted(json::to_vec(value)?.into());
        let mut output = Self::text(structured.as_str());
        output.structured = Some(structured);
        Ok(output)
    }

    /// Marks the output as that of a tool that failed.
    #[must_use]
    pub fn failed(mut self) -> Self {
        self.is_error = true;
        self
    }

    /// Sets the members of the result's `_meta`. None by default.
    #[must_use]
    pub fn with_meta(mut self, meta: JsonObject) -> Self {
        self.meta = Some(meta);
        self
    }
}
