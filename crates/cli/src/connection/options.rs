//! Options of every command that talks to a server.

use super::client_features::ClientFeatures;
use crate::config::ConfigPaths;
use crate::duration;
use crate::era::EraOption;
use crate::error::CliError;
use crate::output::{Output, OutputOptions};
use crate::target::{self, ResolvedTarget};
use carryall::types::{JsonObject, JsonValue};
use std::path::PathBuf;
use std::time::Duration;

/// Options of every command that talks to a server.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Server options")]
pub(crate) struct ConnectOptions {
    /// Look names up only in this configuration file
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Send this HTTP header with every request (repeatable)
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    pub(crate) headers: Vec<String>,
    /// Set an environment variable for the server command; without a value it is passed on
    /// (repeatable)
    #[arg(short = 'e', long = "env", value_name = "NAME[=VALUE]")]
    pub(crate) env: Vec<String>,
    /// Protocol era of the server
    #[arg(long, value_name = "ERA", value_enum, default_value_t)]
    pub(crate) era: EraOption,
    /// Timeout of a request; progress notifications reset it, for up to ten minutes
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration::parse)]
    pub(crate) timeout: Duration,
    /// Add a member to _meta of every request; a VALUE that is not JSON is text (repeatable)
    #[arg(long = "meta", value_name = "KEY=VALUE")]
    pub(crate) meta: Vec<String>,
    /// Least severe level of log messages to request; they are shown on standard error
    #[arg(long, value_name = "LEVEL", default_value = "info",
          value_parser = ["off", "debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"])]
    pub(crate) log_level: String,
    #[command(flatten)]
    pub(crate) features: ClientFeatures,
    #[command(flatten)]
    pub(crate) output: OutputOptions,
}

impl ConnectOptions {
    /// Separates TARGET from the words after it ([`target::resolve`]).
    pub(crate) fn resolve(
        &self,
        target: Option<String>,
        rest: Vec<String>,
        command: Vec<String>,
    ) -> Result<(ResolvedTarget, Vec<String>), CliError> {
        let paths = ConfigPaths::of_process(self.config.clone());
        target::resolve(target, rest, command, &paths, Output::new(self.output))
    }

    /// Parses `--meta`.
    pub(super) fn parse_meta(&self) -> Result<JsonObject, CliError> {
        let member = |member: &String| {
            let (key, value) = member.split_once('=').ok_or_else(|| {
                CliError::usage(format!("--meta {member:?} has no value"))
                    .hint("write --meta KEY=VALUE, for example --meta com.example/run=7")
            })?;
            let value: JsonValue = serde_json::from_str(value).unwrap_or_else(|_| value.into());
            Ok((key.to_owned(), value))
        };
        self.meta.iter().map(member).collect()
    }

    /// Parses `--header`.
    pub(super) fn parse_headers(&self) -> Result<Vec<(String, String)>, CliError> {
        let header = |header: &String| match header.split_once(':') {
            Some((name, value)) => Ok((name.trim().to_owned(), value.trim().to_owned())),
            None => Err(CliError::usage(format!("--header {header:?} has no colon"))
                .hint("write --header 'NAME: VALUE'")),
        };
        self.headers.iter().map(header).collect()
    }
}
