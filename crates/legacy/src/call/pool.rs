//! The sessions with one server: which callers share which, and how many there may be.

use super::options::{Options, SessionScope};
use super::session::LegacySession;
use super::translate::VisibleCapabilities;
use super::wire::SessionError;
use carryall_proto::sync::Mutex;
use carryall_proto::{Call, CallError, CallSource, Caller, CallerId};
use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, MutexGuard, Weak};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// How many sessions there may be with one server unless set.
const MAX_SESSIONS: usize = 32;

/// What came of opening a session.
pub(crate) type Opened = Result<Arc<LegacySession>, SessionError>;

/// Those who share a session.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Scope {
    All,
    Caller(Caller),
    /// One call, by a number of ours.
    Call(u64),
    /// All subscriptions of a server whose calls have sessions of their own.
    Subscriptions,
}

/// What a session is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SessionPurpose {
    /// To know what the handshake says. That alone makes a session nobody's.
    Handshake,
    Call,
    Subscription,
}

/// The sessions with one server.
pub(crate) struct SessionPool {
    scope: SessionScope,
    max: usize,
    max_per_caller: usize,
    idle: Duration,
    /// The one that was used last is at the end.
    entries: Mutex<Vec<PoolEntry>>,
    numbers: AtomicU64,
}

struct PoolEntry {
    number: u64,
    /// `None` until a call is made in the session or a subscription opened.
    scope: Option<Scope>,
    declared: VisibleCapabilities,
    /// ClientIdentity it counts against.
    owner: Caller,
    session: PooledSession,
    used: Instant,
}

enum PooledSession {
    /// Kept, also while nobody uses it. Empty until it is open.
    Kept(watch::Receiver<Option<Opened>>),
    /// ProcessPipes with the call that uses it.
    OfCall(Weak<LegacySession>),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum EntryUsage {
    /// Somebody opens it, or something is in flight in it.
    Active,
    Idle,
    /// It could not be opened, or has ended.
    Over,
}

/// A session that is open or being opened.
pub(crate) struct Place {
    number: u64,
    opened: watch::Receiver<Option<Opened>>,
    of_call: bool,
}

impl SessionPool {
    pub(crate) fn new(options: &Options) -> Self {
        let max = options.max_sessions.unwrap_or(MAX_SESSIONS);
        Self {
            scope: options.session_scope,
            max,
            max_per_caller: options
                .max_sessions_per_caller
                .unwrap_or(max / 2)
                .clamp(1, max),
            idle: options.idle,
            entries: Mutex::default(),
            numbers: AtomicU64::new(0),
        }
    }

    /// Finds the session for a call, or opens one with `open` where there is none. If there are as
    /// many as may be, one that is not in use makes room.
    ///
    /// # Errors
    /// [`CallError::Busy`] when none can make room.
    pub(crate) fn place(
        &self,
        call: &Call,
        purpose: SessionPurpose,
        open: impl FnOnce(VisibleCapabilities) -> watch::Receiver<Option<Opened>>,
    ) -> Result<Place, CallError> {
        let scope = self.scope_of(call, purpose);
        let of_call = matches!(scope, Scope::Call(_)) && purpose == SessionPurpose::Call;
        let declared = VisibleCapabilities::of(call.meta().client_capabilities());
        let mut entries = self.entries();
        entries.retain(|entry| entry.usage() != EntryUsage::Over);
        let found = match purpose {
            SessionPurpose::Subscription => find(&entries, &scope, declared)
                // A subscription needs no capabilities.
                .or_else(|| find(&entries, &scope, VisibleCapabilities::NONE))
                .or_else(|| find_unclaimed(&entries, declared))
                .or_else(|| find_unclaimed(&entries, VisibleCapabilities::NONE)),
            SessionPurpose::Call => {
                find(&entries, &scope, declared).or_else(|| find_unclaimed(&entries, declared))
            }
            // Every session with the same capabilities was told the same.
            SessionPurpose::Handshake => entries
                .iter()
                .rposition(|entry| entry.declared == declared && entry.opened().is_some()),
        };
        let caller = CallerId::of(call);
        let owner = Caller::accountable(call);
        let mut entry = match found {
            Some(at) => entries.remove(at),
            None => {
                let declared = if purpose == SessionPurpose::Subscription {
                    VisibleCapabilities::NONE
                } else {
                    declared
                };
                self.make_room(&mut entries, &owner, caller.is_in_process(), declared)?;
                PoolEntry {
                    number: self.numbers.fetch_add(1, Ordering::Relaxed),
                    scope: None,
                    declared,
                    owner: owner.clone(),
                    session: PooledSession::Kept(open(declared)),
                    used: Instant::now(),
                }
            }
        };
        if purpose != SessionPurpose::Handshake {
            entry.scope.get_or_insert(scope);
            if entry.usage() == EntryUsage::Idle {
                entry.owner = owner;
            }
        }
        entry.used = Instant::now();
        let place = entry.opened().map(|opened| Place {
            number: entry.number,
            opened: opened.clone(),
            of_call,
        });
        entries.push(entry);
        place.ok_or_else(|| CallError::broken("the session belongs to another call"))
    }

