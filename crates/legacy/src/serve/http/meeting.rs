//! Where replicas meet: the little that a session needs besides its token.
//!
//! A client without affinity sends each message to another replica. Its requests are answered
//! wherever they arrive, but an answer to a question belongs where the question was asked, and what
//! is set for the session holds everywhere.

use super::super::changes::MAX_SESSION_BYTES;
use bytes::Bytes;
use carryall_proto::BoxFuture;
use carryall_transport::http::ReplyBody;
use carryall_types::{LoggingLevel, RawJson};
use futures_core::Stream;
use http::{HeaderMap, Request, Response, StatusCode};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Weak};

/// How many subscriptions of one session are told to a replica that asks.
const MAX_SUBSCRIBED: usize = 10_000;

/// Something that happened to a session here and matters at other replicas.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// The name of the session among replicas. It is not the token: nobody can open a session with
    /// it.
    pub session: Arc<str>,
    /// What happened.
    pub what: What,
}

/// What happened to a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// The client answered a question that was not asked here: its JSON-RPC response.
    Answer(RawJson),
    /// The client gave up a request that is not in work here: the `params` of
    /// `notifications/cancelled`.
    Cancelled(RawJson),
    /// `logging/setLevel`.
    LogLevel(LoggingLevel),
    /// `resources/subscribe`.
    Subscribed(String),
    /// `resources/unsubscribe`.
    Unsubscribed(String),
    /// The client listens for changes on a new stream, so that an older one elsewhere has no reader
    /// any more.
    Listening,
    /// A message for the stream of HTTP+SSE (2024-11-05) that is open elsewhere.
    Posted(RawJson),
    /// DELETE. Worth remembering until the token expires, in seconds since the epoch.
    Ended {
        /// When the token of the session expires by itself.
        until: u64,
    },
}

/// What a replica knows about a session and its token does not say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionSnapshot {
    /// The client has ended it.
    pub ended: bool,
    /// The level of the log messages that it wants.
    pub log_level: Option<LoggingLevel>,
    /// The resources whose updates it wants.
    pub subscribed: Vec<String>,
}

impl SessionSnapshot {
    pub(super) fn subscribe(&mut self, uri: &str) {
        let bytes: usize = self.subscribed.iter().map(|known| known.len()).sum();
        let fits = self.subscribed.len() < MAX_SUBSCRIBED && bytes + uri.len() <= MAX_SESSION_BYTES;
        if fits && !self.subscribed.iter().any(|known| known == uri) {
            self.subscribed.push(uri.to_owned());
        }
    }
}

/// A name that no other replica has, and nobody else.
pub(super) fn random_name() -> String {
    let mut name = [0; 16];
    getrandom::fill(&mut name).ok();
    format!("{:032x}", u128::from_be_bytes(name))
}

/// The text of an event stream.
pub type EventText = Pin<Box<dyn Stream<Item = Bytes> + Send>>;

/// How the replicas of one server tell each other what happened. The default, [`Local`], is for a
/// single process; [`HttpBus`](super::HttpBus) talk over HTTP, and those with
/// [`StoreBus`](super::StoreBus) through a store that they share.
///
/// Everything here is bounded in time by whoever implements it, and fails quietly: a client's
/// request never fails because another replica did not hear of it.
pub trait SessionBus: fmt::Debug + Send + Sync {
    /// Called once, with the replica that takes part through this.
    fn join(&self, _here: Here) {}

    /// Tells all others.
    fn publish(&self, note: Note) -> BoxFuture<()>;

    /// Tells all others that are there now. What the note says need not be kept for those that come
    /// later.
    fn publish_now(&self, note: Note) -> BoxFuture<()> {
        self.publish(note)
    }

    /// Asks the others about a session that has not been here yet.
    fn recall(&self, session: &str) -> BoxFuture<Option<SessionSnapshot>>;

    /// Asks the others for the stream that the event `last` belongs to, from there on.
    fn events(&self, session: &str, last: &str) -> BoxFuture<Option<EventText>>;

