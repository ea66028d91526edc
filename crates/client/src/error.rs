//! [`ClientError`] and the errors that it groups by origin.

use crate::text::text_of;
use carryall_proto::{BoxError, CallError};
use carryall_types::{CallToolResult, ErrorObject, JsonObject, Method, code};
use std::fmt;
use std::sync::Arc;

/// Why a request has no result.
///
/// Errors that the server reported ([`Server`](Self::Server), [`Tool`](Self::Tool)) are separate
/// from errors in the client or on the connection (`basic/index#error-codes`).
///
/// ```no_run
/// # use carryall_client::{Client, ClientError, VersionError};
/// # async fn example(client: Client) {
/// match client.read_resource("notes://1").await {
///     Ok(result) => println!("{} parts", result.contents.len()),
///     Err(error) if error.is_not_found() => println!("no such note"),
///     Err(ClientError::Version(VersionError::NotModern(_))) => println!("an older server"),
///     Err(error) => eprintln!("{error}"),
/// }
/// # }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ClientError {
    /// The server answered with a JSON-RPC error.
    Server(ErrorObject),
    /// The tool was executed and reported a failure (`isError`). Only requests for a typed value
    /// return this error. Others return the result, because its content is meant for the model
    /// (`server/tools#error-handling`).
    Tool(Box<CallToolResult>),
    /// The server ran the call as a task, and the task was cancelled.
    #[non_exhaustive]
    TaskCancelled {
        /// The id of the task.
        id: String,
        /// The status message of the task.
        message: Option<String>,
    },
    /// No response was received: the server is unreachable, the connection broke, the request timed
    /// out, or the endpoint does not speak MCP.
    Call(CallError),
    /// The server's response cannot be used.
    Response(ResponseError),
    /// The server asked for input that this client cannot provide.
    Input(InputError),
    /// Client and server have no protocol version in common.
    Version(VersionError),
    /// The request is invalid and was not sent.
    Request(String),
}

/// Why a response cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResponseError {
    /// The response violates the protocol.
    #[non_exhaustive]
    Protocol {
        /// The method of the request.
        method: Method,
        /// The violation.
        reason: String,
    },
    /// The result cannot be decoded to the requested type.
    #[non_exhaustive]
    Decode {
        /// The method of the request.
        method: Method,
        /// The mismatch.
        reason: String,
    },
    /// The structured content of a tool does not match the output schema that the tool declares, or
    /// that schema cannot be used. Only for clients that
    /// [require valid output](crate::ClientBuilder::require_valid_output).
    #[non_exhaustive]
    OutputSchema {
        /// The name of the tool.
        tool: String,
        /// The mismatch, or the defect of the schema.
        reason: String,
    },
    /// A list exceeds the limits of this client in pages, items or bytes.
    #[non_exhaustive]
    ListTooLong {
        /// The method of the request, for example `tools/list`.
        method: Method,
        /// The limit exceeded.
        reason: String,
    },
    /// The server asked for input too many times.
    #[non_exhaustive]
    TooManyRounds {
        /// The number of rounds allowed.
        limit: usize,
    },
}

/// Why input that a server asked for was not provided.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum InputError {
    /// The input needs a capability that this client has not declared.
    #[non_exhaustive]
    Undeclared {
        /// The capability, for example `elicitation.url`.
        capability: String,
    },
    /// A handler of this client failed, or returned input that must not be sent.
    #[non_exhaustive]
    Handler {
        /// The key of the input request.
        key: String,
        /// The error of the handler.
        cause: Arc<BoxError>,
    },
}

/// Why client and server have no protocol version in common.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum VersionError {
    /// Client and server have listed their versions, and no version is in both lists.
    #[non_exhaustive]
    NoneInCommon {
        /// The versions of this client.
        ours: Vec<String>,
        /// The versions that the server reported.
        theirs: Vec<String>,
    },
    /// The server does not answer `server/discover` as a server of this revision does; it probably
    /// speaks an earlier one. Holds the error of `server/discover`.
    NotModern(Box<ClientError>),
}

impl ClientError {
    /// Returns the JSON-RPC error if the server answered with one.
    #[must_use]
    pub fn server(&self) -> Option<&ErrorObject> {
        match self {
            Self::Server(error) => Some(error),
            _ => None,
        }
    }

    /// Returns the code of the JSON-RPC error if the server answered with one.
    #[must_use]
    pub fn code(&self) -> Option<i64> {
        self.server().map(|error| error.code)
    }