    /// Waits until a session is open. From then on it is in use for as long as what is returned is
    /// held.
    pub(crate) async fn wait(&self, mut place: Place) -> Opened {
        let opened = match place.opened.wait_for(Option::is_some).await {
            Ok(opened) => opened.clone(),
            Err(_) => None,
        };
        let session =
            opened.unwrap_or_else(|| Err(CallError::broken("a session was not opened").into()))?;
        if place.of_call {
            let mut entries = self.entries();
            if let Some(entry) = entries
                .iter_mut()
                .find(|entry| entry.number == place.number)
            {
                entry.session = PooledSession::OfCall(Arc::downgrade(&session));
            }
        }
        Ok(session)
    }

    /// ProcessPipes what nobody has used for long, but for what was used last.
    pub(crate) fn sweep(&self) {
        let mut entries = self.entries();
        let mut left = entries.len();
        entries.retain_mut(|entry| {
            left -= 1;
            match entry.usage() {
                EntryUsage::Active => {
                    entry.used = Instant::now();
                    true
                }
                // Its call has gone away before it was open.
                EntryUsage::Idle if matches!(entry.scope, Some(Scope::Call(_))) => false,
                EntryUsage::Idle => left == 0 || entry.used.elapsed() < self.idle,
                EntryUsage::Over => false,
            }
        });
    }

    /// Takes all sessions out.
    pub(crate) fn drain(&self) -> Vec<Arc<LegacySession>> {
        let entries = std::mem::take(&mut *self.entries());
        entries.iter().filter_map(PoolEntry::session).collect()
    }

    fn scope_of_call(&self, purpose: SessionPurpose) -> Scope {
        match purpose {
            SessionPurpose::Subscription => Scope::Subscriptions,
            _ => Scope::Call(self.numbers.fetch_add(1, Ordering::Relaxed)),
        }
    }

    fn scope_of(&self, call: &Call, purpose: SessionPurpose) -> Scope {
        match self.scope {
            SessionScope::Principal => {
                Scope::Caller(call.principal().map_or(Caller::Anonymous, Caller::from))
            }
            // Nobody can tell that it is the client of another call.
            SessionScope::Client
                if call.principal().is_none() && call.source() == CallSource::UNKNOWN =>
            {
                self.scope_of_call(purpose)
            }
            SessionScope::Client => Scope::Caller(Caller::of(call)),
            SessionScope::Call => self.scope_of_call(purpose),
            SessionScope::Shared => Scope::All,
        }
    }

