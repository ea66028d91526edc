//! HTTP: finding out of which era a server is, and calling it.

mod bodies;
mod sse2024;
mod streamable;

use super::adapter::LegacyAdapter;
use super::era::{Era, REMEMBERED};
use super::legacy_side::{Answered, LegacySide};
use super::options::Options;
use super::parked::SuspendedCalls;
use super::session::{ClientIdentity, LegacySession};
use super::single_flight::SingleFlight;
use super::wire::{SessionError, SessionTransport};
use carryall_proto::sync::Mutex;
use carryall_proto::{
    BoxFuture, Call, CallError, EraDecision, Message, Outcome, Params, Reply, wire,
};
use carryall_transport::HttpClient;
use carryall_types::{Method, ProtocolVersion, RawJson, RequestId, code};
use futures_util::StreamExt as _;
use http::StatusCode;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::oneshot;
use tokio::time::timeout;
use tower_service::Service;

/// Calls an endpoint of either era. Cheap to clone; clones share what they have found out, and
/// their sessions.
///
/// Before the first call the server is asked `server/discover`, so that no call is ever sent twice
/// to find out who it is for. A discovery, or an error that only a server of this revision sends,
/// settles that it is one. Anything else that comes from a server (`400`, `404`, `405`, a JSON-RPC
/// error of any other code) says that it is not; then `initialize` is tried, and if there is no
/// Streamable HTTP at all, the transport of 2024-11-05. A server that cannot be reached, fails, or
/// wants credentials has not said anything, and its answer is the caller's.
///
/// Calls that come meanwhile wait for the same detection, each for no longer than its own time. It
/// goes on when none of them waits any more, and fails when the server has not answered within
/// [`Options::handshake_timeout`].
#[derive(Clone)]
pub struct Http {
    shared: Arc<Shared>,
}

struct Shared {
    client: HttpClient,
    options: Options,
    adapter: LegacyAdapter,
    decision: Mutex<Option<EraDecision>>,
    deciding: SingleFlight<EraDecision, CallError>,
    /// For the calls of legacy clients, when the server is called in the modern era.
    legacy_side: LegacySide,
}

impl Http {
    /// Calls what `client` reaches.
    #[must_use]
    pub fn new(client: HttpClient, options: Options) -> Self {
        let (http, how) = (client.clone(), options.clone());
        let open = move |who: ClientIdentity,
                         parked: Arc<SuspendedCalls>|
              -> BoxFuture<Result<Arc<LegacySession>, SessionError>> {
            let (http, how) = (http.clone(), how.clone());
            Box::pin(async move { open(http, &how, &who, &parked).await })
        };
        let adapter = LegacyAdapter::new(options.clone(), Arc::new(open));
        let shared = Shared {
            client,
            legacy_side: LegacySide::new(adapter.clone(), &options),
            options,
            adapter,
            decision: Mutex::default(),
            deciding: SingleFlight::default(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Of which era the server is, and how that is known; `None` before the first call.
    #[must_use]
    pub fn decision(&self) -> Option<EraDecision> {
        self.shared.decision()
    }

    /// ProcessPipes the sessions, if there are any.
    pub async fn shutdown(&self) {
        self.shared.adapter.end().await;
    }
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http")
            .field("client", &self.shared.client)
            .field("decision", &self.decision())
            .finish()
    }
}

impl Service<Call> for Http {
    type Response = Reply;
    type Error = CallError;
    type Future = BoxFuture<Result<Reply, CallError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), CallError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call) -> Self::Future {
        match self.shared.decision() {
            // Nothing more than one look for what is known.
            Some(decision) if decision.version.is_modern() => {
                let shared = Arc::clone(&self.shared);
                let mut client = shared.client.clone();
                Box::pin(async move {
                    let call = match shared.legacy_side.call(call).await {
                        Answered::Here(reply) => return reply,
                        Answered::NotHere(call) => call,
                    };
                    let answered = client.call(call).await;
                    if shared.is_doubtful(&answered) {
                        shared.forget().await;
                    }
                    answered
                })
            }
            _ => {
                let shared = Arc::clone(&self.shared);
                Box::pin(async move { shared.first_call(call).await })
            }
        }
    }
}

impl Shared {
    fn decision(&self) -> Option<EraDecision> {
        self.decision.lock().clone()
    }

    /// Which server it is, for the memory: origin and path. A query may hold a secret.
    fn place(&self) -> String {
        self.client
            .url()
            .split('?')
            .next()
            .unwrap_or_default()
            .to_owned()
    }

    async fn decide(&self, decision: EraDecision) {
        tracing::debug!(server = %self.client.url(), %decision, "era found out");
        // What the caller demands is not what was found out, and must not pass for it in later
        // runs.
        if self.options.era == Era::Auto {
            self.options.memory.remember(&self.place(), &decision).await;
        }
        *self.decision.lock() = Some(decision);
    }

    async fn forget(&self) {
        self.options.memory.forget(&self.place()).await;
        *self.decision.lock() = None;
    }

