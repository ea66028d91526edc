//! One session with a legacy server.

mod background;
mod incoming;
mod log_level;
mod requests;
mod router;
mod subscriptions;
mod task_tools;
#[cfg(test)]
mod tests;

pub(crate) use requests::SessionRequests;
pub(crate) use router::{QueuedEvent, ServerEvent};
pub(crate) use subscriptions::{MAX_URI_BYTES, SessionSubscriptions};

use super::budgets::SessionBudgets;
use super::identity::ClientIdentity;
use super::options::{DualEraOptions, InputCallback};
use super::translate;
use super::transport::{OneWayMessage, SessionError, SessionTransport};
use crate::message::LegacyRequest;
use crate::revision::REVISIONS;
use background::BoundedTasks;
use carryall_proto::budget::Amount;
use carryall_proto::sync::Mutex;
use carryall_proto::{Call, CallError, Notification, Outcome, PrintableFmt, Response};
use carryall_types::{
    JsonObject, JsonValue, LoggingLevel, Method, ProtocolVersion, RawJson, RequestId,
    ServerCapabilities, notification,
};
use log_level::SessionLogLevel;
use requests::REQUEST_TIMEOUT;
use router::CallRouter;
use serde_json::json;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use task_tools::TaskOnlyTools;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// How long closing a session waits for messages that are still unsent.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);
/// How many events one call may be behind. Further ones are dropped, as for any slow reader.
const MAX_QUEUED_EVENTS: usize = 256;
/// Unsent messages that no caller waits for. Further ones are dropped.
const MAX_OUTGOING: Amount = Amount::new(1024, 1024 * 1024);
/// Questions of the server that an input handler is working on. Further ones are refused.
const MAX_HANDLED_QUESTIONS: Amount = Amount::new(256, 16 * 1024 * 1024);

/// A session after its handshake. Dropping it ends the session on the server.
pub(crate) struct LegacySession {
    requests: SessionRequests,
    input_handler: Option<InputCallback>,
    budgets: Arc<SessionBudgets>,
    version: ProtocolVersion,
    /// The result of `initialize`.
    initialized: JsonObject,
    capabilities: ServerCapabilities,
    router: Arc<Mutex<CallRouter>>,
    log_level: SessionLogLevel,
    subscriptions: SessionSubscriptions,
    task_only_tools: TaskOnlyTools,
    failure: OnceLock<CallError>,
    is_listening: AtomicBool,
    /// Whether new calls go to another session.
    is_retired: AtomicBool,
    /// Whether a question was refused, with a warning, because its call is unknown.
    has_warned: AtomicBool,
    outgoing: BoundedTasks,
    handled_questions: BoundedTasks,
}

/// The first request of every session.
pub(crate) fn initialize(id: RequestId, identity: &ClientIdentity) -> LegacyRequest {
    let params = json!({
        "protocolVersion": REVISIONS[0].as_str(),
        "capabilities": translate::client_capabilities(&identity.capabilities),
        "clientInfo": identity.info,
    });
    LegacyRequest {
        id,
        method: "initialize".into(),
        params: RawJson::from(&params),
    }
}

impl LegacySession {
    /// Performs the handshake (2025-11-25 `basic/lifecycle#initialization`).
    pub(crate) async fn open(
        transport: Arc<dyn SessionTransport>,
        options: &DualEraOptions,
        identity: &ClientIdentity,
        budgets: &Arc<SessionBudgets>,
    ) -> Result<Arc<Self>, SessionError> {
        let limit = options.handshake_timeout;
        let request = initialize(RequestId::from(0), identity);
        let outcome = timeout(limit, requests::outcome(&*transport, request)).await;
        let outcome = outcome
            .map_err(|_| CallError::broken(format!("no answer to initialize within {limit:?}")))?;
        match outcome? {
            Outcome::Result(result) => {
                let session = Self::establish(transport, options, &result, budgets).await?;
                // Many servers send their questions outside of the call that causes them.
                if identity.capabilities.elicitation.is_some()
                    || identity.capabilities.supports_sampling()
                    || identity.capabilities.supports_roots()
                {
                    session.listen();
                }
                Ok(session)
            }
            Outcome::Error(error) => Err(SessionError::HandshakeRefused(error)),
        }
    }

