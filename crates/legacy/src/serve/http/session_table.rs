//! The sessions that this process knows. Evicting one loses little: its id restores it.

use super::ended_sessions::EndedSessions;
use super::session::{HttpSession, LimitReached};
use crate::serve::clock::unix_seconds;
use carryall_proto::Caller;
use carryall_proto::budget::Reservation;
use carryall_proto::sync::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How often reservations are removed that outlive their session.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// What this process knows about a session.
pub(super) enum SessionLookup {
    Known(Arc<HttpSession>),
    Unknown,
    Ended,
}

/// How many sessions are kept, and for how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct SessionLimits {
    pub(super) total: usize,
    pub(super) per_principal: usize,
    /// For callers without a principal.
    pub(super) per_caller: usize,
    pub(super) idle: Duration,
    /// The lifetime of a session.
    pub(super) ttl: Duration,
    /// The subscriptions of a session are also kept by the session bus, and stay there when the
    /// session is evicted here.
    pub(super) is_shared: bool,
}

/// All sessions, bounded. The least recently used idle session is evicted for a new one.
pub(super) struct SessionTable {
    limits: SessionLimits,
    entries: Mutex<SessionEntries>,
}

struct SessionEntries {
    by_name: HashMap<Arc<str>, SessionEntry>,
    /// The names by last use.
    by_use: BTreeMap<u64, Arc<str>>,
    per_caller: HashMap<Caller, usize>,
    /// The number of the last use.
    uses: u64,
    ended: EndedSessions,
    /// What the session bus still holds for evicted sessions, and until when, in seconds since the
    /// Unix epoch.
    shared: HashMap<Arc<str>, (u64, Vec<Reservation>)>,
    swept_at: Instant,
}

struct SessionEntry {
    session: Arc<HttpSession>,
    last_use: u64,
    used_at: Instant,
}

impl SessionTable {
    pub(super) fn new(limits: SessionLimits) -> Self {
        let entries = SessionEntries {
            by_name: HashMap::new(),
            by_use: BTreeMap::new(),
            per_caller: HashMap::new(),
            uses: 0,
            ended: EndedSessions::new(limits.ttl.as_secs()),
            shared: HashMap::new(),
            swept_at: Instant::now(),
        };
        Self {
            limits: SessionLimits {
                total: limits.total.max(1),
                ..limits
            },
            entries: Mutex::new(entries),
        }
    }

    /// Looks up the session of an id that expires at `expires_at`, and counts that as a use.
    pub(super) fn find(&self, name: &str, expires_at: u64) -> SessionLookup {
        self.find_unless(name, |ended| ended.contains(name, expires_at))
    }

    /// Looks up a session by its name, when the expiry time is not known.
    pub(super) fn find_named(&self, name: &str) -> SessionLookup {
        self.find_unless(name, |ended| ended.contains_any(name))
    }

    fn find_unless(
        &self,
        name: &str,
        has_ended: impl FnOnce(&EndedSessions) -> bool,
    ) -> SessionLookup {
        let mut entries = self.entries.lock();
        match entries.touch(name) {
            Some(session) => SessionLookup::Known(session),
            None if has_ended(&entries.ended) => SessionLookup::Ended,
            None => SessionLookup::Unknown,
        }
    }

    /// Returns a session without counting that as a use.
    pub(super) fn peek(&self, name: &str) -> Option<Arc<HttpSession>> {
        self.entries
            .lock()
            .by_name
            .get(name)
            .map(|entry| Arc::clone(&entry.session))
    }

