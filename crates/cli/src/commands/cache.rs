//! `carryall cache`: the cache of detected eras.

use crate::era;
use crate::error::CliError;
use crate::exit::ExitStatus;
use crate::output::{Output, OutputFormat, OutputOptions, render};
use serde_json::{Value, json};
use std::io;
use std::path::Path;

const ABOUT: &str = "\
The revision of the protocol that a server speaks is detected once and cached for seven days, in eras.json in the \
user's cache directory. With --era modern and --era legacy the cache is neither read nor written. An entry that \
proves wrong is dropped.";

/// Show or clear the cache of server eras
#[derive(Debug, clap::Args)]
#[command(after_help = ABOUT, arg_required_else_help = true, disable_help_subcommand = true)]
pub(crate) struct CacheCommand {
    #[command(subcommand)]
    action: CacheAction,
}

#[derive(Debug, clap::Subcommand)]
enum CacheAction {
    /// Show all entries
    Show {
        #[command(flatten)]
        output: OutputOptions,
    },
    /// Remove all entries
    Clear {
        #[command(flatten)]
        output: OutputOptions,
    },
}

impl CacheCommand {
    /// Returns the output options of the command.
    pub(crate) fn output(&self) -> OutputOptions {
        let (CacheAction::Show { output } | CacheAction::Clear { output }) = &self.action;
        *output
    }

    pub(crate) fn run(&self) -> Result<ExitStatus, CliError> {
        let output = Output::new(self.output());
        let Some(file) = era::cache_file() else {
            return Err(CliError::local(
                "there is no cache directory: HOME and XDG_CACHE_HOME are not set",
            ));
        };
        match &self.action {
            CacheAction::Show { .. } => show(&file, output),
            CacheAction::Clear { .. } => clear(&file, output),
        }
    }
}

fn show(file: &Path, output: Output) -> Result<ExitStatus, CliError> {
    let cached: Value = match std::fs::read(file) {
        Ok(text) => serde_json::from_slice(&text).unwrap_or_default(),
        Err(error) if is_absent(&error) => Value::Null,
        Err(error) => {
            return Err(CliError::local(format!(
                "cannot read {}: {error}",
                file.display()
            )));
        }
    };
    let servers = cached
        .get("servers")
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    if output.format == OutputFormat::Json {
        output.json(&json!({"file": file.display().to_string(), "servers": servers}))?;
        return Ok(ExitStatus::Ok);
    }
    if servers.is_empty() {
        output.note(&format!("{} has no entries.", file.display()));
        return Ok(ExitStatus::Ok);
    }
    let text_of =
        |entry: &Value, member: &str| entry[member].as_str().unwrap_or_default().to_owned();
    let rows = servers
        .into_iter()
        .map(|(server, entry)| [server, text_of(&entry, "version"), text_of(&entry, "why")]);
    output.print(&render::table(&output, ["SERVER", "VERSION", "WHY"], rows))?;
    Ok(ExitStatus::Ok)
}

fn clear(file: &Path, output: Output) -> Result<ExitStatus, CliError> {
    match std::fs::remove_file(file) {
        Ok(()) => output.note(&format!("Removed {}.", file.display())),
        Err(error) if is_absent(&error) => output.note("The cache is empty."),
        Err(error) => {
            return Err(CliError::local(format!(
                "cannot remove {}: {error}",
                file.display()
            )));
        }
    }
    Ok(ExitStatus::Ok)
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}
