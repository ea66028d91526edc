//! Notifies the other replicas of what changes on this one, through the store that they share.
//!
//! Each thing that can change has a row, whose version grows with each change. A replica that
//! learns of a row with a version that it has not seen notifies its subscribers. No change is
//! missed when two replicas change the same thing at once: a replica that writes a row sees from
//! the version it gets whether others have written it since.

use crate::clock::now;
use bytes::Bytes;
use carryall_proto::listen::Change;
use carryall_store::{Changes, Row, RowChange, Store, StoreError};
use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// The kind of row that changes are.
const KIND: &str = "change";
/// How long the row of a change is kept after the last change of its kind, in milliseconds.
const RETENTION_MS: u64 = 60 * 60 * 1000;
/// The most versions that are remembered. A change whose version is forgotten may be delivered
/// twice, which is harmless.
const MAX_KNOWN: usize = 10_000;
/// The most changes that wait to be written. Only a store that fails, or a server whose background
/// work nobody drives, lets them pile up; then the oldest is dropped.
const MAX_OUTGOING: usize = 10_000;
/// The first and the longest pause between attempts while the store fails.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
const RESOURCE_PREFIX: &str = "resource ";

/// Takes the changes that other replicas announce.
pub(crate) trait ChangeSink: Sync {
    /// One thing has changed.
    fn deliver(&self, change: &Change);

    /// Anything may have changed: changes were lost on the way.
    fn deliver_all(&self);
}

/// Exchanges changes with the other replicas of a server.
#[derive(Debug)]
pub(crate) struct Replication {
    store: Arc<dyn Store>,
    log: Mutex<ChangeLog>,
    announced: Notify,
}

#[derive(Debug, Default)]
struct ChangeLog {
    /// What is yet to be written, each once.
    outgoing: VecDeque<String>,
    /// The versions that were delivered to the subscribers of this replica.
    known: HashMap<String, u64>,
    /// The version that this replica is writing. It was delivered here already.
    writing: Option<(String, u64)>,
}

impl Replication {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            log: Mutex::default(),
            announced: Notify::new(),
        }
    }

    /// Queues a change for the other replicas. The subscribers of this one know of it already.
    pub(crate) fn announce(&self, change: &Change) {
        let Some(name) = name_of(change) else { return };
        self.log().enqueue(name);
        self.announced.notify_one();
    }

    /// Subscribes to the changes of other replicas.
    pub(crate) fn subscribe(&self) -> Changes {
        self.store.changes(KIND)
    }

    /// Writes what is announced here, and delivers the changes of others, for as long as it is
    /// polled; never completes.
    pub(crate) async fn run(&self, changes: Changes, sink: &dyn ChangeSink) {
        tokio::join!(self.send(sink), self.receive(changes, sink));
    }

    async fn send(&self, sink: &dyn ChangeSink) {
        let mut pause = PAUSES.0;
        loop {
            // Removed before it is written, so that a change meanwhile is announced again.
            let next = self.log().outgoing.pop_front();
            let Some(name) = next else {
                self.announced.notified().await;
                continue;
            };
            match self.write(&name).await {
                Ok(changed_by_others) => {
                    pause = PAUSES.0;
                    if changed_by_others && let Some(change) = change_of(&name) {
                        sink.deliver(&change);
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot announce a change to other replicas; retrying");
                    self.log().put_back(name);
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSES.1);
                }
            }
        }
    }

    async fn receive(&self, mut changes: Changes, sink: &dyn ChangeSink) {
        while let Some(changed) = poll_fn(|cx| changes.as_mut().poll_next(cx)).await {
            let name = match changed {
                RowChange::Row(name) => name,
                RowChange::Lagged => {
                    sink.deliver_all();
                    continue;
                }
            };
            let Some(change) = change_of(&name) else {
                continue;
            };
            match self.store.get(KIND, &name, now()).await {
                Ok(Some(row)) if !self.log().is_new(&name, row.version) => {}
                Ok(None) => {}
                // Delivered once too often is better than not at all.
                Ok(Some(_)) | Err(_) => sink.deliver(&change),
            }
        }
    }

    /// Writes the row of a change. Returns whether others may have changed the same thing since
    /// this replica last knew of it.
    async fn write(&self, name: &str) -> Result<bool, StoreError> {
        let now = now();
        let expires_at = Some(now + RETENTION_MS);
        let version = loop {
            let Some(row) = self.store.get(KIND, name, now).await? else {
                // A new row begins at the current time, so that versions grow over its removal.
                self.log().writing = Some((name.to_owned(), now));
                let row = Row {
                    kind: KIND,
                    key: name.to_owned(),
                    version: now,
                    value: Bytes::new(),
                    expires_at,
                    due_at: None,
                };
                if self.store.insert(row, now).await? {
                    self.log().written(name, now);
                    return Ok(false);
                }
                continue;
            };
            let version = row.version + 1;
            self.log().writing = Some((name.to_owned(), version));
            let row = Row {
                version,
                expires_at,
                ..row
            };
            if self.store.replace(row).await? {
                break version;
            }
        };
        let known = self.log().written(name, version);
        Ok(known.is_none_or(|known| known + 1 != version))
    }

    fn log(&self) -> MutexGuard<'_, ChangeLog> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ChangeLog {
    fn enqueue(&mut self, name: String) {
        if self.outgoing.contains(&name) {
            return;
        }
        if self.outgoing.len() >= MAX_OUTGOING {
            self.outgoing.pop_front();
            tracing::warn!("too many changes wait to be announced to other replicas; one is lost");
        }
        self.outgoing.push_back(name);
    }

    /// Queues a change whose write failed as the next one.
    fn put_back(&mut self, name: String) {
        if !self.outgoing.contains(&name) {
            self.outgoing.push_front(name);
        }
    }

    /// Records a version that this replica has written. Returns the version known before.
    fn written(&mut self, name: &str, version: u64) -> Option<u64> {
        self.writing = None;
        let known = self.known.insert(name.to_owned(), version);
        self.forget_some();
        known
    }

    /// Whether this version was not delivered here. Records it as delivered.
    fn is_new(&mut self, name: &str, version: u64) -> bool {
        let is_writing = |(writing, at): &(String, u64)| writing == name && *at == version;
        if self.writing.as_ref().is_some_and(is_writing) {
            return false;
        }
        let known = self.known.entry(name.to_owned()).or_default();
        let is_new = version > *known;
        *known = version.max(*known);
        self.forget_some();
        is_new
    }

    fn forget_some(&mut self) {
        if self.known.len() > MAX_KNOWN {
            self.known.clear();
        }
    }
}

/// The key of a change's row. The state of a task has a row of its own.
fn name_of(change: &Change) -> Option<String> {
    Some(match change {
        Change::Tools => "tools".to_owned(),
        Change::Prompts => "prompts".to_owned(),
        Change::Resources => "resources".to_owned(),
        Change::Resource(uri) => format!("{RESOURCE_PREFIX}{uri}"),
        Change::Task(_) => return None,
    })
}

fn change_of(name: &str) -> Option<Change> {
    Some(match name {
        "tools" => Change::Tools,
        "prompts" => Change::Prompts,
        "resources" => Change::Resources,
        other => Change::Resource(other.strip_prefix(RESOURCE_PREFIX)?.into()),
    })
}
