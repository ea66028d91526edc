//! [`Request`], which is configured and then awaited, and the outcome of a single round of it.

use crate::ClientError;
use crate::call::outcome::{InterimResult, RawOutcome};
use crate::call::spec::{RequestSpec, RoundInput};
use crate::core::ScopedCore;
use crate::input::provide::check_declared;
use crate::notification::{LogMessage, ProgressUpdate};
use crate::options::CallOptions;
use crate::result::{FromResult, RawResult, ToolValue};
use crate::tasks::handle::TaskHandle;
use crate::warnings::ResponseWarning;
use carryall_proto::{BoxFuture, ParamsWriter};
use carryall_types::{
    CallToolResult, InputRequests, InputResponses, JsonValue, LoggingLevel, Method, RawJson, Task,
};
use serde::de::DeserializeOwned;
use std::future::IntoFuture;
use std::marker::PhantomData;
use std::time::Duration;

/// A request. It is sent when it is awaited, and cancelled when its future is dropped.
///
/// The future resolves to the complete result. If the server asks for input, the handlers of the
/// client provide it. [`once`](Self::once) returns such a question to the caller instead, and
/// [`stream`](Self::stream) yields progress and log messages as they arrive.
///
/// ```no_run
/// # use carryall_client::{Client, ClientError};
/// # use std::time::Duration;
/// # async fn example(client: Client) -> Result<(), ClientError> {
/// let request = client.call("report", ()).timeout(Duration::from_secs(120));
/// let text: String = request.typed().await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "a request is sent when it is awaited"]
#[derive(Debug)]
pub struct Request<R> {
    core: ScopedCore,
    spec: Result<RequestSpec, ClientError>,
    round: Option<RoundInput>,
    options: CallOptions,
    result: PhantomData<fn() -> R>,
}

impl<R> Request<R> {
    pub(crate) fn new(
        core: &ScopedCore,
        method: Method,
        params: Result<ParamsWriter, ClientError>,
    ) -> Self {
        Self {
            core: core.clone(),
            spec: params.map(|params| RequestSpec::new(method, params)),
            round: None,
            options: CallOptions::default(),
            result: PhantomData,
        }
    }

    /// Returns the result as JSON text. Besides complete results, accepts the result types of
    /// declared extensions.
    pub(crate) fn raw(mut self) -> Self {
        if let Ok(spec) = &mut self.spec {
            spec.raw = true;
        }
        self
    }

    /// Replaces all options.
    pub fn with(mut self, options: CallOptions) -> Self {
        self.options = options;
        self
    }

    pub(crate) fn map_options(mut self, f: impl FnOnce(CallOptions) -> CallOptions) -> Self {
        self.options = f(self.options);
        self
    }

    /// Sets the timeout of each wire request; see [`CallOptions::timeout`].
    pub fn timeout(self, timeout: Duration) -> Self {
        self.map_options(|options| options.timeout(timeout))
    }

    /// Sets the maximum time of each wire request; see [`CallOptions::max_timeout`].
    pub fn max_timeout(self, timeout: Duration) -> Self {
        self.map_options(|options| options.max_timeout(timeout))
    }

    /// Restarts the timeout at each progress notification; see [`CallOptions::reset_on_progress`].
    pub fn reset_on_progress(self) -> Self {
        self.map_options(CallOptions::reset_on_progress)
    }

    /// Sends the request even if a fresh response is cached; see [`CallOptions::no_cache`].
    pub fn no_cache(self) -> Self {
        self.map_options(CallOptions::no_cache)
    }

    /// Retries calls of idempotent tools; see [`CallOptions::retry_idempotent`].
    pub fn retry_idempotent(self) -> Self {
        self.map_options(CallOptions::retry_idempotent)
    }

    /// Sets how many times the server may ask for input; see [`CallOptions::max_rounds`].
    pub fn max_rounds(self, rounds: usize) -> Self {
        self.map_options(|options| options.max_rounds(rounds))
    }

    /// Adds a member to `_meta`; see [`CallOptions::meta`].
    pub fn meta(self, name: impl Into<String>, value: impl Into<JsonValue>) -> Self {
        self.map_options(|options| options.meta(name, value))
    }

    /// Sets the callback for progress; see [`CallOptions::on_progress`].
    pub fn on_progress(self, f: impl Fn(ProgressUpdate) + Send + Sync + 'static) -> Self {
        self.map_options(|options| options.on_progress(f))
    }

    /// Sets the callback for when the server runs the call as a task; see [`CallOptions::on_task`].
    pub fn on_task(self, f: impl Fn(&Task) + Send + Sync + 'static) -> Self {
        self.map_options(|options| options.on_task(f))
    }

    /// Sets the callback for warnings; see [`CallOptions::on_warning`].
    pub fn on_warning(self, f: impl Fn(&ResponseWarning) + Send + Sync + 'static) -> Self {
        self.map_options(|options| options.on_warning(f))
    }

    /// Sets the callback for log messages; see [`CallOptions::on_log`].
    #[deprecated(
        note = "SEP-2577 deprecates logging over MCP; it may be removed from 2027-07-28 on. Use OpenTelemetry."
    )]
    #[allow(deprecated)]
    pub fn on_log(
        self,
        level: LoggingLevel,
        f: impl Fn(LogMessage) + Send + Sync + 'static,
    ) -> Self {
        self.map_options(|options| options.on_log(level, f))
    }

    /// Changes the type that the result is decoded to.
    fn decode_as<T>(self) -> Request<T> {
        Request {
            core: self.core,
            spec: self.spec,
            round: self.round,
            options: self.options,
            result: PhantomData,
        }
    }
}

