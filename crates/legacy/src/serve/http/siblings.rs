//! Replicas that talk to each other over HTTP, each at the endpoint of the other.
//!
//! A message is a POST with a header `Carryall-Sibling`: a token of the shared keyring, bound to
//! the body, good for half a minute. The body is not encrypted; between machines that do not trust
//! their network the URLs should be `https`.

use super::heads::{HttpResponse, empty, event_stream, json, refused};
use super::meeting::{EventText, Here, Note, SessionBus, SessionSnapshot, random_name};
use bytes::Bytes;
use carryall_proto::BoxFuture;
use carryall_proto::seal::{Keyring, NONCE_BYTES};
use carryall_proto::sync::Mutex;
use carryall_transport::http::{HttpClient, InvalidTarget, RawBody};
use futures_util::stream::FuturesUnordered;
use futures_util::{StreamExt as _, future};
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::time::{Instant, timeout};

static CARRYALL_SIBLING: HeaderName = HeaderName::from_static("carryall-sibling");

const PURPOSE: &str = "sibling";
/// How long a message can be delivered, clocks that differ included.
const MESSAGE_LIFE: u64 = 30;
/// How long a sibling may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long one that took longer is not waited for.
const REST: Duration = Duration::from_secs(5);
/// The most that is known about one session.
const MAX_RECALLED: usize = 1024 * 1024;

/// The other replicas of this server, by their URLs. A list may have the URL of the replica itself
/// in it, so that all replicas can have the same; it is found out and left alone.
///
/// Each replica must answer at its URL as it does for clients: it must know the name in it as a
/// host, and no layer before the endpoint may want credentials. Where that cannot be, give the same
/// [`LegacyEndpoint`](super::LegacyEndpoint) a second, internal
/// [`Endpoint`](carryall_transport::http::Endpoint).
#[derive(Clone)]
pub struct HttpBus {
    shared: Arc<Shared>,
}

struct Shared {
    /// Tells this replica from the others.
    own: String,
    keyring: Keyring,
    others: Vec<Arc<Other>>,
    here: OnceLock<Here>,
}

struct Other {
    client: HttpClient,
    is_self: AtomicBool,
    /// It did not answer in time, and is not waited for until then.
    resting: Mutex<Option<Instant>>,
}

/// One message between replicas.
#[derive(Serialize, Deserialize)]
struct Message {
    from: String,
    say: Say,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Say {
    Note(Note),
    Recall(String),
    Events { session: String, last: String },
}

impl HttpBus {
    /// The replicas at `urls`, which all have `keyring`.
    ///
    /// # Errors
    /// When one of them is not the URL of an HTTP endpoint.
    pub fn new<'a>(
        urls: impl IntoIterator<Item = &'a str>,
        keyring: Keyring,
    ) -> Result<Self, InvalidTarget> {
        let other = |url| {
            let client = HttpClient::builder(url)?
                .connect_timeout(PATIENCE)
                .keep_idle(8, REST)
                .build()?;
            Ok(Arc::new(Other {
                client,
                is_self: AtomicBool::new(false),
                resting: Mutex::default(),
            }))
        };
        let others = urls
            .into_iter()
            .map(other)
            .collect::<Result<_, InvalidTarget>>()?;
        let own = random_name();
        Ok(Self {
            shared: Arc::new(Shared {
                own,
                keyring,
                others,
                here: OnceLock::new(),
            }),
        })
    }
}

impl Shared {
    fn others(&self) -> impl Iterator<Item = Arc<Other>> {
        self.others
            .iter()
            .filter(|other| !other.is_self.load(Relaxed))
            .map(Arc::clone)
    }

