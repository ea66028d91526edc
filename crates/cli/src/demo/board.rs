//! What can change while the demo runs, shared by its replicas.
//!
//! A replica keeps nothing that another does not know: the board is a small file that every replica reads and any may
//! write. A server that runs alone keeps it in memory.

use super::{Shared, resources, tools};
use carryall::Server;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
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
}

impl Default for Notes {
    fn default() -> Self {
        Self { surprise: false, notice: "Nothing to announce.".into() }
    }
}

/// The board.
pub(super) struct Board {
    file: Option<PathBuf>,
    /// What stood there when it was last looked at.
    last: Mutex<Notes>,
}

impl Board {
    /// In memory.
    pub(super) fn alone() -> Self {
        Self { file: None, last: Mutex::default() }
    }

    /// In this file, which may not be there yet.
    pub(super) fn shared(file: PathBuf) -> Self {
        Self { file: Some(file), last: Mutex::default() }
    }

    /// In a file that the replicas started by the same supervisor share. In memory when there is no safe place for it.
    pub(super) fn of_siblings() -> Self {
        match siblings_directory() {
            Some(directory) => Self::shared(directory.join("board.json")),
            None => Self::alone(),
        }
    }

    /// What stands there now.
    pub(super) fn now(&self) -> Notes {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(notes) = self.file.as_deref().and_then(read) {
            *last = notes;
        }
        last.clone()
    }

    /// Changes what stands there, for all replicas.
    pub(super) fn write(&self, change: impl FnOnce(&mut Notes)) -> std::io::Result<()> {
        let mut notes = self.now();
        change(&mut notes);
        if let Some(file) = &self.file {
            // Written beside it and renamed, so that nobody ever reads half of it.
            let draft = file.with_extension(format!("{}.tmp", std::process::id()));
            fs::write(&draft, serde_json::to_vec(&notes)?)?;
            fs::rename(draft, file)?;
        }
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = notes;
        Ok(())
    }

    /// Called when the server ends in good order. The supervisor ends all replicas together, so nobody needs the file.
    pub(super) fn leave(&self) {
        if let Some(file) = &self.file
            && let Some(directory) = siblings_path().filter(|directory| file.starts_with(directory))
        {
            let _ = fs::remove_file(file);
            let _ = fs::remove_dir(directory);
        }
    }
}

/// Takes over what stands on the board, and tells this replica's listeners. `applied` is what the server was built with.
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
}

fn read(file: &Path) -> Option<Notes> {
    serde_json::from_slice(&fs::read(file).ok()?).ok()
}

#[cfg(unix)]
fn siblings_path() -> Option<PathBuf> {
    let base = std::env::var_os("XDG_RUNTIME_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    Some(base.join(format!("carryall-demo-{}", std::os::unix::process::parent_id())))
}

/// A directory that belongs to us alone: others could otherwise write on the board, or have us write elsewhere.
#[cfg(unix)]
fn siblings_directory() -> Option<PathBuf> {
    use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
    let path = siblings_path()?;
    match fs::DirBuilder::new().mode(0o700).create(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return None,
        _ => {}
    }
    let found = fs::symlink_metadata(&path).ok()?;
    // A file that we have made tells our own user id.
    let probe = path.join(format!("{}.probe", std::process::id()));
    fs::write(&probe, b"").ok()?;
    let ours = fs::metadata(&probe).ok().map(|metadata| metadata.uid());
    let _ = fs::remove_file(&probe);
    let safe = found.is_dir() && found.permissions().mode() & 0o077 == 0 && Some(found.uid()) == ours;
    safe.then_some(path)
}

#[cfg(not(unix))]
fn siblings_path() -> Option<PathBuf> {
    None
}

#[cfg(not(unix))]
fn siblings_directory() -> Option<PathBuf> {
    None
}
