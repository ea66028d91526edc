//! How legacy clients are served, and within which bounds.

use super::http::{Local, SessionBus};
use carryall_proto::budget::Amount;
use carryall_proto::seal::{Keyring, SealingKey};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// How clients of earlier revisions are served. The defaults are for a single process.
#[derive(Clone)]
pub struct Options {
    pub(crate) keyring: Option<Keyring>,
    pub(crate) server_name: String,
    pub(crate) meeting: Arc<dyn SessionBus>,
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
    /// How many ended sessions a process has in a store.
    pub(crate) max_stored_ends: usize,
    pub(crate) caller_share: usize,
    pub(crate) max_rounds: usize,
    pub(crate) question_timeout: Duration,
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

impl Default for Options {
    fn default() -> Self {
        Self {
            keyring: None,
            server_name: String::new(),
            meeting: Arc::new(Local),
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
            question_timeout: Duration::from_secs(600),
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

impl Options {
    /// The keys under which session ids are sealed. Replicas share one keyring; unless set, a
    /// random one is used that nobody else has, and sessions end with the process.
    #[must_use]
    pub fn keyring(mut self, keyring: Keyring) -> Self {
        self.keyring = Some(keyring);
        self
    }

    /// The name of the server, which is bound to its session ids: of two servers with one keyring
    /// neither accepts those of the other. Replicas of a server have the same name. None unless
    /// set, and then all servers without a name that share a keyring accept each other's session
    /// ids.
    #[must_use]
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = name.into();
        self
    }

    /// Where replicas meet for what a sealed id cannot carry. Unless set, there is one process
    /// only.
    #[must_use]
    pub fn meeting(mut self, meeting: Arc<dyn SessionBus>) -> Self {
        self.meeting = meeting;
        self
    }

    /// How long a session lasts at most. 24 h unless set; a client begins a new one then.
    #[must_use]
    pub fn session_ttl(mut self, ttl: Duration) -> Self {
        self.session_ttl = ttl;
        self
    }

    /// How many sessions a process remembers; the one used least recently is forgotten, and comes
    /// back from its token without its log level and subscriptions. 10,000 unless set.
    #[must_use]
    pub fn max_sessions(mut self, sessions: usize) -> Self {
        self.max_sessions = sessions;
        self
    }

    /// How many of them may belong to one principal. 1,000 unless set. Unauthenticated callers have
    /// their [share](Self::caller_share).
    #[must_use]
    pub fn max_sessions_per_principal(mut self, sessions: usize) -> Self {
        self.max_sessions_per_principal = sessions;
        self
    }

    /// How many requests of one session may be in work. 256 unless set.
    #[must_use]
    pub fn max_in_flight(mut self, requests: usize) -> Self {
        self.max_in_flight = requests;
        self
    }

    /// How many resources one session may subscribe to. 1,000 unless set, of at most 8 KiB each and
    /// 512 KiB together.
    #[must_use]
    pub fn max_subscriptions(mut self, resources: usize) -> Self {
        self.max_subscriptions = resources;
        self
    }

    /// How many resources all sessions together may subscribe to, and how many bytes their URIs may
    /// have together. 100,000 and 64 MiB unless set.
    #[must_use]
    pub fn max_total_subscriptions(mut self, resources: usize, bytes: usize) -> Self {
        self.max_total_subscriptions = Amount::new(resources, bytes);
        self
    }

    /// How many tasks of 2025-11-25 a process holds, ended ones included, and how many bytes of
    /// arguments, notifications and results. 4,096 and 128 MiB unless set. A task is refused beyond
    /// that, and one whose result does not fit fails.
    #[must_use]
    pub fn max_tasks(mut self, tasks: usize, bytes: usize) -> Self {
        self.max_tasks = Amount::new(tasks, bytes);
        self
    }

    /// How long a task is kept at most, from its creation on, whatever `ttl` its client asks for. 1
    /// h unless set.
    #[must_use]
    pub fn max_task_ttl(mut self, ttl: Duration) -> Self {
        self.max_task_ttl = ttl;
        self
    }

    /// How many messages about sessions a process sends to the other replicas within a minute, and
    /// how many bytes of them. A store that replicas share keeps each for that long. 65,536 and 256
    /// MiB unless set; beyond that, a client's answer to a question that was asked elsewhere is
    /// refused with 503.
    #[must_use]
    pub fn max_published(mut self, messages: usize, bytes: usize) -> Self {
        self.max_published = Amount::new(messages, bytes);
        self
    }

    /// Sets what part of each total one caller may hold: with 4, the default, a quarter of the
    /// sessions, tasks, subscriptions, event streams and their bytes. 1 means that there are no
    /// shares.
    ///
    /// A caller is a principal, or else a network address. Where all clients come through one proxy
    /// and there are no principals, they are one caller.
    #[must_use]
    pub fn caller_share(mut self, divisor: usize) -> Self {
        self.caller_share = divisor.max(1);
        self
    }

    /// How often one call may come back with questions. 16 unless set.
    #[must_use]
    pub fn max_rounds(mut self, rounds: usize) -> Self {
        self.max_rounds = rounds;
        self
    }

    /// How long a client may take to answer a question. 10 min unless set.
    #[must_use]
    pub fn question_timeout(mut self, timeout: Duration) -> Self {
        self.question_timeout = timeout;
        self
    }

    /// How many events of one stream are kept for a client that comes back, and how many bytes of
    /// them. 256 and 1 MiB unless set.
    #[must_use]
    pub fn max_events(mut self, events: usize, bytes: usize) -> Self {
        (self.max_events, self.max_event_bytes) = (events, bytes);
        self
    }

    /// For how many streams events are kept, and how many bytes of them all together. 10,000 and 64
    /// MiB unless set.
    #[must_use]
    pub fn max_streams(mut self, streams: usize, bytes: usize) -> Self {
        (self.max_streams, self.max_all_event_bytes) = (streams, bytes);
        self
    }

    /// How long events are kept after the end of their stream. 5 min unless set.
    #[must_use]
    pub fn event_retention(mut self, time: Duration) -> Self {
        self.event_retention = time;
        self
    }

    /// How long a call goes on whose client is not there. 60 s unless set.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// After which time a client shall come back to a stream that was closed to be polled. 1 s
    /// unless set.
    #[must_use]
    pub fn retry(mut self, delay: Duration) -> Self {
        self.retry = delay;
        self
    }

    /// How long a call may be silent before its response begins, as an event stream. 5 s unless
    /// set.
    #[must_use]
    pub fn sse_after(mut self, delay: Duration) -> Self {
        self.sse_after = delay;
        self
    }

    /// The longest silence on an event stream; a comment breaks it. 15 s unless set.
    #[must_use]
    pub fn keep_alive(mut self, interval: Duration) -> Self {
        self.keep_alive = interval;
        self
    }

    /// Whether the transport of 2024-11-05 is served as well, at `/sse` and `/messages`. Off unless
    /// set; it is deprecated.
    #[must_use]
    pub fn http_sse_2024(mut self, yes: bool) -> Self {
        self.http_sse_2024 = yes;
        self
    }

    /// Whether clients of 2025-11-25 may run tools as tasks. On unless set. A task lives in the
    /// process that began it.
    #[must_use]
    pub fn tasks(mut self, yes: bool) -> Self {
        self.tasks = yes;
        self
    }

    /// A key that nobody else has.
    pub(crate) fn random_keyring() -> Keyring {
        let mut secret = [0; 32];
        // Without randomness there is no secret, and nothing here is safe to go on with.
        getrandom::fill(&mut secret).expect("the system has no random bytes");
        Keyring::new(SealingKey::new(0, secret))
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("keyring", &self.keyring)
            .field("server_name", &self.server_name)
            .field("meeting", &self.meeting)
            .field("session_ttl", &self.session_ttl)
            .field("max_sessions", &self.max_sessions)
            .field("http_sse_2024", &self.http_sse_2024)
            .field("tasks", &self.tasks)
            .finish_non_exhaustive()
    }
}
