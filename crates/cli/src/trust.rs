//! Approval of project files: a configuration that comes with a directory may have been written by
//! anybody, and names programs to run and variables of the environment to hand to them.
//!
//! An approval holds for one path and one content (SHA-256). It is kept in a file of the user's,
//! readable by the user alone.

use crate::fail::{Exit, Fail};
use crate::mcp_json::{ConfigFile, ServerConfig};
use crate::screen::{self, Output, TITLE};
use crate::{text, words};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Maximum number of approvals that are kept; the oldest is dropped.
const MAX_APPROVALS: usize = 1024;
/// The file of approvals is not read beyond this size, in bytes.
const MAX_FILE: u64 = 1024 * 1024;
/// A file whose summary is longer than this, in characters, is not put to a person, who could not
/// judge it.
const MAX_SUMMARY: usize = 8 * 1024;

/// The project files that the user has approved.
#[derive(Clone, Debug, Default)]
pub(crate) struct ApprovalStore {
    /// `None` where the user has no directory for state: then nothing is remembered.
    path: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
struct ApprovalFile {
    /// By canonical path.
    files: BTreeMap<String, Approval>,
}

#[derive(Debug, Deserialize, Serialize)]
struct Approval {
    sha256: String,
    /// When it was approved, in seconds since 1970.
    since: u64,
}

/// Whether a file may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    ApprovalFile,
    /// Another content of this file was approved.
    Changed,
    Unknown,
}

impl ApprovalStore {
    pub(crate) fn file(path: Option<PathBuf>) -> Self {
        Self { path }
    }

    /// Whether this content of this file has been approved.
    pub(crate) fn check(&self, file: &ConfigFile) -> Trust {
        match self.read().files.get(&key(&file.path)) {
            Some(approval) if approval.sha256 == digest(&file.text) => Trust::ApprovalFile,
            Some(_) => Trust::Changed,
            None => Trust::Unknown,
        }
    }

    /// Remembers that this content of this file is approved.
    pub(crate) fn approve(&self, file: &ConfigFile) -> io::Result<()> {
        let mut approved = self.read();
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |now| now.as_secs());
        approved.files.insert(
            key(&file.path),
            Approval {
                sha256: digest(&file.text),
                since,
            },
        );
        while approved.files.len() > MAX_APPROVALS {
            let oldest = approved
                .files
                .iter()
                .min_by_key(|(_, approval)| approval.since)
                .map(|(path, _)| path.clone());
            approved.files.remove(&oldest.unwrap_or_default());
        }
        self.write(&approved)
    }

    /// Forgets the approval of a file. `false` if there was none.
    pub(crate) fn revoke(&self, path: &Path) -> io::Result<bool> {
        let mut approved = self.read();
        if approved.files.remove(&key(path)).is_none() {
            return Ok(false);
        }
        self.write(&approved)?;
        Ok(true)
    }

    /// The paths of all files that have been approved, whatever they hold now.
    pub(crate) fn paths(&self) -> Vec<String> {
        self.read().files.into_keys().collect()
    }

    /// What has been approved: nothing if that cannot be read, which only means to be asked again.
    fn read(&self) -> ApprovalFile {
        let read = |path: &Path| -> io::Result<ApprovalFile> {
            let mut bytes = Vec::new();
            std::fs::File::open(path)?
                .take(MAX_FILE)
                .read_to_end(&mut bytes)?;
            Ok(serde_json::from_slice(&bytes)?)
        };
        self.path
            .as_deref()
            .and_then(|path| read(path).ok())
            .unwrap_or_default()
    }

    /// Replaces the file as a whole: readers see the old one or the new one.
    fn write(&self, approved: &ApprovalFile) -> io::Result<()> {
        let no_place =
            || io::Error::new(io::ErrorKind::NotFound, "this user has no home directory");
        let path = self.path.as_deref().ok_or_else(no_place)?;
        if let Some(folder) = path.parent() {
            let mut builder = std::fs::DirBuilder::new();
            builder.recursive(true);
            #[cfg(unix)]
            std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
            builder.create(folder)?;
        }
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let new = path.with_extension(format!("{:016x}.new", u64::from_le_bytes(random)));
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let written = options.open(&new).and_then(|mut file| {
            file.write_all(&serde_json::to_vec_pretty(approved)?)?;
            std::fs::rename(&new, path)
        });
        if written.is_err() {
            let _ = std::fs::remove_file(&new);
        }
        written
    }
}

