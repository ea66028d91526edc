//! One session in the pool.

use crate::call::session::LegacySession;
use crate::call::translate::VisibleCapabilities;
use crate::call::transport::SessionError;
use carryall_proto::Caller;
use std::sync::{Arc, Weak};
use tokio::sync::watch;
use tokio::time::Instant;

/// The result of opening a session.
pub(crate) type OpenResult = Result<Arc<LegacySession>, SessionError>;

/// Who shares a session.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum PoolKey {
    All,
    Caller(Caller),
    /// One call, by a number of this process.
    Call(u64),
    /// All subscriptions with a server whose calls have sessions of their own.
    Subscriptions,
}

pub(super) struct PoolEntry {
    pub(super) number: u64,
    /// `None` until a call or a subscription uses the session.
    pub(super) key: Option<PoolKey>,
    pub(super) declared: VisibleCapabilities,
    /// Whose limit it counts towards.
    pub(super) owner: Caller,
    pub(super) session: PooledSession,
    pub(super) last_used: Instant,
}

pub(super) enum PooledSession {
    /// Stays open while nobody uses it. `None` until it is open.
    Kept(watch::Receiver<Option<OpenResult>>),
    /// Ends with the call that uses it.
    OfCall(Weak<LegacySession>),
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum EntryUsage {
    /// The session is being opened or in use.
    Active,
    Idle,
    /// The session could not be opened, or has ended.
    Ended,
}

impl PoolEntry {
    pub(super) fn session(&self) -> Option<Arc<LegacySession>> {
        match &self.session {
            PooledSession::Kept(opened) => opened.borrow().as_ref()?.as_ref().ok().cloned(),
            PooledSession::OfCall(session) => session.upgrade(),
        }
    }

    /// The session, if further calls may use it.
    pub(super) fn opened(&self) -> Option<&watch::Receiver<Option<OpenResult>>> {
        match &self.session {
            PooledSession::Kept(opened) if !self.is_retired() => Some(opened),
            _ => None,
        }
    }

    pub(super) fn is_retired(&self) -> bool {
        match &self.session {
            PooledSession::Kept(opened) => {
                matches!(&*opened.borrow(), Some(Ok(session)) if session.is_retired())
            }
            PooledSession::OfCall(_) => false,
        }
    }

    pub(super) fn usage(&self) -> EntryUsage {
        match &self.session {
            PooledSession::Kept(opened) => match &*opened.borrow() {
                // The task that opens it has ended without a result.
                None if opened.has_changed().is_err() => EntryUsage::Ended,
                None => EntryUsage::Active,
                Some(Err(_)) => EntryUsage::Ended,
                Some(Ok(session)) if session.failure().is_some() => EntryUsage::Ended,
                // Whoever uses it holds a reference.
                Some(Ok(session)) if Arc::strong_count(session) > 1 => EntryUsage::Active,
                Some(Ok(session)) if session.is_retired() => EntryUsage::Ended,
                Some(Ok(_)) => EntryUsage::Idle,
            },
            PooledSession::OfCall(session) if session.strong_count() == 0 => EntryUsage::Ended,
            PooledSession::OfCall(_) => EntryUsage::Active,
        }
    }
}
