//! Options for calling servers of either era.

use super::era_cache::EraCache;
use super::identity::ClientIdentity;
use super::session_scope::SessionScope;
use carryall_proto::BoxFuture;
use carryall_types::{ClientCapabilities, ErrorObject, Implementation, InputRequest, RawJson};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Answers a question of a server: an elicitation, a sampling request or a request for the roots.
///
/// `None` leaves the question to the caller of the call that caused it. An error is sent to the
/// server.
pub type InputCallback =
    Arc<dyn Fn(InputRequest) -> Option<BoxFuture<Result<RawJson, ErrorObject>>> + Send + Sync>;

/// The era to speak with a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Era {
    /// That of the server, which is detected.
    #[default]
    Auto,
    /// Revision 2026-07-28, without a handshake.
    Modern,
    /// Revisions up to 2025-11-25, with a handshake.
    Legacy,
}

/// Options for calling servers of either era.
#[derive(Clone)]
pub struct DualEraOptions {
    pub(crate) session_scope: SessionScope,
    pub(crate) era: Era,
    pub(crate) probe_timeout: Duration,
    pub(crate) handshake_timeout: Duration,
    pub(crate) era_cache: EraCache,
    pub(crate) input_handler: Option<InputCallback>,
    pub(crate) client_identity: ClientIdentity,
    pub(crate) max_suspended_calls: usize,
    pub(crate) suspension_timeout: Duration,
    pub(crate) max_suspended_bytes: usize,
    pub(crate) max_sessions: Option<usize>,
    pub(crate) max_sessions_per_caller: Option<usize>,
    pub(crate) idle_timeout: Duration,
    pub(crate) max_message: usize,
    pub(crate) match_client_era: bool,
}

impl Default for DualEraOptions {
    fn default() -> Self {
        Self {
            session_scope: SessionScope::default(),
            era: Era::Auto,
            probe_timeout: Duration::from_secs(1),
            handshake_timeout: Duration::from_secs(60),
            era_cache: EraCache::new(),
            input_handler: None,
            client_identity: ClientIdentity {
                info: Implementation::new("carryall", env!("CARGO_PKG_VERSION")),
                capabilities: ClientCapabilities::new(),
            },
            max_suspended_calls: 256,
            suspension_timeout: Duration::from_secs(10 * 60),
            max_suspended_bytes: 64 * 1024 * 1024,
            max_sessions: None,
            max_sessions_per_caller: None,
            idle_timeout: Duration::from_secs(10 * 60),
            max_message: 16 * 1024 * 1024,
            match_client_era: false,
        }
    }
}

impl DualEraOptions {
    /// Which callers share a session with the server. Default: [`SessionScope::Principal`].
    #[must_use]
    pub fn session_scope(mut self, scope: SessionScope) -> Self {
        self.session_scope = scope;
        self
    }

    /// The era to speak. Default: [`Era::Auto`], which detects it.
    #[must_use]
    pub fn era(mut self, era: Era) -> Self {
        self.era = era;
        self
    }

    /// How long a server on stdio may leave the probe unanswered before the client finds out by
    /// other means whether it is still starting. Default: 1 s.
    ///
    /// A legacy server that ignores the probe is connected after about twice this time, one that
    /// ignores every request before the handshake after about four times (ten times where the
    /// system does not tell whether a pipe has been read). A server that is still starting is
    /// waited for, up to [`handshake_timeout`](Self::handshake_timeout).
    #[must_use]
    pub fn probe_timeout(mut self, timeout: Duration) -> Self {
        self.probe_timeout = timeout;
        self
    }

