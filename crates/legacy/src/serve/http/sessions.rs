//! The sessions that this process knows. Forgetting one loses little: its token brings it back.

use super::super::changes::Change;
use super::super::conversation::Conversation;
use super::events::EventStream;
use super::meeting::Recalled;
use carryall_types::ProtocolVersion;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{OnceCell, watch};
use tokio::time::Instant;

/// How many ended sessions are remembered, so that their tokens do not bring them back.
const MAX_ENDED: usize = 16_384;
/// How many streams of one session are open at a time, or kept to be read again.
pub(super) const MAX_STREAMS: usize = 64;

/// A session as this process knows it.
pub(super) struct Session {
    /// Its name among replicas.
    pub(super) name: Arc<str>,
    pub(super) version: ProtocolVersion,
    pub(super) conversation: Arc<Conversation>,
    /// Seconds since the epoch.
    pub(super) expires_at: u64,
    /// Set once other replicas were asked about it.
    pub(super) recalled: OnceCell<()>,
    known: Mutex<Recalled>,
    streams: Mutex<Streams>,
    ended: watch::Sender<bool>,
}

#[derive(Default)]
struct Streams {
    /// The oldest first.
    all: VecDeque<Arc<EventStream>>,
    changes: Option<Arc<EventStream>>,
}

impl Session {
    pub(super) fn new(
        name: Arc<str>,
        version: ProtocolVersion,
        conversation: Arc<Conversation>,
        expires_at: u64,
    ) -> Arc<Self> {
        Arc::new(Self {
            name,
            version,
            conversation,
            expires_at,
            recalled: OnceCell::new(),
            known: Mutex::default(),
            streams: Mutex::default(),
            ended: watch::Sender::new(false),
        })
    }

    /// Remembers a change for replicas that will ask.
    pub(super) fn note(&self, change: &Change) {
        lock(&self.known).apply(change);
    }

    /// Applies a change that was made elsewhere.
    pub(super) fn apply(&self, change: Change) {
        self.note(&change);
        self.conversation.apply(change);
    }

    pub(super) fn known(&self) -> Recalled {
        Recalled { ended: self.is_ended(), ..lock(&self.known).clone() }
    }

    pub(super) fn is_ended(&self) -> bool {
        *self.ended.borrow()
    }

    /// Completes when the session has ended.
    pub(super) async fn ended(&self) {
        // The sender is in this very session, so there is always one.
        let _ = self.ended.subscribe().wait_for(|ended| *ended).await;
    }

    /// Takes a stream in. `Err` when too many are open; else the streams that must make room for it.
    pub(super) fn add(&self, stream: &Arc<EventStream>) -> Result<Vec<Arc<EventStream>>, TooMany> {
        let mut streams = lock(&self.streams);
        let mut gone = Vec::new();
        while streams.all.len() >= MAX_STREAMS {
            let finished = streams.all.iter().position(|stream| stream.is_complete()).ok_or(TooMany)?;
            gone.extend(streams.all.remove(finished));
        }
        streams.all.push_back(Arc::clone(stream));
        Ok(gone)
    }

    /// Makes `stream` the one that carries changes. The one before it ends: a message goes to one stream only
    /// (2025-11-25 `basic/transports#multiple-connections`).
    pub(super) fn listen(&self, stream: Option<Arc<EventStream>>) {
        let before = std::mem::replace(&mut lock(&self.streams).changes, stream);
        if let Some(before) = before {
            before.close();
        }
    }

    /// Ends everything that is under way.
    pub(super) fn end(&self) {
        self.ended.send_replace(true);
        let streams = std::mem::take(&mut *lock(&self.streams));
        for stream in streams.all.into_iter().chain(streams.changes) {
            stream.close();
        }
    }
}

/// Too many of something are in work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooMany;

/// What a process knows about a name.
pub(super) enum Found {
    Known(Arc<Session>),
    Unknown,
    Ended,
}

/// All sessions, bounded. What was used least recently and has nothing in work makes room.
pub(super) struct Sessions {
    max: usize,
    /// Of one principal.
    max_owned: usize,
    idle: Duration,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    entries: HashMap<Arc<str>, Entry>,
    /// By when they were used last.
    order: BTreeMap<u64, Arc<str>>,
    owned: HashMap<Arc<[u8]>, usize>,
    clock: u64,
    ended: HashSet<Arc<str>>,
    ended_order: VecDeque<Arc<str>>,
}

struct Entry {
    session: Arc<Session>,
    owner: Arc<[u8]>,
    turn: u64,
    used_at: Instant,
}

