//! Probes replicas with `server/discover`.

use super::{ReplicaSlot, Upstream};
use crate::relay::StartedReply;
use carryall_proto::validate::SUPPORTED_VERSIONS;
use carryall_proto::{Call, CallError, Meta, Outcome, Params};
use carryall_types::{ClientCapabilities, Implementation, Method, ProtocolVersion, RequestId};
use futures_util::future::join_all;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// How replicas are probed: with `server/discover`, which every server answers.
///
/// ```
/// use carryall_gateway::{ProbeConfig, Upstream};
/// use std::time::Duration;
///
/// let upstream = Upstream::new("weather")?.probe(Some(ProbeConfig {
///     interval: Duration::from_secs(10),
///     timeout: Duration::from_secs(5),
/// }));
/// # Ok::<(), carryall_gateway::InvalidName>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeConfig {
    /// The time between two probes of a replica. Default: 2 s.
    pub interval: Duration,
    /// How long an answer may take. Default: 2 s. A replica is skipped after two unanswered probes
    /// in a row.
    pub timeout: Duration,
}

impl Default for ProbeConfig {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(2),
            timeout: Duration::from_secs(2),
        }
    }
}

impl Upstream {
    /// Probes the replicas. Never completes.
    pub(crate) async fn watch(&self) {
        let Some(probe) = self.inner.probe else {
            return std::future::pending().await;
        };
        loop {
            sleep(probe.interval).await;
            let replicas = self.replicas().clone();
            let probes = replicas.iter();
            join_all(probes.map(|replica| self.probe_replica(replica, probe.timeout))).await;
        }
    }

    /// Sends `server/discover` to each replica and returns its label with the outcome. Each replica
    /// may take at most `limit`.
    pub async fn check(&self, limit: Duration) -> Vec<(Box<str>, Result<Outcome, CallError>)> {
        let replicas: Vec<Arc<ReplicaSlot>> = self.replicas().clone();
        let checks = replicas.iter().map(|replica| async move {
            (
                replica.label().into(),
                self.check_replica(replica, limit).await,
            )
        });
        join_all(checks).await
    }

    async fn check_replica(
        &self,
        replica: &ReplicaSlot,
        limit: Duration,
    ) -> Result<Outcome, CallError> {
        let service = replica
            .service()
            .ok_or_else(|| CallError::unreachable("it is not running"))?;
        let call = discover_call(self.inner.ids.next());
        let reply = async { StartedReply::start(service.answer(call).await?).await };
        match timeout(limit, reply)
            .await
            .unwrap_or(Err(CallError::Timeout(limit)))
        {
            Ok(StartedReply::Once(response)) => {
                replica.succeeded();
                Ok(response.outcome)
            }
            Ok(StartedReply::Stream(..)) => Err(CallError::Malformed(
                "notifications before the response to server/discover".into(),
            )),
            Err(error) => {
                replica.check_failed(&error);
                Err(error)
            }
        }
    }

    async fn probe_replica(&self, replica: &ReplicaSlot, limit: Duration) {
        let Some(service) = replica.service() else {
            return;
        };
        let call = discover_call(self.inner.ids.next());
        match timeout(limit, service.answer(call)).await {
            // An error response counts: the replica is there.
            Ok(Ok(_)) => replica.succeeded(),
            Ok(Err(error)) => replica.failed(&error),
            Err(_) => replica.probe_timed_out(&CallError::Timeout(limit)),
        }
    }
}

fn discover_call(id: i64) -> Call {
    let version = SUPPORTED_VERSIONS
        .last()
        .copied()
        .unwrap_or(ProtocolVersion::LATEST);
    let gateway = Implementation::new("carryall-gateway", env!("CARGO_PKG_VERSION"));
    let meta = Meta::builder(version, ClientCapabilities::default())
        .client_info(gateway)
        .build();
    Call::new(
        RequestId::Number(id),
        Method::ServerDiscover,
        Params::empty(),
        meta,
    )
}
