//! Asks the user to approve a project file.

use super::approvals::{ApprovalStatus, ApprovalStore};
use super::file::ConfigFile;
use super::server::ServerConfig;
use crate::error::CliError;
use crate::output::{self, Output, TITLE, text};
use crate::shell;
use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};

/// A file with a longer summary, in characters, is refused without asking: nobody could judge it.
const MAX_SUMMARY: usize = 8 * 1024;

/// Describes what a file would run and call, one line per server, the server `first` before others.
pub(crate) fn summary(file: &ConfigFile, first: Option<&str>) -> Vec<String> {
    let mut servers: Vec<_> = file.servers.iter().collect();
    servers.sort_by_key(|(name, _)| Some(name.as_str()) != first);
    let line = |(name, config): (&String, &Result<ServerConfig, String>)| match config {
        Ok(config) => text::one_line(&config.summary()),
        Err(why) => text::one_line(&format!("{name}: {why}")),
    };
    servers.into_iter().map(line).collect()
}

/// Requires that a project file is approved before its server `name` is used. Asks, if the user is
/// at the terminal.
///
/// # Errors
/// A file that is not approved, with what it would run and how to approve it.
pub(super) fn require(
    file: &ConfigFile,
    name: &str,
    approvals: &ApprovalStore,
    output: Output,
) -> Result<(), CliError> {
    let why = match approvals.check(file) {
        ApprovalStatus::Approved => return Ok(()),
        ApprovalStatus::Changed => "has changed since you approved it",
        ApprovalStatus::Unknown => "has not been approved",
    };
    let path = text::one_line(&file.path.display().to_string());
    let lines = summary(file, Some(name));
    let too_long = lines.iter().map(|line| line.chars().count()).sum::<usize>() > MAX_SUMMARY;
    if too_long || !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        let mut error = CliError::usage(format!(
            "server {name:?} is configured in {path}, which {why}"
        ));
        if let Some(line) = lines
            .first()
            .filter(|line| line.chars().count() <= MAX_SUMMARY)
        {
            error = error.hint(format!("the file says: {line}"));
        }
        let quoted = shell::quote(&path);
        return Err(error
            .hint(format!(
                "to approve the file as it is now: carryall trust {quoted}"
            ))
            .hint(format!("to use it just once: --config {quoted}")));
    }
    output::write_stderr(&format!(
        "{}\nThis file {why}. It configures:",
        output.label(TITLE, &path)
    ));
    for line in &lines {
        output::write_stderr(&format!("  {line}"));
    }
    output::write_stderr(
        "Its programs run with your permissions and receive the variables that it names.",
    );
    let confirmed = confirm("Approve this file as it is now? [y/N] ")
        .map_err(|error| CliError::local(format!("cannot prompt at the terminal: {error}")))?;
    if !confirmed {
        return Err(CliError::usage(format!("{path} was not approved")));
    }
    if let Err(error) = approvals.approve(file) {
        output.warn(&format!(
            "the approval cannot be stored and holds for this command only: {error}"
        ));
    }
    Ok(())
}

/// Asks a yes/no question. Ctrl-C ends the process, as in any program that reads a line.
fn confirm(question: &str) -> io::Result<bool> {
    let mut stderr = io::stderr().lock();
    write!(stderr, "{question}")?;
    stderr.flush()?;
    let mut answer = String::new();
    io::stdin().lock().take(64).read_line(&mut answer)?;
    Ok(matches!(
        answer.trim().to_ascii_lowercase().as_str(),
        "y" | "yes"
    ))
}