    /// Adds a session. Returns the one that is kept: another one if it was added first.
    pub(super) fn insert(
        &self,
        session: Arc<HttpSession>,
    ) -> Result<Arc<HttpSession>, LimitReached> {
        let mut entries = self.entries.lock();
        if let Some(existing) = entries.touch(&session.name) {
            return Ok(existing);
        }
        entries.sweep(&self.limits);
        let caller = &session.client.caller;
        let limit = match caller {
            Caller::Principal { .. } => self.limits.per_principal,
            _ => self.limits.per_caller,
        };
        if entries
            .per_caller
            .get(caller)
            .is_some_and(|count| *count >= limit.max(1))
        {
            entries.evict_one(&self.limits, |entry| entry.session.client.caller == *caller)?;
        }
        if entries.by_name.len() >= self.limits.total {
            entries.evict_one(&self.limits, |_| true)?;
        }
        *entries.per_caller.entry(caller.clone()).or_default() += 1;
        entries.uses += 1;
        let last_use = entries.uses;
        entries.by_use.insert(last_use, Arc::clone(&session.name));
        let entry = SessionEntry {
            session: Arc::clone(&session),
            last_use,
            used_at: Instant::now(),
        };
        entries.by_name.insert(Arc::clone(&session.name), entry);
        // Its subscriptions are reserved again when they are loaded.
        entries.shared.remove(&session.name);
        Ok(session)
    }

    /// Ends a session for good, whether it is known here or not. Its id expires at `expires_at`, in
    /// seconds since the Unix epoch.
    pub(super) fn end(&self, name: &Arc<str>, expires_at: u64) {
        let mut entries = self.entries.lock();
        let session = entries.remove(name);
        entries.shared.remove(name);
        entries.ended.insert(name, expires_at, unix_seconds());
        drop(entries);
        if let Some(session) = session {
            session.end();
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.lock().by_name.len()
    }
}

impl SessionEntries {
    fn touch(&mut self, name: &str) -> Option<Arc<HttpSession>> {
        let entry = self.by_name.get_mut(name)?;
        self.uses += 1;
        if let Some(name) = self.by_use.remove(&entry.last_use) {
            self.by_use.insert(self.uses, name);
        }
        entry.last_use = self.uses;
        entry.used_at = Instant::now();
        Some(Arc::clone(&entry.session))
    }

    fn remove(&mut self, name: &str) -> Option<Arc<HttpSession>> {
        let entry = self.by_name.remove(name)?;
        self.by_use.remove(&entry.last_use);
        let caller = &entry.session.client.caller;
        if let Some(count) = self.per_caller.get_mut(caller) {
            *count -= 1;
            if *count == 0 {
                self.per_caller.remove(caller);
            }
        }
        Some(entry.session)
    }

    /// Evicts the least recently used idle session that `may_go`.
    fn evict_one(
        &mut self,
        limits: &SessionLimits,
        may_go: impl Fn(&SessionEntry) -> bool,
    ) -> Result<(), LimitReached> {
        let mut names = self.by_use.values();
        let name = names
            .find(|name| {
                self.by_name
                    .get(*name)
                    .is_some_and(|entry| entry.is_idle() && may_go(entry))
            })
            .cloned()
            .ok_or(LimitReached)?;
        self.evict(limits, &name);
        Ok(())
    }

    fn evict(&mut self, limits: &SessionLimits, name: &Arc<str>) {
        let Some(session) = self.remove(name) else {
            return;
        };
        if limits.is_shared {
            let held = session.client.subscriptions.take();
            if !held.is_empty() {
                self.shared
                    .insert(Arc::clone(name), (session.expires_at, held));
            }
        }
    }

    /// Evicts sessions that have been idle for too long, and removes expired reservations.
    fn sweep(&mut self, limits: &SessionLimits) {
        let now = Instant::now();
        let is_old = |entry: &SessionEntry| now.duration_since(entry.used_at) >= limits.idle;
        let names = self.by_use.values().map_while(|name| {
            self.by_name
                .get_key_value(name)
                .filter(|(_, entry)| is_old(entry))
        });
        let names: Vec<_> = names
            .filter(|(_, entry)| entry.is_idle())
            .map(|(name, _)| Arc::clone(name))
            .collect();
        for name in names {
            self.evict(limits, &name);
        }
        if now.duration_since(self.swept_at) >= SWEEP_INTERVAL {
            self.swept_at = now;
            let now = unix_seconds();
            self.shared.retain(|_, (expires_at, _)| *expires_at > now);
        }
    }
}

impl SessionEntry {
    /// Returns whether nothing of the session is in flight: requests and streams hold the session,
    /// tasks only its client.
    fn is_idle(&self) -> bool {
        Arc::strong_count(&self.session) == 1 && Arc::strong_count(&self.session.client) == 1
    }
}

#[cfg(test)]
mod tests;
