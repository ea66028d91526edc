//! Detects the era of an HTTP server
//! (`basic/transports/streamable-http#backward-compatibility`).

use super::http_sse::HttpSseTransport;
use super::probe::{ProbeOutcome, probe_call, probe_outcome};
use super::streamable::StreamableHttp;
use crate::call::adapter::LegacyAdapter;
use crate::call::budgets::SessionBudgets;
use crate::call::era_cache::REMEMBERED;
use crate::call::identity::ClientIdentity;
use crate::call::legacy_side::LegacySide;
use crate::call::options::{DualEraOptions, Era};
use crate::call::session::LegacySession;
use crate::call::transport::{SessionError, SessionTransport};
use carryall_proto::sync::Mutex;
use carryall_proto::{BoxFuture, Call, CallError, EraDecision, Outcome, PrintableFmt, Reply};
use carryall_transport::HttpClient;
use carryall_types::{Method, ProtocolVersion, code};
use http::StatusCode;
use std::sync::Arc;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tower_service::Service as _;

/// Why an era that the caller demands is spoken.
const DEMANDED: &str = "that is what this client was told";

/// Detects the era of a server and keeps the decision.
pub(super) struct HttpDetection {
    client: HttpClient,
    options: DualEraOptions,
    adapter: LegacyAdapter,
    decision: Mutex<Option<EraDecision>>,
}

/// Whether a decision comes from the cache.
pub(super) fn is_remembered(decision: &EraDecision) -> bool {
    decision.why.starts_with(REMEMBERED)
}

impl HttpDetection {
    pub(super) fn new(client: HttpClient, options: DualEraOptions) -> Self {
        let (http, session_options) = (client.clone(), options.clone());
        let open = move |identity: ClientIdentity, budgets: Arc<SessionBudgets>| {
            let (http, options) = (http.clone(), session_options.clone());
            let open: BoxFuture<_> =
                Box::pin(async move { open(http, &options, &identity, &budgets).await });
            open
        };
        Self {
            adapter: LegacyAdapter::new(options.clone(), Arc::new(open)),
            client,
            options,
            decision: Mutex::default(),
        }
    }

    pub(super) fn client(&self) -> &HttpClient {
        &self.client
    }

    pub(super) fn adapter(&self) -> &LegacyAdapter {
        &self.adapter
    }

    pub(super) fn legacy_side(&self) -> LegacySide {
        LegacySide::new(self.adapter.clone(), &self.options)
    }

    pub(super) fn decision(&self) -> Option<EraDecision> {
        self.decision.lock().clone()
    }

    /// What the cache knows the server by: origin and path. The query is left out, because it may
    /// hold a secret.
    fn cache_key(&self) -> String {
        let url = self.client.url();
        url.split('?').next().unwrap_or_default().to_owned()
    }

    async fn decide(&self, decision: EraDecision) -> EraDecision {
        tracing::debug!(server = %self.client.url(), %decision, "detected the era of a server");
        // An era that the caller demands was not detected.
        if self.options.era == Era::Auto {
            let cache = &self.options.era_cache;
            cache.insert(&self.cache_key(), &decision).await;
        }
        *self.decision.lock() = Some(decision.clone());
        decision
    }

    /// Removes the decision, so that the next call detects the era again.
    pub(super) async fn forget(&self) {
        self.options.era_cache.remove(&self.cache_key()).await;
        *self.decision.lock() = None;
    }

    /// Whether no modern server gives this answer. The call is not repeated for it, because it may
    /// have been executed.
    pub(super) fn is_doubtful(&self, reply: &Result<Reply, CallError>) -> bool {
        let is_legacy = match reply {
            Err(CallError::NotMcp { status, .. }) => matches!(status, 400 | 404..=406 | 415),
            // The codes with which legacy SDKs say that there is no session.
            Ok(Reply::Once(response)) => {
                matches!(&response.outcome, Outcome::Error(error) if matches!(error.code, -32000 | code::INVALID_REQUEST))
            }
            _ => false,
        };
        is_legacy && self.options.era == Era::Auto
    }