    /// Whether there are no others.
    fn is_alone(&self) -> bool {
        false
    }

    /// Whether a POST to the endpoint comes from another replica.
    fn takes(&self, _headers: &HeaderMap) -> bool {
        false
    }

    /// Answers it.
    fn answer(&self, _request: Request<Bytes>) -> BoxFuture<Response<ReplyBody>> {
        let mut nothing = Response::new(ReplyBody::full(Bytes::new()));
        *nothing.status_mut() = StatusCode::NOT_FOUND;
        Box::pin(std::future::ready(nothing))
    }
}

/// A single process: there is nobody to tell or to ask.
#[derive(Clone, Copy, Debug, Default)]
pub struct Local;

impl SessionBus for Local {
    fn is_alone(&self) -> bool {
        true
    }

    fn publish(&self, _: Note) -> BoxFuture<()> {
        Box::pin(std::future::ready(()))
    }

    fn recall(&self, _: &str) -> BoxFuture<Option<SessionSnapshot>> {
        Box::pin(std::future::ready(None))
    }

    fn events(&self, _: &str, _: &str) -> BoxFuture<Option<EventText>> {
        Box::pin(std::future::ready(None))
    }
}

/// This replica, as its [`SessionBus`] sees it.
#[derive(Clone)]
pub struct Here(Weak<dyn BusReceiver>);

/// What a replica does for the others.
pub(super) trait BusReceiver: Send + Sync {
    fn hear(&self, note: Note);
    fn recall(&self, session: &str) -> Option<SessionSnapshot>;
    fn events(self: Arc<Self>, session: &str, last: &str) -> Option<EventText>;
}

impl Here {
    pub(super) fn new(replica: Weak<dyn BusReceiver>) -> Self {
        Self(replica)
    }

    /// Applies what happened elsewhere as if it had happened here. About sessions that have never
    /// been here there is nothing to do: they are [recalled](SessionBus::recall) when they come.
    pub fn hear(&self, note: Note) {
        if let Some(replica) = self.0.upgrade() {
            replica.hear(note);
        }
    }

    /// What this replica knows about a session, if it has been here.
    #[must_use]
    pub fn recall(&self, session: &str) -> Option<SessionSnapshot> {
        self.0.upgrade()?.recall(session)
    }

    /// The stream that the event `last` of a session belongs to, from there on, if it is here.
    #[must_use]
    pub fn events(&self, session: &str, last: &str) -> Option<EventText> {
        self.0.upgrade()?.events(session, last)
    }
}

impl fmt::Debug for Here {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Here")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_survives_the_way_to_another_replica() {
        let answer = RawJson::from_trusted(Bytes::from_static(
            br#"{"jsonrpc":"2.0","id":"q-1","result":{"a": 1}}"#,
        ));
        for what in [
            What::Answer(answer.clone()),
            What::Cancelled(answer.clone()),
            What::LogLevel(LoggingLevel::Info),
            What::Subscribed("demo://a".into()),
            What::Unsubscribed("demo://a".into()),
            What::Listening,
            What::Posted(answer),
            What::Ended { until: 7 },
        ] {
            let note = Note {
                session: "s".into(),
                what,
            };
            let text = serde_json::to_string(&note).unwrap();
            assert_eq!(serde_json::from_str::<Note>(&text).unwrap(), note, "{text}");
        }
    }

    #[test]
    fn what_is_recalled_of_a_session_is_bounded_in_bytes() {
        let mut recalled = SessionSnapshot::default();
        for uri in ["a", "a", "b"] {
            recalled.subscribe(uri);
        }
        assert_eq!(recalled.subscribed, ["a", "b"]);
        for n in 0..1_000 {
            recalled.subscribe(&format!("{n:08}{}", "x".repeat(8184)));
        }
        assert_eq!(
            recalled.subscribed.len(),
            2 + (MAX_SESSION_BYTES - 2) / 8192
        );
    }
}
