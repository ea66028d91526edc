//! Asking replicas whether they live.

use super::{ReplicaSlot, Upstream};
use crate::relay::{StartedReply, begin};
use carryall_proto::validate::SUPPORTED_VERSIONS;
use carryall_proto::{Call, CallError, Meta, Outcome, Params};
use carryall_types::{ClientCapabilities, Implementation, Method, ProtocolVersion, RequestId};
use futures_util::future::join_all;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// How replicas are probed: with `server/discover`, which every server answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeConfig {
    /// The time between two probes of a replica.
    pub every: Duration,
    /// How long an answer may take.
    pub within: Duration,
}

impl Default for ProbeConfig {
    fn default() -> Self {
        Self {
            every: Duration::from_secs(2),
            within: Duration::from_secs(2),
        }
    }
}

impl Upstream {
    /// Probes the replicas for as long as it is polled.
    pub(crate) async fn watch(&self) {
        let Some(probe) = self.shared.probe else {
            return std::future::pending().await;
        };
        loop {
            sleep(probe.every).await;
            let slots = self.slots();
            join_all(slots.iter().map(|slot| self.probe_one(slot, probe.within))).await;
        }
    }

    /// Asks each replica once whether it lives: its label, and what it answered to
    /// `server/discover`.
    pub async fn check(&self, within: Duration) -> Vec<(Box<str>, Result<Outcome, CallError>)> {
        let slots = self.slots();
        let checks = slots
            .iter()
            .map(|slot| async move { (slot.label().into(), self.check_one(slot, within).await) });
        join_all(checks).await
    }

    async fn check_one(&self, slot: &ReplicaSlot, within: Duration) -> Result<Outcome, CallError> {
        let service = slot
            .service()
            .ok_or_else(|| CallError::unreachable("it is not running"))?;
        let call = discover(self.shared.ids.next());
        let asked = timeout(within, async { begin(service.answer(call).await?).await });
        match asked.await.unwrap_or(Err(CallError::Timeout(within))) {
            Ok(StartedReply::Once(response)) => {
                slot.succeeded();
                Ok(response.outcome)
            }
            Ok(StartedReply::Stream(..)) => Err(CallError::Malformed(
                "notifications before the answer to server/discover".into(),
            )),
            Err(error) => {
                slot.failed_check(&error);
                Err(error)
            }
        }
    }

    async fn probe_one(&self, slot: &ReplicaSlot, within: Duration) {
        let Some(service) = slot.service() else {
            return;
        };
        let call = discover(self.shared.ids.next());
        match timeout(within, service.answer(call)).await {
            // An error is an answer too: somebody is there.
            Ok(Ok(_)) => slot.succeeded(),
            Ok(Err(error)) => slot.failed(&error),
            Err(_) => slot.silent(&CallError::Timeout(within)),
        }
    }
}

fn discover(id: i64) -> Call {
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