    /// Detects the era for `call`. If that is a discovery, it serves as the probe, and its reply
    /// goes to `discovered`.
    pub(super) async fn detect(
        &self,
        call: &Call,
        discovered: oneshot::Sender<Reply>,
    ) -> Result<EraDecision, CallError> {
        let demanded = |version| EraDecision {
            version,
            why: DEMANDED.into(),
        };
        let known = match self.options.era {
            Era::Modern => Some(demanded(call.meta().version())),
            Era::Legacy => Some(demanded(ProtocolVersion::V2025_11_25)),
            Era::Auto => self.options.era_cache.get(&self.cache_key()).await,
        };
        match known {
            Some(decision) if decision.version.is_modern() => {
                *self.decision.lock() = Some(decision.clone());
                return Ok(decision);
            }
            Some(decision) => match self.try_legacy(call, decision.why.into_owned()).await {
                Ok(decision) => return Ok(decision),
                Err(error) if self.options.era == Era::Legacy => {
                    return Err(error.into_call_error());
                }
                Err(error) => {
                    tracing::debug!(error = ?PrintableFmt(&error), "the cached era of the server is wrong");
                    self.forget().await;
                }
            },
            None => {}
        }
        match self.probe(call).await? {
            ProbeOutcome::Modern { why, response } => {
                let version = call.meta().version();
                let why = why.into();
                let decision = self.decide(EraDecision { version, why }).await;
                if *call.method() == Method::ServerDiscover {
                    // The caller may have given up.
                    let _ = discovered.send(Reply::Once(response));
                }
                Ok(decision)
            }
            ProbeOutcome::Legacy { why } => {
                let decision = self.try_legacy(call, why.clone()).await;
                decision.map_err(|error| neither_era(&why, error))
            }
        }
    }

    async fn probe(&self, call: &Call) -> Result<ProbeOutcome, CallError> {
        let probe = if *call.method() == Method::ServerDiscover {
            call.clone()
        } else {
            probe_call(call)
        };
        let limit = self.options.handshake_timeout;
        let mut client = self.client.clone();
        // Bounded here, because it outlives the call: otherwise all later calls would wait for a
        // server that never answers.
        let outcome = async move { probe_outcome(client.call(probe).await).await };
        timeout(limit, outcome).await.map_err(|_| {
            CallError::unreachable(format!("no answer to server/discover within {limit:?}"))
        })?
    }

    /// Opens the session for `call`, which proves that the server is a legacy one.
    async fn try_legacy(&self, call: &Call, why: String) -> Result<EraDecision, SessionError> {
        let session = self.adapter.prepare(call).await?;
        let decision = EraDecision {
            version: session.version(),
            why: why.into(),
        };
        Ok(self.decide(decision).await)
    }
}

/// The error for a server that gave a legacy answer to the probe, `why`, and `error` to
/// `initialize`.
fn neither_era(why: &str, error: SessionError) -> CallError {
    match error {
        SessionError::Call(error) => error,
        // An answer that makes no sense is reported with the status of the server.
        SessionError::Status { status, text } => {
            let text = if text.is_empty() { "nothing" } else { &text };
            CallError::NotMcp {
                status: status.as_u16(),
                body: format!("{text} (to initialize; {why})"),
            }
        }
        SessionError::HandshakeRefused(error) => CallError::Malformed(format!(
            "it speaks no revision that this client knows: {why}, and initialize with {} ({})",
            error.code, error.message
        )),
        SessionError::SessionEnded => CallError::Malformed(format!(
            "{why}, and initialize: {}",
            error.into_call_error()
        )),
    }
}

/// Opens a session on Streamable HTTP, or on HTTP+SSE if the server does not have that (2025-11-25
/// `basic/transports#backwards-compatibility`).
async fn open(
    client: HttpClient,
    options: &DualEraOptions,
    identity: &ClientIdentity,
    budgets: &Arc<SessionBudgets>,
) -> Result<Arc<LegacySession>, SessionError> {
    let streamable: Arc<dyn SessionTransport> = Arc::new(StreamableHttp::new(client.clone()));
    let (status, text) = match LegacySession::open(streamable, options, identity, budgets).await {
        Err(SessionError::Status { status, text }) => (status, text),
        opened => return opened,
    };
    if !matches!(
        status,
        StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED
    ) {
        return Err(SessionError::Status { status, text });
    }
    let http_sse = match HttpSseTransport::open(client, options.handshake_timeout).await {
        Ok(http_sse) => http_sse,
        Err(error) => {
            let tried = match error {
                // The body is usually the same page as above.
                CallError::NotMcp { status, .. } => format!("HTTP {status}"),
                error => error.to_string(),
            };
            let text = format!("{text}; GET for HTTP+SSE: {tried}");
            return Err(SessionError::Status { status, text });
        }
    };
    LegacySession::open(Arc::new(http_sse), options, identity, budgets).await
}