    /// Completes the handshake: `result` is the result of `initialize`.
    pub(crate) async fn establish(
        transport: Arc<dyn SessionTransport>,
        options: &DualEraOptions,
        result: &RawJson,
        budgets: &Arc<SessionBudgets>,
    ) -> Result<Arc<Self>, SessionError> {
        let malformed = |why: String| SessionError::Call(CallError::Malformed(why));
        let mut initialized: JsonObject = result
            .decode()
            .map_err(|error| malformed(format!("the answer to initialize: {error}")))?;
        let version = initialized
            .get("protocolVersion")
            .and_then(JsonValue::as_str)
            .unwrap_or_default();
        let Some(version) = version
            .parse()
            .ok()
            .filter(|version| REVISIONS.contains(version))
        else {
            return Err(malformed(format!(
                "the server chose revision {version:?}, which has no handshake or is unknown"
            )));
        };
        let capabilities = translate::take_valid_capabilities(&mut initialized);
        transport.set_version(version);
        let session = Arc::new(Self {
            requests: SessionRequests::new(transport),
            input_handler: options.input_handler.clone(),
            budgets: Arc::clone(budgets),
            version,
            initialized,
            capabilities,
            router: Arc::default(),
            log_level: SessionLogLevel::default(),
            subscriptions: SessionSubscriptions::default(),
            task_only_tools: TaskOnlyTools::default(),
            failure: OnceLock::new(),
            is_listening: AtomicBool::new(false),
            is_retired: AtomicBool::new(false),
            has_warned: AtomicBool::new(false),
            outgoing: BoundedTasks::new(MAX_OUTGOING),
            handled_questions: BoundedTasks::new(MAX_HANDLED_QUESTIONS),
        });
        if session.transport().is_multiplexed() {
            session.listen();
        }
        let initialized = OneWayMessage::Notification(Notification {
            method: "notifications/initialized".into(),
            params: None,
        });
        let limit = options.handshake_timeout;
        let sent = timeout(limit, session.transport().send(initialized)).await;
        sent.map_err(|_| {
            CallError::broken(format!(
                "the server did not accept notifications/initialized within {limit:?}"
            ))
        })??;
        Ok(session)
    }

    pub(crate) fn transport(&self) -> &Arc<dyn SessionTransport> {
        self.requests.transport()
    }

    pub(crate) fn requests(&self) -> &SessionRequests {
        &self.requests
    }

    pub(crate) fn budgets(&self) -> &SessionBudgets {
        &self.budgets
    }

    pub(crate) fn subscriptions(&self) -> &SessionSubscriptions {
        &self.subscriptions
    }

    pub(crate) fn version(&self) -> ProtocolVersion {
        self.version
    }

    pub(crate) fn capabilities(&self) -> &ServerCapabilities {
        &self.capabilities
    }

    /// The result of `server/discover`.
    pub(crate) fn discover_result(&self) -> RawJson {
        translate::discover_result(self.version, &self.initialized)
    }

    /// Why the session has ended, if it has.
    pub(crate) fn failure(&self) -> Option<CallError> {
        self.failure.get().cloned()
    }

    /// Whether new calls go to another session. Those in flight continue.
    pub(crate) fn is_retired(&self) -> bool {
        self.is_retired.load(Ordering::Relaxed)
    }

    /// Makes the server log at least from `level` on, if it can. Waits for at most a second.
    pub(crate) async fn ensure_log_level(&self, level: LoggingLevel) {
        if self.capabilities.logging.is_some() {
            self.log_level.ensure(level, &self.requests).await;
        }
    }

