//! Which era of the protocol to speak, and what is remembered about servers.

use carryall::{Era, EraCache};
use std::path::PathBuf;

/// `--era`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum EraOption {
    /// Detect it, and remember it for a week (`carryall cache`)
    #[default]
    Auto,
    /// 2026-07-28, without a handshake; nothing is remembered
    Modern,
    /// 2025-11-25 or earlier, with a handshake; nothing is remembered
    Legacy,
}

impl From<EraOption> for Era {
    fn from(option: EraOption) -> Self {
        match option {
            EraOption::Auto => Self::Auto,
            EraOption::Modern => Self::Modern,
            EraOption::Legacy => Self::Legacy,
        }
    }
}

/// What earlier runs have found out, in the user's cache folder if there is one. It saves a
/// question to servers that take it badly; an entry is dropped when it proves wrong, and after a
/// week.
pub(crate) fn memory() -> EraCache {
    cache_file().map_or_else(EraCache::new, EraCache::file)
}

/// The file of what is remembered.
pub(crate) fn cache_file() -> Option<PathBuf> {
    Some(cache_folder()?.join("carryall").join("eras.json"))
}

fn cache_folder() -> Option<PathBuf> {
    let absolute = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")))
}
