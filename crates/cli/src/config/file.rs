//! A configuration file.

use super::format::{self, ServerConfigs};
use super::variables::ConfigVariables;
use crate::error::CliError;
use crate::target::ServerTarget;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// Larger files are refused, in bytes.
pub(super) const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;

/// A configuration file that has been read and parsed.
#[derive(Debug)]
pub(crate) struct ConfigFile {
    pub(crate) path: PathBuf,
    pub(crate) text: String,
    pub(crate) servers: ServerConfigs,
}

impl ConfigFile {
    /// Reads and parses a file.
    ///
    /// # Errors
    /// A file that cannot be read; with [`io::ErrorKind::InvalidData`] one that is larger than 4
    /// MiB or has none of the known formats.
    pub(crate) fn read(path: &Path) -> io::Result<Self> {
        let invalid = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
        let mut text = String::new();
        let length = std::fs::File::open(path)?
            .take(MAX_FILE_BYTES + 1)
            .read_to_string(&mut text)?;
        if length as u64 > MAX_FILE_BYTES {
            return Err(invalid(format!("larger than {MAX_FILE_BYTES} bytes")));
        }
        let servers = format::parse(&text).map_err(invalid)?;
        Ok(Self {
            path: path.to_owned(),
            text,
            servers,
        })
    }

    /// Returns the server of this name with its variables expanded; `None` if there is none.
    pub(super) fn target(
        &self,
        name: &str,
        variables: &ConfigVariables,
    ) -> Option<Result<ServerTarget, CliError>> {
        let config = self.servers.get(name)?;
        let target = config
            .as_ref()
            .map_err(Clone::clone)
            .and_then(|config| config.target(variables));
        Some(target.map_err(|why| {
            CliError::usage(format!("server {name:?} in {}: {why}", self.path.display()))
        }))
    }
}