    /// Whether `call` is of a tool that must run as a task
    /// (2025-11-25 `basic/utilities/tasks#server-capabilities`).
    pub(crate) async fn requires_task(&self, call: &Call) -> bool {
        if *call.method() != Method::ToolsCall || !self.supports_tool_tasks() {
            return false;
        }
        let Some(name) = call.name() else {
            return false;
        };
        let changes = self.subscriptions.tool_changes();
        match self.task_only_tools.names(changes, &self.requests).await {
            Ok(names) => names.contains(name),
            Err(error) => {
                tracing::debug!(error = ?PrintableFmt(&error), "cannot find out which tools must run as tasks");
                false
            }
        }
    }

    fn supports_tool_tasks(&self) -> bool {
        let capabilities = self.initialized.get("capabilities");
        capabilities
            .and_then(|all| all.pointer("/tasks/requests/tools/call"))
            .is_some_and(JsonValue::is_object)
    }

    /// Adds a call in flight. The receiver gets what the server sends for it before the response.
    pub(crate) fn insert_call(
        &self,
        id: i64,
        call: &Call,
    ) -> Result<mpsc::Receiver<QueuedEvent>, CallError> {
        let (events, receiver) = mpsc::channel(MAX_QUEUED_EVENTS);
        self.router.lock().insert(id, events, call)?;
        Ok(receiver)
    }

    /// Updates a call in flight with its next round.
    pub(crate) fn update_call(&self, id: i64, call: &Call) {
        self.router.lock().update(id, call);
    }

    /// Removes a call. Unless it was `answered`, the server may still be working on it.
    pub(crate) fn remove_call(&self, id: i64, answered: bool) {
        self.router.lock().remove(id, answered);
    }

    /// Cancels a call.
    pub(crate) fn cancel(&self, id: i64) {
        let params = json!({"requestId": id, "reason": "The caller no longer waits"});
        let cancelled = Notification::new(notification::CANCELLED, RawJson::from(&params));
        self.send_in_background(OneWayMessage::Notification(cancelled));
    }

    /// Cancels the task of a call (2025-11-25 `basic/utilities/tasks#cancelling-tasks`). The server
    /// stops working on the call when it confirms that.
    pub(crate) fn cancel_task(&self, id: i64, task_id: &str) {
        let (requests, router) = (self.requests.clone(), Arc::clone(&self.router));
        let params = json!({"taskId": task_id});
        self.spawn(task_id.len(), async move {
            if let Ok(Outcome::Result(_)) = requests.call("tasks/cancel", &params).await {
                router.lock().abandoned_call_ended(id);
            }
        });
    }

    /// Answers a request of the server.
    pub(crate) fn respond(&self, response: Response) {
        self.send_in_background(OneWayMessage::Response(response));
    }

    /// Sends a message without waiting. It is dropped if too many are unsent.
    fn send_in_background(&self, message: OneWayMessage) {
        let (transport, bytes) = (Arc::clone(self.transport()), message.size());
        self.spawn(bytes, async move {
            let _ = timeout(REQUEST_TIMEOUT, transport.send(message)).await;
        });
    }

    /// Sends what no caller waits for, until the session is dropped. It is dropped if too much of
    /// it is unsent.
    pub(crate) fn spawn(&self, bytes: usize, work: impl Future<Output = ()> + Send + 'static) {
        if self.outgoing.spawn(bytes, work).is_err() {
            tracing::debug!(
                bytes,
                "dropped a message to the server: it does not read what it is sent"
            );
        }
    }

    /// Marks the session as ended.
    pub(crate) fn fail(&self, error: CallError) {
        let _ = self.failure.set(error);
        self.subscriptions.close();
    }

    /// Ends the session after sending what is still unsent. Bounded in time.
    pub(crate) async fn close(&self) {
        self.fail(CallError::broken("the client is shut down"));
        self.outgoing.finish(FLUSH_TIMEOUT).await;
        self.transport().close().await;
    }
}

impl Drop for LegacySession {
    fn drop(&mut self) {
        // Nobody is left to drive this. The transport bounds its time.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(self.transport().close());
        }
    }
}

impl fmt::Debug for LegacySession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LegacySession")
            .field("version", &self.version)
            .field("transport", self.transport())
            .finish_non_exhaustive()
    }
}