    async fn call(self: &Arc<Self>, call: Call) -> Result<Reply, CallError> {
        let decision = match self.decision() {
            Some(decision) => decision,
            None => {
                let (answer, answered) = oneshot::channel();
                let (this, asking) = (Arc::clone(self), call.clone());
                // To the end, even if the caller does not wait for it: the next one finds the
                // answer.
                let deciding = self.deciding.run(async move {
                    match this.decision() {
                        Some(decision) => Ok(decision),
                        None => this.find_out(&asking, answer).await,
                    }
                });
                let decision = deciding.await?;
                if let Ok(reply) = { answered }.try_recv() {
                    return Ok(reply);
                }
                decision
            }
        };
        if !decision.version.is_modern() {
            return self.adapter.call(call).await;
        }
        match self.legacy_side.call(call).await {
            Answered::Here(reply) => reply,
            Answered::NotHere(call) => self.client.clone().call(call).await,
        }
    }

    /// Settles the era. Where `call` is a discovery itself, it is the question, and what comes back
    /// its `answer`.
    async fn find_out(
        &self,
        call: &Call,
        answer: oneshot::Sender<Reply>,
    ) -> Result<EraDecision, CallError> {
        let said = |version, why: &'static str| EraDecision {
            version,
            why: why.into(),
        };
        let known = match self.options.era {
            Era::Modern => Some(said(
                call.meta().version(),
                "that is what this client was told",
            )),
            Era::Legacy => Some(said(
                ProtocolVersion::V2025_11_25,
                "that is what this client was told",
            )),
            Era::Auto => self.options.memory.recall(&self.place()).await,
        };
        match known {
            Some(decision) if decision.version.is_modern() => {
                *self.decision.lock() = Some(decision.clone());
                return Ok(decision);
            }
            Some(decision) => match self.shake_hands(call, decision.why.into_owned()).await {
                Ok(decision) => return Ok(decision),
                Err(error) if self.options.era == Era::Legacy => {
                    return Err(error.into_call_error());
                }
                // What was remembered is not so any more.
                Err(error) => {
                    tracing::debug!(error = ?carryall_proto::PrintableFmt(&error), "the server does not shake hands any more");
                    self.forget().await;
                }
            },
            None => {}
        }
        let asked = if *call.method() == Method::ServerDiscover {
            call.clone()
        } else {
            discovery(call)
        };
        let limit = self.options.handshake_timeout;
        let mut client = self.client.clone();
        // Bounded here, because it outlives its caller: all later calls would wait for a server
        // that never answers.
        let answered = timeout(
            limit,
            async move { evidence(client.call(asked).await).await },
        )
        .await;
        let answered = answered.map_err(|_| {
            CallError::unreachable(format!("no answer to server/discover within {limit:?}"))
        })?;
        match answered? {
            Evidence::Modern { why, outcome, id } => {
                let decision = EraDecision {
                    version: call.meta().version(),
                    why: why.into(),
                };
                self.decide(decision.clone()).await;
                if *call.method() == Method::ServerDiscover {
                    // Whoever asked may have given up.
                    let _ = answer.send(Reply::Once(carryall_proto::Response { id, outcome }));
                }
                Ok(decision)
            }
            Evidence::Legacy { why } => match self.shake_hands(call, why.clone()).await {
                Ok(decision) => Ok(decision),
                Err(SessionError::Call(error)) => Err(error),
                // The server's own status, where it was that which did not make sense.
                Err(SessionError::Status { status, text }) => {
                    let said = if text.is_empty() {
                        "nothing"
                    } else {
                        text.as_str()
                    };
                    let body = format!("{said} (to initialize; {why})");
                    Err(CallError::NotMcp {
                        status: status.as_u16(),
                        body,
                    })
                }
                Err(SessionError::Refused(error)) => Err(CallError::Malformed(format!(
                    "it speaks no revision that this client knows: {why}, and initialize with {} ({})",
                    error.code, error.message
                ))),
                Err(error) => Err(CallError::Malformed(format!(
                    "{why}, and initialize: {}",
                    error.into_call_error()
                ))),
            },
        }
    }

    /// Opens the session for `call`, which shows that the server is a legacy one.
    async fn shake_hands(&self, call: &Call, why: String) -> Result<EraDecision, SessionError> {
        let session = self.adapter.prepare(call).await?;
        let decision = EraDecision {
            version: session.version(),
            why: why.into(),
        };
        self.decide(decision.clone()).await;
        Ok(decision)
    }

    /// A call before the era is settled, or to a legacy server. If the cache says that the server
    /// is modern and it answers as only a legacy one does, the cached entry is dropped; requests
    /// that change nothing are then sent once more.
    async fn first_call(self: &Arc<Self>, call: Call) -> Result<Reply, CallError> {
        let again =
            (self.decision().is_none() && call.method().is_read_only()).then(|| call.clone());
        let answered = self.call(call).await;
        let Some(decision) = self
            .decision()
            .filter(|decision| decision.version.is_modern())
        else {
            return answered;
        };
        if !self.is_doubtful(&answered) {
            return answered;
        }
        self.forget().await;
        match again {
            Some(call) if decision.why.starts_with(REMEMBERED) => self.call(call).await,
            _ => answered,
        }
    }

    /// Whether an answer is one that a server of this revision does not give. Then the next call
    /// finds out anew; this one is not sent again, because nobody knows what became of it.
    fn is_doubtful(&self, answered: &Result<Reply, CallError>) -> bool {
        let odd = match answered {
            Err(CallError::NotMcp { status, .. }) => matches!(status, 400 | 404..=406 | 415),
            // How the SDKs of that time say that there is no session.
            Ok(Reply::Once(response)) => {
                matches!(&response.outcome, Outcome::Error(error) if matches!(error.code, -32000 | code::INVALID_REQUEST))
            }
            _ => false,
        };
        odd && self.options.era == Era::Auto
    }
}

