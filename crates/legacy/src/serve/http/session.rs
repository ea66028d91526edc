//! One session over Streamable HTTP, as this process knows it.

use super::stream::ResumableStream;
use super::token::client_id;
use crate::serve::bus::SessionSnapshot;
use crate::serve::client_session::ClientSession;
use carryall_proto::ClientId;
use carryall_proto::sync::Mutex;
use carryall_types::ProtocolVersion;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::{OnceCell, watch};

/// Maximum number of streams of one session that are open or can be resumed.
const MAX_STREAMS: usize = 64;

/// A session and its streams.
pub(super) struct HttpSession {
    /// The name of the session among replicas.
    pub(super) name: Arc<str>,
    pub(super) client: Arc<ClientSession>,
    /// The same on all replicas.
    pub(super) client_id: ClientId,
    /// In seconds since the Unix epoch.
    pub(super) expires_at: u64,
    /// Set once the other replicas were asked for the session.
    pub(super) loaded: OnceCell<()>,
    streams: Mutex<SessionStreams>,
    ended: watch::Sender<bool>,
}

#[derive(Default)]
struct SessionStreams {
    /// The streams that carry responses, the oldest first.
    responses: VecDeque<Arc<ResumableStream>>,
    changes: Option<Arc<ResumableStream>>,
}

/// A session has too many streams, or there are too many sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LimitReached;

impl HttpSession {
    pub(super) fn new(name: Arc<str>, client: Arc<ClientSession>, expires_at: u64) -> Arc<Self> {
        Arc::new(Self {
            client_id: client_id(&name),
            name,
            client,
            expires_at,
            loaded: OnceCell::new(),
            streams: Mutex::default(),
            ended: watch::Sender::new(false),
        })
    }

    pub(super) fn version(&self) -> ProtocolVersion {
        self.client.negotiated.version
    }

    /// Returns what a replica has to know that has not seen the session.
    pub(super) fn snapshot(&self) -> SessionSnapshot {
        SessionSnapshot {
            ended: self.is_ended(),
            log_level: self.client.log_level(),
            subscribed: self.client.subscriptions.list(),
        }
    }

    pub(super) fn is_ended(&self) -> bool {
        *self.ended.borrow()
    }

    /// Waits until the session has ended. Cancel safe.
    pub(super) async fn ended(&self) {
        // The sender is in `self`, so the channel stays open.
        let _ = self.ended.subscribe().wait_for(|ended| *ended).await;
    }

    /// Adds a stream that carries responses. Returns the finished streams that were evicted for it.
    pub(super) fn add_stream(
        &self,
        stream: &Arc<ResumableStream>,
    ) -> Result<Vec<Arc<ResumableStream>>, LimitReached> {
        let mut streams = self.streams.lock();
        let mut evicted = Vec::new();
        while streams.responses.len() >= MAX_STREAMS {
            let finished = streams
                .responses
                .iter()
                .position(|stream| stream.is_complete())
                .ok_or(LimitReached)?;
            evicted.extend(streams.responses.remove(finished));
        }
        streams.responses.push_back(Arc::clone(stream));
        Ok(evicted)
    }

    /// Sets the stream that carries changes; `None` if another replica has it. The previous one
    /// ends: a message is sent on one stream only (2025-11-25
    /// `basic/transports#multiple-connections`).
    pub(super) fn set_changes_stream(&self, stream: Option<Arc<ResumableStream>>) {
        let previous = std::mem::replace(&mut self.streams.lock().changes, stream);
        if let Some(previous) = previous {
            previous.close();
        }
    }

    /// Ends the session, its streams, and the calls that have no stream yet.
    pub(super) fn end(&self) {
        self.ended.send_replace(true);
        let streams = std::mem::take(&mut *self.streams.lock());
        for stream in streams.responses.into_iter().chain(streams.changes) {
            stream.close();
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::stream::{StreamKind, StreamLimits, StreamStore};
    use super::*;
    use crate::serve::LegacyOptions;
    use crate::serve::background::BackgroundTasks;
    use crate::serve::server_context::ServerContext;
    use carryall_proto::{CallError, Caller, SharedService};

    /// Returns a session whose service refuses all calls.
    pub(in super::super) fn session(name: &str) -> Arc<HttpSession> {
        session_of(name, Caller::Anonymous)
    }

    pub(in super::super) fn session_of(name: &str, caller: Caller) -> Arc<HttpSession> {
        session_with_server(name, caller).0
    }

    /// Returns also the server, which owns the background tasks of the session.
    pub(in super::super) fn session_with_server(
        name: &str,
        caller: Caller,
    ) -> (Arc<HttpSession>, ServerContext) {
        let negotiated = serde_json::from_value(serde_json::json!({
            "v": "2025-11-25",
            "i": {"name": "test", "version": "1"},
            "c": {},
        }));
        let service = SharedService::from_fn(|_| {
            let refused = Err(CallError::Refused("nobody".into()));
            Box::pin(std::future::ready(refused))
        });
        let server = ServerContext::new(service, LegacyOptions::default());
        let client = ClientSession::new(&server, negotiated.unwrap(), caller);
        (HttpSession::new(name.into(), client, 100), server)
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_has_one_stream_of_changes_and_a_bounded_number_of_others() {
        let background = BackgroundTasks::default();
        let limits = StreamLimits::new(&LegacyOptions::default());
        let store = StreamStore::new(limits, background.spawner());
        let session = session("a");
        let changes = || store.create(&StreamKind::Changes, &session.name, false);
        let (old, new) = (changes(), changes());
        session.set_changes_stream(Some(Arc::clone(&old)));
        session.set_changes_stream(Some(Arc::clone(&new)));
        assert!(old.is_complete() && !new.is_complete());
        session.set_changes_stream(None);
        assert!(new.is_complete(), "another replica has it now");

        let streams: Vec<_> = (0..MAX_STREAMS + 1)
            .map(|_| store.create(&StreamKind::Responses(None), &session.name, false))
            .collect();
        for stream in &streams[..MAX_STREAMS] {
            assert!(session.add_stream(stream).unwrap().is_empty());
        }
        assert_eq!(
            session.add_stream(&streams[MAX_STREAMS]).err(),
            Some(LimitReached)
        );
        streams[7].complete();
        let evicted = session.add_stream(&streams[MAX_STREAMS]).unwrap();
        assert_eq!(
            evicted.iter().map(|stream| &stream.id).collect::<Vec<_>>(),
            [&streams[7].id]
        );
    }
}
