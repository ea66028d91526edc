//! One configured server.

use super::variables::{ConfigVariables, VariableSyntax};
use crate::shell;
use crate::target::{ServerTarget, StdioCommand};
use serde_json::Value;
use std::path::PathBuf;

/// A server as its file spells it: no variable has been expanded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServerConfig {
    pub(crate) name: String,
    pub(crate) endpoint: ConfiguredEndpoint,
    /// Whether the file disables the server (`disabled`, `enabled`).
    pub(crate) disabled: bool,
    /// `era`, which only `carryall up` reads. Any JSON value.
    pub(crate) era: Option<Value>,
    /// `sessions`, which only `carryall up` reads. Any JSON value.
    pub(crate) sessions: Option<Value>,
    pub(super) syntax: VariableSyntax,
}

/// How a configured server is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ConfiguredEndpoint {
    /// A command that speaks MCP on its standard streams.
    Command {
        program: String,
        args: Vec<String>,
        env: Vec<(String, String)>,
        cwd: Option<String>,
    },
    /// A URL. Its transport is detected when it is called, whatever `type` says.
    Url {
        url: String,
        headers: Vec<(String, String)>,
    },
}

impl ServerConfig {
    /// Returns the server with its variables expanded.
    ///
    /// # Errors
    /// A variable that is not set, or a URL that is neither `http` nor `https`.
    pub(crate) fn target(&self, variables: &ConfigVariables) -> Result<ServerTarget, String> {
        let expand = |text: &str| variables.expand(text, self.syntax);
        let expand_values = |pairs: &[(String, String)]| {
            pairs
                .iter()
                .map(|(name, value)| Ok((name.clone(), expand(value)?)))
                .collect::<Result<Vec<_>, String>>()
        };
        match &self.endpoint {
            ConfiguredEndpoint::Command {
                program,
                args,
                env,
                cwd,
            } => Ok(ServerTarget::Stdio(StdioCommand {
                program: expand(program)?,
                args: args
                    .iter()
                    .map(|arg| expand(arg))
                    .collect::<Result<_, _>>()?,
                env: expand_values(env)?,
                cwd: cwd.as_deref().map(expand).transpose()?.map(PathBuf::from),
            })),
            ConfiguredEndpoint::Url { url, headers } => {
                let url = expand(url)?;
                if !(url.starts_with("http://") || url.starts_with("https://")) {
                    return Err(format!("its url {url:?} is neither http:// nor https://"));
                }
                Ok(ServerTarget::Http {
                    url,
                    headers: expand_values(headers)?,
                })
            }
        }
    }

    /// Describes on one line what would be run or called, with variables as they are written.
    /// Values of `env` and `headers` are left out, since they often are secrets; the names of the
    /// variables that they expand are not.
    pub(crate) fn summary(&self) -> String {
        let (action, pairs, title) = match &self.endpoint {
            ConfiguredEndpoint::Command {
                program,
                args,
                env,
                cwd,
            } => {
                let words: Vec<String> = std::iter::once(program)
                    .chain(args)
                    .map(|word| shell::quote(word))
                    .collect();
                let directory = cwd
                    .as_ref()
                    .map(|directory| format!(" in {directory}"))
                    .unwrap_or_default();
                (
                    format!("runs {}{directory}", words.join(" ")),
                    env,
                    "environment",
                )
            }
            ConfiguredEndpoint::Url { url, headers } => {
                (format!("calls {url}"), headers, "headers")
            }
        };
        let mut summary = format!("{}: {action}", self.name);
        if !pairs.is_empty() {
            let names: Vec<String> = pairs
                .iter()
                .map(
                    |(name, value)| match self.syntax.references(value).as_slice() {
                        [] => name.clone(),
                        variables => format!("{name} (from {})", variables.join(", ")),
                    },
                )
                .collect();
            summary += &format!("; {title}: {}", names.join(", "));
        }
        if self.disabled {
            summary += " (disabled)";
        }
        summary
    }
}
