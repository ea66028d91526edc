//! `--keyring` and `--sibling`: what the replicas of one endpoint share.

use crate::error::CliError;
use crate::exit::ExitStatus;
use carryall::Keyring;
use carryall::LegacyOptions;
use carryall::legacy::serve::HttpBus;
use carryall::server::{KeyringError, keyring_from_env, keyring_from_file};
use std::path::PathBuf;
use std::sync::Arc;

/// The environment variable with the keys themselves.
pub(crate) const KEYRING: &str = "CARRYALL_KEYRING";

/// Options of a process that is one of several replicas behind a load balancer. The keys seal what
/// passes through clients: the state of a call between rounds, and sessions of earlier revisions.
#[derive(clap::Args, Clone, Debug, Default)]
#[command(next_help_heading = "Replicas")]
pub(crate) struct ReplicaOptions {
    /// File with the keys that all replicas share: one line `NUMBER HEX` per key, of which the
    /// first seals [default: the lines in the environment variable CARRYALL_KEYRING]
    #[arg(long, value_name = "FILE")]
    keyring: Option<PathBuf>,
    /// Endpoint of another replica, to which answers of legacy clients are forwarded (repeatable)
    #[arg(long = "sibling", value_name = "URL", requires = "keyring")]
    siblings: Vec<String>,
}

impl ReplicaOptions {
    /// Returns the keys, if any are given.
    pub(crate) fn keyring(&self) -> Result<Option<Keyring>, CliError> {
        let keyring = match &self.keyring {
            Some(file) => keyring_from_file(file).map(Some),
            None => keyring_from_env(KEYRING),
        };
        keyring.map_err(|error| {
            let unusable = CliError::usage(error.to_string());
            match error {
                KeyringError::Invalid(..) => {
                    unusable.hint("create one with: echo \"1 $(openssl rand -hex 32)\" > keyring")
                }
                KeyringError::Unreadable(..) => unusable,
            }
        })
    }

    /// Returns the options for clients of earlier revisions.
    pub(crate) fn legacy(&self) -> Result<LegacyOptions, CliError> {
        let mut options = LegacyOptions::default();
        let Some(keyring) = self.keyring()? else {
            return Ok(options);
        };
        if !self.siblings.is_empty() {
            let siblings = HttpBus::new(self.siblings.iter().map(String::as_str), keyring.clone());
            let siblings = siblings
                .map_err(|error| CliError::new(ExitStatus::Usage, format!("--sibling: {error}")))?;
            options = options.session_bus(Arc::new(siblings));
        }
        Ok(options.keyring(keyring))
    }
}
