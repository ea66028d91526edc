//! What tools return.

use crate::call::handler_error::HandlerError;
use carryall_proto::json;
use carryall_types::{CallToolResult, ContentBlock, JsonObject, RawJson};
use schemars::JsonSchema;
use serde::Serialize;

/// The outcome of a tool call: content for the model, optionally structured content for programs.
#[derive(Clone, Debug, Default)]
pub struct ToolOutput {
    /// What the model reads.
    pub content: Vec<ContentBlock>,
    /// The value that conforms to the tool's output schema.
    pub structured: Option<RawJson>,
    /// Whether the tool failed.
    pub is_error: bool,
    /// Further `_meta` members of the result.
    pub meta: Option<JsonObject>,
}

impl ToolOutput {
    /// One block of text.
    pub fn text(text: impl Into<String>) -> Self {
        Self {
            content: vec![ContentBlock::text(text)],
            ..Self::default()
        }
    }

    /// Any content blocks.
    pub fn content(content: impl IntoIterator<Item = ContentBlock>) -> Self {
        Self {
            content: content.into_iter().collect(),
            ..Self::default()
        }
    }

    /// A structured value, which is also given as text for clients and models that read only that
    /// (`server/tools#structured-content`).
    ///
    /// # Errors
    /// When `value` cannot be written as JSON.
    pub fn structured<T: Serialize + ?Sized>(value: &T) -> Result<Self, HandlerError> {
        let text = json::to_vec(value)?;
        let structured = RawJson::from_trusted(text.into());
        Ok(Self {
            content: vec![ContentBlock::text(structured.as_str())],
            structured: Some(structured),
            ..Self::default()
        })
    }

    /// The same output, marked as a failure of the tool.
    #[must_use]
    pub fn failed(mut self) -> Self {
        self.is_error = true;
        self
    }
}

/// A value returned as structured content; its type gives the tool its output schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Json<T>(pub T);

/// What the handler of a tool may return: text, content, [`Json`] for structured content, or a
/// `Result` of one of them.
#[diagnostic::on_unimplemented(
    message = "the handler of a tool cannot return `{Self}`",
    note = "it returns text, a number, `Json<T>`, `ContentBlock`, `Vec<ContentBlock>`, `ToolOutput`, `()`, or a `Result` of one of \
            them; wrap a serialisable value in `Json`"
)]
pub trait IntoToolOutput {
    /// Converts it to an output.
    ///
    /// # Errors
    /// When the handler failed, or the value cannot be serialised.
    fn into_output(self) -> Result<ToolOutput, HandlerError>;

    /// Returns the schema of the structured content, if there always is such content.
    #[must_use]
    fn output_schema() -> Option<JsonObject> {
        None
    }
}

impl IntoToolOutput for ToolOutput {
    fn into_output(self) -> Result<ToolOutput, HandlerError> {
        Ok(self)
    }
}

impl IntoToolOutput for CallToolResult {
    fn into_output(self) -> Result<ToolOutput, HandlerError> {
        Ok(ToolOutput {
            content: self.content,
            structured: self.structured_content.as_ref().map(RawJson::from),
            is_error: self.is_error.unwrap_or(false),
            meta: self.meta,
        })
    }
}

impl<T: IntoToolOutput, E: Into<HandlerError>> IntoToolOutput for Result<T, E> {
    fn into_output(self) -> Result<ToolOutput, HandlerError> {
        self.map_err(Into::into)?.into_output()
    }

    fn output_schema() -> Option<JsonObject> {
        T::output_schema()
    }
}

impl<T: Serialize + JsonSchema> IntoToolOutput for Json<T> {
    fn into_output(self) -> Result<ToolOutput, HandlerError> {
        ToolOutput::structured(&self.0)
    }

    fn output_schema() -> Option<JsonObject> {
        Some(crate::schema_of::<T>())
    }
}

impl IntoToolOutput for () {
    fn into_output(self) -> Result<ToolOutput, HandlerError> {
        Ok(ToolOutput::default())
    }
}

impl IntoToolOutput for ContentBlock {
    fn into_output(self) -> Result<ToolOutput, HandlerError> {
        Ok(ToolOutput::content([self]))
    }
}

impl IntoToolOutput for Vec<ContentBlock> {
    fn into_output(self) -> Result<ToolOutput, HandlerError> {
        Ok(ToolOutput::content(self))
    }
}

macro_rules! as_text {
    ($($type:ty),*) => {$(
        impl IntoToolOutput for $type {
            fn into_output(self) -> Result<ToolOutput, HandlerError> {
                Ok(ToolOutput::text(self.to_string()))
            }
        }
    )*};
}

as_text!(
    bool,
    char,
    i8,
    i16,
    i32,
    i64,
    u8,
    u16,
    u32,
    u64,
    usize,
    isize,
    f32,
    f64,
    &'static str
);

impl IntoToolOutput for String {
    fn into_output(self) -> Result<ToolOutput, HandlerError> {
        Ok(ToolOutput::text(self))
    }
}
