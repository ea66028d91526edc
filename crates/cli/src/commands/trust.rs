//! `carryall trust`: approves configuration files of projects.

use crate::fail::{Exit, Fail};
use crate::mcp_json::{ConfigFile, ConfigPaths};
use crate::screen::{Format, Output, OutputOptions};
use crate::text;
use crate::trust;
use std::io;
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
A .mcp.json, mcp.json, .vscode/mcp.json or .cursor/mcp.json of the working directory may come from anybody. The
servers it names are used only after the file was approved, here or when you are asked. An approval holds for
the file as it is: after a change it has to be approved again.

Examples:
  carryall trust                     approves those of this directory
  carryall trust .mcp.json
  carryall trust --list
  carryall trust --revoke .mcp.json";

/// Approve the configuration files of a project
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Trust {
    /// The files to approve; without any, those of this directory
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Withdraw the approval instead
    #[arg(long)]
    revoke: bool,
    /// List the files that are approved
    #[arg(long, conflicts_with_all = ["revoke", "files"])]
    list: bool,
    #[command(flatten)]
    pub(crate) screen: OutputOptions,
}

impl Trust {
    pub(crate) fn run(self) -> Result<Exit, Fail> {
        let screen = Output::new(self.screen);
        let paths = ConfigPaths::of_process(None);
        if self.list {
            let approved = paths.approvals.paths();
            match screen.format {
                Format::Json => screen.json(&serde_json::json!({ "approved": approved }))?,
                Format::Human => {
                    let lines: Vec<String> = approved.iter().map(|path| text::line(path)).collect();
                    screen.print(&lines.join("\n"))?;
                }
            }
            return Ok(Exit::Ok);
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
                Fail::usage("this directory has no configuration files of a project")
                    .hint("name the file: carryall trust FILE"),
            );
        }
        for path in &files {
            let cannot = |error: io::Error| cannot_remember(path, &error);
            if self.revoke {
                let had = paths.approvals.revoke(path).map_err(cannot)?;
                let what = if had {
                    "is not approved any more"
                } else {
                    "was not approved"
                };
                screen.note(&format!("{} {what}.", path.display()));
                continue;
            }
            let file = ConfigFile::read(path).map_err(|error| {
                Fail::usage(format!("{}: {error}", path.display())).hint("nothing was approved")
            })?;
            paths.approvals.approve(&file).map_err(cannot)?;
            screen.note(&format!("{} is approved as it is now:", path.display()));
            for line in trust::summary(&file, None) {
                screen.note(&format!("  {line}"));
            }
        }
        Ok(Exit::Ok)
    }
}

fn cannot_remember(path: &Path, error: &io::Error) -> Fail {
    Fail::new(
        Exit::Local,
        format!(
            "{}: the approval cannot be remembered: {error}",
            path.display()
        ),
    )
}
