//! Shares the per-session state between replicas that the session id cannot carry.
//!
//! A client without affinity sends each message to another replica. Its requests are answered
//! wherever they arrive. But its response to a server-initiated request has to reach the replica
//! that sent that request, and the settings of the session apply on all replicas.

mod http_bus;
mod store_bus;
mod stream_relay;

pub use http_bus::HttpBus;
pub(crate) use store_bus::MAX_CLOCK_SKEW;
pub use store_bus::StoreBus;

use super::subscriptions::MAX_SESSION_BYTES;
use bytes::Bytes;
use carryall_proto::BoxFuture;
use carryall_transport::http::ReplyBody;
use carryall_types::{LoggingLevel, RawJson};
use futures_core::stream::BoxStream;
use http::{HeaderMap, Request, Response, StatusCode};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::{Arc, Weak};

/// Maximum number of subscriptions in a [`SessionSnapshot`].
const MAX_SUBSCRIBED: usize = 10_000;

/// Something that happened to a session on one replica and concerns the others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionEvent {
    /// The name of the session among replicas. It is not the session id: nobody can open a session
    /// with it.
    pub session: Arc<str>,
    /// What happened.
    #[serde(rename = "what")]
    pub kind: SessionEventKind,
}

/// What happened to a session.
// The names on the wire are those of earlier releases, so that replicas can be upgraded one by one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SessionEventKind {
    /// The client answered a server-initiated request that was not sent here: its JSON-RPC
    /// response.
    #[serde(rename = "answer")]
    Response(RawJson),
    /// The client cancelled a request that is not in flight here: the `params` of
    /// `notifications/cancelled`.
    Cancelled(RawJson),
    /// `logging/setLevel`.
    LogLevel(LoggingLevel),
    /// `resources/subscribe`.
    Subscribed(String),
    /// `resources/unsubscribe`.
    Unsubscribed(String),
    /// The client opened a new stream for changes, so an older one elsewhere ends.
    Listening,
    /// A message for an HTTP+SSE stream (2024-11-05) that is open elsewhere.
    Posted(RawJson),
    /// The client ended the session (`DELETE`).
    Ended {
        /// When the session id expires, in seconds since the Unix epoch. The end has to be
        /// remembered until then.
        until: u64,
    },
}

/// What a replica knows about a session besides what its id says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionSnapshot {
    /// The client has ended the session.
    pub ended: bool,
    /// The level of the log messages that the client asked for.
    pub log_level: Option<LoggingLevel>,
    /// The resources that the client has subscribed to.
    pub subscribed: Vec<String>,
}

impl SessionSnapshot {
    /// Adds a subscription, unless the snapshot has it or is full.
    fn subscribe(&mut self, uri: &str) {
        let bytes: usize = self.subscribed.iter().map(String::len).sum();
        let fits = self.subscribed.len() < MAX_SUBSCRIBED && bytes + uri.len() <= MAX_SESSION_BYTES;
        if fits && !self.subscribed.iter().any(|known| known == uri) {
            self.subscribed.push(uri.to_owned());
        }
    }
}

/// Returns a random name, for replicas and rows.
fn random_name() -> String {
    let mut name = [0; 16];
    getrandom::fill(&mut name).ok();
    format!("{:032x}", u128::from_be_bytes(name))
}

/// The text of an event stream.
pub type EventText = BoxStream<'static, Bytes>;

/// Carries session events between the replicas of one server. The default, [`SingleProcess`], is
/// for a server without replicas; [`HttpBus`] connects replicas over HTTP and [`StoreBus`] through
/// a shared store.
///
/// Implementations bound the time of each method and log failures: a client's request does not fail
/// because another replica cannot be reached.
pub trait SessionBus: fmt::Debug + Send + Sync {
    /// Returns whether there are no other replicas.
    fn is_single_process(&self) -> bool {
        false
    }

    /// Delivers the events of the other replicas to `replica`. The endpoint drives this future for
    /// as long as it exists. By default it does nothing, for implementations whose events arrive
    /// through [`answer`](Self::answer).
    fn run(&self, _replica: LocalReplica) -> BoxFuture<()> {
        Box::pin(std::future::ready(()))
    }

    /// Publishes an event to all other replicas, including those that start later if it changes the
    /// [snapshot](SessionSnapshot) of the session.
    fn publish(&self, event: SessionEvent) -> BoxFuture<()>;

    /// Publishes an event to the replicas that are running now.
    fn publish_transient(&self, event: SessionEvent) -> BoxFuture<()> {
        self.publish(event)
    }

