//! Options of one request.

use crate::ClientError;
use crate::meta::{MetaOptions, check_member};
use crate::notification::{LogMessage, ProgressUpdate};
use crate::warnings::{OnWarning, ResponseWarning};
use carryall_types::{JsonValue, LoggingLevel, Task};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

type Callback<T> = Arc<dyn Fn(T) + Send + Sync>;
type OnTask = Arc<dyn Fn(&Task) + Send + Sync>;

/// Options of one request. What is not set comes from the client.
///
/// Each has a method of the same name on [`Request`](crate::Request); a value of this type is for
/// options that several requests share.
///
/// ```no_run
/// # use carryall_client::{CallOptions, Client, ClientError};
/// # use std::time::Duration;
/// # async fn example(client: Client) -> Result<(), ClientError> {
/// let options = CallOptions::new().timeout(Duration::from_secs(5)).max_rounds(2);
/// client.call("one", ()).with(options.clone()).await?;
/// client.call("two", ()).with(options).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
pub struct CallOptions {
    pub(crate) timeout: Option<Duration>,
    pub(crate) max_timeout: Option<Duration>,
    pub(crate) reset_on_progress: bool,
    pub(crate) no_cache: bool,
    pub(crate) retry_idempotent: bool,
    pub(crate) max_rounds: Option<usize>,
    pub(crate) meta: MetaOptions,
    pub(crate) on_progress: Option<Callback<ProgressUpdate>>,
    pub(crate) on_task: Option<OnTask>,
    pub(crate) on_log: Option<Callback<LogMessage>>,
    pub(crate) on_warning: Option<OnWarning>,
    /// The first invalid setting, reported when the request is sent.
    invalid: Option<String>,
}

impl CallOptions {
    /// Returns options with nothing set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the timeout of each wire request, after which it is cancelled
    /// (`basic/patterns/cancellation#timeouts`). Default: the client's
    /// ([`ClientBuilder::timeout`](crate::ClientBuilder::timeout)). The time that handlers take to
    /// provide input does not count.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sets the maximum time of each wire request, whatever progress it reports. Default: the
    /// client's ([`ClientBuilder::max_timeout`](crate::ClientBuilder::max_timeout)).
    #[must_use]
    pub fn max_timeout(mut self, timeout: Duration) -> Self {
        self.max_timeout = Some(timeout);
        self
    }

    /// Restarts the timeout at each progress notification, up to
    /// [`max_timeout`](Self::max_timeout). Off by default.
    #[must_use]
    pub fn reset_on_progress(mut self) -> Self {
        self.reset_on_progress = true;
        self
    }

    /// Sends the request even if a fresh response is cached. The new response is cached. Off by
    /// default.
    #[must_use]
    pub fn no_cache(mut self) -> Self {
        self.no_cache = true;
        self
    }

    /// Retries a tool call after a broken connection if the tool declares itself idempotent or
    /// read-only. Off by default: these annotations are the server's claim, so use it with trusted
    /// servers only (`server/tools#tool`).
    #[must_use]
    pub fn retry_idempotent(mut self) -> Self {
        self.retry_idempotent = true;
        self
    }

    /// Sets how often the server may ask for input before the call fails. Default: the client's
    /// ([`ClientBuilder::max_rounds`](crate::ClientBuilder::max_rounds)).
    #[must_use]
    pub fn max_rounds(mut self, rounds: usize) -> Self {
        self.max_rounds = Some(rounds);
        self
    }

    /// Requests progress notifications and sets their callback, which runs between two reads of the
    /// response and should be short. Updates less than 10 ms apart are dropped.
    ///
    /// When the call becomes a task, each new status message of the running task is reported here
    /// as well: `message` is its text, `progress` grows by 1, and there is no `total`, because the
    /// Tasks extension has no progress notifications.
    #[must_use]
    pub fn on_progress(mut self, f: impl Fn(ProgressUpdate) + Send + Sync + 'static) -> Self {
        self.on_progress = Some(Arc::new(f));
        self
    }

    /// Sets the callback for state changes of the task that the call became, its first state
    /// included. Runs between two requests and should be short.
    #[must_use]
    pub fn on_task(mut self, f: impl Fn(&Task) + Send + Sync + 'static) -> Self {
        self.on_task = Some(Arc::new(f));
        self
    }

    /// Sets the callback for warnings: parts of a response that are malformed and were ignored. It
    /// is called at most nine times for each response, before the result is returned. Warnings are
    /// logged as well.
    #[must_use]
    pub fn on_warning(mut self, f: impl Fn(&ResponseWarning) + Send + Sync + 'static) -> Self {
        self.on_warning = Some(Arc::new(f));
        self
    }

    /// Requests log messages of `level` and above and sets their callback, which runs between two
    /// reads of the response and should be short. At most 200 messages a second are delivered.
    #[must_use]
    #[deprecated(
        note = "SEP-2577 deprecates logging over MCP; it may be removed from 2027-07-28 on. Use OpenTelemetry."
    )]
    pub fn on_log(
        mut self,
        level: LoggingLevel,
        f: impl Fn(LogMessage) + Send + Sync + 'static,
    ) -> Self {
        self.meta.log_level = Some(level);
        self.on_log = Some(Arc::new(f));
        self
    }

    /// Adds a member to `_meta` (`basic/index#_meta`). Keys reserved by the protocol, malformed
    /// keys and malformed trace context make the request fail with
    /// [`ClientError::Request`] before it is sent.
    #[must_use]
    pub fn meta(mut self, name: impl Into<String>, value: impl Into<JsonValue>) -> Self {
        let (name, value) = (name.into(), value.into());
        match check_member(&name, &value) {
            Ok(()) => {
                self.meta.extra.insert(name, value);
            }
            Err(reason) => {
                self.invalid.get_or_insert(reason);
            }
        }
        self
    }

    pub(crate) fn check(&self) -> Result<(), ClientError> {
        match &self.invalid {
            None => Ok(()),
            Some(reason) => Err(ClientError::Request(reason.clone())),
        }
    }

    pub(crate) fn wants_progress(&self) -> bool {
        self.on_progress.is_some() || self.reset_on_progress
    }

    /// Returns the options that also apply to the further requests of a task.
    pub(crate) fn for_task_requests(&self) -> Self {
        Self {
            timeout: self.timeout,
            max_timeout: self.max_timeout,
            meta: self.meta.clone(),
            ..Self::default()
        }
    }
}

impl fmt::Debug for CallOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallOptions")
            .field("timeout", &self.timeout)
            .field("max_timeout", &self.max_timeout)
            .field("reset_on_progress", &self.reset_on_progress)
            .field("no_cache", &self.no_cache)
            .field("retry_idempotent", &self.retry_idempotent)
            .field("max_rounds", &self.max_rounds)
            .field("meta", &self.meta)
            .finish_non_exhaustive()
    }
}
