//! Which era of the protocol to speak, and what is remembered about servers.

use carryall::{Era, EraMemory};
use std::path::PathBuf;

/// `--era`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum EraOption {
    /// Find out, and remember it
    #[default]
    Auto,
    /// 2026-07-28, without a handshake
    Modern,
    /// 2025-11-25 or earlier, with a handshake
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

/// What earlier runs have found out, in the user's cache folder if there is one. It saves a question to servers that
/// take it badly, and is thrown away when it proves wrong.
pub(crate) fn memory() -> EraMemory {
    cache_folder().map_or_else(EraMemory::new, |folder| EraMemory::file(folder.join("carryall").join("eras.json")))
}

fn cache_folder() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")))
}
