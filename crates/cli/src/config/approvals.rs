//! Approvals of project files: a configuration that comes with a directory may have been written by
//! anybody, and names programs to run and environment variables to pass to them.
//!
//! An approval holds for one path and one content (SHA-256). Approvals are kept in a file of the
//! user's, readable by the user alone.

use super::file::ConfigFile;
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Maximum number of approvals. The oldest one is dropped.
const MAX_APPROVALS: usize = 1024;
/// The file is not read beyond this size, in bytes.
const MAX_STORE_BYTES: u64 = 1024 * 1024;

/// Stores which project files the user has approved.
#[derive(Clone, Debug, Default)]
pub(crate) struct ApprovalStore {
    /// `None` if the user has no state directory; then nothing is stored.
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
    /// Time of the approval, in seconds since 1970.
    since: u64,
}

/// Whether a file is approved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ApprovalStatus {
    Approved,
    /// The file has changed since it was approved.
    Changed,
    Unknown,
}

impl ApprovalStore {
    pub(crate) fn new(path: Option<PathBuf>) -> Self {
        Self { path }
    }

    /// Returns whether this content of this file is approved.
    pub(crate) fn check(&self, file: &ConfigFile) -> ApprovalStatus {
        match self.read().files.get(&key(&file.path)) {
            Some(approval) if approval.sha256 == digest(&file.text) => ApprovalStatus::Approved,
            Some(_) => ApprovalStatus::Changed,
            None => ApprovalStatus::Unknown,
        }
    }

    /// Approves this content of this file.
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

    /// Withdraws the approval of a file. Returns `false` if there was none.
    pub(crate) fn revoke(&self, path: &Path) -> io::Result<bool> {
        let mut approved = self.read();
        if approved.files.remove(&key(path)).is_none() {
            return Ok(false);
        }
        self.write(&approved)?;
        Ok(true)
    }

    /// Returns the paths of all approved files, even if these have changed since.
    pub(crate) fn paths(&self) -> Vec<String> {
        self.read().files.into_keys().collect()
    }

    /// Reads all approvals. If the file cannot be read there are none, and the user is asked again.
    fn read(&self) -> ApprovalFile {
        let read = |path: &Path| -> io::Result<ApprovalFile> {
            let mut bytes = Vec::new();
            std::fs::File::open(path)?
                .take(MAX_STORE_BYTES)
                .read_to_end(&mut bytes)?;
            Ok(serde_json::from_slice(&bytes)?)
        };
        self.path
            .as_deref()
            .and_then(|path| read(path).ok())
            .unwrap_or_default()
    }

    /// Replaces the file atomically.
    fn write(&self, approved: &ApprovalFile) -> io::Result<()> {
        let no_directory =
            || io::Error::new(io::ErrorKind::NotFound, "this user has no home directory");
        let path = self.path.as_deref().ok_or_else(no_directory)?;
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

/// Returns the key of a file, the same for every path to it.
fn key(path: &Path) -> String {
    path.canonicalize()
        .unwrap_or_else(|_| path.to_owned())
        .display()
        .to_string()
}

/// Returns the SHA-256 digest in hex.
fn digest(text: &str) -> String {
    HEXLOWER.encode(&Sha256::digest(text))
}

#[cfg(test)]
mod tests;
