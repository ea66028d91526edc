//! What is wrong with an answer that can be used nevertheless.

use crate::options::CallOptions;
use carryall_proto::Printable;
use carryall_types::Method;
use std::fmt;

/// So many warnings are given about one answer; the others are counted.
const MAX_WARNINGS: usize = 8;
/// How many characters of a reason are kept: it may quote the server.
const MAX_REASON: usize = 300;

/// Something in a server's answer that is not as the specification wants it, and that did not keep
/// the client from using the rest: see [`CallOptions::on_warning`]. Its text shows nothing of the
/// server's that a terminal would obey.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResponseWarning {
    /// A malformed part was left out: an entry of a list, a block of content, or an optional member
    /// of one.
    LeftOut {
        /// The method that was asked.
        method: Method,
        /// Which part, for example `tools[3] "sum"`.
        part: String,
        /// What is wrong with it.
        why: String,
    },
    /// The structured content of a tool does not match the output schema that the tool declares, or
    /// that schema cannot be used. The result was kept: the call has been executed.
    OutputSchema {
        /// The tool.
        tool: String,
        /// What differs, or what is wrong with the schema.
        why: String,
    },
    /// The pages of a list go round in a circle. The list was ended where it began again.
    Circle {
        /// The list that was asked for.
        method: Method,
        /// The cursor that came a second time.
        cursor: String,
    },
    /// There is more to warn of in this answer, eight warnings having been given.
    More {
        /// The method that was asked.
        method: Method,
        /// How many more.
        count: usize,
    },
}

impl fmt::Display for ResponseWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LeftOut { method, part, why } => {
                write!(
                    f,
                    "the answer to {} has a malformed part, which was left out: {part}: {why}",
                    method.as_str()
                )
            }
            Self::OutputSchema { tool, why } => {
                write!(
                    f,
                    "the output of tool \"{tool}\" does not match its outputSchema: {why}"
                )
            }
            Self::Circle { method, cursor } => {
                write!(
                    f,
                    "the pages of {} go round in a circle: the cursor \"{cursor}\" came twice",
                    method.as_str()
                )
            }
            Self::More { method, count } => write!(
                f,
                "{count} more warnings about the answer to {}",
                method.as_str()
            ),
        }
    }
}

/// The warnings about one answer.
#[derive(Debug, Default)]
pub struct Warnings {
    given: Vec<ResponseWarning>,
    more: usize,
}

impl Warnings {
    pub(crate) fn add(&mut self, warning: ResponseWarning) {
        if self.given.len() < MAX_WARNINGS {
            self.given.push(warning)
        } else {
            self.more += 1
        }
    }

    pub(crate) fn left_out(&mut self, method: &Method, part: String, why: impl fmt::Display) {
        self.add(ResponseWarning::LeftOut {
            method: method.clone(),
            part,
            why: printable(&why.to_string()),
        });
    }

    /// Logs them and hands them to the callback. An answer out of the cache was logged when it
    /// came.
    pub(crate) fn report(self, method: &Method, options: &CallOptions, cached: bool) {
        let more = (self.more > 0).then(|| ResponseWarning::More {
            method: method.clone(),
            count: self.more,
        });
        for warning in self.given.into_iter().chain(more) {
            if !cached {
                tracing::warn!("{warning}");
            }
            if let Some(callback) = &options.on_warning {
                callback(&warning);
            }
        }
    }
}

/// A server's text, cut and without anything that a terminal would obey.
pub(crate) fn printable(text: &str) -> String {
    Printable(text).clipped(MAX_REASON).to_string()
}
