//! One server behind the gateway, in one or more replicas.

mod exchange;
mod health;
mod name;
mod probe;
mod replica;
mod tool_headers;

pub use name::{InvalidName, SEPARATOR};
pub(crate) use name::{prefixed, split};
pub use probe::ProbeConfig;
pub(crate) use replica::ReplicaSlot;
pub use replica::{ReplicaHandle, ReplicaStatus};

use crate::id_mapping::IdCounter;
use carryall_proto::SharedService;
use carryall_proto::sync::RwLock;
use std::fmt;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, RwLockReadGuard};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};
use tool_headers::ToolHeaders;

/// One server behind the gateway: a name and its replicas. Cheap to clone; clones are the same
/// upstream.
///
/// Requests go to the healthy replicas in turn, whoever sent them: in a stateless protocol any
/// replica can answer. A replica that fails is skipped for a while, with exponential backoff, and
/// then tried with one request; a probe may find it healthy sooner.
///
/// ```
/// use carryall_gateway::Upstream;
/// use std::time::Duration;
///
/// let upstream = Upstream::new("weather")?.start_timeout(Duration::from_secs(60));
/// let replica = upstream.replica("weather-1");
/// replica.starting();
/// // ... and later `replica.up(service)`
/// assert!(!upstream.status()[0].alive);
/// # Ok::<(), carryall_gateway::InvalidName>(())
/// ```
#[derive(Clone)]
pub struct Upstream {
    inner: Arc<UpstreamInner>,
}

struct UpstreamInner {
    name: Box<str>,
    shared_channel: bool,
    probe: Option<ProbeConfig>,
    restart_timeout: Duration,
    start_timeout: Duration,
    replicas: RwLock<Vec<Arc<ReplicaSlot>>>,
    /// The position at which the next call starts looking for a replica.
    next: AtomicUsize,
    ids: IdCounter,
    tools: ToolHeaders,
    /// Notified when a replica comes up or goes down.
    changed: Arc<Notify>,
}

impl Upstream {
    /// Returns an upstream without replicas.
    ///
    /// # Errors
    /// If the name cannot be part of a tool name: it must have 1 to 40 letters, digits, `-` and
    /// single `_`, with no `_` at either end.
    pub fn new(name: &str) -> Result<Self, InvalidName> {
        name::check(name)?;
        let inner = UpstreamInner {
            name: name.into(),
            shared_channel: false,
            probe: Some(ProbeConfig::default()),
            restart_timeout: Duration::ZERO,
            start_timeout: Duration::from_secs(30),
            replicas: RwLock::default(),
            next: AtomicUsize::new(0),
            ids: IdCounter::default(),
            tools: ToolHeaders::default(),
            changed: Arc::default(),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Declares that all requests share one channel, as on stdio, so that the progress tokens of
    /// different clients must be made unique. Off by default.
    ///
    /// Like the other settings, it has no effect once the upstream was cloned.
    #[must_use]
    pub fn shared_channel(self) -> Self {
        self.with(|inner| inner.shared_channel = true)
    }

    /// Sets how replicas are probed; `None` turns probing off. Default: [`ProbeConfig::default`].
    #[must_use]
    pub fn probe(self, probe: Option<ProbeConfig>) -> Self {
        self.with(|inner| inner.probe = probe)
    }

    /// Sets how long a call waits for a replica to come up if all are down, for upstreams whose
    /// replicas are restarted. Default: zero, such a call fails at once.
    #[must_use]
    pub fn restart_timeout(self, timeout: Duration) -> Self {
        self.with(|inner| inner.restart_timeout = timeout)
    }

    /// Sets how long a call waits for a replica that is [starting](ReplicaHandle::starting).
    /// Default: 30 s.
    #[must_use]
    pub fn start_timeout(self, timeout: Duration) -> Self {
        self.with(|inner| inner.start_timeout = timeout)
    }

    fn with(mut self, change: impl FnOnce(&mut UpstreamInner)) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.inner) {
            change(inner);
        }
        self
    }

    /// Adds a replica, which receives no requests before [`ReplicaHandle::up`]. `label` names it in
    /// logs.
    pub fn replica(&self, label: &str) -> ReplicaHandle {
        let replica = Arc::new(ReplicaSlot::new(label, &self.inner.name));
        self.inner.replicas.write().push(Arc::clone(&replica));
        ReplicaHandle::new(replica, Arc::clone(&self.inner.changed))
    }

