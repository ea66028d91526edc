//! Servers by name, from the configuration files that MCP hosts keep.
//!
//! Files of the user win over those of the working directory, which may come with a cloned
//! repository. Such a project file is used only once it is approved: until then none of its
//! programs is started, none of its URLs called, and no variable expanded for it.

mod approvals;
mod approve;
mod file;
mod format;
mod jsonc;
mod paths;
mod server;
mod variables;

pub(crate) use approve::summary;
pub(crate) use file::ConfigFile;
pub(crate) use paths::ConfigPaths;
pub(crate) use variables::ConfigVariables;

use crate::error::CliError;
use crate::output::Output;
use crate::suggest;
use crate::target::ServerTarget;
use std::io;
use std::path::{Path, PathBuf};

/// Reads the file that `--config` names.
///
/// # Errors
/// A file that cannot be read, or has none of the known formats.
pub(crate) fn read_explicit(file: &Path) -> Result<ConfigFile, CliError> {
    ConfigFile::read(file)
        .map_err(|error| CliError::usage(format!("--config {}: {error}", file.display())))
}

/// Finds the server of this name: in the file of `--config` if it is given, otherwise in the user's
/// files, then in those of the working directory. Asks the user to approve a project file.
///
/// # Errors
/// A name that no file has, an invalid entry, and a project file that is not approved.
pub(crate) fn find(
    name: &str,
    paths: &ConfigPaths,
    output: Output,
) -> Result<ServerTarget, CliError> {
    if let Some(config) = &paths.explicit {
        let file = read_explicit(config)?;
        return match file.target(name, &paths.variables) {
            Some(target) => target,
            None => Err(unknown(name, &[file], &[], paths)),
        };
    }
    let (user, mut invalid) = read_all(&paths.user);
    let invalid_user = invalid.len();
    let (project, invalid_project) = read_all(&paths.project);
    invalid.extend(invalid_project);
    let in_project = project.iter().find(|file| file.servers.contains_key(name));
    for file in &user {
        let Some(target) = file.target(name, &paths.variables) else {
            continue;
        };
        if let Some(shadowed) = in_project {
            output.note(&format!(
                "note: using server {name:?} of {}, not the one of {} (which --config selects)",
                file.path.display(),
                shadowed.path.display()
            ));
        }
        return target;
    }
    let Some(file) = in_project else {
        let files: Vec<ConfigFile> = user.into_iter().chain(project).collect();
        return Err(unknown(name, &files, &invalid, paths));
    };
    for why in &invalid[..invalid_user] {
        output.warn(&format!("ignoring invalid configuration file {why}"));
    }
    approve::require(file, name, &paths.approvals, output)?;
    match file.target(name, &paths.variables) {
        Some(target) => target,
        None => Err(unknown(name, &project, &invalid, paths)),
    }
}

/// Reads the files that exist. Returns the valid ones, and a description of each invalid one.
fn read_all(paths: &[PathBuf]) -> (Vec<ConfigFile>, Vec<String>) {
    let (mut files, mut invalid) = (Vec::new(), Vec::new());
    for path in paths {
        match ConfigFile::read(path) {
            Ok(file) => files.push(file),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                invalid.push(format!("{} ({error})", path.display()));
            }
            Err(_) => {}
        }
    }
    (files, invalid)
}

fn unknown(name: &str, files: &[ConfigFile], invalid: &[String], paths: &ConfigPaths) -> CliError {
    let mut error = CliError::usage(format!(
        "TARGET {name:?} is neither an address nor the name of a server"
    ));
    let mut known: Vec<&str> = files
        .iter()
        .flat_map(|file| file.servers.keys())
        .map(String::as_str)
        .collect();
    known.sort_unstable();
    known.dedup();
    let read: Vec<String> = files
        .iter()
        .map(|file| file.path.display().to_string())
        .chain(invalid.iter().cloned())
        .collect();
    if read.is_empty() {
        let candidates: Vec<String> = paths
            .user
            .iter()
            .chain(&paths.project)
            .map(|file| file.display().to_string())
            .collect();
        if !candidates.is_empty() {
            error = error.hint(format!(
                "there is no mcp.json; looked for {}",
                candidates.join(", ")
            ));
        }
    } else if known.is_empty() {
        error = error.hint(format!("no servers are configured in {}", read.join(", ")));
    } else {
        error
            .hints
            .extend(suggest::did_you_mean(name, known.iter().copied()));
        error = error.hint(format!(
            "known names: {}; from {}",
            known.join(", "),
            read.join(", ")
        ));
    }
    error.hint("for a remote server write its whole URL, for a command write it after `--`")
}

#[cfg(test)]
mod tests;
