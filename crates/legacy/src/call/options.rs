//! How legacy servers are called, and the bounds of it.

use super::era::{Era, EraCache};
use carryall_proto::BoxFuture;
use carryall_types::{ClientCapabilities, ErrorObject, Implementation, InputRequest, RawJson};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

/// Answers a question of a server. `None` for questions that have no handler; the caller of the
/// call that the server was working on is asked those. An error is sent to the server.
pub type Answers =
    Arc<dyn Fn(InputRequest) -> Option<BoxFuture<Result<RawJson, ErrorObject>>> + Send + Sync>;

/// Which callers share a session with a server of an earlier revision.
///
/// Such a server keeps state per session: a login, a working directory, subscriptions, the level of
/// its log messages. Whoever shares a session shares that state. On stdio a session is a process.
///
/// Whatever is chosen here, a session is shared only by callers with the same elicitation, sampling
/// and roots capabilities, because a session declares them once. In text (`FromStr`, `Display`) the
/// values are `per-principal`, `per-client`, `per-call` and `shared`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SessionScope {
    /// Each principal has sessions of its own. They are never shared between two principals, nor
    /// between a principal and callers without one. Callers without a principal share sessions,
    /// which is fit for servers without session state only: where callers are not authenticated and
    /// the server keeps state, choose another.
    #[default]
    Principal,
    /// Each client has sessions of its own: a principal, else a legacy session, else a connection
    /// ([`Caller::of`](carryall_proto::Caller::of)). Where nothing is known of a client, each of
    /// its calls has one. Clients of 2026-07-28 that use several connections have several sessions,
    /// and an intermediary that pools its connections makes several users one client.
    Client,
    /// Each call has a session of its own, on stdio a process, that ends with the call. The rounds
    /// of a call stay on its session. Subscriptions, which no call can log in for, share sessions
    /// of their own.
    Call,
    /// All callers share sessions. Only for servers without session state.
    Shared,
}

impl SessionScope {
    /// All of them, in the order of their documentation.
    pub const ALL: [Self; 4] = [Self::Principal, Self::Client, Self::Call, Self::Shared];

    /// The name in text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Principal => "per-principal",
            Self::Client => "per-client",
            Self::Call => "per-call",
            Self::Shared => "shared",
        }
    }
}

impl fmt::Display for SessionScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that names no [`SessionScope`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownSessionScope;

impl fmt::Display for UnknownSessionScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sessions can be per-principal, per-client, per-call or shared")
    }
}

impl std::error::Error for UnknownSessionScope {}

impl FromStr for SessionScope {
    type Err = UnknownSessionScope;

    fn from_str(text: &str) -> Result<Self, UnknownSessionScope> {
        Self::ALL
            .into_iter()
            .find(|scope| scope.as_str() == text)
            .ok_or(UnknownSessionScope)
    }
}

/// How servers are called that may be of an earlier revision.
#[derive(Clone)]
pub struct Options {
    pub(crate) session_scope: SessionScope,
    pub(crate) era: Era,
    pub(crate) silence: Duration,
    pub(crate) handshake_timeout: Duration,
    pub(crate) memory: EraCache,
    pub(crate) answers: Option<Answers>,
    pub(crate) client_info: Implementation,
    pub(crate) capabilities: ClientCapabilities,
    pub(crate) max_suspended_calls: usize,
    pub(crate) suspension_timeout: Duration,
    pub(crate) max_suspended_bytes: usize,
    pub(crate) max_sessions: Option<usize>,
    pub(crate) max_sessions_per_caller: Option<usize>,
    pub(crate) idle: Duration,
    pub(crate) max_message: usize,
    pub(crate) match_client_era: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            session_scope: SessionScope::default(),
            era: Era::Auto,
            silence: Duration::from_secs(1),
            handshake_timeout: Duration::from_secs(60),
            memory: EraCache::new(),
            answers: None,
            client_info: Implementation::new("carryall", env!("CARGO_PKG_VERSION")),
            capabilities: ClientCapabilities::new(),
            max_suspended_calls: 256,
            suspension_timeout: Duration::from_secs(10 * 60),
            max_suspended_bytes: 64 * 1024 * 1024,
            max_sessions: None,
            max_sessions_per_caller: None,
            idle: Duration::from_secs(10 * 60),
            max_message: 16 * 1024 * 1024,
            match_client_era: false,
        }
    }
}

impl Options {
    /// Which callers share a session with the server. [`SessionScope::Principal`] unless set.
    #[must_use]
    pub fn session_scope(mut self, scope: SessionScope) -> Self {
        self.session_scope = scope;
        self
    }

    /// The era to speak. Found out unless set.
    #[must_use]
    pub fn era(mut self, era: Era) -> Self {
        self.era = era;
        self
    }

