//! How legacy servers are called, and the bounds of it.

use super::era::{Era, EraMemory};
use carryall_proto::BoxFuture;
use carryall_types::{ClientCapabilities, ErrorObject, Implementation, InputRequest, RawJson};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Answers a question of a server. `None` for questions that have no handler; the caller of the call that the server was
/// working on is asked those. An error is sent to the server.
pub type Answers = Arc<dyn Fn(InputRequest) -> Option<BoxFuture<Result<RawJson, ErrorObject>>> + Send + Sync>;

/// How servers are called that may be of an earlier revision.
#[derive(Clone)]
pub struct Options {
    pub(crate) era: Era,
    pub(crate) silence: Duration,
    pub(crate) handshake_timeout: Duration,
    pub(crate) memory: EraMemory,
    pub(crate) answers: Option<Answers>,
    pub(crate) client_info: Implementation,
    pub(crate) capabilities: ClientCapabilities,
    pub(crate) max_parked: usize,
    pub(crate) parked_for: Duration,
    pub(crate) max_sessions: usize,
    pub(crate) idle: Duration,
    pub(crate) max_message: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            era: Era::Auto,
            silence: Duration::from_secs(1),
            handshake_timeout: Duration::from_secs(60),
            memory: EraMemory::new(),
            answers: None,
            client_info: Implementation::new("carryall", env!("CARGO_PKG_VERSION")),
            capabilities: ClientCapabilities::new(),
            max_parked: 256,
            parked_for: Duration::from_secs(10 * 60),
            max_sessions: 32,
            idle: Duration::from_secs(10 * 60),
            max_message: 16 * 1024 * 1024,
        }
    }
}

impl Options {
    /// The era to speak. Found out unless set.
    #[must_use]
    pub fn era(mut self, era: Era) -> Self {
        self.era = era;
        self
    }

    /// How long a server on stdio may leave the probe unanswered before it gets `initialize` too. 1 s unless set. The
    /// answer to the probe is still believed when it comes later, so nothing depends on this but how long a legacy server
    /// that ignores what it does not know takes to connect.
    #[must_use]
    pub fn silence(mut self, silence: Duration) -> Self {
        self.silence = silence;
        self
    }

    /// How long a server may take to start and to answer `initialize`. 60 s unless set, because a server on stdio may be
    /// downloaded first.
    #[must_use]
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.handshake_timeout = timeout;
        self
    }

    /// Where to remember which server is of which era. In this process only unless set.
    #[must_use]
    pub fn memory(mut self, memory: EraMemory) -> Self {
        self.memory = memory;
        self
    }

    /// Who answers what servers ask. Unless set the callers do, in rounds (`basic/patterns/mrtr`).
    #[must_use]
    pub fn answers(mut self, answers: Answers) -> Self {
        self.answers = Some(answers);
        self
    }

    /// What to declare when hands are shaken before there is a call: the `clientInfo` and the capabilities that most
    /// calls will bring. On stdio a call with other capabilities needs another process. No capabilities unless set.
    #[must_use]
    pub fn declares(mut self, client_info: Implementation, capabilities: ClientCapabilities) -> Self {
        self.client_info = client_info;
        self.capabilities = capabilities;
        self
    }

    /// How many calls may wait for their callers to come back with an answer. 256 unless set; questions beyond that are
    /// refused.
    #[must_use]
    pub fn max_parked(mut self, max: usize) -> Self {
        self.max_parked = max;
        self
    }

    /// How long such a call waits before it is cancelled. 10 minutes unless set.
    #[must_use]
    pub fn parked_for(mut self, limit: Duration) -> Self {
        self.parked_for = limit;
        self
    }

    /// How many sessions there may be with one server at a time, which is how many different sets of capabilities callers
    /// may declare. 32 unless set. On stdio each is a process.
    #[must_use]
    pub fn max_sessions(mut self, max: usize) -> Self {
        self.max_sessions = max.max(1);
        self
    }

    /// How long a session may be unused before it is ended. 10 minutes unless set. The one used last is kept.
    #[must_use]
    pub fn idle(mut self, limit: Duration) -> Self {
        self.idle = limit;
        self
    }

    /// The longest message accepted on stdio, in bytes. 16 MiB unless set.
    #[must_use]
    pub fn max_message(mut self, bytes: usize) -> Self {
        self.max_message = bytes;
        self
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("era", &self.era)
            .field("memory", &self.memory)
            .field("silence", &self.silence)
            .field("handshake_timeout", &self.handshake_timeout)
            .field("answers", &self.answers.is_some())
            .finish_non_exhaustive()
    }
}
