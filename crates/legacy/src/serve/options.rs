//! How legacy clients are served, and within which bounds.

use super::bus::{SessionBus, SingleProcess};
use carryall_proto::budget::Amount;
use carryall_proto::seal::{Keyring, SealingKey};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// How clients of earlier revisions are served. The defaults are for a single process.
#[derive(Clone)]
pub struct LegacyOptions {
    pub(crate) keyring: Option<Keyring>,
    pub(crate) server_name: String,
    pub(crate) session_bus: Arc<dyn SessionBus>,
    pub(crate) session_ttl: Duration,
    pub(crate) session_idle: Duration,
    pub(crate) max_sessions: usize,
    pub(crate) max_sessions_per_principal: usize,
    pub(crate) max_in_flight: usize,
    pub(crate) max_subscriptions: usize,
    pub(crate) max_total_subscriptions: Amount,
    pub(crate) max_tasks: Amount,
    pub(crate) max_task_ttl: Duration,
    pub(crate) max_published: Amount,
    /// Maximum number of ended sessions that this process keeps in a shared store.
    pub(crate) max_stored_ends: usize,
    pub(crate) caller_share: usize,
    pub(crate) max_rounds: usize,
    pub(crate) input_timeout: Duration,
    pub(crate) max_events: usize,
    pub(crate) max_event_bytes: usize,
    pub(crate) max_streams: usize,
    pub(crate) max_all_event_bytes: usize,
    pub(crate) event_retention: Duration,
    pub(crate) grace: Duration,
    pub(crate) retry: Duration,
    pub(crate) sse_after: Duration,
    pub(crate) keep_alive: Duration,
    pub(crate) http_sse_2024: bool,
    pub(crate) tasks: bool,
}

impl Default for LegacyOptions {
    fn default() -> Self {
        Self {
            keyring: None,
            server_name: String::new(),
            session_bus: Arc::new(SingleProcess),
            session_ttl: Duration::from_secs(24 * 60 * 60),
            session_idle: Duration::from_secs(60 * 60),
            max_sessions: 10_000,
            max_sessions_per_principal: 1_000,
            max_in_flight: 256,
            max_subscriptions: 1_000,
            max_total_subscriptions: Amount::new(100_000, 64 * 1024 * 1024),
            max_tasks: Amount::new(4_096, 128 * 1024 * 1024),
            max_task_ttl: Duration::from_secs(60 * 60),
            max_published: Amount::new(65_536, 256 * 1024 * 1024),
            max_stored_ends: 100_000,
            caller_share: 4,
            max_rounds: 16,
            input_timeout: Duration::from_secs(600),
            max_events: 256,
            max_event_bytes: 1024 * 1024,
            max_streams: 10_000,
            max_all_event_bytes: 64 * 1024 * 1024,
            event_retention: Duration::from_secs(300),
            grace: Duration::from_secs(60),
            retry: Duration::from_secs(1),
            sse_after: Duration::from_secs(5),
            keep_alive: Duration::from_secs(15),
            http_sse_2024: false,
            tasks: true,
        }
    }
}

impl LegacyOptions {
    /// Sets the keys that seal session ids. Replicas share one keyring. Default: a random key, so
    /// that sessions end with the process.
    #[must_use]
    pub fn keyring(mut self, keyring: Keyring) -> Self {
        self.keyring = Some(keyring);
        self
    }

