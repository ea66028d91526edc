//! The sessions that this process knows. Forgetting one loses little: its token brings it back.

use super::super::changes::Change;
use super::super::conversation::ClientSession;
use super::ended::EndedSessions;
use super::endpoint::now;
use super::events::ResumableStream;
use super::meeting::SessionSnapshot;
use carryall_proto::budget::Reservation;
use carryall_proto::sync::Mutex;
use carryall_proto::{Caller, ClientId};
use carryall_types::ProtocolVersion;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, MutexGuard};
use std::time::Duration;
use tokio::sync::{OnceCell, watch};
use tokio::time::Instant;

/// How often it is looked whether something has expired that outlasts its session here.
const SWEEP: Duration = Duration::from_secs(60);
/// How many streams of one session are open at a time, or kept to be read again.
pub(super) const MAX_STREAMS: usize = 64;

/// A session as this process knows it.
pub(super) struct Session {
    /// Its name among replicas.
    pub(super) name: Arc<str>,
    pub(super) version: ProtocolVersion,
    pub(super) conversation: Arc<ClientSession>,
    /// Seconds since the epoch.
    pub(super) expires_at: u64,
    /// Set once other replicas were asked about it.
    pub(super) recalled: OnceCell<()>,
    streams: Mutex<Streams>,
    ended: watch::Sender<bool>,
}

#[derive(Default)]
struct Streams {
    /// The oldest first.
    all: VecDeque<Arc<ResumableStream>>,
    changes: Option<Arc<ResumableStream>>,
}

impl Session {
    pub(super) fn new(
        name: Arc<str>,
        version: ProtocolVersion,
        conversation: Arc<ClientSession>,
        expires_at: u64,
    ) -> Arc<Self> {
        Arc::new(Self {
            name,
            version,
            conversation,
            expires_at,
            recalled: OnceCell::new(),
            streams: Mutex::default(),
            ended: watch::Sender::new(false),
        })
    }

    /// The client, for what tells clients apart. It is the same on all replicas.
    pub(super) fn client(&self) -> ClientId {
        super::token::client_of(&self.name)
    }

    /// Applies a change that was made elsewhere.
    pub(super) fn apply(&self, change: Change) {
        self.conversation.apply(change);
    }

    /// What a replica has to know that has not seen the session.
    pub(super) fn known(&self) -> SessionSnapshot {
        SessionSnapshot {
            ended: self.is_ended(),
            log_level: self.conversation.log_level(),
            subscribed: self.conversation.subscriptions.list(),
        }
    }

    pub(super) fn is_ended(&self) -> bool {
        *self.ended.borrow()
    }

    /// Completes when the session has ended.
    pub(super) async fn ended(&self) {
        // The sender is in this very session, so there is always one.
        let _ = self.ended.subscribe().wait_for(|ended| *ended).await;
    }

    /// Takes a stream in. `Err` when too many are open; else the streams that must make room for
    /// it.
    pub(super) fn add(
        &self,
        stream: &Arc<ResumableStream>,
    ) -> Result<Vec<Arc<ResumableStream>>, TooMany> {
        let mut streams = lock(&self.streams);
        let mut gone = Vec::new();
        while streams.all.len() >= MAX_STREAMS {
            let finished = streams
                .all
                .iter()
                .position(|stream| stream.is_complete())
                .ok_or(TooMany)?;
            gone.extend(streams.all.remove(finished));
        }
        streams.all.push_back(Arc::clone(stream));
        Ok(gone)
    }

    /// Makes `stream` the one that carries changes. The one before it ends: a message goes to one
    /// stream only (2025-11-25 `basic/transports#multiple-connections`).
    pub(super) fn listen(&self, stream: Option<Arc<ResumableStream>>) {
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

/// How many sessions are known, and for how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct SessionLimits {
    pub(super) all: usize,
    pub(super) of_principal: usize,
    /// Of one caller without a principal.
    pub(super) of_caller: usize,
    pub(super) idle: Duration,
    /// How long a session lasts.
    pub(super) ttl: Duration,
    /// What a session has subscribed to is stored elsewhere too, and stays there when this process
    /// forgets the session.
    pub(super) is_stored: bool,
}

/// All sessions, bounded. What was used least recently and has nothing in work makes room.
pub(super) struct Sessions {
    limits: SessionLimits,
    table: Mutex<Table>,
}

struct Table {
    entries: HashMap<Arc<str>, Entry>,
    /// By when they were used last.
    order: BTreeMap<u64, Arc<str>>,
    owned: HashMap<Caller, usize>,
    clock: u64,
    ended: EndedSessions,
    /// What forgotten sessions still hold in a store, and until when, in seconds since the epoch.
    stored: HashMap<Arc<str>, (u64, Vec<Reservation>)>,
    swept_at: Instant,
}

struct Entry {
    session: Arc<Session>,
    turn: u64,
    used_at: Instant,
}

impl Sessions {
    pub(super) fn new(limits: SessionLimits) -> Self {
        let table = Table {
            entries: HashMap::new(),
            order: BTreeMap::new(),
            owned: HashMap::new(),
            clock: 0,
            ended: EndedSessions::new(limits.ttl.as_secs()),
            stored: HashMap::new(),
            swept_at: Instant::now(),
        };
        Self {
            limits: SessionLimits {
                all: limits.all.max(1),
                ..limits
            },
            table: Mutex::new(table),
        }
    }