    /// Loads the state of a session that is new to this replica; `None` if the others do not know
    /// it.
    fn load(&self, session: &str) -> BoxFuture<Option<SessionSnapshot>>;

    /// Resumes, after the event `last`, a stream that another replica holds; `None` if none does.
    fn resume(&self, session: &str, last: &str) -> BoxFuture<Option<EventText>>;

    /// Returns whether a POST to the endpoint comes from another replica.
    fn accepts(&self, _headers: &HeaderMap) -> bool {
        false
    }

    /// Answers a POST that [`accepts`](Self::accepts) has claimed.
    fn answer(
        &self,
        _request: Request<Bytes>,
        _replica: LocalReplica,
    ) -> BoxFuture<Response<ReplyBody>> {
        let mut response = Response::new(ReplyBody::full(Bytes::new()));
        *response.status_mut() = StatusCode::NOT_FOUND;
        Box::pin(std::future::ready(response))
    }
}

/// The [`SessionBus`] of a server without replicas.
#[derive(Clone, Copy, Debug, Default)]
pub struct SingleProcess;

impl SessionBus for SingleProcess {
    fn is_single_process(&self) -> bool {
        true
    }

    fn publish(&self, _: SessionEvent) -> BoxFuture<()> {
        Box::pin(std::future::ready(()))
    }

    fn load(&self, _: &str) -> BoxFuture<Option<SessionSnapshot>> {
        Box::pin(std::future::ready(None))
    }

    fn resume(&self, _: &str, _: &str) -> BoxFuture<Option<EventText>> {
        Box::pin(std::future::ready(None))
    }
}

/// This replica, as its [`SessionBus`] sees it. Cheap to clone. It does not keep the endpoint
/// alive; once that is dropped, events are ignored and nothing is found.
#[derive(Clone)]
pub struct LocalReplica(Weak<dyn BusReceiver>);

/// What an endpoint does for the bus.
pub(crate) trait BusReceiver: Send + Sync {
    fn deliver(&self, event: SessionEvent);
    fn snapshot(&self, session: &str) -> Option<SessionSnapshot>;
    fn resume(self: Arc<Self>, session: &str, last: &str) -> Option<EventText>;
}

impl LocalReplica {
    pub(crate) fn new(receiver: Weak<dyn BusReceiver>) -> Self {
        Self(receiver)
    }

    /// Applies an event of another replica. Events of sessions that this replica does not know are
    /// ignored, except ends: such a session is [loaded](SessionBus::load) when it is used here.
    pub fn deliver(&self, event: SessionEvent) {
        if let Some(receiver) = self.0.upgrade() {
            receiver.deliver(event);
        }
    }

    /// Returns what this replica knows about a session; `None` if that is nothing.
    #[must_use]
    pub fn snapshot(&self, session: &str) -> Option<SessionSnapshot> {
        self.0.upgrade()?.snapshot(session)
    }

    /// Resumes a stream of a session after the event `last`, if this replica holds it.
    #[must_use]
    pub fn resume(&self, session: &str, last: &str) -> Option<EventText> {
        self.0.upgrade()?.resume(session, last)
    }
}

impl fmt::Debug for LocalReplica {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LocalReplica")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_survive_serialization() {
        let response = RawJson::from_trusted(Bytes::from_static(
            br#"{"jsonrpc":"2.0","id":"q-1","result":{"a": 1}}"#,
        ));
        for kind in [
            SessionEventKind::Response(response.clone()),
            SessionEventKind::Cancelled(response.clone()),
            SessionEventKind::LogLevel(LoggingLevel::Info),
            SessionEventKind::Subscribed("demo://a".into()),
            SessionEventKind::Unsubscribed("demo://a".into()),
            SessionEventKind::Listening,
            SessionEventKind::Posted(response),
            SessionEventKind::Ended { until: 7 },
        ] {
            let event = SessionEvent {
                session: "s".into(),
                kind,
            };
            let text = serde_json::to_string(&event).unwrap();
            assert_eq!(
                serde_json::from_str::<SessionEvent>(&text).unwrap(),
                event,
                "{text}"
            );
        }
    }

    #[test]
    fn snapshots_are_bounded_in_bytes() {
        let mut snapshot = SessionSnapshot::default();
        for uri in ["a", "a", "b"] {
            snapshot.subscribe(uri);
        }
        assert_eq!(snapshot.subscribed, ["a", "b"]);
        for n in 0..1_000 {
            snapshot.subscribe(&format!("{n:08}{}", "x".repeat(8184)));
        }
        assert_eq!(
            snapshot.subscribed.len(),
            2 + (MAX_SESSION_BYTES - 2) / 8192
        );
    }
}
