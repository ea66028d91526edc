//! What the replicas of a server have in common: a store, and through it the news that something
//! has changed.
//!
//! News are rows too, one for each thing that changes, whose version grows with each change. A
//! replica that hears of a row tells its listeners, unless it knows that version from its own
//! change. Nothing gets lost on the way: a change that others have made in between shows in the
//! version that the own one gets.

use crate::clock::now;
use crate::core::Core;
use bytes::Bytes;
use carryall_proto::listen::Change;
use carryall_store::{Changed, Changes, Memory, Row, Store, StoreError};
use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// The kind of row that news are.
const NEWS: &str = "change";
/// How long after the last change of its kind a row of news is kept.
const NEWS_KEPT: u64 = 60 * 60 * 1000;
/// How many versions of news are known at most; news whose version is not known are told twice,
/// which does no harm.
const KNOWN: usize = 10_000;
/// How often to remove what has ended; how many rows in one go, and how many times in a row.
const SWEEP: Duration = Duration::from_secs(10);
const ENDED: (usize, usize) = (1_000, 10);
/// How long to wait for a store that fails, at first and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
const BEFORE_RESOURCE: &str = "resource ";

/// What the replicas of a server have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    store: Arc<dyn Store>,
    /// Whether the author has chosen it.
    chosen: bool,
    replicated: bool,
    news: Mutex<News>,
    more: Arc<Notify>,
    background: OnceLock<Background>,
}

#[derive(Debug, Default)]
struct News {
    /// What is yet to be told to the others, each once.
    outgoing: VecDeque<String>,
    /// The versions that this replica's listeners have been told of.
    known: HashMap<String, u64>,
    /// The version that this replica is just writing. Its listeners know.
    writing: Option<(String, u64)>,
}

/// Tasks of the executor that end with their owner.
#[derive(Debug)]
pub(crate) struct Background(pub(crate) Vec<JoinHandle<()>>);

impl Drop for Background {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

impl Shared {
    pub(crate) fn new(store: Option<Arc<dyn Store>>, replicated: bool) -> Self {
        let chosen = store.is_some();
        let store = store.unwrap_or_else(|| Arc::new(Memory::new()));
        Self {
            store,
            chosen,
            replicated,
            news: Mutex::default(),
            more: Arc::default(),
            background: OnceLock::new(),
        }
    }

    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    pub(crate) fn is_replicated(&self) -> bool {
        self.replicated
    }

    /// Whether other replicas do not see what this one writes.
    pub(crate) fn lacks_shared_store(&self) -> bool {
        self.replicated && !self.store.is_shared()
    }

    /// Whether there may be anybody to share with, so that it makes sense to [start](Self::start)
    /// before it is needed.
    pub(crate) fn is_chosen(&self) -> bool {
        self.chosen
    }

    /// Begins to listen to others and to remove what has ended, as soon as there is an executor to
    /// do it on.
    pub(crate) fn start(&self, core: &Arc<Core>) {
        if self.background.get().is_some() {
            return;
        }
        let Ok(executor) = tokio::runtime::Handle::try_current() else {
            return;
        };
        self.background.get_or_init(|| {
            let core = || Arc::downgrade(core);
            let mut running = vec![executor.spawn(sweep(core()))];
            if self.chosen {
                running.push(executor.spawn(hear(core(), self.store.changes(NEWS))));
                running.push(executor.spawn(tell(core())));
            }
            Background(running)
        });
    }

    /// Tells the other replicas of a change whose listeners here know already.
    pub(crate) fn tell_others(&self, change: &Change) {
        if !self.chosen {
            return;
        }
        let Some(name) = name_of(change) else { return };
        let mut news = self.news();
        if !news.outgoing.contains(&name) {
            news.outgoing.push_back(name);
        }
        drop(news);
        self.more.notify_one();
    }

    fn news(&self) -> MutexGuard<'_, News> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes one piece of news. Returns whether others have changed the same in the meantime.
    async fn write(&self, name: &str) -> Result<bool, StoreError> {
        let now = now();
        let expires_at = Some(now + NEWS_KEPT);
        let version = loop {
            let row = match self.store.get(NEWS, name, now).await? {
                Some(row) => Row {
                    version: row.version + 1,
                    expires_at,
                    ..row
                },
                // Versions go on growing when a row begins anew.
                None => {
                    let (key, value) = (name.to_owned(), Bytes::new());
                    let row = Row {
                        kind: NEWS,
                        key,
                        version: now,
                        value,
                        expires_at,
                        due_at: None,
                    };
                    self.news().writing = Some((name.to_owned(), now));
                    if self.store.insert(row, now).await? {
                        self.news().wrote(name, now);
                        return Ok(false);
                    }
                    continue;
                }
            };
            let version = row.version;
            self.news().writing = Some((name.to_owned(), version));
            if self.store.replace(row).await? {
                break version;
            }
        };
        let known = self.news().wrote(name, version);
        // CompletionTarget what it was before nothing is known: others may have changed it.
        Ok(known.is_none_or(|known| known + 1 != version))
    }

