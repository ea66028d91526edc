//! What can change while the demo runs, shared by its replicas.
//!
//! A replica keeps nothing that another does not know: the board is a small file that every replica
//! reads and any may write. A server that runs alone keeps it in memory.

use super::{Shared, resources, tools};
use carryall::Server;
use carryall::proto::sync::Mutex;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How soon a replica sees what another has written.
const LOOK_EVERY: Duration = Duration::from_millis(150);
/// A notice is shown to others: it stays short.
pub(super) const MAX_NOTICE: usize = 500;

/// What stands on the board.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Notes {
    /// Whether there is the tool `surprise_party`.
    pub(super) surprise: bool,
    /// The text of the resource `demo://notice`.
    pub(super) notice: String,
    /// How many naps were broken off.
    #[serde(default)]
    pub(super) broken_off: u64,
}

impl Default for Notes {
    fn default() -> Self {
        Self {
            surprise: false,
            notice: "Nothing to announce.".into(),
            broken_off: 0,
        }
    }
}

/// The board.
pub(super) struct Board {
    place: Place,
    /// What stood there when it was last looked at.
    last: Mutex<Notes>,
}

/// Where it is.
enum Place {
    Memory,
    File(PathBuf),
    /// A directory that is made when something is written first.
    Siblings(PathBuf),
}

impl Board {
    /// In memory.
    pub(super) fn alone() -> Self {
        Self::at(Place::Memory)
    }

    /// In this file, which may not be there yet.
    pub(super) fn shared(file: PathBuf) -> Self {
        Self::at(Place::File(file))
    }

    /// In a file that the replicas started by the same supervisor share.
    pub(super) fn of_siblings() -> Self {
        Self::at(siblings_directory().map_or(Place::Memory, Place::Siblings))
    }

    fn at(place: Place) -> Self {
        Self {
            place,
            last: Mutex::default(),
        }
    }

    /// What stands there now.
    pub(super) fn now(&self) -> Notes {
        let mut last = self.last.lock();
        if let Some(notes) = self.file().as_deref().and_then(read) {
            *last = notes;
        }
        last.clone()
    }

    /// Changes what stands there, for all replicas.
    pub(super) fn write(&self, change: impl FnOnce(&mut Notes)) -> std::io::Result<()> {
        let mut notes = self.now();
        change(&mut notes);
        if let Place::Siblings(directory) = &self.place {
            make_private(directory)?;
        }
        if let Some(file) = self.file() {
            // Written beside it and renamed, so that nobody ever reads half of it.
            let draft = file.with_extension(format!("{}.tmp", std::process::id()));
            fs::write(&draft, serde_json::to_vec(&notes)?)?;
            fs::rename(draft, file)?;
        }
        *self.last.lock() = notes;
        Ok(())
    }

    /// CallOutcome when the server ends in good order. The supervisor ends all replicas together, so
    /// nobody needs the file.
    pub(super) fn leave(&self) {
        if let (Place::Siblings(directory), Some(file)) = (&self.place, self.file()) {
            let _ = fs::remove_file(file);
            let _ = fs::remove_dir(directory);
        }
    }

    /// The file, if there is one that can be trusted.
    fn file(&self) -> Option<PathBuf> {
        match &self.place {
            Place::Memory => None,
            Place::File(file) => Some(file.clone()),
            Place::Siblings(directory) => {
                is_private(directory).then(|| directory.join("board.json"))
            }
        }
    }
}

/// Takes over what stands on the board, and tells this replica's listeners. `applied` is what the
/// server was built with.
pub(super) async fn follow(shared: Arc<Shared>, server: Server, mut applied: Notes) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let now = shared.board.now();
        if now != applied {
            apply(&server, &applied, &now);
            applied = now;
        }
    }
}

fn apply(server: &Server, before: &Notes, now: &Notes) {
    if before.surprise != now.surprise {
        let changed = server.change(|catalogue| {
            if now.surprise {
                catalogue.tool(tools::surprise_party());
            } else {
                catalogue.remove_tool(tools::SURPRISE_PARTY);
            }
        });
        if let Err(error) = changed {
            tracing::error!(%error, "the list of tools could not be changed");
        }
    }
    if before.notice != now.notice {
        server.resource_updated(resources::NOTICE);
    }
    if before.broken_off != now.broken_off {
        server.resource_updated(resources::NAPS);
    }
}

fn read(file: &Path) -> Option<Notes> {
    serde_json::from_slice(&fs::read(file).ok()?).ok()
}

/// Named by the process that started this one, which is what siblings have in common.
#[cfg(unix)]
fn siblings_directory() -> Option<PathBuf> {
    let base = std::env::var_os("XDG_RUNTIME_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    Some(base.join(format!(
        "carryall-demo-{}",
        std::os::unix::process::parent_id()
    )))
}

/// Whether the directory is there and ours alone: in a place where everybody may write, others
/// could have made it.
#[cfg(unix)]
fn is_private(directory: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let us = rustix::process::getuid().as_raw();
    fs::symlink_metadata(directory)
        .is_ok_and(|found| found.is_dir() && found.uid() == us && found.mode() & 0o077 == 0)
}

#[cfg(unix)]
fn make_private(directory: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    match fs::DirBuilder::new().mode(0o700).create(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let foreign =
        || std::io::Error::other(format!("{} belongs to somebody else", directory.display()));
    if is_private(directory) {
        Ok(())
    } else {
        Err(foreign())
    }
}

#[cfg(not(unix))]
fn siblings_directory() -> Option<PathBuf> {
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
    fn a_directory_that_others_could_write_to_is_not_used() {
        let base = std::env::temp_dir().join(format!("carryall-board-test-{}", std::process::id()));
        let (open, link) = (base.join("open"), base.join("link"));
        fs::create_dir_all(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
        fs::write(
            open.join("board.json"),
            r#"{"surprise": true, "notice": "forged"}"#,
        )
        .unwrap();
        let board = Board::at(Place::Siblings(open.clone()));
        assert_eq!(board.now(), Notes::default());
        assert!(board.write(|notes| notes.surprise = true).is_err());
        // Neither through a link to a directory that is private.
        make_private(&base.join("own")).unwrap();
        symlink(base.join("own"), &link).unwrap();
        assert!(!is_private(&link) && is_private(&base.join("own")));
        // One of our own is made when it is needed, and goes when the server goes.
        let own = Board::at(Place::Siblings(base.join("mine")));
        assert!(!base.join("mine").exists());
        own.write(|notes| notes.surprise = true).unwrap();
        assert!(Board::at(Place::Siblings(base.join("mine"))).now().surprise);
        own.leave();
        assert!(!base.join("mine").exists());
        fs::remove_dir_all(base).unwrap();
    }
}
