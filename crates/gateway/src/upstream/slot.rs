//! The place of one replica: its service, while it has one, and what is known of its health.

use super::health::{Health, blames_replica};
use carryall_proto::sync::Mutex;
use carryall_proto::{CallError, Printable, SharedService};
use std::fmt;
use std::sync::{Arc, MutexGuard};
use tokio::sync::Notify;
use tokio::time::Instant;

pub(crate) struct ReplicaSlot {
    label: Box<str>,
    upstream: Box<str>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    service: Option<SharedService>,
    health: Health,
    timeouts: u32,
    /// How often it came up.
    starts: u64,
    /// Somebody is starting it, so that waiting for it makes sense.
    starting: bool,
    /// It has answered since it came up.
    answered: bool,
}

/// Silent probes in a row that mean that a replica hangs; a single one may be due to load.
const SILENT_PROBES: u32 = 2;

impl ReplicaSlot {
    pub(super) fn new(label: &str, upstream: &str) -> Self {
        Self {
            label: label.into(),
            upstream: upstream.into(),
            state: Mutex::default(),
        }
    }

    pub(crate) fn upstream(&self) -> &str {
        &self.upstream
    }

    pub(super) fn label(&self) -> &str {
        &self.label
    }
    /// The service, if a request may go there now.
    pub(super) fn take(&self, now: Instant) -> Option<SharedService> {
        let mut state = self.lock();
        let service = state.service.clone()?;
        state.health.take(now).then_some(service)
    }

    pub(super) fn service(&self) -> Option<SharedService> {
        self.lock().service.clone()
    }

    /// For choosing among the dead: those without a service come last.
    pub(super) fn due(&self) -> (bool, Option<Instant>) {
        let state = self.lock();
        (state.service.is_none(), state.health.due())
    }

    pub(super) fn is_alive(&self) -> bool {
        let state = self.lock();
        state.service.is_some() && state.health.is_alive()
    }

    /// A request or probe was answered.
    pub(super) fn succeeded(&self) {
        let mut state = self.lock();
        state.timeouts = 0;
        state.answered = true;
        if state.health.succeeded() {
            tracing::info!(upstream = %self.upstream, replica = %self.label, "replica answers again");
        }
    }

    /// A request got no answer. What the upstream said may be in the error, so it is cleaned for
    /// the log.
    pub(crate) fn failed(&self, error: &CallError) {
        let text = error.to_string();
        let (upstream, replica, error_text) = (&*self.upstream, &*self.label, Printable(&text));
        if !blames_replica(error) {
            tracing::warn!(upstream, replica, error = %error_text, "request failed");
        } else if self.lock().health.failed(Instant::now()) {
            tracing::warn!(upstream, replica, error = %error_text, "replica is skipped");
        } else {
            tracing::debug!(upstream, replica, error = %error_text, "replica is still dead");
        }
    }

    /// A check got no answer, which whoever asked for it reports.
    pub(super) fn failed_check(&self, error: &CallError) {
        if blames_replica(error) {
            self.lock().health.failed(Instant::now());
        }
    }

    /// A probe got no answer in time.
    pub(super) fn silent(&self, error: &CallError) {
        let mut state = self.lock();
        state.timeouts = state.timeouts.saturating_add(1);
        if state.timeouts >= SILENT_PROBES && state.health.failed(Instant::now()) {
            tracing::warn!(upstream = %self.upstream, replica = %self.label, %error, "replica hangs and is skipped");
        }
    }

    pub(super) fn status(&self) -> ReplicaStatus {
        let state = self.lock();
        let alive = state.service.is_some() && state.health.is_alive();
        ReplicaStatus {
            label: self.label.clone(),
            alive,
            answered: state.answered,
        }
    }

    pub(super) fn is_starting(&self) -> bool {
        self.lock().starting
    }

    pub(super) fn starts(&self) -> u64 {
        self.lock().starts
    }

    fn set(&self, service: Option<SharedService>, starting: bool) {
        let mut state = self.lock();
        let starts = state.starts + u64::from(service.is_some());
        *state = State {
            service,
            starts,
            starting,
            ..State::default()
        };
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

/// What is known about a replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaStatus {
    /// Its name for people.
    pub label: Box<str>,
    /// Whether requests go there.
    pub alive: bool,
    /// Whether it has answered anything since it came up. A replica that nobody has called yet
    /// counts as alive.
    pub answered: bool,
}

/// The handle with which whoever runs a replica says where it is. Cheap to clone.
#[derive(Clone)]
pub struct ReplicaHandle {
    slot: Arc<ReplicaSlot>,
    changed: Arc<Notify>,
}

impl ReplicaHandle {
    pub(super) fn of(slot: Arc<ReplicaSlot>, changed: Arc<Notify>) -> Self {
        Self { slot, changed }
    }

    /// The replica runs, for the first time or again, and this service answers for it.
    pub fn up(&self, service: SharedService) {
        self.slot.set(Some(service), false);
        self.changed.notify_waiters();
    }

    /// The replica is being started: until [`up`](Self::up) or [`down`](Self::down) calls that find
    /// no other one wait for it, within
    /// [`Upstream::start_timeout`](super::Upstream::start_timeout).
    pub fn starting(&self) {
        self.slot.set(None, true);
    }

    /// The replica is gone, or could not be started. No requests go there before [`up`](Self::up).
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
