//! `--era`, and the cache of detected eras.

use carryall::{Era, EraCache};
use std::path::PathBuf;

/// `--era`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum EraOption {
    /// Detect it, and cache it for a week (see `carryall cache`)
    #[default]
    Auto,
    /// 2026-07-28, without a handshake; not cached
    Modern,
    /// 2025-11-25 or earlier, with a handshake; not cached
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

/// Returns the cache of eras that earlier runs detected; in memory if the user has no cache
/// directory.
///
/// It saves a probe, which some legacy servers handle badly. An entry is dropped when it proves
/// wrong, and after a week.
pub(crate) fn cache() -> EraCache {
    cache_file().map_or_else(EraCache::new, EraCache::file)
}

/// Returns the file of the cache; `None` if the user has no cache directory.
pub(crate) fn cache_file() -> Option<PathBuf> {
    Some(cache_directory()?.join("carryall").join("eras.json"))
}

fn cache_directory() -> Option<PathBuf> {
    let absolute = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")))
}
