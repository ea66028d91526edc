//! The state of one legacy client, as this process knows it.

use super::background::Spawner;
use super::negotiated::Negotiated;
use super::options::LegacyOptions;
use super::quotas::ServerQuotas;
use super::request_table::RequestTable;
use super::server_context::ServerContext;
use super::server_requests::ServerRequests;
use super::shutdown::Shutdown;
use super::subscriptions::SubscribedResources;
use super::tasks::SessionTasks;
use crate::message::LegacyRequest;
use carryall_proto::sync::Mutex;
use carryall_proto::{Caller, Meta, Notification, Printable, Response, SharedService};
use carryall_types::{LoggingLevel, RawJson, RequestId};
use serde::Deserialize;
use std::sync::Arc;

/// One client after `initialize`.
pub(crate) struct ClientSession {
    pub(crate) service: SharedService,
    pub(crate) options: Arc<LegacyOptions>,
    pub(crate) negotiated: Negotiated,
    /// The `_meta` of the client's calls, without what differs from call to call.
    pub(crate) meta: Meta,
    pub(crate) requests: RequestTable,
    pub(crate) server_requests: ServerRequests,
    pub(crate) subscriptions: SubscribedResources,
    pub(crate) tasks: SessionTasks,
    pub(crate) quotas: Arc<ServerQuotas>,
    pub(crate) shutdown: Shutdown,
    /// Weak, since background tasks hold their session.
    pub(crate) spawner: Spawner,
    /// The caller whose quotas count what is held for this client.
    pub(crate) caller: Caller,
    log_level: Mutex<Option<LoggingLevel>>,
}

impl ClientSession {
    pub(crate) fn new(server: &ServerContext, negotiated: Negotiated, caller: Caller) -> Arc<Self> {
        let ServerContext {
            service,
            options,
            quotas,
            shutdown,
            background,
        } = server.clone();
        Arc::new(Self {
            subscriptions: SubscribedResources::new(
                options.max_subscriptions,
                quotas.subscriptions.clone(),
                caller.clone(),
            ),
            service,
            options,
            meta: negotiated.meta(),
            negotiated,
            requests: RequestTable::default(),
            server_requests: ServerRequests::default(),
            tasks: SessionTasks::default(),
            quotas,
            shutdown,
            spawner: background.spawner(),
            caller,
            log_level: Mutex::default(),
        })
    }

    /// Handles a notification from the client. Returns `false` for the cancellation of a request
    /// that is not in flight here.
    pub(crate) fn on_notification(&self, notification: &Notification) -> bool {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct CancelledParams {
            request_id: RequestId,
        }
        if notification.method != CANCELLED {
            tracing::debug!(method = %Printable(&notification.method), "notification from a legacy client");
            return true;
        }
        let Some(Ok(CancelledParams { request_id })) =
            notification.params.as_ref().map(RawJson::decode)
        else {
            return true;
        };
        let found = self.requests.cancel(&request_id);
        if found {
            tracing::debug!(id = %request_id, "cancelled by the client");
        }
        found
    }

    /// Handles the response to a server-initiated request. Returns `false` if the request is not
    /// pending here.
    pub(crate) fn on_response(&self, response: Response) -> bool {
        self.server_requests.respond(response)
    }

    /// Applies a change of the session's settings, made here or at another replica.
    pub(crate) fn apply(&self, change: SettingChange) {
        match change {
            SettingChange::LogLevel(level) => {
                *self.log_level.lock() = Some(level);
            }
            SettingChange::Subscribed(uri) => {
                if let Err(error) = self.subscriptions.add(uri) {
                    tracing::debug!(%error, "a subscription made at another replica is dropped here");
                }
            }
            SettingChange::Unsubscribed(uri) => self.subscriptions.remove(&uri),
        }
    }

    pub(crate) fn log_level(&self) -> Option<LoggingLevel> {
        *self.log_level.lock()
    }
}

/// The notification with which either side cancels a request.
pub(crate) const CANCELLED: &str = "notifications/cancelled";

/// A change of the settings that a session has besides what `initialize` negotiated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SettingChange {
    /// `logging/setLevel`.
    LogLevel(LoggingLevel),
    /// `resources/subscribe`.
    Subscribed(String),
    /// `resources/unsubscribe`.
    Unsubscribed(String),
}

impl SettingChange {
    /// Returns what `request` changes if it succeeds.
    pub(crate) fn of(request: &LegacyRequest) -> Option<Self> {
        #[derive(Deserialize)]
        struct LevelParams {
            level: LoggingLevel,
        }
        #[derive(Deserialize)]
        struct UriParams {
            uri: String,
        }
        let uri = || request.params.decode().ok().map(|UriParams { uri }| uri);
        match request.method.as_str() {
            "logging/setLevel" => request
                .params
                .decode()
                .ok()
                .map(|LevelParams { level }| Self::LogLevel(level)),
            "resources/subscribe" => uri().map(Self::Subscribed),
            "resources/unsubscribe" => uri().map(Self::Unsubscribed),
            _ => None,
        }
    }
}
