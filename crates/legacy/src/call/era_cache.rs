//! The detected eras of servers
//! (`basic/versioning#backward-compatibility-with-initialization-based-versions`).

use carryall_proto::EraDecision;
use carryall_proto::sync::Mutex;
use carryall_types::ProtocolVersion;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Maximum number of entries. The oldest is evicted.
const MAX_ENTRIES: usize = 1024;
/// Maximum age of an entry, in seconds, because servers are upgraded.
const MAX_AGE: u64 = 7 * 24 * 60 * 60;
/// How far an entry may be dated in the future, in seconds, because clocks differ.
const MAX_CLOCK_SKEW: u64 = 60 * 60;
/// Maximum size of the file, in bytes. A larger one was not written by this code.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// How the reason of a cached decision begins.
pub(crate) const REMEMBERED: &str = "remembered: ";

/// Caches the eras of servers, by origin or command line. Cheap to clone; clones share one cache.
///
/// Entries expire after seven days. An entry that turns out to be wrong is removed and the era
/// detected again, so an outdated or foreign cache does no harm. If the caller demands an era
/// ([`Era::Modern`](super::Era::Modern), [`Era::Legacy`](super::Era::Legacy)), the cache is neither
/// read nor written.
#[derive(Clone, Default)]
pub struct EraCache {
    inner: Arc<EraCacheInner>,
}

#[derive(Default)]
struct EraCacheInner {
    file: Option<PathBuf>,
    /// `None` until the file is read.
    entries: Mutex<Option<EraEntries>>,
}

/// The content of the file.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct EraEntries {
    servers: BTreeMap<String, CachedEra>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct CachedEra {
    version: ProtocolVersion,
    why: String,
    /// When the era was detected, in seconds since 1970.
    #[serde(default)]
    since: u64,
}

impl CachedEra {
    fn is_fresh(&self, now: u64) -> bool {
        (now.saturating_sub(MAX_AGE)..=now + MAX_CLOCK_SKEW).contains(&self.since)
    }
}

/// In seconds since 1970.
fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |now| now.as_secs())
}

impl EraCache {
    /// A cache in memory.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A cache in a file, for later runs too.
    ///
    /// The file is read on first use and written when an entry changes. Missing directories are
    /// created. If the file cannot be read or written, the cache works in memory.
    #[must_use]
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self {
            inner: Arc::new(EraCacheInner {
                file: Some(path.into()),
                entries: Mutex::default(),
            }),
        }
    }

    /// Returns the decision for a server, unless it has expired.
    pub(crate) async fn get(&self, key: &str) -> Option<EraDecision> {
        let key = key.to_owned();
        self.run(move |inner| {
            let mut entries = inner.entries.lock();
            let entry = entries
                .get_or_insert_with(|| inner.read())
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

    pub(crate) async fn insert(&self, key: &str, decision: &EraDecision) {
        let why = decision.why.trim_start_matches(REMEMBERED).to_owned();
        let entry = CachedEra {
            version: decision.version,
            why,
            since: now(),
        };
        self.set(key, Some(entry)).await;
    }

    pub(crate) async fn remove(&self, key: &str) {
        self.set(key, None).await;
    }

    async fn set(&self, key: &str, entry: Option<CachedEra>) {
        let key = key.to_owned();
        self.run(move |inner| {
            let mut entries = inner.entries.lock();
            let current = entries.get_or_insert_with(|| inner.read());
            let is_same = |old: &CachedEra| {
                entry.as_ref().is_some_and(|new| {
                    new.version == old.version && new.why == old.why && old.is_fresh(new.since)
                })
            };
            if current.servers.get(&key).map_or(entry.is_none(), is_same) {
                return;
            }
            // Other processes may have added entries.
            let mut updated = if inner.file.is_some() {
                inner.read()
            } else {
                std::mem::take(current)
            };
            match entry {
                Some(entry) => updated.servers.insert(key, entry),
                None => updated.servers.remove(&key),
            };
            while updated.servers.len() > MAX_ENTRIES {
                let oldest = updated
                    .servers
                    .iter()
                    .min_by_key(|(_, entry)| entry.since)
                    .map(|(key, _)| key.clone());
                updated.servers.remove(&oldest.unwrap_or_default());
            }
            inner.write(&updated);
            *current = updated;
        })
        .await;
    }

    /// Runs `work` where it may block if there is a file.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&EraCacheInner) -> T + Send + 'static,
    ) -> Option<T> {
        let inner = Arc::clone(&self.inner);
        if inner.file.is_none() {
            return Some(work(&inner));
        }
        tokio::task::spawn_blocking(move || work(&inner)).await.ok()
    }
}

impl EraCacheInner {
    fn read(&self) -> EraEntries {
        let Some(path) = &self.file else {
            return EraEntries::default();
        };
        match read(path) {
            Ok(entries) => entries,
            // A missing or inaccessible file is not worth a warning.
            Err(error) if error.kind() != io::ErrorKind::InvalidData => EraEntries::default(),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "cannot read the cache of server eras; it will be replaced");
                EraEntries::default()
            }
        }
    }

    fn write(&self, entries: &EraEntries) {
        let Some(path) = &self.file else { return };
        if let Err(error) = write(path, entries) {
            tracing::debug!(path = %path.display(), %error, "cannot write the cache of server eras; it is kept in memory");
        }
    }
}

fn read(path: &Path) -> io::Result<EraEntries> {
    let length = std::fs::metadata(path)?.len();
    if length > MAX_FILE_BYTES {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{length} bytes, over {MAX_FILE_BYTES}"),
        ));
    }
    serde_json::from_slice(&std::fs::read(path)?)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Replaces the file atomically.
fn write(path: &Path, entries: &EraEntries) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{:016x}.new", u64::from_le_bytes(random)));
    let new = path.with_file_name(name);
    let text = serde_json::to_vec_pretty(entries).map_err(io::Error::other)?;
    let written = std::fs::write(&new, text).and_then(|()| std::fs::rename(&new, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&new);
    }
    written
}

impl fmt::Debug for EraCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EraCache")
            .field("file", &self.inner.file)
            .finish_non_exhaustive()
    }
}
