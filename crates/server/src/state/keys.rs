//! Where the keys that seal state come from.

use crate::random;
use carryall_proto::seal::{InvalidKeyring, Keyring, SealingKey};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::{fmt, io};

/// Why keys cannot be had. What they are is never repeated.
#[derive(Debug)]
pub enum KeyringError {
    /// The file cannot be read.
    Unreadable(PathBuf, io::Error),
    /// The text is not a keyring; the name says which file or variable it came from.
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

/// Reads the keys in a file: a line `NUMBER HEX` for each, of 64 hexadecimal digits. The first one
/// seals, all of them open; empty lines and those that begin with `#` do not count.
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

/// Reads the keys in an environment variable, in the form of [`keyring_from_file`]. `None` if it is
/// not set or empty.
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

/// The keys of one server, asked for whenever something is sealed or opened.
#[derive(Clone)]
pub(crate) enum Keys {
    /// One key that ends with the server, made when it is first needed. No other server in the
    /// process has it.
    Ephemeral(Arc<OnceLock<Arc<Keyring>>>),
    Fixed(Arc<Keyring>),
    Source(Arc<dyn Fn() -> Arc<Keyring> + Send + Sync>),
}

impl Keys {
    /// A key of the server's own.
    pub(crate) fn ephemeral() -> Self {
        Self::Ephemeral(Arc::default())
    }

    /// The keys as they are now; `None` when the system gives no random bytes to make one of.
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
