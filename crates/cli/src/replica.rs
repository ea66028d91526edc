//! What the replicas of one endpoint share.

use crate::fail::{Exit, Fail};
use carryall::Keyring;
use carryall::LegacyOptions;
use carryall::legacy::serve::HttpBus;
use carryall::server::{KeyringError, keyring_from_env, keyring_from_file};
use std::path::PathBuf;
use std::sync::Arc;

/// The variable that holds the keys themselves, for whoever starts replicas.
pub(crate) const KEYRING: &str = "CARRYALL_KEYRING";

/// Options of a process that is one of several behind a balancer. It seals with the keys what
/// travels through clients: the state of a call in rounds, and sessions of earlier revisions.
#[derive(clap::Args, Clone, Debug, Default)]
#[command(next_help_heading = "One of several replicas")]
pub(crate) struct ReplicaOptions {
    /// The file with the keys that all replicas share: a line `NUMBER HEX` for each, the first one
    /// seals; without it the environment variable CARRYALL_KEYRING, which holds such lines itself
    #[arg(long, value_name = "FILE")]
    keyring: Option<PathBuf>,
    /// The endpoint of another replica (repeatable); answers of clients with a handshake are handed
    /// on to it
    #[arg(long = "sibling", value_name = "URL", requires = "keyring")]
    siblings: Vec<String>,
}

impl ReplicaOptions {
    /// The keys, if there are any.
    pub(crate) fn keyring(&self) -> Result<Option<Keyring>, Fail> {
        let keyring = match &self.keyring {
            Some(file) => keyring_from_file(file).map(Some),
            None => keyring_from_env(KEYRING),
        };
        keyring.map_err(|error| {
            let fail = Fail::usage(error.to_string());
            match error {
                KeyringError::Invalid(..) => {
                    fail.hint("make one with: echo \"1 $(openssl rand -hex 32)\" > keyring")
                }
                KeyringError::Unreadable(..) => fail,
            }
        })
    }

    /// How clients of earlier revisions are served.
    pub(crate) fn legacy(&self) -> Result<LegacyOptions, Fail> {
        let mut options = LegacyOptions::default();
        let Some(keyring) = self.keyring()? else {
            return Ok(options);
        };
        if !self.siblings.is_empty() {
            let siblings = HttpBus::new(self.siblings.iter().map(String::as_str), keyring.clone());
            let siblings =
                siblings.map_err(|error| Fail::new(Exit::Usage, format!("--sibling: {error}")))?;
            options = options.session_bus(Arc::new(siblings));
        }
        Ok(options.keyring(keyring))
    }
}