    /// Looks up the session of a token that expires at that time, and counts that as a use.
    pub(super) fn find(&self, name: &str, expires_at: u64) -> Found {
        self.find_unless(name, |ended| ended.contains(name, expires_at))
    }

    /// Looks up a session of which only the name is known.
    pub(super) fn find_named(&self, name: &str) -> Found {
        self.find_unless(name, |ended| ended.contains_any(name))
    }

    fn find_unless(&self, name: &str, has_ended: impl FnOnce(&EndedSessions) -> bool) -> Found {
        let mut table = lock(&self.table);
        match table.touch(name) {
            // An ended session is not in the table.
            Some(session) => Found::Known(session),
            None if has_ended(&table.ended) => Found::Ended,
            None => Found::Unknown,
        }
    }

    /// Looks a session up that another replica speaks of.
    pub(super) fn peek(&self, name: &str) -> Option<Arc<Session>> {
        lock(&self.table)
            .entries
            .get(name)
            .map(|entry| Arc::clone(&entry.session))
    }

    /// Takes a session in, unless one of that name came first; returns the one that is there then.
    pub(super) fn insert(&self, session: Arc<Session>) -> Result<Arc<Session>, TooMany> {
        let mut table = lock(&self.table);
        if let Some(there) = table.touch(&session.name) {
            return Ok(there);
        }
        table.sweep(&self.limits);
        let caller = &session.conversation.caller;
        let limit = match caller {
            Caller::Principal { .. } => self.limits.of_principal,
            _ => self.limits.of_caller,
        };
        if table
            .owned
            .get(caller)
            .is_some_and(|owned| *owned >= limit.max(1))
        {
            table.forget_one(&self.limits, |entry| {
                entry.session.conversation.caller == *caller
            })?;
        }
        if table.entries.len() >= self.limits.all {
            table.forget_one(&self.limits, |_| true)?;
        }
        *table.owned.entry(caller.clone()).or_default() += 1;
        table.clock += 1;
        let turn = table.clock;
        table.order.insert(turn, Arc::clone(&session.name));
        let entry = Entry {
            session: Arc::clone(&session),
            turn,
            used_at: Instant::now(),
        };
        table.entries.insert(Arc::clone(&session.name), entry);
        // What it subscribes to again is counted again.
        table.stored.remove(&session.name);
        Ok(session)
    }

    /// Ends a session for good, whether it has been here or not. Its token expires at `expires_at`,
    /// in seconds since the epoch.
    pub(super) fn end(&self, name: &Arc<str>, expires_at: u64) {
        let mut table = lock(&self.table);
        let session = table.remove(name);
        table.stored.remove(name);
        table.ended.insert(name, expires_at, now());
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
        let caller = &entry.session.conversation.caller;
        if let Some(count) = self.owned.get_mut(caller) {
            *count -= 1;
            if *count == 0 {
                self.owned.remove(caller);
            }
        }
        Some(entry.session)
    }

    /// Forgets the one that was used least recently, among those that `may_go` and have nothing in
    /// work.
    fn forget_one(
        &mut self,
        limits: &SessionLimits,
        may_go: impl Fn(&Entry) -> bool,
    ) -> Result<(), TooMany> {
        let mut names = self.order.values();
        let name = names
            .find(|name| {
                self.entries
                    .get(*name)
                    .is_some_and(|entry| entry.rests() && may_go(entry))
            })
            .cloned()
            .ok_or(TooMany)?;
        self.forget(limits, &name);
        Ok(())
    }

    fn forget(&mut self, limits: &SessionLimits, name: &Arc<str>) {
        let Some(session) = self.remove(name) else {
            return;
        };
        if limits.is_stored {
            let held = session.conversation.subscriptions.take();
            if !held.is_empty() {
                self.stored
                    .insert(Arc::clone(name), (session.expires_at, held));
            }
        }
    }

    /// Forgets what was not used for long, and what has expired.
    fn sweep(&mut self, limits: &SessionLimits) {
        let now = Instant::now();
        let old = |entry: &Entry| now.duration_since(entry.used_at) >= limits.idle;
        let names = self.order.values().map_while(|name| {
            self.entries
                .get_key_value(name)
                .filter(|(_, entry)| old(entry))
        });
        let names: Vec<_> = names
            .filter(|(_, entry)| entry.rests())
            .map(|(name, _)| Arc::clone(name))
            .collect();
        for name in names {
            self.forget(limits, &name);
        }
        if now.duration_since(self.swept_at) >= SWEEP {
            self.swept_at = now;
            let now = super::endpoint::now();
            self.stored.retain(|_, (expires_at, _)| *expires_at > now);
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
    mutex.lock()
}

#[cfg(test)]
pub(super) mod tests;