/// The same file by whatever path it is named.
fn key(path: &Path) -> String {
    path.canonicalize()
        .unwrap_or_else(|_| path.to_owned())
        .display()
        .to_string()
}

fn digest(text: &str) -> String {
    use std::fmt::Write as _;
    Sha256::digest(text)
        .iter()
        .fold(String::with_capacity(64), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
}

/// What a file would run and call: one line for each server, of which `first` comes first.
pub(crate) fn summary(file: &ConfigFile, first: Option<&str>) -> Vec<String> {
    let mut servers: Vec<_> = file.servers.iter().collect();
    servers.sort_by_key(|(name, _)| Some(name.as_str()) != first);
    let line = |(name, config): (&String, &Result<ServerConfig, String>)| match config {
        Ok(config) => text::line(&config.summary()),
        Err(why) => text::line(&format!("{name}: {why}")),
    };
    servers.into_iter().map(line).collect()
}

/// Makes sure that a project file is approved before its server `name` is used: asks, if somebody
/// is at the terminal.
///
/// # Errors
/// A file that is not approved, with what it would run and how to approve it.
pub(crate) fn require(
    file: &ConfigFile,
    name: &str,
    approvals: &ApprovalStore,
    screen: Output,
) -> Result<(), Fail> {
    let trust = approvals.check(file);
    if trust == Trust::ApprovalFile {
        return Ok(());
    }
    let shown = file.path.display().to_string();
    let why = match trust {
        Trust::Changed => "has changed since you approved it",
        _ => "has not been approved",
    };
    let lines = summary(file, Some(name));
    let long = lines.iter().map(|line| line.chars().count()).sum::<usize>() > MAX_SUMMARY;
    if long || !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        let mut fail = Fail::usage(format!(
            "server {name:?} is configured in {shown}, which {why}"
        ));
        if let Some(line) = lines
            .first()
            .filter(|line| line.chars().count() <= MAX_SUMMARY)
        {
            fail = fail.hint(format!("what it says: {line}"));
        }
        return Err(fail
            .hint(format!(
                "to approve the file as it is now: carryall trust {}",
                words::quoted(&text::line(&shown))
            ))
            .hint(format!(
                "to use it just this once: --config {}",
                words::quoted(&text::line(&shown))
            )));
    }
    screen::say(&format!(
        "{}\nThis file {why}. It configures:",
        screen.label(TITLE, &text::line(&shown))
    ));
    for line in &lines {
        screen::say(&format!("  {line}"));
    }
    screen::say("Its programs run with your rights and get the variables that it names.");
    if !confirmed("Approve this file as it is now? [y/N] ")
        .map_err(|error| Fail::new(Exit::Local, format!("cannot ask at the terminal: {error}")))?
    {
        return Err(Fail::usage(format!("{shown} was not approved")));
    }
    if let Err(error) = approvals.approve(file) {
        screen.warn(&format!(
            "the approval cannot be remembered, and holds for this command alone: {error}"
        ));
    }
    Ok(())
}

/// Asks for a yes. Ctrl-C ends the process here as in any program that reads a line.
fn confirmed(question: &str) -> io::Result<bool> {
    let mut err = std::io::stderr().lock();
    write!(err, "{question}")?;
    err.flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().take(64).read_line(&mut answer)?;
    Ok(matches!(
        answer.trim().to_ascii_lowercase().as_str(),
        "y" | "yes"
    ))
}

#[cfg(test)]
mod tests;
