//! Replicas that call each other over HTTP, each at the endpoint of the other.
//!
//! A message is a POST with the header `Carryall-Sibling`: a token of the shared keyring, bound to
//! the body and valid for half a minute. The body is not encrypted; use `https` URLs between
//! machines whose network is not trusted.

use super::{EventText, LocalReplica, SessionBus, SessionEvent, SessionSnapshot, random_name};
use crate::serve::background::BackgroundTasks;
use crate::serve::clock::unix_seconds;
use crate::serve::http_response::{LegacyResponse, empty, event_stream, json, refuse};
use bytes::Bytes;
use carryall_proto::seal::{Keyring, NONCE_BYTES};
use carryall_proto::sync::Mutex;
use carryall_proto::{BoxFuture, Printable};
use carryall_transport::http::{HttpClient, InvalidTarget, RawBody};
use futures_util::stream::FuturesUnordered;
use futures_util::{StreamExt as _, future};
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use tokio::time::{Instant, timeout};

static CARRYALL_SIBLING: HeaderName = HeaderName::from_static("carryall-sibling");

/// What the tokens are sealed for.
const PURPOSE: &str = "sibling";
/// How long a message is valid, in seconds. It covers the difference of clocks.
const MESSAGE_LIFETIME: u64 = 30;
/// How long a peer may take to answer.
const TIMEOUT: Duration = Duration::from_secs(2);
/// How long a peer that timed out is not waited for.
const SUSPENSION: Duration = Duration::from_secs(5);
/// Maximum size of a session snapshot, in bytes.
const MAX_SNAPSHOT_BYTES: usize = 1024 * 1024;

/// A [`SessionBus`] between replicas that know each other's URLs. The list may contain the URL of
/// the replica itself, so that all replicas can have the same list: a replica recognises itself.
///
/// Each replica must answer at its URL as it does for clients: it has to accept the URL's host
/// name, and no layer in front of the endpoint may require credentials. Where that is not possible,
/// put the same [`LegacyEndpoint`](crate::serve::LegacyEndpoint) behind a second, internal
/// [`Endpoint`](carryall_transport::http::Endpoint).
#[derive(Clone)]
pub struct HttpBus(Arc<HttpBusInner>);

struct HttpBusInner {
    /// Distinguishes this replica from the others.
    id: String,
    keyring: Keyring,
    peers: Vec<Arc<ReplicaPeer>>,
    /// Deliveries to suspended peers.
    background: BackgroundTasks,
}

/// A message between replicas. The names on the wire are those of earlier releases, so that
/// replicas can be upgraded one by one.
#[derive(Serialize, Deserialize)]
struct PeerMessage {
    from: String,
    #[serde(rename = "say")]
    request: PeerRequest,
}

#[derive(Serialize, Deserialize)]
enum PeerRequest {
    #[serde(rename = "note")]
    Event(SessionEvent),
    #[serde(rename = "recall")]
    Snapshot(String),
    #[serde(rename = "events")]
    Resume { session: String, last: String },
}

impl HttpBus {
    /// Connects the replicas at `urls`, which all have `keyring`.
    ///
    /// # Errors
    /// When one of them is not the URL of an HTTP endpoint.
    pub fn new<'a>(
        urls: impl IntoIterator<Item = &'a str>,
        keyring: Keyring,
    ) -> Result<Self, InvalidTarget> {
        let peers = urls
            .into_iter()
            .map(|url| ReplicaPeer::new(url).map(Arc::new))
            .collect::<Result<_, InvalidTarget>>()?;
        Ok(Self(Arc::new(HttpBusInner {
            id: random_name(),
            keyring,
            peers,
            background: BackgroundTasks::default(),
        })))
    }
}

impl HttpBusInner {
    fn peers(&self) -> impl Iterator<Item = Arc<ReplicaPeer>> {
        self.peers
            .iter()
            .filter(|peer| !peer.is_self.load(Relaxed))
            .map(Arc::clone)
    }

    fn request(&self, peer: &ReplicaPeer, request: PeerRequest) -> Option<Request<Bytes>> {
        let body = serde_json::to_vec(&PeerMessage {
            from: self.id.clone(),
            request,
        })
        .ok()?;
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce).ok()?;
        let expires_at = unix_seconds() + MESSAGE_LIFETIME;
        let token = self
            .keyring
            .seal(PURPOSE, &body, expires_at, nonce, b"")
            .ok()?;
        let mut request = Request::new(Bytes::from(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = peer.client.path().parse().ok()?;
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(
            ACCEPT,
            HeaderValue::from_static("application/json, text/event-stream"),
        );
        headers.insert(&CARRYALL_SIBLING, HeaderValue::try_from(token).ok()?);
        Some(request)
    }

    fn open(&self, headers: &HeaderMap, body: &Bytes) -> Option<PeerMessage> {
        let token = headers.get(&CARRYALL_SIBLING)?.to_str().ok()?;
        self.keyring
            .open(PURPOSE, body, unix_seconds(), token)
            .ok()?;
        serde_json::from_slice(body).ok()
    }

    fn answer(&self, headers: &HeaderMap, body: &Bytes, replica: &LocalReplica) -> LegacyResponse {
        let Some(message) = self.open(headers, body) else {
            return refuse(
                StatusCode::FORBIDDEN,
                "Invalid Carryall-Sibling: all replicas need the same keyring, and clocks that \
                 differ by less than half a minute",
            );
        };
        if message.from == self.id {
            return empty(StatusCode::MISDIRECTED_REQUEST);
        }
        let found = match message.request {
            PeerRequest::Event(event) => {
                replica.deliver(event);
                Some(empty(StatusCode::NO_CONTENT))
            }
            PeerRequest::Snapshot(session) => replica
                .snapshot(&session)
                .and_then(|snapshot| serde_json::to_vec(&snapshot).ok())
                .map(|snapshot| json(snapshot.into())),
            PeerRequest::Resume { session, last } => {
                replica.resume(&session, &last).map(event_stream)
            }
        };
        found.unwrap_or_else(|| empty(StatusCode::NOT_FOUND))
    }
}

/// Another replica, or this one until it has recognised itself.
struct ReplicaPeer {
    client: HttpClient,
    is_self: AtomicBool,
    /// It timed out, and is not waited for until then.
    suspended_until: Mutex<Option<Instant>>,
}

impl ReplicaPeer {
    fn new(url: &str) -> Result<Self, InvalidTarget> {
        let client = HttpClient::builder(url)?
            .connect_timeout(TIMEOUT)
            .keep_idle(8, SUSPENSION)
            .build()?;
        Ok(Self {
            client,
            is_self: AtomicBool::new(false),
            suspended_until: Mutex::default(),
        })
    }

