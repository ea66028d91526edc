//! Which calls become tasks, and the options of tasks.

use crate::clock;
use carryall_proto::budget::Amount;
use std::time::Duration;

/// When a tool runs as a task; see [`Tool::as_task`](crate::Tool::as_task).
///
/// A client that has not declared the extension never gets a task (`tasks#capability-negotiation`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum TaskSupport {
    /// Never: calls are answered with their result.
    #[default]
    Never,
    /// Always. Calls of clients that have not declared the extension are refused with `-32021`.
    Always,
    /// When the client accepts tasks and there is room for one. Other calls are answered with their
    /// result.
    WhenPossible,
    /// When the client accepts tasks and the call takes longer than this. The handler is not
    /// restarted: it goes on where it is. Without room for a task it goes on as a plain call, within
    /// its timeout.
    After(Duration),
    /// When the handler calls [`Ctx::become_task`](crate::Ctx::become_task).
    OnDemand,
}

/// The options of a server's tasks; see [`ServerBuilder::tasks`](crate::ServerBuilder::tasks).
#[derive(Clone, Debug)]
#[must_use]
pub struct TaskOptions {
    pub(super) ttl: Option<Duration>,
    pub(super) poll_interval: Duration,
    pub(super) lease: Duration,
    pub(super) max_running: usize,
    pub(super) max_running_per_caller: usize,
    pub(super) limits: (Amount, Amount),
    pub(super) max_attempts: u32,
}

impl Default for TaskOptions {
    fn default() -> Self {
        Self {
            ttl: Some(Duration::from_secs(60 * 60)),
            poll_interval: Duration::from_secs(1),
            lease: Duration::from_secs(15),
            max_running: 1_000,
            max_running_per_caller: 250,
            limits: (Amount::new(20_000, 256 << 20), Amount::new(5_000, 64 << 20)),
            max_attempts: 5,
        }
    }
}

impl TaskOptions {
    /// Returns the defaults that the methods below name.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets how long after its creation a task expires, done or not; an hour by default, with a
    /// resolution of one millisecond. With `None` tasks are kept forever, so that each caller can
    /// create as many as the [limits](Self::limits) allow, and none after that.
    pub fn ttl(mut self, ttl: Option<Duration>) -> Self {
        self.ttl = ttl;
        self
    }

    /// Sets the interval at which clients are asked to poll; one second by default.
    pub fn poll_interval(mut self, interval: Duration) -> Self {
        self.poll_interval = interval;
        self
    }

    /// Sets the lease of workers: a task whose worker has not renewed it for this long is taken over
    /// by another replica. 15 seconds by default, at least 30 milliseconds.
    ///
    /// Leases are renewed after a third of it. The clocks of replicas must differ by less.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease.max(Duration::from_millis(30));
        self
    }

    /// Sets how many tasks a replica works on at once; 1,000 by default. Beyond it, calls that need
    /// a task are refused.
    pub fn max_running(mut self, tasks: usize) -> Self {
        self.max_running = tasks;
        self
    }

    /// Sets how many tasks of one caller a replica works on at once; 250 by default. Beyond it, calls
    /// of this caller that need a task are refused.
    ///
    /// A caller is a principal, or else a network address. Clients behind one proxy without
    /// authorization are therefore one caller.
    pub fn max_running_per_caller(mut self, tasks: usize) -> Self {
        self.max_running_per_caller = tasks;
        self
    }

    /// Sets how many tasks are kept, running or ended, and with how many bytes of arguments, answers
    /// and results, for all callers together and for each; by default 20,000 with 256 MiB, and 5,000
    /// with 64 MiB. Beyond it, calls that need a task are refused until others expire, and a result
    /// that does not fit is replaced by an error.
    ///
    /// Each replica counts what it has written itself: in a shared store, a caller can keep its
    /// share once per replica.
    pub fn limits(mut self, total: Amount, per_caller: Amount) -> Self {
        self.limits = (total, per_caller);
        self
    }

    /// Sets the maximum number of attempts; 5 by default. A task that keeps crashing its worker is
    /// failed.
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = attempts.max(1);
        self
    }

    pub(super) fn ttl_ms(&self) -> Option<u64> {
        self.ttl.map(clock::millis)
    }
}