    /// Adds a replica that receives requests at once.
    #[must_use]
    pub fn with_replica(self, label: &str, service: SharedService) -> Self {
        self.replica(label).up(service);
        self
    }

    /// Returns the name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// Returns the status of each replica.
    #[must_use]
    pub fn status(&self) -> Vec<ReplicaStatus> {
        let replicas = self.replicas();
        replicas.iter().map(|replica| replica.status()).collect()
    }

    fn replicas(&self) -> RwLockReadGuard<'_, Vec<Arc<ReplicaSlot>>> {
        self.inner.replicas.read()
    }

    fn replica_count(&self) -> usize {
        self.replicas().len()
    }

    /// Returns whether the call may be sent again after this attempt.
    fn may_try_again(&self, attempts: &CallAttempts) -> bool {
        self.replica_count() > attempts.count() || !self.wait_limit().is_zero()
    }

    /// Returns how long a call waits for a replica if there is none. Zero if none is expected.
    fn wait_limit(&self) -> Duration {
        let starting = self.replicas().iter().any(|replica| replica.is_starting());
        if starting {
            self.inner.restart_timeout.max(self.inner.start_timeout)
        } else {
            self.inner.restart_timeout
        }
    }

    /// Picks the next replica for a call; waits for one if there is none.
    async fn pick_or_wait(
        &self,
        attempts: &mut CallAttempts,
    ) -> Option<(Arc<ReplicaSlot>, SharedService)> {
        loop {
            if let Some(picked) = self.pick(attempts) {
                return Some(picked);
            }
            let mut changed = pin!(self.inner.changed.notified());
            // From here on no change is missed, so look again before waiting.
            changed.as_mut().enable();
            if let Some(picked) = self.pick(attempts) {
                return Some(picked);
            }
            let limit = self.wait_limit();
            if limit.is_zero() {
                return None;
            }
            let since = *attempts.waiting_since.get_or_insert_with(Instant::now);
            timeout_at(since + limit, changed).await.ok()?;
        }
    }

    /// Picks the next healthy replica that the call has not tried. If there is none, picks the
    /// unhealthy one whose backoff ends first, once per call, so that a call is attempted even if
    /// all replicas seem dead.
    fn pick(&self, attempts: &mut CallAttempts) -> Option<(Arc<ReplicaSlot>, SharedService)> {
        let replicas = self.replicas();
        let start = self.inner.next.fetch_add(1, Ordering::Relaxed);
        let now = Instant::now();
        let in_turn = (0..replicas.len())
            .map(|offset| &replicas[start.wrapping_add(offset) % replicas.len()]);
        let untried = in_turn.filter(|replica| !attempts.contains(replica));
        let healthy = untried
            .clone()
            .find_map(|replica| Some((replica, replica.acquire(now)?)));
        let (replica, service) = match healthy {
            Some(healthy) => healthy,
            None => {
                let first_due = untried
                    .filter(|_| !attempts.tried_unhealthy)
                    .min_by_key(|replica| replica.retry_order())?;
                (first_due, first_due.service()?)
            }
        };
        attempts.add(replica);
        Some((Arc::clone(replica), service))
    }
}

/// The replicas that one call was sent to. A replica that was restarted since counts as another.
#[derive(Default)]
struct CallAttempts {
    replicas: Vec<(Arc<ReplicaSlot>, u64)>,
    /// Whether one of them was unhealthy.
    tried_unhealthy: bool,
    /// When the call began to wait for a replica.
    waiting_since: Option<Instant>,
}

impl CallAttempts {
    fn add(&mut self, replica: &Arc<ReplicaSlot>) {
        self.tried_unhealthy |= !replica.is_alive();
        self.replicas.push((Arc::clone(replica), replica.starts()));
    }

    fn count(&self) -> usize {
        self.replicas.len()
    }

    fn contains(&self, replica: &Arc<ReplicaSlot>) -> bool {
        self.replicas
            .iter()
            .any(|(tried, starts)| Arc::ptr_eq(tried, replica) && *starts == replica.starts())
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream")
            .field("name", &self.inner.name)
            .field("replicas", &self.status())
            .finish()
    }
}
