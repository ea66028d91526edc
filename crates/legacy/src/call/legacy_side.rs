//! The legacy era of a server that is called in the modern era, for calls of legacy clients.
//!
//! Servers of both eras may offer more in the legacy one: some ask questions only there, and
//! session state exists only there. A legacy client in front of such a server loses nothing if its
//! calls use the legacy era all the way. Whether a server has a legacy era shows only in the
//! handshake, because most servers list only modern versions in `server/discover`.

use super::adapter::LegacyAdapter;
use super::options::{DualEraOptions, Era};
use super::transport::SessionError;
use crate::FromLegacyClient;
use carryall_proto::sync::Mutex;
use carryall_proto::{Call, CallError, Reply};
use std::time::Duration;
use tokio::time::Instant;

/// How long to wait after a handshake that failed, but was not refused.
const RETRY_DELAY: Duration = Duration::from_secs(60);

pub(crate) struct LegacySide {
    adapter: LegacyAdapter,
    is_enabled: bool,
    support: Mutex<LegacySupport>,
}

/// Whether the server speaks the legacy era.
#[derive(Clone, Copy)]
enum LegacySupport {
    Unknown,
    Supported,
    /// Refused, and not tried again in this process: servers rarely gain an old era.
    Unsupported,
    UnknownUntil(Instant),
}

/// What became of a call.
pub(crate) enum LegacySideOutcome {
    Answered(Result<Reply, CallError>),
    /// The call is to be made in the modern era.
    Modern(Call),
}

impl LegacySide {
    pub(crate) fn new(adapter: LegacyAdapter, options: &DualEraOptions) -> Self {
        Self {
            adapter,
            is_enabled: options.match_client_era && options.era == Era::Auto,
            support: Mutex::new(LegacySupport::Unknown),
        }
    }

    /// Makes `call` in the legacy era if it comes from a legacy client and the server supports it.
    pub(crate) async fn call(&self, call: Call) -> LegacySideOutcome {
        let is_eligible = self.is_enabled && call.extensions().get::<FromLegacyClient>().is_some();
        if !is_eligible || !self.is_supported(&call).await {
            return LegacySideOutcome::Modern(call);
        }
        LegacySideOutcome::Answered(self.adapter.call(call).await)
    }

    /// Closes the sessions.
    pub(crate) async fn close(&self) {
        self.adapter.close().await;
    }

    async fn is_supported(&self, call: &Call) -> bool {
        let support = *self.support.lock();
        match support {
            LegacySupport::Supported => return true,
            LegacySupport::Unsupported => return false,
            LegacySupport::UnknownUntil(time) if Instant::now() < time => return false,
            LegacySupport::UnknownUntil(_) | LegacySupport::Unknown => {}
        }
        let support = match self.adapter.prepare(call).await {
            Ok(_) => LegacySupport::Supported,
            Err(SessionError::HandshakeRefused(_) | SessionError::Status { .. }) => {
                LegacySupport::Unsupported
            }
            Err(SessionError::Call(CallError::Malformed(_) | CallError::NotMcp { .. })) => {
                LegacySupport::Unsupported
            }
            Err(SessionError::SessionEnded | SessionError::Call(_)) => {
                LegacySupport::UnknownUntil(Instant::now() + RETRY_DELAY)
            }
        };
        let is_supported = matches!(support, LegacySupport::Supported);
        tracing::debug!(
            is_supported,
            "tried the legacy era of a modern server for a legacy client"
        );
        *self.support.lock() = support;
        is_supported
    }
}