    fn request(&self, other: &Other, say: Say) -> Option<Request<Bytes>> {
        let body = serde_json::to_vec(&Message {
            from: self.own.clone(),
            say,
        })
        .ok()?;
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce).ok()?;
        let expires_at = super::endpoint::now() + MESSAGE_LIFE;
        let token = self
            .keyring
            .seal(PURPOSE, &body, expires_at, nonce, b"")
            .ok()?;
        let mut request = Request::new(Bytes::from(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = other.client.path().parse().ok()?;
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(
            ACCEPT,
            HeaderValue::from_static("application/json, text/event-stream"),
        );
        headers.insert(&CARRYALL_SIBLING, HeaderValue::try_from(token).ok()?);
        Some(request)
    }

    fn open(&self, headers: &HeaderMap, body: &Bytes) -> Option<Message> {
        let token = headers.get(&CARRYALL_SIBLING)?.to_str().ok()?;
        self.keyring
            .open(PURPOSE, body, super::endpoint::now(), token)
            .ok()?;
        serde_json::from_slice(body).ok()
    }

    fn answer(&self, headers: &HeaderMap, body: &Bytes) -> HttpResponse {
        let Some(message) = self.open(headers, body) else {
            let why = "Carryall-Sibling is not valid here: all replicas need the same keyring, and clocks that differ by \
                       less than half a minute";
            return refused(StatusCode::FORBIDDEN, why);
        };
        if message.from == self.own {
            return empty(StatusCode::MISDIRECTED_REQUEST);
        }
        let nothing = || empty(StatusCode::NOT_FOUND);
        let Some(here) = self.here.get() else {
            return nothing();
        };
        match message.say {
            Say::Note(note) => {
                here.hear(note);
                empty(StatusCode::NO_CONTENT)
            }
            Say::Recall(session) => match here
                .recall(&session)
                .and_then(|known| serde_json::to_vec(&known).ok())
            {
                Some(known) => json(known.into()),
                None => nothing(),
            },
            Say::Events { session, last } => match here.events(&session, &last) {
                Some(events) => event_stream(events),
                None => nothing(),
            },
        }
    }
}

impl Other {
    /// Asks, and waits for the head of the answer. `None` when there is nothing there, or no
    /// answer.
    async fn ask(&self, request: Request<Bytes>) -> Option<Response<RawBody>> {
        let why = match timeout(PATIENCE, self.client.send(request)).await {
            Ok(Ok(response)) => {
                self.rest(None);
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
            Ok(Err(error)) => {
                // Nobody waits for a connection that is refused at once, but for one that is not.
                error.to_string()
            }
            Err(_) => {
                self.rest(Some(Instant::now() + REST));
                format!("no answer within {PATIENCE:?}")
            }
        };
        tracing::warn!(sibling = %self.client.url(), why = %carryall_proto::Printable(&why), "a replica could not be told");
        None
    }

    fn rests(&self) -> bool {
        let resting = self.resting.lock();
        resting.is_some_and(|until| Instant::now() < until)
    }

    fn rest(&self, until: Option<Instant>) {
        *self.resting.lock() = until;
    }
}

impl SessionBus for HttpBus {
    fn join(&self, here: Here) {
        if self.shared.here.set(here).is_err() {
            tracing::error!(
                "the same HttpBus were given to two endpoints: only the first one hears of others"
            );
        }
    }

    fn publish(&self, note: Note) -> BoxFuture<()> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            let tell = |other: Arc<Other>| {
                let request = shared.request(&other, Say::Note(note.clone()));
                async move {
                    let Some(request) = request else { return };
                    if other.rests() {
                        tokio::spawn(async move { drop(other.ask(request).await) });
                    } else {
                        drop(other.ask(request).await);
                    }
                }
            };
            future::join_all(shared.others().map(tell)).await;
        })
    }

    fn recall(&self, session: &str) -> BoxFuture<Option<SessionSnapshot>> {
        let (shared, session) = (Arc::clone(&self.shared), session.to_owned());
        Box::pin(async move {
            let ask = |other: Arc<Other>| {
                let request = shared.request(&other, Say::Recall(session.clone()));
                async move {
                    let known = other
                        .ask(request?)
                        .await?
                        .into_body()
                        .collect(MAX_RECALLED)
                        .await
                        .ok()?;
                    serde_json::from_slice(&known).ok()
                }
            };
            let mut answers: FuturesUnordered<_> = shared
                .others()
                .filter(|other| !other.rests())
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

    fn events(&self, session: &str, last: &str) -> BoxFuture<Option<EventText>> {
        let (shared, session, last) = (
            Arc::clone(&self.shared),
            session.to_owned(),
            last.to_owned(),
        );
        Box::pin(async move {
            let ask = |other: Arc<Other>| {
                let say = Say::Events {
                    session: session.clone(),
                    last: last.clone(),
                };
                let request = shared.request(&other, say);
                async move { other.ask(request?).await }
            };
            let mut answers: FuturesUnordered<_> = shared
                .others()
                .filter(|other| !other.rests())
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

    fn takes(&self, headers: &HeaderMap) -> bool {
        headers.contains_key(&CARRYALL_SIBLING)
    }

    fn answer(&self, request: Request<Bytes>) -> BoxFuture<HttpResponse> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move { shared.answer(request.headers(), request.body()) })
    }
}

impl fmt::Debug for HttpBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let urls = self.shared.others.iter().map(|other| other.client.url());
        f.debug_list().entries(urls).finish()
    }
}
