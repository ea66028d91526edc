//! One replica of an upstream: its service, while it is up, and its health.

use super::health::{Health, blames_replica};
use carryall_proto::sync::Mutex;
use carryall_proto::{CallError, Printable, SharedService};
use std::fmt;
use std::sync::{Arc, MutexGuard};
use tokio::sync::Notify;
use tokio::time::Instant;

/// The consecutive unanswered probes after which a replica counts as hanging; a single one may be
/// due to load.
const MAX_UNANSWERED_PROBES: u32 = 2;

/// One replica of an upstream.
pub(crate) struct ReplicaSlot {
    label: Box<str>,
    upstream: Box<str>,
    state: Mutex<ReplicaState>,
}

#[derive(Default)]
struct ReplicaState {
    service: Option<SharedService>,
    health: Health,
    /// Consecutive unanswered probes.
    unanswered_probes: u32,
    /// How often the replica came up.
    starts: u64,
    /// Whether the replica is being started.
    starting: bool,
    /// Whether it has answered since it came up.
    answered: bool,
}

impl ReplicaSlot {
    pub(super) fn new(label: &str, upstream: &str) -> Self {
        Self {
            label: label.into(),
            upstream: upstream.into(),
            state: Mutex::default(),
        }
    }

    /// Returns the name of the upstream.
    pub(crate) fn upstream(&self) -> &str {
        &self.upstream
    }

    pub(super) fn label(&self) -> &str {
        &self.label
    }

    /// Returns the service if a request may be sent to it now.
    pub(super) fn acquire(&self, now: Instant) -> Option<SharedService> {
        let mut state = self.lock();
        let service = state.service.clone()?;
        state.health.acquire(now).then_some(service)
    }

    pub(super) fn service(&self) -> Option<SharedService> {
        self.lock().service.clone()
    }

    /// Orders unhealthy replicas by the end of their backoff; those without a service come last.
    pub(super) fn retry_order(&self) -> (bool, Option<Instant>) {
        let state = self.lock();
        (state.service.is_none(), state.health.retry_at())
    }

    pub(super) fn is_alive(&self) -> bool {
        self.lock().is_alive()
    }

    /// Records that a request or probe was answered.
    pub(super) fn succeeded(&self) {
        let mut state = self.lock();
        state.unanswered_probes = 0;
        state.answered = true;
        if state.health.succeeded() {
            tracing::info!(upstream = %self.upstream, replica = %self.label, "replica is healthy again");
        }
    }

    /// Records and logs that a request failed. The error may quote the upstream, so it is printed
    /// without control characters.
    pub(crate) fn failed(&self, error: &CallError) {
        let text = error.to_string();
        let (upstream, replica, error_text) = (&*self.upstream, &*self.label, Printable(&text));
        if !blames_replica(error) {
            tracing::warn!(upstream, replica, error = %error_text, "request failed");
        } else if self.lock().health.failed(Instant::now()) {
            tracing::warn!(upstream, replica, error = %error_text, "replica is skipped");
        } else {
            tracing::debug!(upstream, replica, error = %error_text, "replica is still unhealthy");
        }
    }

    /// Records that a check failed. The caller of the check reports it.
    pub(super) fn check_failed(&self, error: &CallError) {
        if blames_replica(error) {
            self.lock().health.failed(Instant::now());
        }
    }

    /// Records that a probe timed out.
    pub(super) fn probe_timed_out(&self, error: &CallError) {
        let mut state = self.lock();
        state.unanswered_probes = state.unanswered_probes.saturating_add(1);
        if state.unanswered_probes >= MAX_UNANSWERED_PROBES && state.health.failed(Instant::now()) {
            tracing::warn!(upstream = %self.upstream, replica = %self.label, %error, "replica does not answer probes and is skipped");
        }
    }

    pub(super) fn status(&self) -> ReplicaStatus {
        let state = self.lock();
        ReplicaStatus {
            label: self.label.clone(),
            alive: state.is_alive(),
            answered: state.answered,
        }
    }

    pub(super) fn is_starting(&self) -> bool {
        self.lock().starting
    }

    /// Returns how often the replica came up.
    pub(super) fn starts(&self) -> u64 {
        self.lock().starts
    }

    fn set(&self, service: Option<SharedService>, starting: bool) {
        let mut state = self.lock();
        let starts = state.starts + u64::from(service.is_some());
        *state = ReplicaState {
            service,
            starts,
            starting,
            ..ReplicaState::default()
        };
    }

    fn lock(&self) -> MutexGuard<'_, ReplicaState> {
        self.state.lock()
    }
}

impl ReplicaState {
    fn is_alive(&self) -> bool {
        self.service.is_some() && self.health.is_alive()
    }
}

/// The status of a replica.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReplicaStatus {
    /// The label given to [`Upstream::replica`](super::Upstream::replica).
    pub label: Box<str>,
    /// Whether it is up and healthy. A replica that was never called counts as healthy.
    pub alive: bool,
    /// Whether it has answered a request or probe since it came up.
    pub answered: bool,
}

/// Reports where a replica is, for whoever runs it. Cheap to clone.
///
/// Dropping it leaves the replica as it was last reported.
#[derive(Clone)]
pub struct ReplicaHandle {
    slot: Arc<ReplicaSlot>,
    changed: Arc<Notify>,
}

impl ReplicaHandle {
    pub(super) fn new(slot: Arc<ReplicaSlot>, changed: Arc<Notify>) -> Self {
        Self { slot, changed }
    }

    /// Reports that the replica is up, for the first time or again, and sends its requests to
    /// `service` from now on.
    pub fn up(&self, service: SharedService) {
        self.slot.set(Some(service), false);
        self.changed.notify_waiters();
    }

    /// Reports that the replica is being started. Until [`up`](Self::up) or [`down`](Self::down),
    /// calls that find no other replica wait for it, for at most
    /// [`Upstream::start_timeout`](super::Upstream::start_timeout).
    pub fn starting(&self) {
        self.slot.set(None, true);
    }

    /// Reports that the replica is down or could not be started. It receives no requests before
    /// [`up`](Self::up).
    pub fn down(&self) {
        self.slot.set(None, false);
        self.changed.notify_waiters();
    }
}

impl fmt::Debug for ReplicaHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReplicaHandle")
            .field(&self.slot.status())
            .finish()
    }
}
