//! What clients and the log are told of errors that handlers did not expect.

use super::handler_error::Disclosure;
use carryall_proto::Principal;
use carryall_types::Method;
use std::error::Error;
use std::fmt;
use std::sync::Arc;
use tracing::Level;

/// A call whose handler returned an error by `?`; see
/// [`ServerBuilder::on_error`](crate::ServerBuilder::on_error).
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct FailedCall<'a> {
    /// The error that the handler returned.
    pub error: &'a (dyn Error + Send + Sync + 'static),
    /// The method of the call, `tools/call` for example.
    pub method: &'a Method,
    /// The tool, prompt or resource that the call names, as the client wrote it.
    pub name: &'a str,
    /// The authenticated caller.
    pub principal: Option<&'a Principal>,
}

impl FailedCall<'_> {
    /// Whether the handler is that of a tool, so that a model reads the answer.
    #[must_use]
    pub fn is_tool(&self) -> bool {
        *self.method == Method::ToolsCall
    }
}

/// What becomes of an error: what the client is told, and how it is logged.
///
/// A [`Disclosure`] becomes one with `into`, logged at `warn` level.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct ErrorAction {
    pub(crate) disclosure: Disclosure,
    pub(crate) level: Option<Level>,
}

impl ErrorAction {
    /// Tells the client this much, and logs the error at `warn` level.
    pub fn new(disclosure: Disclosure) -> Self {
        Self {
            disclosure,
            level: Some(Level::WARN),
        }
    }

    /// Logs the error at this level instead.
    pub fn log_at(mut self, level: Level) -> Self {
        self.level = Some(level);
        self
    }

    /// Does not log the error: the policy has done so itself, for example.
    pub fn without_log(mut self) -> Self {
        self.level = None;
        self
    }
}

impl From<Disclosure> for ErrorAction {
    fn from(disclosure: Disclosure) -> Self {
        Self::new(disclosure)
    }
}

type PolicyFn = dyn Fn(&FailedCall<'_>) -> ErrorAction + Send + Sync;

/// The policy of a server.
#[derive(Clone, Default)]
pub(crate) enum ErrorPolicy {
    /// Models read messages; the clients of other handlers do not.
    #[default]
    Standard,
    /// Nobody reads messages; references lead to the log.
    Masked,
    Custom(Arc<PolicyFn>),
}

impl ErrorPolicy {
    pub(crate) fn decide(&self, failed: &FailedCall<'_>) -> ErrorAction {
        match self {
            Self::Standard if failed.is_tool() => Disclosure::Message.into(),
            Self::Standard => Disclosure::Generic.into(),
            Self::Masked => Disclosure::Reference.into(),
            Self::Custom(decide) => decide(failed),
        }
    }
}

impl fmt::Debug for ErrorPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Standard => "Standard",
            Self::Masked => "Masked",
            Self::Custom(_) => "Custom",
        })
    }
}
