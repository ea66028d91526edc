//! How a server keeps its tasks, and which calls become one.

use crate::clock;
use carryall_proto::budget::Amount;
use std::time::Duration;

/// When a tool runs as a task; see [`Tool::as_task`](crate::Tool::as_task).
///
/// A client that has not declared the extension never gets a task (`tasks#capability-negotiation`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum TaskSupport {
    /// Never: each call is answered with its result.
    #[default]
    Never,
    /// Always. Clients that have not declared the extension cannot call the tool: `-32021`.
    Always,
    /// When the client takes tasks and there is room for one, else the call is answered with its
    /// result.
    WhenPossible,
    /// When the client takes tasks and the call is not done after this time. Nothing is started
    /// again: the handler goes on where it is. Where there is no room for a task, it goes on as a
    /// plain call, for as long as one may take.
    After(Duration),
    /// When the handler says so, with [`Ctx::become_task`](crate::Ctx::become_task).
    OnDemand,
}

/// How a server keeps its tasks; see [`ServerBuilder::tasks`](crate::ServerBuilder::tasks).
#[derive(Clone, Debug)]
#[must_use]
pub struct Tasks {
    pub(super) ttl: Option<Duration>,
    pub(super) poll_interval: Duration,
    pub(super) lease: Duration,
    pub(super) max_running: usize,
    pub(super) max_running_per_caller: usize,
    pub(super) limits: (Amount, Amount),
    pub(super) max_attempts: u32,
}

impl Default for Tasks {
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

impl Tasks {
    /// The settings that each of the methods names.
    pub fn new() -> Self {
        Self::default()
    }

    /// How long after its creation a task ends, done or not, with its result; an hour by default.
    /// `None` keeps all of them for ever, and so each caller can create as many as the
    /// [limits](Self::limits) allow, and no more after that.
    pub fn ttl(mut self, ttl: Option<Duration>) -> Self {
        self.ttl = ttl;
        self
    }

    /// How often clients are told to ask; once a second by default.
    pub fn poll_interval(mut self, interval: Duration) -> Self {
        self.poll_interval = interval;
        self
    }

    /// How long a worker may be silent before its task is taken over; 15 seconds by default. It is
    /// renewed three times as often. The clocks of replicas should differ by less.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease.max(Duration::from_millis(30));
        self
    }

    /// How many tasks a replica works on at once, 1,000 by default; beyond it calls that must
    /// become a task are refused.
    pub fn max_running(mut self, tasks: usize) -> Self {
        self.max_running = tasks;
        self
    }

    /// How many tasks of one caller a replica works on at once, 250 by default. Beyond it calls of
    /// this caller that need a task are refused, and those of others are not.
    ///
    /// A caller is a principal, else a network address, so that clients behind one proxy without
    /// authorization are one caller.
    pub fn max_running_per_caller(mut self, tasks: usize) -> Self {
        self.max_running_per_caller = tasks;
        self
    }

    /// How many tasks may be kept, running or ended, with how many bytes of arguments, answers and
    /// results, for all callers together and for each; 20,000 with 256 MiB and 5,000 with 64 MiB by
    /// default. Beyond it calls that need a task are refused until others expire. A result that
    /// does not fit is replaced by an error that says so.
    ///
    /// Each replica counts what it has written itself: in a shared store, a caller can keep its
    /// share once for each replica.
    pub fn limits(mut self, total: Amount, per_caller: Amount) -> Self {
        self.limits = (total, per_caller);
        self
    }

    /// How many workers may die over one task, 5 by default; then it fails, since it may be what
    /// they die of.
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = attempts.max(1);
        self
    }

    pub(super) fn ttl_ms(&self) -> Option<u64> {
        self.ttl.map(clock::millis)
    }
}