    /// Whether this version of a piece of news has not been told here.
    fn is_new(&self, name: &str, version: u64) -> bool {
        let mut news = self.news();
        if news
            .writing
            .as_ref()
            .is_some_and(|(writing, at)| writing == name && *at == version)
        {
            return false;
        }
        let known = news.known.entry(name.to_owned()).or_default();
        let new = version > *known;
        *known = version.max(*known);
        news.forget_some();
        new
    }
}

impl News {
    /// What could not be told yet goes first next time.
    fn put_back(&mut self, name: String) {
        if !self.outgoing.contains(&name) {
            self.outgoing.push_front(name);
        }
    }

    /// Notes what this replica has written. Returns the version that was known before.
    fn wrote(&mut self, name: &str, version: u64) -> Option<u64> {
        self.writing = None;
        let known = self.known.insert(name.to_owned(), version);
        self.forget_some();
        known
    }

    fn forget_some(&mut self) {
        if self.known.len() > KNOWN {
            self.known.clear();
        }
    }
}

/// Writes what is to be told to others, however long the store takes.
async fn tell(core: Weak<Core>) {
    let mut pause = PAUSES.0;
    loop {
        let Some(core) = core.upgrade() else { return };
        let shared = &core.shared;
        let next = shared.news().outgoing.front().cloned();
        let Some(name) = next else {
            let more = Arc::clone(&shared.more);
            // The server may go while nothing changes.
            drop(core);
            more.notified().await;
            continue;
        };
        // Taken out before it is written: a change that comes meanwhile is told again.
        shared.news().outgoing.pop_front();
        match shared.write(&name).await {
            Ok(others) => {
                pause = PAUSES.0;
                if others && let Some(change) = change_of(&name) {
                    core.publish_here(&change);
                }
            }
            Err(error) => {
                tracing::warn!(%error, "other replicas are not told of a change yet; trying again");
                shared.news().put_back(name);
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSES.1);
            }
        }
    }
}

/// Hears what others have changed.
async fn hear(core: Weak<Core>, mut changes: Changes) {
    while let Some(changed) = poll_fn(|cx| changes.as_mut().poll_next(cx)).await {
        let Some(core) = core.upgrade() else { return };
        match changed {
            Changed::Row(name) => {
                let Some(change) = change_of(&name) else {
                    continue;
                };
                match core.shared.store.get(NEWS, &name, now()).await {
                    Ok(Some(row)) if core.shared.is_new(&name, row.version) => {
                        core.publish_here(&change)
                    }
                    Ok(_) => {}
                    // Told once too often is better than not at all.
                    Err(_) => core.publish_here(&change),
                }
            }
            Changed::Some => core.publish_everything(),
        }
    }
}

/// Removes what has ended, now and then.
async fn sweep(core: Weak<Core>) {
    let mut tick = tokio::time::interval(SWEEP);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let Some(core) = core.upgrade() else { return };
        for _ in 0..ENDED.1 {
            match core.shared.store.expire(now(), ENDED.0).await {
                Ok(ended) if ended == ENDED.0 => {}
                Ok(_) => break,
                Err(error) => {
                    tracing::warn!(%error, "cannot remove what has ended");
                    break;
                }
            }
        }
    }
}

/// What a change is called among replicas. How a task stands is told by its own row.
fn name_of(change: &Change) -> Option<String> {
    Some(match change {
        Change::Tools => "tools".to_owned(),
        Change::Prompts => "prompts".to_owned(),
        Change::Resources => "resources".to_owned(),
        Change::Resource(uri) => format!("{BEFORE_RESOURCE}{uri}"),
        Change::Task(_) => return None,
    })
}

fn change_of(name: &str) -> Option<Change> {
    Some(match name {
        "tools" => Change::Tools,
        "prompts" => Change::Prompts,
        "resources" => Change::Resources,
        other => Change::Resource(other.strip_prefix(BEFORE_RESOURCE)?.into()),
    })
}
