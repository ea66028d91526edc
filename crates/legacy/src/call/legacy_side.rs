//! The legacy side of a server that is called in the modern era, for the calls of legacy clients.
//!
//! Servers that speak both eras do not offer the same in both: some ask their questions in the old
//! one alone, and what they keep in a session exists there alone. A legacy client in front of such
//! a server loses nothing if the whole way speaks its era. `server/discover` does not tell whether
//! there is a legacy side, as most servers name their modern versions only; the handshake does.

use super::adapter::LegacyAdapter;
use super::era::Era;
use super::options::Options;
use super::wire::SessionError;
use crate::FromLegacyClient;
use carryall_proto::sync::Mutex;
use carryall_proto::{Call, CallError, Reply};
use std::sync::MutexGuard;
use std::time::Duration;
use tokio::time::Instant;

/// When a handshake is tried again that was not refused, but did not come about either.
const AGAIN: Duration = Duration::from_secs(60);

pub(crate) struct LegacySide {
    adapter: LegacyAdapter,
    enabled: bool,
    known: Mutex<Known>,
}

#[derive(Clone, Copy)]
enum Known {
    Nothing,
    /// A session has been opened.
    Exists,
    /// The server has refused the handshake. It is not asked again: a server that learns an old
    /// revision is a rarity, and is found out by the next process here.
    Missing,
    NotBefore(Instant),
}

/// ClientIdentity answers a call.
pub(crate) enum Answered {
    Here(Result<Reply, CallError>),
    /// The modern side.
    NotHere(Call),
}

impl LegacySide {
    pub(crate) fn new(adapter: LegacyAdapter, options: &Options) -> Self {
        let enabled = options.match_client_era && options.era == Era::Auto;
        Self {
            adapter,
            enabled,
            known: Mutex::new(Known::Nothing),
        }
    }

    /// Answers `call` if it came from a legacy client and the server has a legacy side.
    pub(crate) async fn call(&self, call: Call) -> Answered {
        if !self.enabled
            || call.extensions().get::<FromLegacyClient>().is_none()
            || !self.exists(&call).await
        {
            return Answered::NotHere(call);
        }
        Answered::Here(self.adapter.call(call).await)
    }

    /// ProcessPipes the sessions, if there are any.
    pub(crate) async fn end(&self) {
        self.adapter.end().await;
    }

    async fn exists(&self, call: &Call) -> bool {
        let known = *self.known();
        match known {
            Known::Exists => return true,
            Known::Missing => return false,
            Known::NotBefore(time) if Instant::now() < time => return false,
            Known::NotBefore(_) | Known::Nothing => {}
        }
        let found = match self.adapter.prepare(call).await {
            Ok(_) => Known::Exists,
            Err(SessionError::Refused(_) | SessionError::Status { .. }) => Known::Missing,
            Err(SessionError::Call(CallError::Malformed(_) | CallError::NotMcp { .. })) => {
                Known::Missing
            }
            Err(SessionError::SessionEnded | SessionError::Call(_)) => {
                Known::NotBefore(Instant::now() + AGAIN)
            }
        };
        tracing::debug!(
            exists = matches!(found, Known::Exists),
            "the legacy side of a modern server"
        );
        *self.known() = found;
        matches!(found, Known::Exists)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock()
    }
}
