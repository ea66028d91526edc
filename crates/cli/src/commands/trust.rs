//! `carryall trust`: approves project configuration files.

use crate::config::{self, ConfigFile, ConfigPaths};
use crate::error::CliError;
use crate::exit::ExitStatus;
use crate::output::{Output, OutputFormat, OutputOptions, text};
use std::io;
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
A .mcp.json, mcp.json, .vscode/mcp.json or .cursor/mcp.json in the working directory may come from anybody. Its \
servers are used only once the file is approved, with this command or at a prompt. An approval holds for the \
current content: after a change the file has to be approved again.

Examples:
  carryall trust                     approves the files of this directory
  carryall trust .mcp.json
  carryall trust --list
  carryall trust --revoke .mcp.json";

/// Approve the configuration files of a project
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct TrustCommand {
    /// Files to approve [default: those of this directory]
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Withdraw the approval instead
    #[arg(long)]
    revoke: bool,
    /// List the approved files
    #[arg(long, conflicts_with_all = ["revoke", "files"])]
    list: bool,
    #[command(flatten)]
    pub(crate) output: OutputOptions,
}

impl TrustCommand {
    pub(crate) fn run(self) -> Result<ExitStatus, CliError> {
        let output = Output::new(self.output);
        let paths = ConfigPaths::of_process(None);
        if self.list {
            let approved = paths.approvals.paths();
            match output.format {
                OutputFormat::Json => output.json(&serde_json::json!({ "approved": approved }))?,
                OutputFormat::Human => {
                    let lines: Vec<String> =
                        approved.iter().map(|path| text::one_line(path)).collect();
                    output.print(&lines.join("\n"))?;
                }
            }
            return Ok(ExitStatus::Ok);
        }
        let files = if self.files.is_empty() {
            paths
                .project
                .iter()
                .filter(|path| path.exists())
                .cloned()
                .collect()
        } else {
            self.files
        };
        if files.is_empty() {
            return Err(
                CliError::usage("this directory has no project configuration files")
                    .hint("name a file: carryall trust FILE"),
            );
        }
        for path in &files {
            let failed = |error: io::Error| store_error(path, &error);
            if self.revoke {
                let revoked = paths.approvals.revoke(path).map_err(failed)?;
                let state = if revoked {
                    "is no longer approved"
                } else {
                    "was not approved"
                };
                output.note(&format!("{} {state}.", path.display()));
                continue;
            }
            let file = ConfigFile::read(path).map_err(|error| {
                CliError::usage(format!("{}: {error}", path.display()))
                    .hint("the file was not approved")
            })?;
            paths.approvals.approve(&file).map_err(failed)?;
            output.note(&format!("{} is approved as it is now:", path.display()));
            for line in config::summary(&file, None) {
                output.note(&format!("  {line}"));
            }
        }
        Ok(ExitStatus::Ok)
    }
}

fn store_error(path: &Path, error: &io::Error) -> CliError {
    CliError::local(format!(
        "{}: cannot store the approval: {error}",
        path.display()
    ))
}
