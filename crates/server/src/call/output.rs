//! What handlers return, and how it becomes a result.
//!
//! A tool has two ways to fail, and they cannot be mixed up. Its own failure (`Err` from `?`,
//! [`HandlerError::new`]) is a result with `isError: true`, which the model sees and can act on. A
//! protocol error ([`HandlerError::protocol`]) is a JSON-RPC error, for requests that no change of
//! arguments would save (`server/tools#error-handling`).

use crate::state::handles::HandleError;
use carryall_proto::{BoxError, json};
use carryall_types::{
    CallToolResult, ContentBlock, ErrorObject, InputRequiredResult, JsonObject, RawJson, Task, code,
};
use schemars::JsonSchema;
use serde::Serialize;
use std::any::Any;
use std::fmt;

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

/// Why a tool call has no regular output. Any `std::error::Error` becomes one with `?`, as the
/// tool's own failure: the model reads its message, unless the server
/// [masks](crate::ServerBuilder::mask_errors) them, and the log has it with its causes. What a tool
/// says deliberately, with [`HandlerError::new`] for example, is logged at `debug`.
#[derive(Debug)]
pub struct HandlerError(pub(crate) Refusal);

/// Why a prompt, resource or completion handler has no result. Any `std::error::Error` becomes one
/// with `?`: the client sees `-32603`, the log sees the cause.
#[derive(Debug)]
pub struct Failure(pub(crate) Refusal);

#[derive(Debug)]
pub(crate) enum Refusal {
    /// The tool says deliberately that it failed; the model reads why.
    Tool(Box<ToolOutput>),
    /// A tool failed with an error that came by `?`; the model may read its message.
    Unexpected(BoxError),
    /// Another handler failed with an error that came by `?`; nobody but the log is told.
    Internal(BoxError),
    /// A JSON-RPC error.
    Protocol(ErrorObject),
    /// The client has to answer something first.
    InputRequired(Box<InputRequiredResult>),
    /// The result comes later.
    Task(Box<Task>),
}

impl HandlerError {
    /// The tool failed for the reason that `message` tells the model.
    pub fn new(message: impl Into<String>) -> Self {
        Self(Refusal::Tool(Box::new(ToolOutput::text(message).failed())))
    }

    /// The tool failed; the output says how.
    #[must_use]
    pub fn output(output: ToolOutput) -> Self {
        Self(Refusal::Tool(Box::new(output.failed())))
    }

    /// The request itself is wrong in a way that the model cannot mend: a JSON-RPC error.
    #[must_use]
    pub fn protocol(error: ErrorObject) -> Self {
        Self(Refusal::Protocol(error))
    }

    /// The client has to answer questions first (`basic/patterns/mrtr`).
    #[must_use]
    pub fn input_required(result: InputRequiredResult) -> Self {
        Self(Refusal::InputRequired(Box::new(result)))
    }
}

impl Failure {
    /// A JSON-RPC error.
    #[must_use]
    pub fn protocol(error: ErrorObject) -> Self {
        Self(Refusal::Protocol(error))
    }

    /// `-32602` with a reason.
    pub fn invalid_params(message: impl Into<String>) -> Self {
        Self::protocol(ErrorObject::invalid_params(message))
    }

    /// There is no such resource (`server/resources#error-handling`).
    #[must_use]
    pub fn resource_not_found(uri: &str) -> Self {
        let data = RawJson::from(&serde_json::json!({"uri": uri}));
        Self::protocol(ErrorObject::new(code::INVALID_PARAMS, "Resource not found").with_data(data))
    }

    /// The client has to answer questions first (`basic/patterns/mrtr`).
    #[must_use]
    pub fn input_required(result: InputRequiredResult) -> Self {
        Self(Refusal::InputRequired(Box::new(result)))
    }
}

impl<E: std::error::Error + Send + Sync + 'static> From<E> for HandlerError {
    fn from(error: E) -> Self {
        // What is wrong with a handle is said to the model, so that it creates a new one.
        match (&error as &dyn Any).downcast_ref::<HandleError>() {
            Some(
                told @ (HandleError::Unknown { .. }
                | HandleError::Conflict { .. }
                | HandleError::Full),
            ) => Self::new(told.to_string()),
            _ => Self(Refusal::Unexpected(Box::new(error))),
        }
    }
}

impl<E: std::error::Error + Send + Sync + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(Refusal::Internal(Box::new(error)))
    }
}

impl From<Failure> for HandlerError {
    fn from(failure: Failure) -> Self {
        Self(failure.0)
    }
}

impl fmt::Display for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tool(output) => f.write_str(text_of(output)),
            Self::Unexpected(error) | Self::Internal(error) => error.fmt(f),
            Self::Protocol(error) => error.fmt(f),
            Self::InputRequired(_) => f.write_str("the client has to answer first"),
            Self::Task(_) => f.write_str("the call has become a task"),
        }
    }
}

/// What the output of a tool that failed says first.
pub(crate) fn text_of(output: &ToolOutput) -> &str {
    match output.content.first() {
        Some(ContentBlock::Text(text)) => &text.text,
        _ => "the tool failed",
    }
}

/// A value returned as structured content; its type gives the tool its output schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Json<T>(pub T);

/// What a tool may return.
pub trait IntoToolOutput {
    /// The output, or why there is none.
    ///
    /// # Errors
    /// When the tool failed, or the value cannot be written.
    fn into_output(self) -> Result<ToolOutput, HandlerError>;

    /// The schema of the structured content, when there is always one.
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