    /// Sets the name of the server, which is bound to its session ids: two servers with one keyring
    /// and different names do not accept each other's ids. Replicas of one server have the same
    /// name. Default: none, so that all unnamed servers with one keyring accept each other's ids.
    #[must_use]
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = name.into();
        self
    }

    /// Sets how replicas share the session state that the id cannot carry. Default:
    /// [`SingleProcess`].
    #[must_use]
    pub fn session_bus(mut self, bus: Arc<dyn SessionBus>) -> Self {
        self.session_bus = bus;
        self
    }

    /// Sets the lifetime of a session, after which its client has to open a new one. Default: 24 h.
    #[must_use]
    pub fn session_ttl(mut self, ttl: Duration) -> Self {
        self.session_ttl = ttl;
        self
    }

    /// Sets the maximum number of sessions that a process remembers. The least recently used one is
    /// evicted, and is rebuilt from its id without log level and subscriptions. Default: 10,000.
    #[must_use]
    pub fn max_sessions(mut self, sessions: usize) -> Self {
        self.max_sessions = sessions;
        self
    }

    /// Sets how many of these sessions may belong to one principal. Default: 1,000. Unauthenticated
    /// callers have their [share](Self::caller_share).
    #[must_use]
    pub fn max_sessions_per_principal(mut self, sessions: usize) -> Self {
        self.max_sessions_per_principal = sessions;
        self
    }

    /// Sets the maximum number of requests of one session in flight. Default: 256.
    #[must_use]
    pub fn max_in_flight(mut self, requests: usize) -> Self {
        self.max_in_flight = requests;
        self
    }

    /// Sets the maximum number of subscriptions of one session. Default: 1,000. A URI may have 8
    /// KiB, and all of a session together 512 KiB.
    #[must_use]
    pub fn max_subscriptions(mut self, resources: usize) -> Self {
        self.max_subscriptions = resources;
        self
    }

    /// Sets the maximum number of subscriptions of all sessions together, and the bytes of their
    /// URIs. Default: 100,000 and 64 MiB.
    #[must_use]
    pub fn max_total_subscriptions(mut self, resources: usize, bytes: usize) -> Self {
        self.max_total_subscriptions = Amount::new(resources, bytes);
        self
    }

    /// Sets the maximum number of tasks of 2025-11-25 that a process holds, including ended ones,
    /// and the bytes of their arguments, notifications and results. Default: 4,096 and 128 MiB.
    /// Beyond that a new task is refused, and a task whose result does not fit fails.
    #[must_use]
    pub fn max_tasks(mut self, tasks: usize, bytes: usize) -> Self {
        self.max_tasks = Amount::new(tasks, bytes);
        self
    }

    /// Sets the maximum time that a task is kept from its creation on, whatever `ttl` its client
    /// asks for. Default: 1 h.
    #[must_use]
    pub fn max_task_ttl(mut self, ttl: Duration) -> Self {
        self.max_task_ttl = ttl;
        self
    }

    /// Sets how many session events a process may publish to other replicas within a minute, and
    /// the bytes of them. Default: 65,536 and 256 MiB. Beyond that, the client's answer to a
    /// request that another replica has sent is refused with 503.
    #[must_use]
    pub fn max_published(mut self, events: usize, bytes: usize) -> Self {
        self.max_published = Amount::new(events, bytes);
        self
    }

    /// Sets which part of each total one caller may hold: with 4, the default, a quarter of the
    /// sessions, tasks, subscriptions, event streams and their bytes. 1 disables the shares.
    ///
    /// A caller is a principal, or else a network address. Clients without principals behind one
    /// proxy are one caller.
    #[must_use]
    pub fn caller_share(mut self, divisor: usize) -> Self {
        self.caller_share = divisor.max(1);
        self
    }

    /// Sets the maximum number of rounds in which a call may ask its client for input. Default: 16.
    #[must_use]
    pub fn max_rounds(mut self, rounds: usize) -> Self {
        self.max_rounds = rounds;
        self
    }

    /// Sets how long a client may take to answer a server-initiated request (elicitation, sampling
    /// or roots). Default: 10 min.
    #[must_use]
    pub fn input_timeout(mut self, timeout: Duration) -> Self {
        self.input_timeout = timeout;
        self
    }

    /// Sets how many events of one stream are kept for a client that resumes it, and the bytes of
    /// them. Default: 256 and 1 MiB.
    #[must_use]
    pub fn max_events(mut self, events: usize, bytes: usize) -> Self {
        (self.max_events, self.max_event_bytes) = (events, bytes);
        self
    }

    /// Sets for how many streams events are kept, and the bytes of all of them. Default: 10,000 and
    /// 64 MiB.
    #[must_use]
    pub fn max_streams(mut self, streams: usize, bytes: usize) -> Self {
        (self.max_streams, self.max_all_event_bytes) = (streams, bytes);
        self
    }

    /// Sets how long the events of a finished stream are kept. Default: 5 min.
    #[must_use]
    pub fn event_retention(mut self, time: Duration) -> Self {
        self.event_retention = time;
        self
    }

    /// Sets how long a call goes on while its client is disconnected. Default: 60 s.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Sets after which time a client is asked to come back to a stream that the server has closed
    /// (the `retry` field of the event stream). Default: 1 s.
    #[must_use]
    pub fn retry(mut self, delay: Duration) -> Self {
        self.retry = delay;
        self
    }

    /// Sets how long a call may be silent before its response starts as an event stream. Default: 5
    /// s.
    #[must_use]
    pub fn sse_after(mut self, delay: Duration) -> Self {
        self.sse_after = delay;
        self
    }

    /// Sets the interval of the comments that keep a silent event stream alive. Default: 15 s.
    #[must_use]
    pub fn keep_alive(mut self, interval: Duration) -> Self {
        self.keep_alive = interval;
        self
    }

    /// Sets whether HTTP+SSE of 2024-11-05 is served too, at `/sse` and `/messages`. Default: no,
    /// since it is deprecated.
    #[must_use]
    pub fn http_sse_2024(mut self, yes: bool) -> Self {
        self.http_sse_2024 = yes;
        self
    }

    /// Sets whether clients of 2025-11-25 may run tools as tasks. Default: yes. A task lives in the
    /// process that started it, so there are none with a session bus between replicas.
    #[must_use]
    pub fn tasks(mut self, yes: bool) -> Self {
        self.tasks = yes;
        self
    }

    /// Returns a keyring with a new random key.
    pub(crate) fn random_keyring() -> Keyring {
        let mut secret = [0; 32];
        // A session id sealed with a key that can be guessed is worse than no server.
        getrandom::fill(&mut secret).expect("the system has no random bytes");
        Keyring::new(SealingKey::new(0, secret))
    }
}

impl fmt::Debug for LegacyOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LegacyOptions")
            .field("keyring", &self.keyring)
            .field("server_name", &self.server_name)
            .field("session_bus", &self.session_bus)
            .field("session_ttl", &self.session_ttl)
            .field("max_sessions", &self.max_sessions)
            .field("http_sse_2024", &self.http_sse_2024)
            .field("tasks", &self.tasks)
            .finish_non_exhaustive()
    }
}
