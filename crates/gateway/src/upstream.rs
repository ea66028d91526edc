//! One server behind the gateway, in one or more replicas.

mod exchange;
mod health;
mod name;
mod probe;
mod slot;
mod tool_headers;

pub use name::{InvalidName, SEPARATOR};
pub(crate) use name::{prefixed, split};
pub use probe::ProbeConfig;
pub use slot::{ReplicaHandle, ReplicaStatus};

pub(crate) use slot::ReplicaSlot;

use crate::hop::IdCounter;
use carryall_proto::SharedService;
use carryall_proto::sync::RwLock;
use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};
use tool_headers::ToolHeaders;

/// One server behind the gateway: a name, and the replicas that answer for it. Cheap to clone;
/// clones are the same upstream.
///
/// Each request goes to the next living replica in turn, whoever sent it and whatever it asked
/// before: in a stateless protocol any replica can answer. A replica that fails is skipped for a
/// while, longer each time, and then tried with one request; a probe may find it alive sooner.
#[derive(Clone)]
pub struct Upstream {
    shared: Arc<Shared>,
}

struct Shared {
    name: Box<str>,
    shared_channel: bool,
    probe: Option<ProbeConfig>,
    /// For how long a call waits for replicas that are all gone.
    restart: Duration,
    /// For how long it waits while one is being started.
    start: Duration,
    slots: RwLock<Vec<Arc<ReplicaSlot>>>,
    next: AtomicUsize,
    ids: IdCounter,
    tools: ToolHeaders,
    /// A replica has come up.
    changed: Arc<Notify>,
}

impl Upstream {
    /// An upstream without replicas.
    ///
    /// # Errors
    /// When the name cannot be part of a tool name.
    pub fn new(name: &str) -> Result<Self, InvalidName> {
        name::check(name)?;
        let shared = Shared {
            name: name.into(),
            shared_channel: false,
            probe: Some(ProbeConfig::default()),
            restart: Duration::ZERO,
            start: Duration::from_secs(30),
            slots: RwLock::default(),
            next: AtomicUsize::new(0),
            ids: IdCounter::default(),
            tools: ToolHeaders::default(),
            changed: Arc::default(),
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// All requests travel on one channel, as they do on stdio: progress tokens of different
    /// clients must differ there.
    #[must_use]
    pub fn shared_channel(self) -> Self {
        self.with(|shared| shared.shared_channel = true)
    }

    /// How replicas are probed; `None` leaves it to requests to find out.
    #[must_use]
    pub fn probe(self, probe: Option<ProbeConfig>) -> Self {
        self.with(|shared| shared.probe = probe)
    }

    /// Somebody starts replicas again when they die: a call that finds none waits so long for one
    /// to come.
    #[must_use]
    pub fn restart_timeout(self, limit: Duration) -> Self {
        self.with(|shared| shared.restart = limit)
    }

    /// How long a call that finds no replica waits for one that is being started
    /// ([`ReplicaHandle::starting`]). 30 s unless set.
    #[must_use]
    pub fn start_timeout(self, limit: Duration) -> Self {
        self.with(|shared| shared.start = limit)
    }

    /// Options are set before there are clones; a clone that is there already keeps what it has.
    fn with(mut self, change: impl FnOnce(&mut Shared)) -> Self {
        if let Some(shared) = Arc::get_mut(&mut self.shared) {
            change(shared);
        }
        self
    }

    /// Adds a replica. It takes no requests before [`ReplicaHandle::up`].
    pub fn replica(&self, label: &str) -> ReplicaHandle {
        let slot = Arc::new(ReplicaSlot::new(label, &self.shared.name));
        self.shared.slots.write().push(Arc::clone(&slot));
        ReplicaHandle::of(slot, Arc::clone(&self.shared.changed))
    }

    /// Adds a replica that takes requests at once.
    #[must_use]
    pub fn with_replica(self, label: &str, service: SharedService) -> Self {
        self.replica(label).up(service);
        self
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// What is known about each replica.
    #[must_use]
    pub fn status(&self) -> Vec<ReplicaStatus> {
        self.slots().iter().map(|slot| slot.status()).collect()
    }

    fn slots(&self) -> Vec<Arc<ReplicaSlot>> {
        self.shared.slots.read().clone()
    }

    fn count(&self) -> usize {
        self.shared.slots.read().len()
    }

    /// Whether a call may need to be sent once more.
    fn may_try_again(&self, tried: &Attempts) -> bool {
        self.count() > tried.count() || !self.wait_limit().is_zero()
    }

    /// How long a call that finds no replica waits for one. Zero when there is nothing to wait for.
    fn wait_limit(&self) -> Duration {
        let starting = self.shared.slots.read().iter().any(|s| s.is_starting());
        if starting {
            self.shared.restart.max(self.shared.start)
        } else {
            self.shared.restart
        }
    }

    /// The next replica for a call. If there is none, one that is started meanwhile.
    async fn pick_or_wait(
        &self,
        tried: &mut Attempts,
    ) -> Option<(Arc<ReplicaSlot>, SharedService)> {
        loop {
            if let Some(picked) = self.pick(tried) {
                return Some(picked);
            }
            let mut changed = pin!(self.shared.changed.notified());
            // From here on no start is missed, so it is time to look again before waiting.
            changed.as_mut().enable();
            if let Some(picked) = self.pick(tried) {
                return Some(picked);
            }
            let limit = self.wait_limit();
            if limit.is_zero() {
                return None;
            }
            let since = *tried.waiting_since.get_or_insert_with(Instant::now);
            timeout_at(since + limit, changed).await.ok()?;
        }
    }

    /// The next replica in turn that lives and that the call has not been to; failing that, the
    /// dead one that was due first, so that an upstream whose replicas all seem dead is still tried
    /// once per call.
    fn pick(&self, tried: &mut Attempts) -> Option<(Arc<ReplicaSlot>, SharedService)> {
        let slots = self.shared.slots.read();
        let start = self.shared.next.fetch_add(1, Ordering::Relaxed);
        let now = Instant::now();
        let in_turn =
            (0..slots.len()).map(|offset| &slots[start.wrapping_add(offset) % slots.len()]);
        let untried = in_turn.filter(|slot| !tried.contains(slot));
        let living = untried
            .clone()
            .find_map(|slot| Some((slot, slot.take(now)?)));
        let (slot, service) = match living {
            Some(living) => living,
            None => {
                let last_hope = untried
                    .filter(|_| !tried.dead)
                    .min_by_key(|slot| slot.due())?;
                (last_hope, last_hope.service()?)
            }
        };
        tried.add(slot);
        Some((Arc::clone(slot), service))
    }
}

/// The replicas that one call has been to, each as it was then: one that was started again is
/// another.
#[derive(Default)]
struct Attempts {
    slots: Vec<(Arc<ReplicaSlot>, u64)>,
    /// One of them was thought dead.
    dead: bool,
    /// When the call began to wait for replicas to be started.
    waiting_since: Option<Instant>,
}

impl Attempts {
    fn add(&mut self, slot: &Arc<ReplicaSlot>) {
        self.dead |= !slot.is_alive();
        self.slots.push((Arc::clone(slot), slot.starts()));
    }

    fn count(&self) -> usize {
        self.slots.len()
    }

    fn contains(&self, slot: &Arc<ReplicaSlot>) -> bool {
        self.slots
            .iter()
            .any(|(tried, starts)| Arc::ptr_eq(tried, slot) && *starts == slot.starts())
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream")
            .field("name", &self.shared.name)
            .field("replicas", &self.status())
            .finish()
    }
}
