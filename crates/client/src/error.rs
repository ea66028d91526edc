//! Why a request of the client has no result, by whose fault it is.

use carryall_proto::{BoxError, CallError};
use carryall_types::{CallToolResult, ErrorObject, JsonObject, Method, code};
use std::fmt;
use std::sync::Arc;

/// Why a request has no result.
///
/// What the server said ([`Server`](Self::Server), [`Tool`](Self::Tool)) is never mixed up with
/// what happened on this side or on the way (`basic/index#error-codes`).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ClientError {
    /// The server answered with a JSON-RPC error.
    Server(ErrorObject),
    /// A tool was executed and failed by its own account (`isError`); only typed calls turn that
    /// into an error. Its content is meant for the model (`server/tools#error-handling`).
    Tool(Box<CallToolResult>),
    /// There is no answer: unreachable, broken, timed out, not MCP.
    Call(CallError),
    /// The server answered with something that this revision does not allow there.
    Protocol {
        /// The method that was asked.
        method: Method,
        /// What is wrong with the answer.
        why: String,
    },
    /// The result does not have the shape asked for.
    Decode {
        /// The method that was asked.
        method: Method,
        /// Where it differs.
        why: String,
    },
    /// The structured content of a tool does not match the output schema that the tool has
    /// declared, or that schema cannot be used; only for clients that refuse such results
    /// ([`ClientBuilder::require_valid_output`](crate::ClientBuilder::require_valid_output)).
    Schema {
        /// The tool.
        tool: String,
        /// What differs, or what is wrong with the schema.
        why: String,
    },
    /// The server and this client have no protocol version in common.
    Versions {
        /// What this client speaks.
        ours: Vec<String>,
        /// What the server says it speaks.
        theirs: Vec<String>,
    },
    /// The server asked for an input that this client has not declared.
    Unsupported {
        /// The capability that it would take, for example `elicitation.url`.
        capability: String,
    },
    /// The task that the call had become was cancelled.
    TaskCancelled {
        /// Its name.
        id: String,
        /// What the server says about it.
        message: Option<String>,
    },
    /// The server asked for input again and again.
    Rounds {
        /// How many rounds were allowed.
        limit: usize,
    },
    /// A handler of this client could not provide an input.
    Input {
        /// The key of the request for input.
        key: String,
        /// What the handler reported.
        cause: Arc<BoxError>,
    },
    /// The pages of a list do not come to an end.
    Pages {
        /// The list that was asked for.
        method: Method,
        /// What happened.
        why: String,
    },
    /// The server does not answer `server/discover` as a server of this revision does: it probably
    /// speaks an earlier one.
    NotModern(Box<ClientError>),
    /// The request was not sent, because it makes no sense.
    Request(String),
}

impl ClientError {
    /// The error that the server answered with, if it did.
    #[must_use]
    pub fn server(&self) -> Option<&ErrorObject> {
        match self {
            Self::Server(error) => Some(error),
            _ => None,
        }
    }

    /// The code of the server's error.
    #[must_use]
    pub fn code(&self) -> Option<i64> {
        self.server().map(|error| error.code)
    }

    /// Whether the server does not have the resource. Servers of earlier revisions say so with
    /// `-32002`, the only code of that range with a meaning (`basic/index#error-codes`); this
    /// revision says `-32602` with the URI in `data`.
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

    /// Whether the server does not know the method.
    #[must_use]
    pub fn is_method_not_found(&self) -> bool {
        self.code() == Some(code::METHOD_NOT_FOUND)
    }

    /// Whether the server found fault with the parameters.
    #[must_use]
    pub fn is_invalid_params(&self) -> bool {
        self.code() == Some(code::INVALID_PARAMS)
    }

    /// Whether no answer came within the time allowed.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::Call(CallError::Timeout(_)))
    }

    /// Whether the server is known not to have executed the request, so that sending it again is
    /// safe.
    #[must_use]
    pub fn is_unsent(&self) -> bool {
        match self {
            Self::Call(error) => error.is_unsent(),
            Self::Request(_) => true,
            _ => false,
        }
    }

    /// The capabilities that the server demands with `-32021`, for example `{"sampling": {}}`.
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

    pub(crate) fn protocol(method: &Method, why: impl Into<String>) -> Self {
        Self::Protocol {
            method: method.clone(),
            why: why.into(),
        }
    }

    pub(crate) fn decode(method: &Method, why: impl fmt::Display) -> Self {
        Self::Decode {
            method: method.clone(),
            why: why.to_string(),
        }
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(error) => {
                write!(f, "the server refused: {error}")?;
                match self.required_capabilities() {
                    Some(required) => {
                        let names: Vec<&str> = required.keys().map(String::as_str).collect();
                        write!(f, "; give the client a handler for: {}", names.join(", "))
                    }
                    None => Ok(()),
                }
            }
            Self::Tool(result) => write!(f, "the tool failed: {}", crate::value::text_of(result)),
            Self::Call(error) => error.fmt(f),
            Self::Protocol { method, why } => {
                write!(
                    f,
                    "the server broke the protocol answering {}: {why}",
                    method.as_str()
                )
            }
            Self::Decode { method, why } => {
                write!(
                    f,
                    "the result of {} is not of the type asked for: {why}",
                    method.as_str()
                )
            }
            Self::Schema { tool, why } => write!(
                f,
                "the output of tool {tool:?} does not match its outputSchema: {why}; this client was told to refuse such results"
            ),
            Self::Versions { ours, theirs } => write!(
                f,
                "no protocol version in common: this client speaks {}, the server {}",
                list(ours),
                list(theirs)
            ),
            Self::Unsupported { capability } => write!(
                f,
                "the server asked for {capability}, which this client has not declared; give the client a handler for it"
            ),
            Self::TaskCancelled {
                id,
                message: Some(message),
            } => write!(f, "the task {id} was cancelled: {message}"),
            Self::TaskCancelled { id, message: None } => write!(f, "the task {id} was cancelled"),
            Self::Rounds { limit } => write!(
                f,
                "the server asked for input more than {limit} times, the limit of this client, without coming to a result"
            ),
            Self::Input { key, cause } => {
                write!(f, "the input {key:?} could not be provided: {cause}")
            }
            Self::Pages { method, why } => {
                write!(f, "the pages of {} do not end: {why}", method.as_str())
            }
            Self::NotModern(cause) => write!(
                f,
                "the server probably speaks a revision of MCP before 2026-07-28, which needs a handshake; to server/discover it said: {cause}"
            ),
            Self::Request(why) => write!(f, "not sent: {why}"),
        }
    }
}

fn list(versions: &[String]) -> String {
    if versions.is_empty() {
        "none that it names".into()
    } else {
        versions.join(", ")
    }
}

impl std::error::Error for ClientError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Server(error) => Some(error),
            Self::Input { cause, .. } => Some(&***cause),
            Self::NotModern(cause) => Some(cause),
            _ => None,
        }
    }
}

impl From<CallError> for ClientError {
    fn from(error: CallError) -> Self {
        Self::Call(error)
    }
}