    /// Returns whether the server does not have the requested resource. This revision reports that
    /// with `-32602` and the URI in `data`; earlier revisions with `-32002`
    /// (`basic/index#error-codes`).
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        let Self::Server(error) = self else {
            return false;
        };
        match error.code {
            code::LEGACY_RESOURCE_NOT_FOUND => true,
            code::INVALID_PARAMS => {
                let data = error
                    .data
                    .as_ref()
                    .and_then(|data| data.decode::<JsonObject>().ok());
                data.is_some_and(|data| data.contains_key("uri"))
            }
            _ => false,
        }
    }

    /// Returns whether the server does not know the method.
    #[must_use]
    pub fn is_method_not_found(&self) -> bool {
        self.code() == Some(code::METHOD_NOT_FOUND)
    }

    /// Returns whether the server rejected the parameters.
    #[must_use]
    pub fn is_invalid_params(&self) -> bool {
        self.code() == Some(code::INVALID_PARAMS)
    }

    /// Returns whether the request timed out.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::Call(CallError::Timeout(_)))
    }

    /// Returns whether the request is known not to have been executed, so that sending it again is
    /// safe.
    #[must_use]
    pub fn is_unsent(&self) -> bool {
        match self {
            Self::Call(error) => error.is_unsent(),
            Self::Request(_) => true,
            _ => false,
        }
    }

    /// Returns the client capabilities that the server requires and this client has not declared
    /// (error code `-32021`), for example `{"sampling": {}}`.
    #[must_use]
    pub fn required_capabilities(&self) -> Option<JsonObject> {
        let error = self
            .server()
            .filter(|error| error.code == code::MISSING_REQUIRED_CLIENT_CAPABILITY)?;
        let mut data = error.data.as_ref()?.decode::<JsonObject>().ok()?;
        match data.remove("requiredCapabilities")? {
            serde_json::Value::Object(required) => Some(required),
            _ => None,
        }
    }

    pub(crate) fn protocol(method: &Method, reason: impl Into<String>) -> Self {
        Self::Response(ResponseError::Protocol {
            method: method.clone(),
            reason: reason.into(),
        })
    }

    pub(crate) fn decode(method: &Method, reason: impl fmt::Display) -> Self {
        Self::Response(ResponseError::Decode {
            method: method.clone(),
            reason: reason.to_string(),
        })
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(error) => {
                write!(f, "the server returned an error: {error}")?;
                match self.required_capabilities() {
                    Some(required) => {
                        let names: Vec<&str> = required.keys().map(String::as_str).collect();
                        write!(f, "; give the client a handler for: {}", names.join(", "))
                    }
                    None => Ok(()),
                }
            }
            Self::Tool(result) => write!(f, "the tool failed: {}", text_of(result)),
            Self::TaskCancelled {
                id,
                message: Some(message),
            } => write!(f, "task {id} was cancelled: {message}"),
            Self::TaskCancelled { id, message: None } => write!(f, "task {id} was cancelled"),
            Self::Call(error) => error.fmt(f),
            Self::Response(error) => error.fmt(f),
            Self::Input(error) => error.fmt(f),
            Self::Version(error) => error.fmt(f),
            Self::Request(reason) => write!(f, "not sent: {reason}"),
        }
    }
}

impl fmt::Display for ResponseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Protocol { method, reason } => {
                write!(f, "invalid response to {}: {reason}", method.as_str())
            }
            Self::Decode { method, reason } => write!(
                f,
                "the result of {} cannot be decoded to the requested type: {reason}",
                method.as_str()
            ),
            Self::OutputSchema { tool, reason } => write!(
                f,
                "the output of tool {tool:?} does not match its outputSchema: {reason}; this client requires valid output"
            ),
            Self::ListTooLong { method, reason } => {
                write!(f, "the list of {} is too long: {reason}", method.as_str())
            }
            Self::TooManyRounds { limit } => write!(
                f,
                "the server asked for input more than {limit} times, the limit of this client"
            ),
        }
    }
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Undeclared { capability } => write!(
                f,
                "the server asked for {capability}, which this client has not declared; give the client a handler for it"
            ),
            Self::Handler { key, cause } => {
                write!(f, "the input {key:?} could not be provided: {cause}")
            }
        }
    }
}

impl fmt::Display for VersionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoneInCommon { ours, theirs } => write!(
                f,
                "no protocol version in common: this client supports {}, the server supports {}",
                join_versions(ours),
                join_versions(theirs)
            ),
            Self::NotModern(cause) => write!(
                f,
                "the server probably speaks a revision of MCP before 2026-07-28, which needs a handshake; its answer to server/discover: {cause}"
            ),
        }
    }
}

fn join_versions(versions: &[String]) -> String {
    if versions.is_empty() {
        "(none listed)".into()
    } else {
        versions.join(", ")
    }
}

impl std::error::Error for ClientError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Server(error) => Some(error),
            // `Display` prints the inner error, so the source is that of the inner error. Otherwise
            // a report of the whole chain would print the inner error twice.
            Self::Input(error) => error.source(),
            Self::Version(error) => error.source(),
            _ => None,
        }
    }
}

impl std::error::Error for ResponseError {}

impl std::error::Error for InputError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Handler { cause, .. } => Some(&***cause),
            Self::Undeclared { .. } => None,
        }
    }
}

impl std::error::Error for VersionError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NotModern(cause) => Some(cause),
            Self::NoneInCommon { .. } => None,
        }
    }
}

impl From<CallError> for ClientError {
    fn from(error: CallError) -> Self {
        Self::Call(error)
    }
}

impl From<ResponseError> for ClientError {
    fn from(error: ResponseError) -> Self {
        Self::Response(error)
    }
}

impl From<InputError> for ClientError {
    fn from(error: InputError) -> Self {
        Self::Input(error)
    }
}

impl From<VersionError> for ClientError {
    fn from(error: VersionError) -> Self {
        Self::Version(error)
    }
}
