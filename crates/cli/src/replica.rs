//! What the replicas of one endpoint share.

use crate::fail::{Exit, Fail};
use carryall::LegacyOptions;
use carryall::legacy::serve::Siblings;
use carryall::proto::seal::Keyring;
use std::path::PathBuf;
use std::sync::Arc;

/// Options of a process that is one of several behind a balancer. Clients of 2026-07-28 need none of them.
#[derive(clap::Args, Clone, Debug, Default)]
#[command(next_help_heading = "One of several replicas")]
pub(crate) struct ReplicaOptions {
    /// The file with the keys that all replicas share: a line `NUMBER HEX` for each, the first one seals
    #[arg(long, value_name = "FILE")]
    keyring: Option<PathBuf>,
    /// The endpoint of another replica (repeatable); answers of clients with a handshake are handed on to it
    #[arg(long = "sibling", value_name = "URL", requires = "keyring")]
    siblings: Vec<String>,
}

impl ReplicaOptions {
    /// How clients of earlier revisions are served.
    pub(crate) fn legacy(&self) -> Result<LegacyOptions, Fail> {
        let mut options = LegacyOptions::default();
        let Some(file) = &self.keyring else { return Ok(options) };
        let unusable = |why: String| Fail::usage(format!("--keyring {}: {why}", file.display()));
        let text = std::fs::read_to_string(file).map_err(|error| unusable(error.to_string()))?;
        let keyring: Keyring = text.parse().map_err(|error| {
            let fail: carryall::proto::seal::InvalidKeyring = error;
            unusable(fail.to_string()).hint("make one with: echo \"1 $(openssl rand -hex 32)\" > keyring")
        })?;
        if !self.siblings.is_empty() {
            let siblings = Siblings::new(self.siblings.iter().map(String::as_str), keyring.clone());
            let siblings = siblings.map_err(|error| Fail::new(Exit::Usage, format!("--sibling: {error}")))?;
            options = options.meeting(Arc::new(siblings));
        }
        Ok(options.keyring(keyring))
    }
}
