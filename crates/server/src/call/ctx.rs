//! The context of a call: what its handler knows of it, and how it sends notifications.

use crate::call::errors::{concise, missing_capabilities};
use crate::call::handler_error::HandlerError;
use crate::call::outbox::Outbox;
use crate::call::task::{CallTask, TaskRequest};
use crate::environment::Environment;
use crate::state::rounds::journal::{Journal, OpenJournal};
use crate::state::rounds::record::RoundRecord;
use carryall_proto::deprecated::DeprecatedFeature;
use carryall_proto::progress::Progress;
use carryall_proto::sync::Mutex;
use carryall_proto::{Call, Meta, Notification, Principal};
use carryall_types::{
    ClientCapabilities, InputResponses, JsonValue, LoggingLevel, RawJson, RequestId, notification,
};
use serde::Serialize;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// The least time between two progress notifications of one call; those in between are dropped
/// (`basic/patterns/progress#implementation-notes`).
const PROGRESS_INTERVAL: Duration = Duration::from_millis(10);
/// How many log messages one call may send before further ones are dropped.
const LOG_LIMIT: u32 = 1000;

/// The context of one call.
///
/// Cheap to clone. Clones may move into tasks of the executor; they send nothing more once the call
/// has ended.
#[derive(Clone)]
pub struct Ctx(Arc<Inner>);

struct Inner {
    call: Call,
    environment: Arc<Environment>,
    outbox: Outbox,
    notified: Mutex<NotificationCounters>,
    journal: Journal,
    /// Set when the call runs as a task.
    task: OnceLock<Arc<dyn CallTask>>,
    /// Set when its handler may ask to become a task.
    task_request: OnceLock<Arc<TaskRequest>>,
}

/// What limits the notifications of a call.
struct NotificationCounters {
    progress: Progress,
    since: Option<Instant>,
    logged: u32,
}

impl Ctx {
    pub(crate) fn new(call: Call, environment: Arc<Environment>) -> Self {
        Self::with_journal(call, environment, Journal::default())
    }

    /// The context of a task that another process has begun.
    pub(crate) fn resumed(
        call: Call,
        environment: Arc<Environment>,
        record: RoundRecord,
        task: Arc<dyn CallTask>,
    ) -> Self {
        let ctx = Self::with_journal(call, environment, Journal::from(record));
        ctx.set_task(task);
        ctx
    }

    fn with_journal(call: Call, environment: Arc<Environment>, journal: Journal) -> Self {
        let notified = NotificationCounters {
            progress: Progress::new(PROGRESS_INTERVAL),
            since: None,
            logged: 0,
        };
        Self(Arc::new(Inner {
            call,
            environment,
            outbox: Outbox::default(),
            notified: Mutex::new(notified),
            journal,
            task: OnceLock::new(),
            task_request: OnceLock::new(),
        }))
    }

    /// The task that the call runs as.
    pub(crate) fn task(&self) -> Option<&dyn CallTask> {
        self.0.task.get().map(|task| &**task)
    }

    /// Makes the call a task from now on.
    pub(crate) fn set_task(&self, task: Arc<dyn CallTask>) {
        self.0.task.get_or_init(|| task);
        if let Some(request) = self.task_request() {
            request.grant();
        }
    }

    pub(crate) fn task_request(&self) -> Option<&Arc<TaskRequest>> {
        self.0.task_request.get()
    }

    /// Allows the handler to ask to become a task.
    pub(crate) fn allow_task_request(&self) -> Arc<TaskRequest> {
        Arc::clone(self.0.task_request.get_or_init(Arc::default))
    }

    pub(crate) fn call(&self) -> &Call {
        &self.0.call
    }

    pub(crate) fn environment(&self) -> &Arc<Environment> {
        &self.0.environment
    }

    pub(crate) fn outbox(&self) -> &Outbox {
        &self.0.outbox
    }

    /// Returns the id of the request.
    #[must_use]
    pub fn request_id(&self) -> &RequestId {
        self.0.call.id()
    }

    /// Returns the `_meta` of the request.
    #[must_use]
    pub fn meta(&self) -> &Meta {
        self.0.call.meta()
    }

    /// Returns the capabilities that the client declares on this request.
    #[must_use]
    pub fn client_capabilities(&self) -> &ClientCapabilities {
        self.0.call.meta().client_capabilities()
    }

    /// Returns the authenticated caller, if an authorization layer has set one.
    #[must_use]
    pub fn principal(&self) -> Option<&Principal> {
        self.0.call.principal()
    }

    /// Returns the HTTP headers of the request; `None` on other transports.
    #[must_use]
    pub fn headers(&self) -> Option<&http::HeaderMap> {
        self.0.call.headers()
    }

    /// Returns the extensions of the call, which layers have set.
    #[must_use]
    pub fn extensions(&self) -> &http::Extensions {
        self.0.call.extensions()
    }

