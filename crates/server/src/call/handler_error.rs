//! Why a handler has no result.
//!
//! A handler fails in one of three ways, and what the client reads differs:
//!
//! - It says so deliberately ([`HandlerError::new`]): the message is for the client. A tool answers
//!   with a result that has `isError`, which the model reads and can act on; other handlers answer
//!   with a JSON-RPC error (`server/tools#error-handling`).
//! - Something went wrong (`?` on any error): the server's policy decides what the client is told
//!   ([`ServerBuilder::on_error`](crate::ServerBuilder::on_error)). The log gets the error with its
//!   causes.
//! - The request itself is wrong ([`HandlerError::protocol`] and its like): a JSON-RPC error.

use crate::call::tool_output::ToolOutput;
use crate::state::handles::error::HandleError;
use carryall_proto::BoxError;
use carryall_types::{ContentBlock, ErrorObject, InputRequiredResult, RawJson, code};
use std::fmt;

/// The error of every handler: tools, prompts, resources and completions.
///
/// Any `std::error::Error`, `anyhow::Error`, `String` or `&'static str` becomes one with `?`.
/// It does not implement `std::error::Error` itself, since that conversion would then be ambiguous.
///
/// ```
/// use carryall_server::HandlerError;
///
/// async fn balance(account: &str) -> Result<u64, HandlerError> {
///     if account.is_empty() {
///         // The model reads this.
///         return Err(HandlerError::new("There is no such account: ask the user for its number."));
///     }
///     // What the model reads of this one is the server's policy.
///     let text = std::fs::read_to_string(account)?;
///     // Whatever the policy, the model is not told the reason.
///     let balance = text.trim().parse().map_err(|error| HandlerError::from(error).masked())?;
///     Ok(balance)
/// }
/// ```
#[derive(Debug)]
pub struct HandlerError(pub(crate) ErrorKind);

#[derive(Debug)]
pub(crate) enum ErrorKind {
    /// Deliberate. A tool returns `output`; other handlers answer with `code` and its text.
    Shown { output: Box<ToolOutput>, code: i64 },
    /// An error that came by `?`. Without a disclosure, the server's policy decides.
    Failed {
        error: BoxError,
        disclosure: Option<Disclosure>,
    },
    /// The server itself cannot go on: `-32603`, and the log gets the cause.
    Internal(BoxError),
    /// A JSON-RPC error.
    Protocol(ErrorObject),
    /// The client has to answer something first.
    InputRequired(Box<InputRequiredResult>),
}

/// How much of an error the client is told.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Disclosure {
    /// The message of the error, without its causes.
    Message,
    /// That it failed, and no more.
    Generic,
    /// That it failed, and a random reference that the log has beside the error.
    Reference,
    /// This text.
    Text(String),
}

impl HandlerError {
    /// Fails with a message for the client.
    ///
    /// A tool answers with a result that has `isError`, and the model reads the message. A prompt,
    /// resource or completion answers with a JSON-RPC error (`-32603`) that has the message. The
    /// message is logged at `debug` level.
    pub fn new(message: impl Into<String>) -> Self {
        Self::shown(ToolOutput::text(message), code::INTERNAL_ERROR)
    }

    /// Fails with any content, which the model reads. See [`new`](Self::new) for handlers that are
    /// not tools: they answer with the first text of it.
    #[must_use]
    pub fn output(output: ToolOutput) -> Self {
        Self::shown(output, code::INTERNAL_ERROR)
    }

    /// Fails with a JSON-RPC error: the request itself is wrong, in a way that the model cannot
    /// mend (`server/tools#error-handling`).
    ///
    /// A code that the specification reserves and does not define is replaced by `-32603`.
    #[must_use]
    pub fn protocol(error: ErrorObject) -> Self {
        Self(ErrorKind::Protocol(error))
    }

    /// Fails with the JSON-RPC error `-32602` and this reason.
    pub fn invalid_params(message: impl Into<String>) -> Self {
        Self::protocol(ErrorObject::invalid_params(message))
    }

    /// Fails since there is no such resource (`server/resources#error-handling`).
    #[must_use]
    pub fn resource_not_found(uri: &str) -> Self {
        let data = RawJson::from(&serde_json::json!({"uri": uri}));
        Self::protocol(ErrorObject::new(code::INVALID_PARAMS, "Resource not found").with_data(data))
    }

    /// Fails with the JSON-RPC error `-32603`, whatever the handler: the server itself cannot go
    /// on. The log gets `error`, the client does not.
    pub fn internal(error: impl Into<BoxError>) -> Self {
        Self(ErrorKind::Internal(error.into()))
    }

    /// Ends the round: the client has to answer questions first (`basic/patterns/mrtr`).
    ///
    /// [`Ctx::ask`](crate::Ctx::ask) does this and keeps track of the answers.
    #[must_use]
    pub fn input_required(result: InputRequiredResult) -> Self {
        Self(ErrorKind::InputRequired(Box::new(result)))
    }

    /// Withholds the message of an error that came by `?`, whatever the server's policy: the client
    /// reads that it failed, and a reference that the log has beside the error. Does nothing to
    /// errors made by the other constructors.
    #[must_use]
    pub fn masked(self) -> Self {
        self.disclosing(Disclosure::Reference)
    }

    /// Sets what the client reads of an error that came by `?`, whatever the server's policy. Does
    /// nothing to errors made by the other constructors.
    #[must_use]
    pub fn disclosing(mut self, what: Disclosure) -> Self {
        if let ErrorKind::Failed { disclosure, .. } = &mut self.0 {
            *disclosure = Some(what);
        }
        self
    }

    /// The JSON-RPC error that this is; `-32603` if it is none.
    pub(crate) fn into_error_object(self) -> ErrorObject {
        match self.0 {
            ErrorKind::Protocol(error) => error,
            _ => ErrorObject::internal(),
        }
    }

    fn shown(output: ToolOutput, code: i64) -> Self {
        let output = Box::new(output.failed());
        Self(ErrorKind::Shown { output, code })
    }
}

impl<E: Into<BoxError>> From<E> for HandlerError {
    fn from(error: E) -> Self {
        let error = error.into();
        match error.downcast_ref::<HandleError>() {
            // The model is told what is wrong with a handle, so that it can create a new one.
            Some(HandleError::Unknown { .. } | HandleError::Conflict { .. }) => {
                Self::shown(ToolOutput::text(error.to_string()), code::INVALID_PARAMS)
            }
            Some(HandleError::Full) => {
                Self::shown(ToolOutput::text(error.to_string()), code::INTERNAL_ERROR)
            }
            _ => Self(ErrorKind::Failed {
                error,
                disclosure: None,
            }),
        }
    }
}

impl fmt::Display for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shown { output, .. } => f.write_str(text_of(output)),
            Self::Failed { error, .. } | Self::Internal(error) => error.fmt(f),
            Self::Protocol(error) => error.fmt(f),
            Self::InputRequired(_) => f.write_str("input required"),
        }
    }
}

/// Returns the first text of a failed tool's output.
pub(crate) fn text_of(output: &ToolOutput) -> &str {
    match output.content.first() {
        Some(ContentBlock::Text(text)) => &text.text,
        _ => "The tool failed",
    }
}