    /// Sends a request and waits for the head of the response. `None` if the peer has nothing to
    /// return, or does not answer.
    async fn send(&self, request: Request<Bytes>) -> Option<Response<RawBody>> {
        let why = match timeout(TIMEOUT, self.client.send(request)).await {
            Ok(Ok(response)) => {
                self.suspend_until(None);
                match response.status() {
                    StatusCode::OK | StatusCode::NO_CONTENT => return Some(response),
                    StatusCode::NOT_FOUND => return None,
                    StatusCode::MISDIRECTED_REQUEST => {
                        self.is_self.store(true, Relaxed);
                        return None;
                    }
                    status => format!("it answers {status}"),
                }
            }
            // A refused connection costs no time, so the peer is not suspended.
            Ok(Err(error)) => error.to_string(),
            Err(_) => {
                self.suspend_until(Some(Instant::now() + SUSPENSION));
                format!("no answer within {TIMEOUT:?}")
            }
        };
        tracing::warn!(replica = %self.client.url(), why = %Printable(&why), "a replica cannot be reached");
        None
    }

    fn is_suspended(&self) -> bool {
        let until = self.suspended_until.lock();
        until.is_some_and(|until| Instant::now() < until)
    }

    fn suspend_until(&self, until: Option<Instant>) {
        *self.suspended_until.lock() = until;
    }
}

impl SessionBus for HttpBus {
    fn publish(&self, event: SessionEvent) -> BoxFuture<()> {
        let inner = Arc::clone(&self.0);
        Box::pin(async move {
            let deliver = |peer: Arc<ReplicaPeer>| {
                let request = inner.request(&peer, PeerRequest::Event(event.clone()));
                let spawner = inner.background.spawner();
                async move {
                    let Some(request) = request else { return };
                    if peer.is_suspended() {
                        spawner.spawn(async move { drop(peer.send(request).await) });
                    } else {
                        drop(peer.send(request).await);
                    }
                }
            };
            future::join_all(inner.peers().map(deliver)).await;
        })
    }

    fn load(&self, session: &str) -> BoxFuture<Option<SessionSnapshot>> {
        let (inner, session) = (Arc::clone(&self.0), session.to_owned());
        Box::pin(async move {
            let ask = |peer: Arc<ReplicaPeer>| {
                let request = inner.request(&peer, PeerRequest::Snapshot(session.clone()));
                async move {
                    let response = peer.send(request?).await?;
                    let body = response.into_body().collect(MAX_SNAPSHOT_BYTES);
                    serde_json::from_slice(&body.await.ok()?).ok()
                }
            };
            let mut answers: FuturesUnordered<_> = inner
                .peers()
                .filter(|peer| !peer.is_suspended())
                .map(ask)
                .collect();
            while let Some(answer) = answers.next().await {
                if answer.is_some() {
                    return answer;
                }
            }
            None
        })
    }

    fn resume(&self, session: &str, last: &str) -> BoxFuture<Option<EventText>> {
        let inner = Arc::clone(&self.0);
        let (session, last) = (session.to_owned(), last.to_owned());
        Box::pin(async move {
            let ask = |peer: Arc<ReplicaPeer>| {
                let (session, last) = (session.clone(), last.clone());
                let request = inner.request(&peer, PeerRequest::Resume { session, last });
                async move { peer.send(request?).await }
            };
            let mut answers: FuturesUnordered<_> = inner
                .peers()
                .filter(|peer| !peer.is_suspended())
                .map(ask)
                .collect();
            while let Some(answer) = answers.next().await {
                if let Some(answer) = answer {
                    let pieces = answer
                        .into_body()
                        .scan((), |(), piece| future::ready(piece.ok()));
                    return Some(Box::pin(pieces) as EventText);
                }
            }
            None
        })
    }

    fn accepts(&self, headers: &HeaderMap) -> bool {
        headers.contains_key(&CARRYALL_SIBLING)
    }

    fn answer(&self, request: Request<Bytes>, replica: LocalReplica) -> BoxFuture<LegacyResponse> {
        let inner = Arc::clone(&self.0);
        Box::pin(async move { inner.answer(request.headers(), request.body(), &replica) })
    }
}

impl fmt::Debug for HttpBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let urls = self.0.peers.iter().map(|peer| peer.client.url());
        f.debug_list().entries(urls).finish()
    }
}
