//! Publishes session events to other replicas, within the quotas of the callers that cause them.

use super::session::HttpSession;
use crate::serve::bus::{MAX_CLOCK_SKEW, SessionBus, SessionEvent, SessionEventKind};
use crate::serve::clock::unix_seconds;
use crate::serve::quotas::ServerQuotas;
use carryall_proto::Caller;
use carryall_proto::budget::{BudgetExceeded, Reservation};
use carryall_proto::sync::Mutex;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long an event counts against the quota. A store that replicas share keeps it this long.
const EVENT_LIFETIME: Duration = Duration::from_secs(60);
/// What an event counts besides its text, in bytes.
const OVERHEAD: usize = 256;

/// Publishes to a [`SessionBus`].
pub(super) struct EventPublisher {
    bus: Arc<dyn SessionBus>,
    quotas: Arc<ServerQuotas>,
    /// The reservations of published events, and when they were made.
    recent: Mutex<VecDeque<(Instant, Reservation)>>,
    /// The reservations of stored session ends, by when they expire.
    stored_ends: Mutex<BTreeMap<u64, Vec<Reservation>>>,
}

impl EventPublisher {
    pub(super) fn new(bus: Arc<dyn SessionBus>, quotas: Arc<ServerQuotas>) -> Self {
        Self {
            bus,
            quotas,
            recent: Mutex::default(),
            stored_ends: Mutex::default(),
        }
    }

    /// Publishes something that the caller's client did.
    ///
    /// # Errors
    /// When the caller, or all callers together, have published too much lately.
    pub(super) async fn publish(
        &self,
        session: &Arc<str>,
        caller: &Caller,
        kind: SessionEventKind,
    ) -> Result<(), BudgetExceeded> {
        if self.bus.is_single_process() {
            return Ok(());
        }
        let bytes = match &kind {
            SessionEventKind::Response(text)
            | SessionEventKind::Cancelled(text)
            | SessionEventKind::Posted(text) => text.as_bytes().len(),
            SessionEventKind::Subscribed(uri) | SessionEventKind::Unsubscribed(uri) => uri.len(),
            SessionEventKind::LogLevel(_)
            | SessionEventKind::Listening
            | SessionEventKind::Ended { .. } => 0,
        };
        self.reserve(caller, bytes)?;
        let session = Arc::clone(session);
        self.bus.publish(SessionEvent { session, kind }).await;
        Ok(())
    }

    /// Publishes the end of a session.
    pub(super) async fn publish_end(&self, session: &HttpSession) {
        let event = SessionEvent {
            session: Arc::clone(&session.name),
            kind: SessionEventKind::Ended {
                until: session.expires_at,
            },
        };
        if self.may_store_end(session) {
            self.bus.publish(event).await;
        } else {
            // The running replicas remember it by themselves.
            self.bus.publish_transient(event).await;
        }
    }

    /// Counts `bytes` that other replicas receive.
    pub(super) fn reserve(&self, caller: &Caller, bytes: usize) -> Result<(), BudgetExceeded> {
        let mut recent = self.recent.lock();
        while recent
            .pop_front_if(|(at, _)| at.elapsed() >= EVENT_LIFETIME)
            .is_some()
        {}
        let reservation = self.quotas.published.reserve(caller, bytes + OVERHEAD)?;
        recent.push_back((Instant::now(), reservation));
        Ok(())
    }

    /// Returns whether the end of this session may be stored until its id has expired on every
    /// replica. A client that opens and ends sessions all day must not fill the store.
    fn may_store_end(&self, session: &HttpSession) -> bool {
        if self.bus.is_single_process() {
            return true;
        }
        let mut ends = self.stored_ends.lock();
        let now = unix_seconds();
        while let Some(oldest) = ends.first_entry().filter(|oldest| *oldest.key() <= now) {
            oldest.remove();
        }
        match self.quotas.stored_ends.reserve(&session.client.caller, 0) {
            Ok(reservation) => {
                let until = session.expires_at.saturating_add(MAX_CLOCK_SKEW.as_secs());
                ends.entry(until).or_default().push(reservation);
                true
            }
            Err(exceeded) => {
                tracing::debug!(%exceeded, "the end of a session is not stored");
                false
            }
        }
    }
}