impl Request<CallToolResult> {
    /// Resolves to a value instead of the [`CallToolResult`]. The value is decoded from
    /// `structuredContent` if the result has it, otherwise from the text as JSON, otherwise, if `T`
    /// is a string, it is the text itself.
    ///
    /// If the tool reports a failure, the error is [`ClientError::Tool`]. If the value is not a
    /// `T`, it is [`ResponseError::Decode`](crate::ResponseError::Decode).
    pub fn typed<T: DeserializeOwned + Send + 'static>(self) -> Request<ToolValue<T>> {
        self.decode_as()
    }
}

impl<R: FromResult> Request<R> {
    /// Runs a single round. The outcome may be the complete result, the input that the server asks
    /// for, or the handle of a task.
    ///
    /// Meant for hosts that ask the user later or outside of this future, or that store task ids.
    /// The client has to declare the capabilities itself, with
    /// [`ClientBuilder::capabilities`](crate::ClientBuilder::capabilities) and
    /// [`ClientBuilder::tasks`](crate::ClientBuilder::tasks). Dropping the future cancels the
    /// request.
    ///
    /// ```no_run
    /// # use carryall_client::{Client, ClientError, RoundOutcome};
    /// # use carryall_types::InputResponses;
    /// # async fn example(client: Client, responses: InputResponses) -> Result<(), ClientError> {
    /// match client.call("delete", ()).once().await? {
    ///     RoundOutcome::Done(result) => println!("{result:?}"),
    ///     RoundOutcome::InputRequired(question) => {
    ///         println!("{:?}", question.requests());
    ///         println!("{:?}", question.answer(responses).await?);
    ///     }
    ///     RoundOutcome::Task(task) => println!("task {}", task.id()),
    ///     _ => {}
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As for awaiting the request.
    pub async fn once(self) -> Result<RoundOutcome<R>, ClientError> {
        let Self {
            core,
            spec,
            round,
            options,
            result: _,
        } = self;
        let mut spec = spec?;
        let fetched = core
            .fetch_checked(&mut spec, round.as_ref(), &options)
            .await?;
        match fetched.outcome {
            RawOutcome::Complete(text) => {
                let result = RawResult {
                    core: &core,
                    method: &spec.method,
                    text: &text,
                    cached: fetched.cached,
                };
                result.decode::<R>(&options).map(RoundOutcome::Done)
            }
            RawOutcome::Task(task) => Ok(RoundOutcome::Task(Box::new(TaskHandle::created(
                &core,
                *task,
                &options,
                spec.last_progress,
            )))),
            RawOutcome::InputRequired(InterimResult { requests, state }) => {
                check_declared(&core.config.capabilities, &requests)?;
                let retry = Self {
                    core,
                    spec: Ok(spec),
                    round: None,
                    options,
                    result: PhantomData,
                };
                Ok(RoundOutcome::InputRequired(Box::new(InputRequired {
                    requests,
                    state,
                    retry,
                })))
            }
        }
    }
}

impl<R: FromResult> IntoFuture for Request<R> {
    type Output = Result<R::Output, ClientError>;
    type IntoFuture = BoxFuture<Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let Self {
                core,
                spec,
                round,
                options,
                result: _,
            } = self;
            let mut spec = spec?;
            let (text, cached) = core.fetch_complete(&mut spec, round, &options).await?;
            let result = RawResult {
                core: &core,
                method: &spec.method,
                text: &text,
                cached,
            };
            result.decode::<R>(&options)
        })
    }
}

/// The outcome of one round of a request.
#[derive(Debug)]
#[non_exhaustive]
pub enum RoundOutcome<R: FromResult> {
    /// The complete result.
    Done(R::Output),
    /// The server needs input.
    InputRequired(Box<InputRequired<R>>),
    /// The call became a task (Tasks extension). Only for clients with
    /// [`ClientBuilder::tasks`](crate::ClientBuilder::tasks).
    Task(Box<TaskHandle>),
}

/// The input that a server asks for. Answer it with [`answer`](Self::answer). The server keeps no
/// state between rounds, so the answer may be sent minutes later, or never.
#[derive(Debug)]
pub struct InputRequired<R> {
    requests: InputRequests,
    /// `requestState`, which the next round sends back.
    state: Option<RawJson>,
    /// The request to send again with the responses.
    retry: Request<R>,
}

impl<R: FromResult> InputRequired<R> {
    /// Returns the input requests, in the order in which the server sent them. If there are none,
    /// the server only asks the client to repeat the request with the server's state.
    #[must_use]
    pub fn requests(&self) -> &InputRequests {
        &self.requests
    }

    /// Returns the request of the next round. Each response has the key of the input request that
    /// it answers.
    pub fn answer(self, responses: impl Into<InputResponses>) -> Request<R> {
        let Self {
            requests: _,
            state,
            mut retry,
        } = self;
        match RawJson::from_value(&responses.into()) {
            Ok(responses) => {
                let responses = Some(responses).filter(|responses| responses.as_str() != "{}");
                retry.round = Some(RoundInput { responses, state });
            }
            Err(error) => {
                retry.spec = Err(ClientError::Request(format!("input responses: {error}")))
            }
        }
        retry
    }
}
