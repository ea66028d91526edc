//! What the handlers of tools return.

use crate::call::handler_error::HandlerError;
use crate::call::tool_output::ToolOutput;
use carryall_types::{CallToolResult, ContentBlock, JsonObject, RawJson};
use schemars::JsonSchema;
use serde::Serialize;

/// Structured content. The output schema of the tool is derived from the type.
///
/// ```
/// use carryall_server::{Json, Tool};
///
/// #[derive(serde::Serialize, schemars::JsonSchema)]
/// struct Sum {
///     sum: i64,
/// }
///
/// let tool = Tool::new("answer", async || Json(Sum { sum: 42 }));
/// ```
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
        Ok(ToolOutput::structured(&self.0)?)
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