/// `server/discover` in the name of whoever makes `call`.
fn discovery(call: &Call) -> Call {
    let id = RequestId::String("era".into());
    call.derive(id, Method::ServerDiscover, Params::empty())
}

enum Evidence {
    Modern {
        why: String,
        outcome: Outcome,
        id: RequestId,
    },
    Legacy {
        why: String,
    },
}

/// What an answer to `server/discover` says about the era
/// (`basic/transports/streamable-http#backward-compatibility`).
async fn evidence(answered: Result<Reply, CallError>) -> Result<Evidence, CallError> {
    let legacy = |why: String| Ok(Evidence::Legacy { why });
    let response = match answered {
        Ok(Reply::Once(response)) => response,
        Ok(Reply::Stream(mut messages)) => loop {
            match messages.next().await {
                Some(Ok(Message::Response(response))) => break response,
                Some(Ok(Message::Notification(_))) => {}
                Some(Err(CallError::Malformed(why))) => {
                    return legacy(format!("the answer is malformed: {why}"));
                }
                Some(Err(error)) => return Err(error),
                None => return legacy("there was no answer on the stream".into()),
            }
        },
        // Whoever asks for credentials, or fails, has not said anything about its era.
        Err(CallError::NotMcp { status, body }) if matches!(status, 401 | 403 | 407 | 408 | 429 | 300..=399 | 500..) =>
        {
            return Err(CallError::NotMcp { status, body });
        }
        Err(CallError::NotMcp { status, .. }) => {
            return legacy(format!("server/discover was answered with HTTP {status}"));
        }
        Err(CallError::Malformed(why)) => {
            return legacy(format!("the answer to server/discover is malformed: {why}"));
        }
        Err(error) => return Err(error),
    };
    let carryall_proto::Response { id, outcome } = response;
    match &outcome {
        Outcome::Result(result) if is_discovery(result) => Ok(Evidence::Modern {
            why: "it answered server/discover".into(),
            outcome,
            id,
        }),
        Outcome::Result(_) => legacy("server/discover was answered with something else".into()),
        Outcome::Error(error) if wire::is_modern(error.code) => {
            let why = format!(
                "it answered server/discover with {}, a code of this era",
                error.code
            );
            Ok(Evidence::Modern { why, outcome, id })
        }
        Outcome::Error(error) => legacy(format!(
            "server/discover was answered with {} ({})",
            error.code, error.message
        )),
    }
}

/// Whether a result is a `DiscoverResult`, however incomplete.
pub(super) fn is_discovery(result: &RawJson) -> bool {
    let Ok(members) = Params::parse(result.clone()) else {
        return false;
    };
    members
        .get_str("supportedVersions")
        .is_some_and(|versions| versions.starts_with('['))
}

/// Opens a session on Streamable HTTP, or if the server has none on HTTP+SSE (2025-11-25
/// `basic/transports#backwards-compatibility`).
async fn open(
    client: HttpClient,
    options: &Options,
    who: &ClientIdentity,
    parked: &Arc<SuspendedCalls>,
) -> Result<Arc<LegacySession>, SessionError> {
    let streamable: Arc<dyn SessionTransport> = streamable::Streamable::new(client.clone());
    let (status, text) = match LegacySession::open(streamable, options, who, parked).await {
        Err(SessionError::Status { status, text }) => (status, text),
        opened => return opened,
    };
    if !matches!(
        status,
        StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED
    ) {
        return Err(SessionError::Status { status, text });
    }
    let sse = match sse2024::HttpSse::open(client, options.handshake_timeout).await {
        Ok(sse) => sse,
        Err(error) => {
            let tried = match error {
                // The same page as for any other request, most of the time.
                CallError::NotMcp { status, .. } => format!("HTTP {status}"),
                error => error.to_string(),
            };
            let text = format!("{text}; GET for HTTP+SSE: {tried}");
            return Err(SessionError::Status { status, text });
        }
    };
    LegacySession::open(sse, options, who, parked).await
}
