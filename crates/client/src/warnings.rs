//! Warnings about responses that are malformed in part and were used nevertheless.

use carryall_proto::Printable;
use carryall_types::Method;
use std::fmt;
use std::sync::Arc;

/// The warnings reported for one response; further ones are counted.
const MAX_WARNINGS: usize = 8;
/// The characters kept of a reason, which may quote the server.
const MAX_REASON: usize = 300;

/// A callback for warnings.
pub(crate) type OnWarning = Arc<dyn Fn(&ResponseWarning) + Send + Sync>;

/// A defect of a response that did not keep the client from using the rest; see
/// [`CallOptions::on_warning`](crate::CallOptions::on_warning). Its text contains no terminal
/// control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResponseWarning {
    /// A malformed part was left out: an entry of a list, a content block, or an optional member of
    /// one.
    #[non_exhaustive]
    LeftOut {
        /// The method of the request.
        method: Method,
        /// The part, for example `tools[3] "sum"`.
        part: String,
        /// The defect.
        reason: String,
    },
    /// The structured content of a tool does not match its output schema, or the schema cannot be
    /// used. The result was kept, because the call has been executed.
    #[non_exhaustive]
    OutputSchema {
        /// The name of the tool.
        tool: String,
        /// The mismatch, or the defect of the schema.
        reason: String,
    },
    /// The pages of a list form a loop. The list was ended where it starts again.
    #[non_exhaustive]
    PageLoop {
        /// The method that lists.
        method: Method,
        /// The cursor that was received twice.
        cursor: String,
    },
    /// Further warnings about the response were suppressed after the first eight.
    #[non_exhaustive]
    Suppressed {
        /// The method of the request.
        method: Method,
        /// The number of suppressed warnings.
        count: usize,
    },
}

impl fmt::Display for ResponseWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LeftOut {
                method,
                part,
                reason,
            } => {
                write!(
                    f,
                    "malformed part of the {} response left out: {part}: {reason}",
                    method.as_str()
                )
            }
            Self::OutputSchema { tool, reason } => {
                write!(
                    f,
                    "the output of tool \"{tool}\" does not match its outputSchema: {reason}"
                )
            }
            Self::PageLoop { method, cursor } => {
                write!(
                    f,
                    "the pages of {} form a loop: cursor \"{cursor}\" was received twice",
                    method.as_str()
                )
            }
            Self::Suppressed { method, count } => write!(
                f,
                "{count} more warnings about the {} response",
                method.as_str()
            ),
        }
    }
}

/// Collects the warnings about one response.
#[derive(Debug, Default)]
pub struct Warnings {
    first: Vec<ResponseWarning>,
    suppressed: usize,
}

impl Warnings {
    pub(crate) fn add(&mut self, warning: ResponseWarning) {
        if self.first.len() < MAX_WARNINGS {
            self.first.push(warning)
        } else {
            self.suppressed += 1
        }
    }

    pub(crate) fn left_out(&mut self, method: &Method, part: String, reason: impl fmt::Display) {
        self.add(ResponseWarning::LeftOut {
            method: method.clone(),
            part,
            reason: printable(&reason.to_string()),
        });
    }

    /// Logs the warnings and passes them to the callback. Those about a cached response were logged
    /// when it was received.
    pub(crate) fn report(self, method: &Method, callback: Option<&OnWarning>, cached: bool) {
        let suppressed = (self.suppressed > 0).then(|| ResponseWarning::Suppressed {
            method: method.clone(),
            count: self.suppressed,
        });
        for warning in self.first.into_iter().chain(suppressed) {
            if !cached {
                tracing::warn!("{warning}");
            }
            if let Some(callback) = callback {
                callback(&warning);
            }
        }
    }
}

/// Returns text of the server without control characters, clipped to `MAX_REASON`.
pub(crate) fn printable(text: &str) -> String {
    Printable(text).clipped(MAX_REASON).to_string()
}
