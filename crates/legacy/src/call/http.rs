//! Calling a server of either era over HTTP.

mod body;
mod detection;
mod event_reader;
mod http_sse;
mod probe;
mod reconnect;
mod streamable;

use super::legacy_side::{LegacySide, LegacySideOutcome};
use super::options::DualEraOptions;
use super::single_flight::SingleFlight;
use carryall_proto::{BoxFuture, Call, CallError, EraDecision, Reply};
use carryall_transport::HttpClient;
use detection::HttpDetection;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::oneshot;
use tower_service::Service;

/// Calls an HTTP endpoint of either era. Cheap to clone; clones share the detected era and the
/// sessions.
///
/// The era is detected with `server/discover` before the first call, so that no call is sent twice
/// for the sake of detection. A discovery result, or an error that only servers of 2026-07-28 send,
/// means the modern era. After any other answer of a server (`400`, `404`, `405`, another JSON-RPC
/// error) `initialize` is tried, and if there is no Streamable HTTP, the transport of 2024-11-05. A
/// server that cannot be reached, fails or demands credentials does not reveal its era, and its
/// answer is that to the call.
///
/// Calls that arrive meanwhile wait for the same detection, each until its own timeout. Detection
/// continues when none of them waits any more, as long as a clone exists, and fails after
/// [`DualEraOptions::handshake_timeout`].
#[derive(Clone)]
pub struct DualEraHttp {
    inner: Arc<DualEraHttpInner>,
}

struct DualEraHttpInner {
    detection: Arc<HttpDetection>,
    detecting: SingleFlight<EraDecision, CallError>,
    /// For calls of legacy clients while the server is called in the modern era.
    legacy_side: LegacySide,
}

impl DualEraHttp {
    /// Calls the server that `client` reaches. Nothing is sent before the first call.
    #[must_use]
    pub fn new(client: HttpClient, options: DualEraOptions) -> Self {
        let detection = Arc::new(HttpDetection::new(client, options));
        Self {
            inner: Arc::new(DualEraHttpInner {
                legacy_side: detection.legacy_side(),
                detection,
                detecting: SingleFlight::default(),
            }),
        }
    }

    /// The era of the server and how it was detected. `None` before the first call.
    #[must_use]
    pub fn decision(&self) -> Option<EraDecision> {
        self.inner.detection.decision()
    }

    /// Closes the sessions with a legacy server. Bounded in time.
    pub async fn shutdown(&self) {
        self.inner.detection.adapter().close().await;
    }
}

impl fmt::Debug for DualEraHttp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DualEraHttp")
            .field("client", self.inner.detection.client())
            .field("decision", &self.decision())
            .finish()
    }
}

impl Service<Call> for DualEraHttp {
    type Response = Reply;
    type Error = CallError;
    type Future = BoxFuture<Result<Reply, CallError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), CallError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call) -> Self::Future {
        let inner = Arc::clone(&self.inner);
        match inner.detection.decision() {
            Some(decision) if decision.version.is_modern() => Box::pin(async move {
                let reply = inner.call_modern(call).await;
                if inner.detection.is_doubtful(&reply) {
                    inner.detection.forget().await;
                }
                reply
            }),
            _ => Box::pin(async move { inner.call_undecided(call).await }),
        }
    }
}

impl DualEraHttpInner {
    async fn call_modern(&self, call: Call) -> Result<Reply, CallError> {
        match self.legacy_side.call(call).await {
            LegacySideOutcome::Answered(reply) => reply,
            LegacySideOutcome::Modern(call) => self.detection.client().clone().call(call).await,
        }
    }

    /// Makes a call to a server that is legacy or of unknown era.
    ///
    /// If the cache says that the server is modern and its answer is that of a legacy one, the
    /// cached decision is removed. A call that changes nothing is then repeated.
    async fn call_undecided(&self, call: Call) -> Result<Reply, CallError> {
        let was_undecided = self.detection.decision().is_none();
        let repeat = (was_undecided && call.method().is_read_only()).then(|| call.clone());
        let reply = self.detect_and_call(call).await;
        let Some(decision) = self
            .detection
            .decision()
            .filter(|decision| decision.version.is_modern())
        else {
            return reply;
        };
        if !self.detection.is_doubtful(&reply) {
            return reply;
        }
        self.detection.forget().await;
        match repeat {
            Some(call) if detection::is_remembered(&decision) => self.detect_and_call(call).await,
            _ => reply,
        }
    }

    async fn detect_and_call(&self, call: Call) -> Result<Reply, CallError> {
        let decision = match self.detection.decision() {
            Some(decision) => decision,
            None => {
                let (sender, mut discovered) = oneshot::channel();
                let (detection, probed) = (Arc::clone(&self.detection), call.clone());
                let detecting = self.detecting.run(async move {
                    match detection.decision() {
                        Some(decision) => Ok(decision),
                        None => detection.detect(&probed, sender).await,
                    }
                });
                let decision = detecting.await?;
                if let Ok(reply) = discovered.try_recv() {
                    return Ok(reply);
                }
                decision
            }
        };
        if decision.version.is_modern() {
            self.call_modern(call).await
        } else {
            self.detection.adapter().call(call).await
        }
    }
}
