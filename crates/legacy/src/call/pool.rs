//! The sessions with one server: which callers share one, and how many there may be.

mod entry;

use super::options::DualEraOptions;
use super::session::LegacySession;
use super::session_scope::SessionScope;
use super::translate::VisibleCapabilities;
use crate::abort_on_drop::AbortOnDrop;
use carryall_proto::sync::Mutex;
use carryall_proto::{BoxFuture, Call, CallError, CallSource, Caller, CallerId};
pub(crate) use entry::OpenResult;
use entry::{EntryUsage, PoolEntry, PoolKey, PooledSession};
use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// The default maximum number of sessions with one server.
const MAX_SESSIONS: usize = 32;
/// The shortest interval at which idle sessions are looked for.
const MIN_SWEEP_INTERVAL: Duration = Duration::from_millis(20);

/// What a session is needed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SessionPurpose {
    /// Only for what the handshake tells. That does not make it the session of any caller.
    Handshake,
    Call,
    Subscription,
}

/// The sessions with one server. Dropping the pool drops them, unless a call uses them.
pub(crate) struct SessionPool {
    scope: SessionScope,
    max: usize,
    max_per_caller: usize,
    idle_timeout: Duration,
    /// In the order of their last use.
    entries: Arc<Mutex<Vec<PoolEntry>>>,
    /// Numbers entries and calls.
    last_number: AtomicU64,
    tasks: Mutex<PoolTasks>,
}

/// The background tasks of a pool, which end with it.
#[derive(Default)]
struct PoolTasks {
    openings: JoinSet<()>,
    sweeper: Option<AbortOnDrop>,
}

/// A session that is open or being opened.
struct PendingSession {
    number: u64,
    opened: watch::Receiver<Option<OpenResult>>,
    /// Whether it ends with the call that uses it.
    is_of_call: bool,
}

impl SessionPool {
    pub(crate) fn new(options: &DualEraOptions) -> Self {
        let max = options.max_sessions.unwrap_or(MAX_SESSIONS);
        Self {
            scope: options.session_scope,
            max,
            max_per_caller: options
                .max_sessions_per_caller
                .unwrap_or(max / 2)
                .clamp(1, max),
            idle_timeout: options.idle_timeout,
            entries: Arc::default(),
            last_number: AtomicU64::new(0),
            tasks: Mutex::default(),
        }
    }

    /// Returns the session for a call. If there is none, opens one with `open`, and closes an idle
    /// one to make room if there are too many.
    ///
    /// The session is in use for as long as the caller holds it. `open` runs in a task of its own,
    /// so that all waiting callers share its result and dropping this future does not stop it.
    ///
    /// # Errors
    /// [`CallError::Busy`] when there are too many sessions and all are in use.
    pub(crate) async fn acquire(
        &self,
        call: &Call,
        purpose: SessionPurpose,
        open: impl FnOnce(VisibleCapabilities) -> BoxFuture<OpenResult>,
    ) -> OpenResult {
        let mut pending = self.find_or_open(call, purpose, open)?;
        let opened = match pending.opened.wait_for(Option::is_some).await {
            Ok(opened) => opened.clone(),
            Err(_) => None,
        };
        let session =
            opened.unwrap_or_else(|| Err(CallError::broken("a session was not opened").into()))?;
        if pending.is_of_call {
            let mut entries = self.entries.lock();
            if let Some(entry) = entries
                .iter_mut()
                .find(|entry| entry.number == pending.number)
            {
                entry.session = PooledSession::OfCall(Arc::downgrade(&session));
            }
        }
        Ok(session)
    }