    /// How long a server may take to start and to answer `initialize`. Default: 60 s, because a
    /// server on stdio may have to be downloaded first.
    #[must_use]
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.handshake_timeout = timeout;
        self
    }

    /// Where the detected eras of servers are kept. Default: a new cache in memory.
    #[must_use]
    pub fn era_cache(mut self, cache: EraCache) -> Self {
        self.era_cache = cache;
        self
    }

    /// What answers the questions of servers. Default: their callers do, in rounds
    /// (`basic/patterns/mrtr`).
    #[must_use]
    pub fn input_handler(mut self, handler: InputCallback) -> Self {
        self.input_handler = Some(handler);
        self
    }

    /// The `clientInfo` and capabilities to declare in a handshake that happens before the first
    /// call. Default: the name and version of this library, and no capabilities.
    ///
    /// They should be those of most calls: on stdio, a call with other capabilities needs another
    /// process.
    #[must_use]
    pub fn client_identity(
        mut self,
        info: Implementation,
        capabilities: ClientCapabilities,
    ) -> Self {
        self.client_identity = ClientIdentity { info, capabilities };
        self
    }

    /// Maximum number of calls that wait for their caller to answer a question of the server.
    /// Default: 256. One caller may have a quarter. A question beyond that is refused, and its call
    /// fails.
    #[must_use]
    pub fn max_suspended_calls(mut self, max: usize) -> Self {
        self.max_suspended_calls = max;
        self
    }

    /// Maximum size of these calls and their questions together, in bytes. Default: 64 MiB. One
    /// caller may have a quarter.
    #[must_use]
    pub fn max_suspended_bytes(mut self, bytes: usize) -> Self {
        self.max_suspended_bytes = bytes;
        self
    }

    /// How long such a call waits before it is cancelled. Default: 10 minutes.
    #[must_use]
    pub fn suspension_timeout(mut self, timeout: Duration) -> Self {
        self.suspension_timeout = timeout;
        self
    }

    /// Maximum number of sessions with one server. At least 1. Default: 32, and 8 on stdio, where
    /// each is a process.
    ///
    /// At the maximum, an idle session is closed to make room. If all are in use, a call that needs
    /// another one fails with [`CallError::Busy`](carryall_proto::CallError::Busy). One session is
    /// reserved for callers that have none yet, and for callers without capabilities.
    #[must_use]
    pub fn max_sessions(mut self, max: usize) -> Self {
        self.max_sessions = Some(max.max(1));
        self
    }

    /// Maximum number of these sessions for one caller
    /// ([`Caller::accountable`](carryall_proto::Caller::accountable)). At least 1. Default: half of
    /// [`max_sessions`](Self::max_sessions).
    #[must_use]
    pub fn max_sessions_per_caller(mut self, max: usize) -> Self {
        self.max_sessions_per_caller = Some(max.max(1));
        self
    }

    /// How long a session may be idle before it is closed. Default: 10 minutes. The session used
    /// last is kept.
    #[must_use]
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = timeout;
        self
    }

    /// Whether calls of legacy clients, which [`serve`](crate::serve) has received, use the legacy
    /// era with a server that speaks both. Default: `false`. No effect unless the era is
    /// [`Era::Auto`].
    ///
    /// Some servers offer features to legacy clients only, for example elicitation. Whether the
    /// server speaks the legacy era is found out by the first such call, which opens a session. If
    /// it does not, the call is made in the modern era.
    ///
    /// This costs sessions in addition to the modern connection, on stdio processes. A call that
    /// asks its user continues in the session in which it began, so this is not for one of several
    /// replicas of the same server.
    #[must_use]
    pub fn match_client_era(mut self, match_era: bool) -> Self {
        self.match_client_era = match_era;
        self
    }

    /// Maximum length of a message on stdio, in bytes. Default: 16 MiB.
    #[must_use]
    pub fn max_message(mut self, bytes: usize) -> Self {
        self.max_message = bytes;
        self
    }
}

impl fmt::Debug for DualEraOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DualEraOptions")
            .field("session_scope", &self.session_scope)
            .field("era", &self.era)
            .field("era_cache", &self.era_cache)
            .field("probe_timeout", &self.probe_timeout)
            .field("handshake_timeout", &self.handshake_timeout)
            .field("input_handler", &self.input_handler.is_some())
            .finish_non_exhaustive()
    }
}