impl Sessions {
    pub(super) fn new(max: usize, max_owned: usize, idle: Duration) -> Self {
        Self { max: max.max(1), max_owned: max_owned.max(1), idle, table: Mutex::default() }
    }

    /// Looks a session up and counts that as a use.
    pub(super) fn find(&self, name: &str) -> Found {
        let mut table = lock(&self.table);
        if table.ended.contains(name) {
            return Found::Ended;
        }
        match table.touch(name) {
            Some(session) => Found::Known(session),
            None => Found::Unknown,
        }
    }

    /// Looks a session up that another replica speaks of.
    pub(super) fn peek(&self, name: &str) -> Option<Arc<Session>> {
        lock(&self.table).entries.get(name).map(|entry| Arc::clone(&entry.session))
    }

    /// Takes a session in, unless one of that name came first; returns the one that is there then. `owner` is empty for
    /// callers that nobody knows.
    pub(super) fn insert(&self, session: Arc<Session>, owner: &[u8]) -> Result<Arc<Session>, TooMany> {
        let mut table = lock(&self.table);
        if let Some(there) = table.touch(&session.name) {
            return Ok(there);
        }
        table.forget_idle(self.idle);
        let owned = table.owned.get(owner).copied().unwrap_or_default();
        if !owner.is_empty() && owned >= self.max_owned {
            table.forget_one(|entry| *entry.owner == *owner)?;
        }
        if table.entries.len() >= self.max {
            table.forget_one(|_| true)?;
        }
        let owner = table.owned.get_key_value(owner).map_or_else(|| owner.into(), |(owner, _)| Arc::clone(owner));
        *table.owned.entry(Arc::clone(&owner)).or_default() += 1;
        table.clock += 1;
        let turn = table.clock;
        table.order.insert(turn, Arc::clone(&session.name));
        let entry = Entry { session: Arc::clone(&session), owner, turn, used_at: Instant::now() };
        table.entries.insert(Arc::clone(&session.name), entry);
        Ok(session)
    }

    /// Ends a session for good, whether it has been here or not.
    pub(super) fn end(&self, name: &Arc<str>) {
        let mut table = lock(&self.table);
        let session = table.remove(name);
        if table.ended.insert(Arc::clone(name)) {
            table.ended_order.push_back(Arc::clone(name));
            if table.ended_order.len() > MAX_ENDED
                && let Some(oldest) = table.ended_order.pop_front()
            {
                table.ended.remove(&oldest);
            }
        }
        drop(table);
        if let Some(session) = session {
            session.end();
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        lock(&self.table).entries.len()
    }
}

impl Table {
    fn touch(&mut self, name: &str) -> Option<Arc<Session>> {
        let entry = self.entries.get_mut(name)?;
        self.clock += 1;
        if let Some(name) = self.order.remove(&entry.turn) {
            self.order.insert(self.clock, name);
        }
        entry.turn = self.clock;
        entry.used_at = Instant::now();
        Some(Arc::clone(&entry.session))
    }

    fn remove(&mut self, name: &str) -> Option<Arc<Session>> {
        let entry = self.entries.remove(name)?;
        self.order.remove(&entry.turn);
        if let Some(count) = self.owned.get_mut(&entry.owner) {
            *count -= 1;
            if *count == 0 {
                self.owned.remove(&entry.owner);
            }
        }
        Some(entry.session)
    }

    /// Forgets the one that was used least recently, among those that `may_go` and have nothing in work.
    fn forget_one(&mut self, may_go: impl Fn(&Entry) -> bool) -> Result<(), TooMany> {
        let mut names = self.order.values();
        let name = names
            .find(|name| self.entries.get(*name).is_some_and(|entry| entry.rests() && may_go(entry)))
            .cloned()
            .ok_or(TooMany)?;
        self.remove(&name);
        Ok(())
    }

    fn forget_idle(&mut self, idle: Duration) {
        let now = Instant::now();
        let old = |entry: &Entry| now.duration_since(entry.used_at) >= idle;
        let names =
            self.order.values().map_while(|name| self.entries.get_key_value(name).filter(|(_, entry)| old(entry)));
        let names: Vec<_> = names.filter(|(_, entry)| entry.rests()).map(|(name, _)| Arc::clone(name)).collect();
        for name in names {
            self.remove(&name);
        }
    }
}

impl Entry {
    /// Whoever works on a session holds it.
    fn rests(&self) -> bool {
        // A task holds the conversation alone.
        Arc::strong_count(&self.session) == 1 && Arc::strong_count(&self.session.conversation) == 1
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
pub(super) mod tests;
