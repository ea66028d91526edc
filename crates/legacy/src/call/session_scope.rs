//! Which callers share a session.

use std::fmt;
use std::str::FromStr;

/// Which callers share a session with a server of an earlier revision.
///
/// Such a server keeps state per session: a login, a working directory, subscriptions, the log
/// level. Callers that share a session share that state. On stdio a session is a process.
///
/// In any case a session is shared only by callers with the same elicitation, sampling and roots
/// capabilities, because a session declares them once. As text (`FromStr`, `Display`) the values
/// are `per-principal`, `per-client`, `per-call` and `shared`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SessionScope {
    /// Each principal has its own sessions, which no other principal and no caller without a
    /// principal uses. Callers without a principal share sessions. If callers are not authenticated
    /// and the server keeps state per session, choose another scope.
    #[default]
    Principal,
    /// Each client has its own sessions: a principal, else a legacy session, else a connection
    /// ([`Caller::of`](carryall_proto::Caller::of)). If nothing is known of a client, each of its
    /// calls has a session. A client of 2026-07-28 with several connections has several sessions,
    /// and all users behind an intermediary that pools connections are one client.
    Client,
    /// Each call has its own session, on stdio its own process, which ends with the call. All
    /// rounds of a call use the same session. Subscriptions share sessions that no call uses.
    Call,
    /// All callers share sessions. Only for servers that keep no state per session.
    Shared,
}

impl SessionScope {
    /// All values, in the order of declaration.
    pub const ALL: [Self; 4] = [Self::Principal, Self::Client, Self::Call, Self::Shared];

    /// The value as text.
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

/// Text that is not a [`SessionScope`].
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scope_parses_from_its_text() {
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
