//! What the requests of one endpoint share.

use super::headers::{MCP_SESSION_ID, RequestHead, VersionHeader};
use super::publisher::EventPublisher;
use super::session::{HttpSession, LimitReached};
use super::session_table::{SessionLimits, SessionLookup, SessionTable};
use super::sse2024::channels::SseChannels;
use super::stream::{StreamLimits, StreamStore};
use super::token::{self, SessionKeys};
use crate::revision::Revision as _;
use crate::serve::bus::{LocalReplica, SessionBus};
use crate::serve::client_session::{ClientSession, SettingChange};
use crate::serve::clock::unix_seconds;
use crate::serve::http_response::{LegacyResponse, busy, refuse, unknown_session};
use crate::serve::options::LegacyOptions;
use crate::serve::quotas::caller_share;
use crate::serve::server_context::ServerContext;
use carryall_proto::SharedService;
use carryall_proto::budget::Amount;
use http::StatusCode;
use std::sync::{Arc, OnceLock, Weak};

/// One endpoint: its sessions and their streams.
pub(super) struct EndpointState {
    pub(super) server: ServerContext,
    pub(super) options: Arc<LegacyOptions>,
    pub(super) keys: SessionKeys,
    pub(super) sessions: SessionTable,
    pub(super) streams: Arc<StreamStore>,
    pub(super) channels: SseChannels,
    pub(super) bus: Arc<dyn SessionBus>,
    /// Shared with background tasks, which must not hold the endpoint.
    pub(super) publisher: Arc<EventPublisher>,
    /// Set once the bus runs.
    bus_started: OnceLock<()>,
}

impl EndpointState {
    pub(super) fn new(service: SharedService, mut options: LegacyOptions) -> Arc<Self> {
        let bus = Arc::clone(&options.session_bus);
        // A task lives in one process, and the next request may reach another one.
        options.tasks &= bus.is_single_process();
        let keys = SessionKeys {
            keyring: options
                .keyring
                .clone()
                .unwrap_or_else(LegacyOptions::random_keyring),
            server: options.server_name.as_str().into(),
        };
        let session_limits = SessionLimits {
            total: options.max_sessions,
            per_principal: options.max_sessions_per_principal,
            per_caller: caller_share(Amount::new(options.max_sessions, 0), options.caller_share)
                .items,
            idle: options.session_idle,
            ttl: options.session_ttl,
            is_shared: !bus.is_single_process(),
        };
        let stream_limits = StreamLimits::new(&options);
        let server = ServerContext::new(service, options);
        Arc::new(Self {
            sessions: SessionTable::new(session_limits),
            streams: Arc::new(StreamStore::new(stream_limits, server.background.spawner())),
            channels: SseChannels::default(),
            options: Arc::clone(&server.options),
            publisher: Arc::new(EventPublisher::new(
                Arc::clone(&bus),
                Arc::clone(&server.quotas),
            )),
            server,
            keys,
            bus,
            bus_started: OnceLock::new(),
        })
    }

    /// Runs the bus as a background task of this endpoint, unless it runs already. Outside of a
    /// runtime this does nothing, so it is called again for each request.
    pub(super) fn start_bus(self: &Arc<Self>) {
        if self.bus_started.get().is_some()
            || self.bus.is_single_process()
            || tokio::runtime::Handle::try_current().is_err()
        {
            return;
        }
        self.bus_started.get_or_init(|| {
            let run = self.bus.run(self.local_replica());
            self.server.background.spawner().spawn(run);
        });
    }

    pub(super) fn local_replica(self: &Arc<Self>) -> LocalReplica {
        let receiver: Weak<Self> = Arc::downgrade(self);
        LocalReplica::new(receiver)
    }

    /// Returns the session that a request belongs to.
    pub(super) async fn session(
        &self,
        head: &RequestHead,
    ) -> Result<Arc<HttpSession>, LegacyResponse> {
        let mut ids = head.headers.get_all(&MCP_SESSION_ID).iter();
        let (Some(id), None) = (ids.next(), ids.next()) else {
            return Err(refuse(
                StatusCode::BAD_REQUEST,
                "Exactly one Mcp-Session-Id is required: the one from the answer to initialize",
            ));
        };
        let principal = head.principal.as_deref();
        let token = id
            .to_str()
            .ok()
            .and_then(|id| token::open(&self.keys, principal, unix_seconds(), id))
            .ok_or_else(unknown_session)?;
        let session = match self.sessions.find(&token.name, token.expires_at) {
            SessionLookup::Known(session) => session,
            SessionLookup::Ended => return Err(unknown_session()),
            SessionLookup::Unknown => {
                let client = ClientSession::new(&self.server, token.negotiated, head.caller());
                let session = HttpSession::new(token.name, client, token.expires_at);
                self.sessions
                    .insert(session)
                    .map_err(|LimitReached| busy())?
            }
        };
        session.loaded.get_or_init(|| self.load(&session)).await;
        if session.is_ended() {
            return Err(unknown_session());
        }
        let version = session.version();
        match VersionHeader::read(&head.headers) {
            VersionHeader::Legacy(named) if named == version => Ok(session),
            VersionHeader::Missing => Ok(session),
            _ if !version.sends_version_header() => Ok(session),
            _ => Err(refuse(
                StatusCode::BAD_REQUEST,
                format!(
                    "MCP-Protocol-Version is not {}, which this session has negotiated",
                    version.as_str()
                ),
            )),
        }
    }

    /// Loads what other replicas know about a session that is new here.
    async fn load(&self, session: &HttpSession) {
        let Some(snapshot) = self.bus.load(&session.name).await else {
            return;
        };
        if snapshot.ended {
            self.sessions.end(&session.name, session.expires_at);
            session.end();
            return;
        }
        let level = snapshot.log_level.map(SettingChange::LogLevel);
        let subscribed = snapshot.subscribed.into_iter();
        for change in level
            .into_iter()
            .chain(subscribed.map(SettingChange::Subscribed))
        {
            session.client.apply(change);
        }
    }
}