    fn find_or_open(
        &self,
        call: &Call,
        purpose: SessionPurpose,
        open: impl FnOnce(VisibleCapabilities) -> BoxFuture<OpenResult>,
    ) -> Result<PendingSession, CallError> {
        let key = self.key_of(call, purpose);
        let is_of_call = matches!(key, PoolKey::Call(_)) && purpose == SessionPurpose::Call;
        let declared = VisibleCapabilities::of(call.meta().client_capabilities());
        let mut entries = self.entries.lock();
        entries.retain(|entry| entry.usage() != EntryUsage::Ended);
        let found = match purpose {
            SessionPurpose::Subscription => find(&entries, &key, declared)
                // A subscription needs no capabilities.
                .or_else(|| find(&entries, &key, VisibleCapabilities::NONE))
                .or_else(|| find_unclaimed(&entries, declared))
                .or_else(|| find_unclaimed(&entries, VisibleCapabilities::NONE)),
            SessionPurpose::Call => {
                find(&entries, &key, declared).or_else(|| find_unclaimed(&entries, declared))
            }
            // The handshake is the same in every session with the same capabilities.
            SessionPurpose::Handshake => entries
                .iter()
                .rposition(|entry| entry.declared == declared && entry.opened().is_some()),
        };
        let owner = Caller::accountable(call);
        let mut entry = match found {
            Some(at) => entries.remove(at),
            None => {
                let declared = if purpose == SessionPurpose::Subscription {
                    VisibleCapabilities::NONE
                } else {
                    declared
                };
                let is_in_process = CallerId::of(call).is_in_process();
                self.make_room(&mut entries, &owner, is_in_process, declared)?;
                PoolEntry {
                    number: self.next_number(),
                    key: None,
                    declared,
                    owner: owner.clone(),
                    session: PooledSession::Kept(self.spawn(open(declared))),
                    last_used: Instant::now(),
                }
            }
        };
        if purpose != SessionPurpose::Handshake {
            entry.key.get_or_insert(key);
            if entry.usage() == EntryUsage::Idle {
                entry.owner = owner;
            }
        }
        entry.last_used = Instant::now();
        let pending = entry.opened().map(|opened| PendingSession {
            number: entry.number,
            opened: opened.clone(),
            is_of_call,
        });
        entries.push(entry);
        pending.ok_or_else(|| CallError::broken("the session belongs to another call"))
    }

    /// Opens a session in the background. The first one also starts the search for idle sessions.
    fn spawn(&self, opening: BoxFuture<OpenResult>) -> watch::Receiver<Option<OpenResult>> {
        let (sender, opened) = watch::channel(None);
        let mut tasks = self.tasks.lock();
        while tasks.openings.try_join_next().is_some() {}
        tasks.openings.spawn(async move {
            let result = opening.await;
            sender.send_replace(Some(result));
        });
        tasks.sweeper.get_or_insert_with(|| {
            let (entries, idle_timeout) = (Arc::clone(&self.entries), self.idle_timeout);
            AbortOnDrop::spawn(async move {
                loop {
                    sleep(idle_timeout / 4 + MIN_SWEEP_INTERVAL).await;
                    close_idle(&mut entries.lock(), idle_timeout);
                }
            })
        });
        opened
    }

    /// Removes and returns all sessions.
    pub(crate) fn drain(&self) -> Vec<Arc<LegacySession>> {
        let entries = std::mem::take(&mut *self.entries.lock());
        entries.iter().filter_map(PoolEntry::session).collect()
    }

    fn next_number(&self) -> u64 {
        self.last_number.fetch_add(1, Ordering::Relaxed)
    }

    fn key_of_call(&self, purpose: SessionPurpose) -> PoolKey {
        match purpose {
            SessionPurpose::Subscription => PoolKey::Subscriptions,
            _ => PoolKey::Call(self.next_number()),
        }
    }

    fn key_of(&self, call: &Call, purpose: SessionPurpose) -> PoolKey {
        match self.scope {
            SessionScope::Principal => {
                PoolKey::Caller(call.principal().map_or(Caller::Anonymous, Caller::from))
            }
            // No two calls are provably of the same client.
            SessionScope::Client
                if call.principal().is_none() && call.source() == CallSource::UNKNOWN =>
            {
                self.key_of_call(purpose)
            }
            SessionScope::Client => PoolKey::Caller(Caller::of(call)),
            SessionScope::Call => self.key_of_call(purpose),
            SessionScope::Shared => PoolKey::All,
        }
    }

