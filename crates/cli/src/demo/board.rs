//! The state that can change while the demo runs.
//!
//! It is shared by all replicas, as a small file that each of them polls and may replace. A server
//! without replicas keeps it in memory.

use carryall::proto::sync::Mutex;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};

/// Maximum length of a notice, in characters.
pub(super) const MAX_NOTICE: usize = 500;

/// The contents of the board.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct BoardState {
    /// Whether the tool `surprise_party` exists.
    pub(super) surprise: bool,
    /// The text of the resource `demo://notice`.
    pub(super) notice: String,
    /// The number of cancelled calls of `nap`.
    #[serde(default)]
    pub(super) cancelled_naps: u64,
}

impl Default for BoardState {
    fn default() -> Self {
        Self {
            surprise: false,
            notice: "Nothing to announce.".into(),
            cancelled_naps: 0,
        }
    }
}

/// The board.
pub(super) struct Board {
    storage: BoardStorage,
    /// The contents that were last read or written.
    last: Mutex<BoardState>,
}

/// Where the board is kept.
enum BoardStorage {
    Memory,
    File(PathBuf),
    /// A file in this directory, which is created on the first write.
    Directory(PathBuf),
}

impl Board {
    /// Creates a board in memory.
    pub(super) fn in_memory() -> Self {
        Self::new(BoardStorage::Memory)
    }

    /// Creates a board in this file, which need not exist yet.
    pub(super) fn in_file(file: PathBuf) -> Self {
        Self::new(BoardStorage::File(file))
    }

    /// Creates a board in a file that all replicas of the same supervisor share.
    pub(super) fn of_supervisor() -> Self {
        Self::new(supervisor_directory().map_or(BoardStorage::Memory, BoardStorage::Directory))
    }

    fn new(storage: BoardStorage) -> Self {
        Self {
            storage,
            last: Mutex::default(),
        }
    }

    /// Returns the current contents.
    pub(super) fn read(&self) -> BoardState {
        let mut last = self.last.lock();
        if let Some(state) = self.file().as_deref().and_then(read_file) {
            *last = state;
        }
        last.clone()
    }

    /// Changes the contents for all replicas.
    pub(super) fn update(&self, change: impl FnOnce(&mut BoardState)) -> std::io::Result<()> {
        let mut state = self.read();
        change(&mut state);
        if let BoardStorage::Directory(directory) = &self.storage {
            make_private(directory)?;
        }
        if let Some(file) = self.file() {
            // Written to another file and renamed, so that readers never see half of it.
            let draft = file.with_extension(format!("{}.tmp", std::process::id()));
            fs::write(&draft, serde_json::to_vec(&state)?)?;
            fs::rename(draft, file)?;
        }
        *self.last.lock() = state;
        Ok(())
    }

    /// Removes the directory at shutdown. The supervisor stops all replicas together, so no other
    /// needs it.
    pub(super) fn remove(&self) {
        if let (BoardStorage::Directory(directory), Some(file)) = (&self.storage, self.file()) {
            let _ = fs::remove_file(file);
            let _ = fs::remove_dir(directory);
        }
    }

    /// Returns the file, if it is in a place that can be trusted.
    fn file(&self) -> Option<PathBuf> {
        match &self.storage {
            BoardStorage::Memory => None,
            BoardStorage::File(file) => Some(file.clone()),
            BoardStorage::Directory(directory) => {
                is_private(directory).then(|| directory.join("board.json"))
            }
        }
    }
}

fn read_file(file: &Path) -> Option<BoardState> {
    serde_json::from_slice(&fs::read(file).ok()?).ok()
}

/// Returns a directory named after the parent process, which all replicas of a supervisor share.
#[cfg(unix)]
fn supervisor_directory() -> Option<PathBuf> {
    let base = std::env::var_os("XDG_RUNTIME_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    Some(base.join(format!(
        "carryall-demo-{}",
        std::os::unix::process::parent_id()
    )))
}

/// Whether the directory exists and belongs to this user alone: in a shared temporary directory,
/// another user could have created it.
#[cfg(unix)]
fn is_private(directory: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let user = rustix::process::getuid().as_raw();
    fs::symlink_metadata(directory)
        .is_ok_and(|found| found.is_dir() && found.uid() == user && found.mode() & 0o077 == 0)
}

#[cfg(unix)]
fn make_private(directory: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    match fs::DirBuilder::new().mode(0o700).create(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let foreign =
        || std::io::Error::other(format!("{} belongs to another user", directory.display()));
    if is_private(directory) {
        Ok(())
    } else {
        Err(foreign())
    }
}

#[cfg(not(unix))]
fn supervisor_directory() -> Option<PathBuf> {
    None
}

#[cfg(not(unix))]
fn is_private(_: &Path) -> bool {
    false
}

#[cfg(not(unix))]
fn make_private(_: &Path) -> std::io::Result<()> {
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    #[test]
    fn a_directory_that_others_can_write_to_is_not_used() {
        let base = std::env::temp_dir().join(format!("carryall-board-test-{}", std::process::id()));
        let (open, link) = (base.join("open"), base.join("link"));
        fs::create_dir_all(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
        fs::write(
            open.join("board.json"),
            r#"{"surprise": true, "notice": "forged"}"#,
        )
        .unwrap();
        let board = Board::new(BoardStorage::Directory(open.clone()));
        assert_eq!(board.read(), BoardState::default());
        assert!(board.update(|state| state.surprise = true).is_err());
        // Nor is a link to a private directory.
        make_private(&base.join("own")).unwrap();
        symlink(base.join("own"), &link).unwrap();
        assert!(!is_private(&link) && is_private(&base.join("own")));
        // A private one is created on the first write, and removed at shutdown.
        let own = Board::new(BoardStorage::Directory(base.join("mine")));
        assert!(!base.join("mine").exists());
        own.update(|state| state.surprise = true).unwrap();
        assert!(
            Board::new(BoardStorage::Directory(base.join("mine")))
                .read()
                .surprise
        );
        own.remove();
        assert!(!base.join("mine").exists());
        fs::remove_dir_all(base).unwrap();
    }
}