    /// How long a server on stdio may leave the probe unanswered before it is looked at what it
    /// does instead. 1 s unless set.
    ///
    /// A legacy server that ignores the probe connects after about twice as long, one that ignores
    /// everything before the handshake after about four times as long (ten times where the system
    /// does not tell whether a pipe has been read). A server that is still starting is waited for,
    /// up to [`handshake_timeout`](Self::handshake_timeout).
    #[must_use]
    pub fn probe_timeout(mut self, silence: Duration) -> Self {
        self.silence = silence;
        self
    }

    /// How long a server may take to start and to answer `initialize`. 60 s unless set, because a
    /// server on stdio may be downloaded first.
    #[must_use]
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.handshake_timeout = timeout;
        self
    }

    /// Where to remember which server is of which era. In this process only unless set.
    #[must_use]
    pub fn memory(mut self, memory: EraCache) -> Self {
        self.memory = memory;
        self
    }

    /// ClientIdentity answers what servers ask. Unless set the callers do, in rounds (`basic/patterns/mrtr`).
    #[must_use]
    pub fn answers(mut self, answers: Answers) -> Self {
        self.answers = Some(answers);
        self
    }

    /// What to declare when hands are shaken before there is a call: the `clientInfo` and the
    /// capabilities that most calls will bring. On stdio a call with other capabilities needs
    /// another process. No capabilities unless set.
    #[must_use]
    pub fn client_identity(
        mut self,
        client_info: Implementation,
        capabilities: ClientCapabilities,
    ) -> Self {
        self.client_info = client_info;
        self.capabilities = capabilities;
        self
    }

    /// How many calls may wait for their callers to come back with an answer: 256 unless set, a
    /// quarter of that for one caller. A question beyond that is refused, and its call fails.
    #[must_use]
    pub fn max_suspended_calls(mut self, max: usize) -> Self {
        self.max_suspended_calls = max;
        self
    }

    /// The size of these calls and their questions together, in bytes: 64 MiB unless set, a quarter
    /// of that for one caller.
    #[must_use]
    pub fn max_suspended_bytes(mut self, bytes: usize) -> Self {
        self.max_suspended_bytes = bytes;
        self
    }

    /// How long such a call waits before it is cancelled. 10 minutes unless set.
    #[must_use]
    pub fn suspension_timeout(mut self, limit: Duration) -> Self {
        self.suspension_timeout = limit;
        self
    }

    /// How many sessions there may be with one server at a time. 32 unless set; on stdio, where
    /// each is a process, 8.
    ///
    /// When all are there, one that nobody uses makes room; when all are in use, a call that needs
    /// another is refused with [`CallError::Busy`](carryall_proto::CallError::Busy). The last place
    /// is for a caller that has no session yet, and one place is for the callers without
    /// capabilities.
    #[must_use]
    pub fn max_sessions(mut self, max: usize) -> Self {
        self.max_sessions = Some(max.max(1));
        self
    }

    /// How many of these sessions one caller may have opened
    /// ([`Caller::accountable`](carryall_proto::Caller::accountable)). Half of
    /// [`max_sessions`](Self::max_sessions) unless set.
    #[must_use]
    pub fn max_sessions_per_caller(mut self, max: usize) -> Self {
        self.max_sessions_per_caller = Some(max.max(1));
        self
    }

    /// How long a session may be unused before it is ended. 10 minutes unless set. The one used
    /// last is kept.
    #[must_use]
    pub fn idle(mut self, limit: Duration) -> Self {
        self.idle = limit;
        self
    }

    /// Whether the calls of legacy clients, which [`serve`](crate::serve) has made for them, go to
    /// the legacy side of a server that speaks both eras. `false` unless set; of no effect where
    /// the [era](Self::era) is given.
    ///
    /// Some servers offer in the old era alone what clients of that era can do, elicitation for
    /// one. Whether the server has a legacy side is found out with the first such call, by opening
    /// a session; if it has none, the call goes the modern way. It costs those sessions, beside the
    /// modern way; on stdio, where a process speaks one era, it costs processes. And it costs what
    /// sessions cost: a call that asks its user something continues where it began, so it is not
    /// for one of several replicas of the same server.
    #[must_use]
    pub fn match_client_era(mut self, match_era: bool) -> Self {
        self.match_client_era = match_era;
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
            .field("session_scope", &self.session_scope)
            .field("era", &self.era)
            .field("memory", &self.memory)
            .field("silence", &self.silence)
            .field("handshake_timeout", &self.handshake_timeout)
            .field("answers", &self.answers.is_some())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn session_scopes_have_names() {
        for scope in SessionScope::ALL {
            assert_eq!(scope.to_string().parse(), Ok(scope));
        }
        assert_eq!("client".parse::<SessionScope>(), Err(UnknownSessionScope));
        assert!(
            UnknownSessionScope
                .to_string()
                .contains(SessionScope::default().as_str())
        );
    }
}