    /// Makes room for one more session of `owner`.
    fn make_room(
        &self,
        entries: &mut Vec<PoolEntry>,
        owner: &Caller,
        is_in_process: bool,
        declared: VisibleCapabilities,
    ) -> Result<(), CallError> {
        let count_owned =
            |entries: &[PoolEntry]| entries.iter().filter(|entry| entry.owner == *owner).count();
        // Calls of this process itself are not limited per caller.
        while !is_in_process && count_owned(entries) >= self.max_per_caller {
            if !evict(entries, declared, |entry| entry.owner == *owner) {
                let count = self.max_per_caller;
                return Err(busy(format!(
                    "{count} sessions of this caller are in use, and one caller may have no more"
                )));
            }
        }
        loop {
            let has_session = !is_in_process && count_owned(entries) > 0;
            let has_plain = entries.iter().any(|entry| entry.declared.is_none());
            // The last session is reserved for callers that have none, and for those without
            // capabilities.
            let may_use_last = !has_session && (declared.is_none() || has_plain);
            let limit = if self.max > 1 && !may_use_last {
                self.max - 1
            } else {
                self.max
            };
            if entries.len() < limit {
                return Ok(());
            }
            if !evict(entries, declared, |_| true) {
                let count = entries.len();
                let max = self.max;
                return Err(busy(format!(
                    "{count} sessions with this server are in use, of {max} that there may be"
                )));
            }
        }
    }
}

fn busy(why: String) -> CallError {
    tracing::debug!(%why, "no session for a call");
    CallError::Busy(why)
}

/// Closes the sessions that were idle for `timeout`, except for the one used last.
fn close_idle(entries: &mut Vec<PoolEntry>, timeout: Duration) {
    let mut left = entries.len();
    entries.retain_mut(|entry| {
        left -= 1;
        match entry.usage() {
            EntryUsage::Active => {
                entry.last_used = Instant::now();
                true
            }
            // Its call was dropped before the session was open.
            EntryUsage::Idle if matches!(entry.key, Some(PoolKey::Call(_))) => false,
            EntryUsage::Idle => left == 0 || entry.last_used.elapsed() < timeout,
            EntryUsage::Ended => false,
        }
    });
}

/// The last used session with this key and capabilities.
fn find(entries: &[PoolEntry], key: &PoolKey, declared: VisibleCapabilities) -> Option<usize> {
    entries.iter().rposition(|entry| {
        entry.key.as_ref() == Some(key) && entry.declared == declared && !entry.is_retired()
    })
}

/// A session with these capabilities that no caller has used.
fn find_unclaimed(entries: &[PoolEntry], declared: VisibleCapabilities) -> Option<usize> {
    entries
        .iter()
        .rposition(|entry| entry.key.is_none() && entry.declared == declared)
}

/// Closes an idle session that `is_candidate`: the least recently used one of the owner with the
/// most sessions. The only session without capabilities is closed last. Returns whether there was
/// one.
fn evict(
    entries: &mut Vec<PoolEntry>,
    wanted: VisibleCapabilities,
    is_candidate: impl Fn(&PoolEntry) -> bool,
) -> bool {
    let mut owners: HashMap<&Caller, usize> = HashMap::new();
    for entry in entries.iter() {
        *owners.entry(&entry.owner).or_default() += 1;
    }
    let plain = entries
        .iter()
        .filter(|entry| entry.declared.is_none())
        .count();
    let victim = (0..entries.len())
        .filter(|at| is_candidate(&entries[*at]) && entries[*at].usage() == EntryUsage::Idle)
        .min_by_key(|at| {
            let entry = &entries[*at];
            let is_only_plain = plain == 1 && entry.declared.is_none() && !wanted.is_none();
            (
                is_only_plain,
                Reverse(owners.get(&entry.owner).copied().unwrap_or_default()),
                *at,
            )
        });
    victim.map(|at| entries.remove(at)).is_some()
}