    /// Returns the server's state of type `T`, as given to
    /// [`ServerBuilder::state`](crate::ServerBuilder::state).
    #[must_use]
    pub fn state<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.0.environment.states.get()
    }

    pub(crate) fn shared_principal(&self) -> Option<Arc<Principal>> {
        self.0.call.shared_principal()
    }

    /// Returns the answers of this round (`basic/patterns/mrtr`), unchecked; empty in the first round.
    ///
    /// [`Ctx::ask`] reads them too. A handler uses one or the other, and nearly always `ask`.
    ///
    /// # Errors
    /// `-32602` when they are not an object.
    pub fn input_responses(&self) -> Result<InputResponses, HandlerError> {
        match self.0.call.params().get("inputResponses") {
            None => Ok(InputResponses::default()),
            Some(raw) => raw.decode().map_err(|error| {
                HandlerError::invalid_params(format!(
                    "Malformed inputResponses: {}",
                    concise(error)
                ))
            }),
        }
    }

    /// Returns the `requestState` of this round, which the client may have altered.
    ///
    /// # Errors
    /// `-32602` when it is not a string.
    pub fn request_state(&self) -> Result<Option<String>, HandlerError> {
        match self.0.call.params().get("requestState") {
            None => Ok(None),
            Some(raw) => raw.decode().map_err(|error| {
                HandlerError::invalid_params(format!("Malformed requestState: {}", concise(error)))
            }),
        }
    }

    /// What earlier rounds have left.
    pub(crate) fn journal(&self) -> Result<OpenJournal<'_>, HandlerError> {
        let inner = &self.0;
        inner.journal.open(
            &inner.call,
            &inner.environment.sealer,
            || self.input_responses(),
            || self.request_state(),
        )
    }

    /// Checks that the client declares these capabilities on this request.
    ///
    /// # Errors
    /// `-32021`, with the capabilities that are missing.
    pub fn require(&self, required: &ClientCapabilities) -> Result<(), HandlerError> {
        match required.missing_from(self.client_capabilities()) {
            None => Ok(()),
            Some(missing) => Err(HandlerError::protocol(missing_capabilities(&[missing]))),
        }
    }

    pub(crate) async fn send_progress(
        &self,
        progress: f64,
        total: Option<f64>,
        message: Option<&str>,
    ) {
        let token = self.0.call.meta().progress_token();
        if token.is_none() && self.task().is_none() {
            return;
        }
        {
            let mut notified = self.0.notified.lock();
            let now = notified.since.get_or_insert_with(Instant::now).elapsed();
            if !notified.progress.admit(now, progress, total) {
                return;
            }
        }
        if let Some(task) = self.task() {
            let so_far = || {
                total.map_or_else(
                    || progress.to_string(),
                    |total| format!("{progress} of {total}"),
                )
            };
            return task
                .set_status_message(message.map_or_else(so_far, str::to_owned))
                .await;
        }
        let Some(token) = token else { return };
        let params = ProgressNotification {
            progress_token: token,
            progress: JsonNumber(progress),
            total: total.map(JsonNumber),
            message,
        };
        self.notify(notification::PROGRESS, &params).await;
    }

    /// Sends a log message, if the client asks for this level on this request and the server declares
    /// `logging`.
    ///
    /// Log messages must not contain secrets, personal data or internals
    /// (`server/utilities/logging#security`). A call sends 1,000 at most; further ones are dropped.
    /// Cancel safe.
    #[deprecated(
        note = "SEP-2577: logging is deprecated since 2026-07-28, removal from 2027-07-28 at the earliest; \
                         log to stderr or OpenTelemetry instead"
    )]
    pub async fn log(
        &self,
        level: LoggingLevel,
        logger: Option<&str>,
        data: impl Into<JsonValue> + Send,
    ) {
        let wanted = self
            .0
            .call
            .meta()
            .log_level()
            .is_some_and(|least| level >= least);
        if !wanted || !self.0.environment.logging {
            return;
        }
        {
            let mut notified = self.0.notified.lock();
            notified.logged += 1;
            if notified.logged > LOG_LIMIT {
                return;
            }
        }
        if DeprecatedFeature::Logging.is_first_use() {
            tracing::warn!(
                "a handler logs to the client: {}",
                DeprecatedFeature::Logging.notice()
            );
        }
        let data = data.into();
        self.notify(
            notification::MESSAGE,
            &LogNotification {
                level,
                logger,
                data: &data,
            },
        )
        .await;
    }

    async fn notify<T: Serialize>(&self, method: &'static str, params: &T) {
        // Strings, numbers and JSON values always serialise.
        let Ok(params) = carryall_proto::json::to_vec(params) else {
            return;
        };
        let params = RawJson::from_trusted(params.into());
        self.0.outbox.send(Notification::new(method, params)).await;
    }
}

/// A number that is written as an integer when it is one.
struct JsonNumber(f64);

impl Serialize for JsonNumber {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        const EXACT: f64 = 9_007_199_254_740_992.0;
        #[allow(clippy::cast_possible_truncation)]
        if self.0.fract() == 0.0 && self.0.abs() < EXACT {
            serializer.serialize_i64(self.0 as i64)
        } else {
            serializer.serialize_f64(self.0)
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ProgressNotification<'a> {
    progress_token: &'a carryall_types::ProgressToken,
    progress: JsonNumber,
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<JsonNumber>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
}

#[derive(Serialize)]
struct LogNotification<'a> {
    level: LoggingLevel,
    #[serde(skip_serializing_if = "Option::is_none")]
    logger: Option<&'a str>,
    data: &'a JsonValue,
}

impl fmt::Debug for Ctx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ctx")
            .field("call", &self.0.call)
            .finish_non_exhaustive()
    }
}
