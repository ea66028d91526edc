//! Why a call has no answer.
//!
//! An error that the server answers with is an [`Outcome::Error`](crate::Outcome). The errors here
//! happened on this side or on the connection, and cannot be mistaken for something that the other
//! side sent (`basic/index#error-codes`).

use crate::{Clipped, Printable, PrintableFmt};
use carryall_types::ErrorObject;
use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Any error of a layer.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a call has no answer.
#[derive(Clone, Debug)]
pub enum CallError {
    /// The request was not sent: no connection, no process. Retrying is safe.
    Unreachable(Arc<BoxError>),
    /// The connection broke after the request was sent. Whether it was executed is unknown.
    Broken(Arc<BoxError>),
    /// There was no answer within this time.
    Timeout(Duration),
    /// The other side answered with something that is not MCP: the HTTP status and the beginning of
    /// the body.
    NotMcp {
        /// HTTP status code.
        status: u16,
        /// The first bytes of the body, as text.
        body: String,
    },
    /// The other side violated the protocol.
    Malformed(String),
    /// The answer is larger than this side accepts, in bytes.
    TooLarge(usize),
    /// This side refused to send the request.
    Refused(String),
    /// The server refused the handshake that requests need (`initialize` of earlier revisions) with
    /// this error. The request was not sent.
    HandshakeRefused(ErrorObject),
    /// This side has reached one of its limits, which the text names. The request was not sent;
    /// retrying later is safe.
    Busy(String),
    /// A layer failed.
    Layer(Arc<BoxError>),
}

impl CallError {
    /// Creates a [`CallError::Unreachable`].
    pub fn unreachable(error: impl Into<BoxError>) -> Self {
        Self::Unreachable(Arc::new(error.into()))
    }

    /// Creates a [`CallError::Broken`].
    pub fn broken(error: impl Into<BoxError>) -> Self {
        Self::Broken(Arc::new(error.into()))
    }

    /// Whether the request is known not to have been executed.
    #[must_use]
    pub fn is_unsent(&self) -> bool {
        matches!(
            self,
            Self::Unreachable(_) | Self::Refused(_) | Self::HandshakeRefused(_) | Self::Busy(_)
        )
    }
}

/// Text of the other side is displayed up to this many characters.
const MAX_SHOWN: usize = 1000;

fn shown(text: &str) -> Clipped<'_> {
    Printable(text).clipped(MAX_SHOWN)
}

/// Formats the error on one line, with text of the other side as [`Printable`].
impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(cause) => {
                write!(
                    f,
                    "cannot reach the server: {}",
                    PrintableFmt(ErrorChain(cause))
                )
            }
            Self::Broken(cause) => write!(
                f,
                "the connection broke before the answer: {}",
                PrintableFmt(ErrorChain(cause))
            ),
            Self::Timeout(limit) => write!(f, "no answer within {limit:?}"),
            Self::NotMcp { status: 401, body } => {
                write!(
                    f,
                    "HTTP 401, the server wants credentials{}",
                    BodyDetails(body)
                )
            }
            Self::NotMcp { status: 403, body } => {
                write!(
                    f,
                    "HTTP 403, the server refuses access{}",
                    BodyDetails(body)
                )
            }
            Self::NotMcp { status, body } if body.is_empty() => {
                write!(
                    f,
                    "HTTP {status} with an empty body: this does not look like an MCP endpoint"
                )
            }
            Self::NotMcp { status, body } => {
                write!(f, "HTTP {status}, not an MCP answer: {}", shown(body))
            }
            Self::Malformed(what) => write!(f, "the server broke the protocol: {}", shown(what)),
            Self::TooLarge(limit) => write!(f, "the answer is larger than {limit} bytes"),
            Self::Refused(why) => write!(f, "not sent: {}", shown(why)),
            Self::HandshakeRefused(error) => {
                write!(
                    f,
                    "the server refuses initialize: {} ({})",
                    shown(&error.message),
                    error.code
                )
            }
            Self::Busy(why) => write!(f, "not sent, try again later: {}", shown(why)),
            Self::Layer(cause) => write!(f, "{}", PrintableFmt(ErrorChain(cause))),
        }
    }
}

impl std::error::Error for CallError {}

impl From<Infallible> for CallError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

impl From<BoxError> for CallError {
    fn from(error: BoxError) -> Self {
        match error.downcast::<Self>() {
            Ok(error) => *error,
            Err(error) => Self::Layer(Arc::new(error)),
        }
    }
}

/// The body of a response after a colon, if it is not empty.
struct BodyDetails<'a>(&'a str);

impl fmt::Display for BodyDetails<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            Ok(())
        } else {
            write!(f, ": {}", shown(self.0))
        }
    }
}

/// An error with its causes on one line. The outermost error alone ("error sending request") rarely
/// helps.
struct ErrorChain<'a>(&'a BoxError);

impl fmt::Display for ErrorChain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = self.0.to_string();
        f.write_str(&shown)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            let text = error.to_string();
            if !shown.contains(&text) {
                write!(f, ": {text}")?;
                shown = text;
            }
            cause = error.source();
        }
        Ok(())
    }
}
