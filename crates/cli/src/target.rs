//! TARGET: the server that a command talks to.

mod resolve;

pub(crate) use resolve::resolve;

use crate::error::TargetKind;
use std::path::PathBuf;

/// A server and how to reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ServerTarget {
    /// Streamable HTTP, or an earlier HTTP transport.
    Http {
        url: String,
        /// Headers from the configuration. Those of the command line take precedence.
        headers: Vec<(String, String)>,
    },
    /// A child process, on its standard streams.
    Stdio(StdioCommand),
    /// The stdio framing on a Unix socket.
    Unix(PathBuf),
}

impl ServerTarget {
    pub(crate) fn kind(&self) -> TargetKind {
        match self {
            Self::Http { .. } => TargetKind::Http,
            Self::Stdio(_) => TargetKind::Stdio,
            Self::Unix(_) => TargetKind::Unix,
        }
    }

    /// Returns a short name of the server for messages.
    pub(crate) fn label(&self) -> String {
        match self {
            Self::Http { url, .. } => url.clone(),
            // Without the arguments, which often contain secrets.
            Self::Stdio(command) => format!("`{}`", command.program),
            Self::Unix(path) => format!("unix:{}", path.display()),
        }
    }
}

/// The command that starts a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct StdioCommand {
    pub(crate) program: String,
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) cwd: Option<PathBuf>,
}

impl StdioCommand {
    /// Creates a command from a program and its arguments; `None` without a program.
    pub(crate) fn from_words(words: Vec<String>) -> Option<Self> {
        let mut words = words.into_iter();
        Some(Self {
            program: words.next()?,
            args: words.collect(),
            ..Self::default()
        })
    }
}

/// A target, and how it was named on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ResolvedTarget {
    pub(crate) target: ServerTarget,
    /// TARGET as it was typed; `None` if a command after `--` takes its place.
    pub(crate) typed: Option<String>,
}
