//! Which server is of which era, remembered
//! (`basic/versioning#backward-compatibility-with-initialization-based-versions`).

use carryall_proto::EraDecision;
use carryall_proto::sync::Mutex;
use carryall_types::ProtocolVersion;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, MutexGuard};
use std::time::{SystemTime, UNIX_EPOCH};

/// So many servers are remembered; the one found out longest ago makes room.
const MAX_SERVERS: usize = 1024;
/// Entries older than this are found out anew, in seconds: servers are upgraded.
const MAX_AGE: u64 = 7 * 24 * 60 * 60;
/// How far the clock of whoever wrote an entry may be ahead, in seconds.
const MAX_AHEAD: u64 = 60 * 60;
/// A larger file was not written here.
const MAX_FILE: u64 = 1024 * 1024;

/// How the reason of a decision begins that was not made in this run.
pub(crate) const REMEMBERED: &str = "remembered: ";

/// The era to speak with a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Era {
    /// The one that the server is of, which is found out.
    #[default]
    Auto,
    /// Revision 2026-07-28, where each request stands for itself.
    Modern,
    /// Revisions up to 2025-11-25, with a handshake.
    Legacy,
}

/// What has been found out about servers, by origin or command. Cheap to clone; clones share what
/// they know.
///
/// A decision that proves wrong is forgotten and found out again, and any is after seven days, so a
/// memory may be old, lost or somebody else's. An era that the caller demands ([`Era::Modern`],
/// [`Era::Legacy`]) is neither looked up nor kept here.
#[derive(Clone, Default)]
pub struct EraCache {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    file: Option<PathBuf>,
    /// `None` until the file has been read.
    known: Mutex<Option<Known>>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Known {
    servers: BTreeMap<String, Entry>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Entry {
    version: ProtocolVersion,
    why: String,
    /// When it was found out, in seconds since 1970.
    #[serde(default)]
    since: u64,
}

impl Entry {
    fn is_fresh(&self, now: u64) -> bool {
        (now.saturating_sub(MAX_AGE)..=now + MAX_AHEAD).contains(&self.since)
    }
}

/// In seconds since 1970.
fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |now| now.as_secs())
}

impl EraCache {
    /// A memory of this process.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A memory in a file, for later runs too. It is read on first use and written when something
    /// new is found out; folders are made as needed. A file that cannot be read or written costs
    /// nothing but the memory.
    #[must_use]
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self {
            shared: Arc::new(Shared {
                file: Some(path.into()),
                known: Mutex::default(),
            }),
        }
    }

    /// What is known about a server.
    pub(crate) async fn recall(&self, key: &str) -> Option<EraDecision> {
        let key = key.to_owned();
        self.work(move |shared| {
            let mut known = shared.lock();
            let entry = known
                .get_or_insert_with(|| shared.read())
                .servers
                .get(&key)?;
            if !entry.is_fresh(now()) {
                return None;
            }
            let why = format!("{REMEMBERED}{}", entry.why);
            Some(EraDecision {
                version: entry.version,
                why: why.into(),
            })
        })
        .await
        .flatten()
    }

    /// Keeps what was found out.
    pub(crate) async fn remember(&self, key: &str, decision: &EraDecision) {
        let why = decision.why.trim_start_matches(REMEMBERED).to_owned();
        self.change(
            key,
            Some(Entry {
                version: decision.version,
                why,
                since: now(),
            }),
        )
        .await;
    }

    /// Forgets what has proved wrong.
    pub(crate) async fn forget(&self, key: &str) {
        self.change(key, None).await;
    }

    async fn change(&self, key: &str, entry: Option<Entry>) {
        let key = key.to_owned();
        self.work(move |shared| {
            let mut known = shared.lock();
            let current = known.get_or_insert_with(|| shared.read());
            let same = |old: &Entry| {
                entry.as_ref().is_some_and(|new| {
                    new.version == old.version && new.why == old.why && old.is_fresh(new.since)
                })
            };
            if current.servers.get(&key).map_or(entry.is_none(), same) {
                return;
            }
            // Other processes may have written meanwhile, and what they found out is as good.
            let mut fresh = if shared.file.is_some() {
                shared.read()
            } else {
                std::mem::take(current)
            };
            match entry {
                Some(entry) => fresh.servers.insert(key, entry),
                None => fresh.servers.remove(&key),
            };
            while fresh.servers.len() > MAX_SERVERS {
                let oldest = fresh
                    .servers
                    .iter()
                    .min_by_key(|(_, entry)| entry.since)
                    .map(|(key, _)| key.clone());
                fresh.servers.remove(&oldest.unwrap_or_default());
            }
            shared.write(&fresh);
            *current = fresh;
        })
        .await;
    }

    /// Files are small, but their disk may be slow.
    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared) -> T + Send + 'static,
    ) -> Option<T> {
        let shared = Arc::clone(&self.shared);
        if shared.file.is_none() {
            return Some(work(&shared));
        }
        tokio::task::spawn_blocking(move || work(&shared))
            .await
            .ok()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Option<Known>> {
        self.known.lock()
    }

    fn read(&self) -> Known {
        let Some(path) = &self.file else {
            return Known::default();
        };
        match read(path) {
            Ok(known) => known,
            // What somebody else has written there is worth a word; a folder that is not there or
            // not ours is not.
            Err(error) if error.kind() != io::ErrorKind::InvalidData => Known::default(),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "the memory of server eras is not readable and is begun anew");
                Known::default()
            }
        }
    }

    fn write(&self, known: &Known) {
        let Some(path) = &self.file else { return };
        if let Err(error) = write(path, known) {
            tracing::debug!(path = %path.display(), %error, "cannot write the memory of server eras; it is kept for this process");
        }
    }
}

fn read(path: &Path) -> io::Result<Known> {
    let length = std::fs::metadata(path)?.len();
    if length > MAX_FILE {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{length} bytes, over {MAX_FILE}"),
        ));
    }
    serde_json::from_slice(&std::fs::read(path)?)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Readers see the old file or the new one, never half of one.
fn write(path: &Path, known: &Known) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{:016x}.new", u64::from_le_bytes(random)));
    let fresh = path.with_file_name(name);
    let text = serde_json::to_vec_pretty(known).map_err(io::Error::other)?;
    let written = std::fs::write(&fresh, text).and_then(|()| std::fs::rename(&fresh, path));
    if written.is_err() {
        // Nothing is lost if it stays behind.
        let _ = std::fs::remove_file(&fresh);
    }
    written
}

impl fmt::Debug for EraCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EraCache")
            .field("file", &self.shared.file)
            .finish_non_exhaustive()
    }
}