    /// Makes room for one more session of `owner`.
    fn make_room(
        &self,
        entries: &mut Vec<PoolEntry>,
        owner: &Caller,
        in_process: bool,
        declared: VisibleCapabilities,
    ) -> Result<(), CallError> {
        let of_owner =
            |entries: &[PoolEntry]| entries.iter().filter(|entry| entry.owner == *owner).count();
        // Whoever calls in process shares with nobody.
        while !in_process && of_owner(entries) >= self.max_per_caller {
            if !evict(entries, declared, |entry| entry.owner == *owner) {
                let count = self.max_per_caller;
                return Err(busy(format!(
                    "{count} sessions of this caller are in use, and one caller may have no more"
                )));
            }
        }
        loop {
            let has_some = !in_process && of_owner(entries) > 0;
            let plain = declared.is_none() || entries.iter().any(|entry| entry.declared.is_none());
            // The last place is for callers that have none, and for those without capabilities.
            let usable = if self.max > 1 && (has_some || !plain) {
                self.max - 1
            } else {
                self.max
            };
            if entries.len() < usable {
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

    fn entries(&self) -> MutexGuard<'_, Vec<PoolEntry>> {
        self.entries.lock()
    }
}

fn busy(why: String) -> CallError {
    tracing::debug!(%why, "no session for a call");
    CallError::Busy(why)
}

/// The latest session of this scope that declared just this.
fn find(entries: &[PoolEntry], scope: &Scope, declared: VisibleCapabilities) -> Option<usize> {
    entries.iter().rposition(|entry| {
        entry.scope.as_ref() == Some(scope) && entry.declared == declared && !entry.is_retired()
    })
}

/// A session that declared just this and in which nobody did anything yet.
fn find_unclaimed(entries: &[PoolEntry], declared: VisibleCapabilities) -> Option<usize> {
    entries
        .iter()
        .rposition(|entry| entry.scope.is_none() && entry.declared == declared)
}

/// ProcessPipes an idle session: one of the owner with the most, there the one that was used least
/// recently. The only one without capabilities goes last.
fn evict(
    entries: &mut Vec<PoolEntry>,
    wanted: VisibleCapabilities,
    may: impl Fn(&PoolEntry) -> bool,
) -> bool {
    let mut owners: HashMap<&Caller, usize> = HashMap::new();
    entries
        .iter()
        .for_each(|entry| *owners.entry(&entry.owner).or_default() += 1);
    let plain = entries
        .iter()
        .filter(|entry| entry.declared.is_none())
        .count();
    let victim = (0..entries.len())
        .filter(|at| may(&entries[*at]) && entries[*at].usage() == EntryUsage::Idle)
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

impl PoolEntry {
    fn session(&self) -> Option<Arc<LegacySession>> {
        match &self.session {
            PooledSession::Kept(opened) => opened.borrow().as_ref()?.as_ref().ok().cloned(),
            PooledSession::OfCall(session) => session.upgrade(),
        }
    }

    /// Where a session waits that others than one call may use.
    fn opened(&self) -> Option<&watch::Receiver<Option<Opened>>> {
        match &self.session {
            PooledSession::Kept(opened) if !self.is_retired() => Some(opened),
            _ => None,
        }
    }

    fn is_retired(&self) -> bool {
        match &self.session {
            PooledSession::Kept(opened) => {
                matches!(&*opened.borrow(), Some(Ok(session)) if session.is_retired())
            }
            PooledSession::OfCall(_) => false,
        }
    }

    fn usage(&self) -> EntryUsage {
        match &self.session {
            PooledSession::Kept(opened) => match &*opened.borrow() {
                // Whoever opens it is gone without having said what came of it.
                None if opened.has_changed().is_err() => EntryUsage::Over,
                None => EntryUsage::Active,
                Some(Err(_)) => EntryUsage::Over,
                Some(Ok(session)) if session.lost().is_some() => EntryUsage::Over,
                // Whoever uses it holds it.
                Some(Ok(session)) if Arc::strong_count(session) > 1 => EntryUsage::Active,
                Some(Ok(session)) if session.is_retired() => EntryUsage::Over,
                Some(Ok(_)) => EntryUsage::Idle,
            },
            PooledSession::OfCall(session) if session.strong_count() == 0 => EntryUsage::Over,
            PooledSession::OfCall(_) => EntryUsage::Active,
        }
    }
}
