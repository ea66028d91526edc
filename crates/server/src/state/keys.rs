//! The keys that seal state, and where they come from.

use crate::random;
use carryall_proto::seal::{InvalidKeyring, Keyring, SealingKey};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::{fmt, io};

/// Why a keyring could not be loaded. It never contains the keys.
#[derive(Debug)]
pub enum KeyringError {
    /// The file could not be read.
    Unreadable(PathBuf, io::Error),
    /// The text is not a keyring. Names the file or the variable that it came from.
    Invalid(String, InvalidKeyring),
}

impl fmt::Display for KeyringError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(path, error) => write!(f, "keyring {}: {error}", path.display()),
            Self::Invalid(name, error) => write!(f, "keyring {name}: {error}"),
        }
    }
}

impl std::error::Error for KeyringError {}

/// Reads a keyring from a file.
///
/// Each line is `NUMBER HEX`, with a key of 64 hexadecimal digits. The first key seals, and all keys
/// open. Empty lines and lines that begin with `#` are ignored.
///
/// # Errors
/// When the file cannot be read or is not a keyring.
pub fn keyring_from_file(path: impl AsRef<Path>) -> Result<Keyring, KeyringError> {
    let path = path.as_ref();
    let text = std::fs::read_to_string(path)
        .map_err(|error| KeyringError::Unreadable(path.into(), error))?;
    text.parse()
        .map_err(|error| KeyringError::Invalid(path.display().to_string(), error))
}

/// Reads a keyring from an environment variable, in the format of [`keyring_from_file`]. Returns
/// `None` if the variable is empty or not set.
///
/// # Errors
/// When it is not a keyring.
pub fn keyring_from_env(name: &str) -> Result<Option<Keyring>, KeyringError> {
    let text = std::env::var_os(name).unwrap_or_default();
    if text.is_empty() {
        return Ok(None);
    }
    let invalid = |error| KeyringError::Invalid(format!("in ${name}"), error);
    text.to_string_lossy().parse().map(Some).map_err(invalid)
}

/// The source of a server's keys, used whenever something is sealed or opened.
#[derive(Clone)]
pub(crate) enum Keys {
    /// A random key that is lost with the server, made when it is first needed. Each server has its
    /// own, so that no other server in the process opens what it has sealed.
    Ephemeral(Arc<OnceLock<Arc<Keyring>>>),
    Fixed(Arc<Keyring>),
    Source(Arc<dyn Fn() -> Arc<Keyring> + Send + Sync>),
}

impl Keys {
    /// A random key of the server's own.
    pub(crate) fn ephemeral() -> Self {
        Self::Ephemeral(Arc::default())
    }

    /// Returns the keys to use now; `None` if the system provides no random bytes.
    pub(crate) fn now(&self) -> Option<Arc<Keyring>> {
        match self {
            Self::Ephemeral(made) => match made.get() {
                Some(keyring) => Some(Arc::clone(keyring)),
                None => {
                    let keyring = Arc::new(Keyring::new(SealingKey::new(0, random::bytes().ok()?)));
                    Some(Arc::clone(made.get_or_init(|| keyring)))
                }
            },
            Self::Fixed(keyring) => Some(Arc::clone(keyring)),
            Self::Source(source) => Some(source()),
        }
    }

    pub(crate) fn is_ephemeral(&self) -> bool {
        matches!(self, Self::Ephemeral(_))
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ephemeral(_) => "Ephemeral",
            Self::Fixed(_) => "Fixed",
            Self::Source(_) => "Source",
        })
    }
}
