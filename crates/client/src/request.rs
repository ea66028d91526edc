//! One request, ready to be sent.

use crate::client::Client;
use crate::notices::{LogMessage, ProgressUpdate};
use crate::options::CallOptions;
use crate::rounds::InterimResult;
use crate::run::Answered;
use crate::stream::CallStream;
use crate::tasks::TaskHandle;
use crate::warnings::{ResponseWarning, Warnings};
use crate::wire::{RequestSpec, RoundAnswer};
use crate::{ClientError, salvage, value};
use carryall_proto::{BoxFuture, ParamsWriter};
use carryall_types::{
    CallToolResult, CompleteResult, DiscoverResult, GetPromptResult, InputRequests, InputResponses,
    JsonValue, ListPromptsResult, ListResourceTemplatesResult, ListResourcesResult,
    ListToolsResult, LoggingLevel, Method, RawJson, ReadResourceResult, Task,
};
use serde::de::DeserializeOwned;
use std::future::IntoFuture;
use std::marker::PhantomData;
use std::time::Duration;

/// A result, decoded by the method that asked for it.
pub trait FromResult: Send + 'static {
    /// What comes out.
    type Output: Send;

    /// Reads the text of a complete result.
    #[doc(hidden)]
    fn read(
        client: &Client,
        method: &Method,
        result: &RawJson,
        cached: bool,
        warnings: &mut Warnings,
    ) -> Result<Self::Output, ClientError>;
}

/// Reads a result and reports the warnings about it.
pub(crate) fn read<A: FromResult>(
    client: &Client,
    method: &Method,
    result: &RawJson,
    cached: bool,
    options: &CallOptions,
) -> Result<A::Output, ClientError> {
    let mut warnings = Warnings::default();
    let output = A::read(client, method, result, cached, &mut warnings);
    warnings.report(method, options, cached);
    output
}

macro_rules! answers {
    ($($result:ty),*) => {$(
        impl FromResult for $result {
            type Output = Self;
            fn read(
                _: &Client,
                method: &Method,
                result: &RawJson,
                _: bool,
                warnings: &mut Warnings,
            ) -> Result<Self, ClientError> {
                salvage::decode(method, result, warnings)
            }
        }
    )*};
}

answers!(
    DiscoverResult,
    CallToolResult,
    ListPromptsResult,
    GetPromptResult,
    ListResourcesResult,
    ListResourceTemplatesResult,
    ReadResourceResult,
    CompleteResult
);

impl FromResult for ListToolsResult {
    type Output = Self;
    fn read(
        client: &Client,
        method: &Method,
        result: &RawJson,
        cached: bool,
        warnings: &mut Warnings,
    ) -> Result<Self, ClientError> {
        let mut page: Self = salvage::decode(method, result, warnings)?;
        client.learn_tools(&mut page, cached);
        Ok(page)
    }
}

/// The text of the result, for methods of extensions.
impl FromResult for RawJson {
    type Output = Self;
    fn read(
        _: &Client,
        _: &Method,
        result: &RawJson,
        _: bool,
        _: &mut Warnings,
    ) -> Result<Self, ClientError> {
        Ok(result.clone())
    }
}

/// The value that a tool returned; see [`Request::typed`].
#[derive(Debug)]
pub struct ToolValue<T>(PhantomData<fn() -> T>);

impl<T: DeserializeOwned + Send + 'static> FromResult for ToolValue<T> {
    type Output = T;
    fn read(
        _: &Client,
        method: &Method,
        result: &RawJson,
        _: bool,
        warnings: &mut Warnings,
    ) -> Result<T, ClientError> {
        value::typed(method, result, warnings)
    }
}

/// One request. It is sent when it is awaited, and cancelled when its future is dropped.
///
/// Awaiting it gives the complete result: what the server asks for on the way is provided by the
/// client's handlers. [`once`](Self::once) stops there instead, and [`stream`](Self::stream) tells
/// of progress as it comes.
#[must_use = "a request is sent when it is awaited"]
#[derive(Debug)]
pub struct Request<A> {
    client: Client,
    ask: Result<RequestSpec, ClientError>,
    round: Option<RoundAnswer>,
    options: CallOptions,
    answer: PhantomData<fn() -> A>,
}

impl<A> Request<A> {
    pub(crate) fn new(
        client: &Client,
        method: Method,
        params: Result<ParamsWriter, ClientError>,
    ) -> Self {
        let ask = params.map(|params| RequestSpec::new(method, params));
        Self {
            client: client.clone(),
            ask,
            round: None,
            options: CallOptions::default(),
            answer: PhantomData,
        }
    }

    /// Wants the result as text, whatever its type.
    pub(crate) fn raw(mut self) -> Self {
        if let Ok(ask) = &mut self.ask {
            ask.raw = true;
        }
        self
    }

    /// Replaces all options.
    pub fn with(mut self, options: CallOptions) -> Self {
        self.options = options;
        self
    }

    fn set(mut self, f: impl FnOnce(CallOptions) -> CallOptions) -> Self {
        self.options = f(self.options);
        self
    }

    /// See [`CallOptions::timeout`].
    pub fn timeout(self, timeout: Duration) -> Self {
        self.set(|options| options.timeout(timeout))
    }

    /// See [`CallOptions::max_timeout`].
    pub fn max_timeout(self, timeout: Duration) -> Self {
        self.set(|options| options.max_timeout(timeout))
    }

    /// See [`CallOptions::reset_on_progress`].
    pub fn reset_on_progress(self) -> Self {
        self.set(CallOptions::reset_on_progress)
    }

    /// See [`CallOptions::no_cache`].
    pub fn no_cache(self) -> Self {
        self.set(CallOptions::no_cache)
    }

    /// See [`CallOptions::retry_idempotent`].
    pub fn retry_idempotent(self) -> Self {
        self.set(CallOptions::retry_idempotent)
    }

    /// See [`CallOptions::max_rounds`].
    pub fn max_rounds(self, rounds: usize) -> Self {
        self.set(|options| options.max_rounds(rounds))
    }

    /// See [`CallOptions::meta`].
    pub fn meta(self, name: impl Into<String>, value: impl Into<JsonValue>) -> Self {
        self.set(|options| options.meta(name, value))
    }

    /// See [`CallOptions::on_progress`].
    pub fn on_progress(self, f: impl Fn(ProgressUpdate) + Send + Sync + 'static) -> Self {
        self.set(|options| options.on_progress(f))
    }

    /// See [`CallOptions::on_task`].
    pub fn on_task(self, f: impl Fn(&Task) + Send + Sync + 'static) -> Self {
        self.set(|options| options.on_task(f))
    }

    /// See [`CallOptions::on_warning`].
    pub fn on_warning(self, f: impl Fn(&ResponseWarning) + Send + Sync + 'static) -> Self {
        self.set(|options| options.on_warning(f))
    }

    /// See [`CallOptions::on_log`].
    #[deprecated(
        note = "SEP-2577 deprecates logging over MCP; it may be removed from 2027-07-28 on. Use OpenTelemetry."
    )]
    #[allow(deprecated)]
    pub fn on_log(
        self,
        level: LoggingLevel,
        f: impl Fn(LogMessage) + Send + Sync + 'static,
    ) -> Self {
        self.set(|options| options.on_log(level, f))
    }
}

impl Request<CallToolResult> {
    /// Asks for the value of the tool's result instead of the result: `structuredContent` as `T`,
    /// else the text as JSON, or as it stands if `T` is a string. A tool that failed is
    /// [`ClientError::Tool`].
    pub fn typed<T: DeserializeOwned + Send + 'static>(self) -> Request<ToolValue<T>> {
        let Self {
            client,
            ask,
            round,
            options,
            answer: _,
        } = self;
        Request {
            client,
            ask,
            round,
            options,
            answer: PhantomData,
        }
    }
}

impl<A: FromResult> Request<A> {
    /// Sends one request and stops at its answer, even if that asks for input or promises a result:
    /// for hosts that put questions to people in their own time, or keep the names of tasks. The
    /// capabilities have to be declared with
    /// [`ClientBuilder::capabilities`](crate::ClientBuilder::capabilities) and
    /// [`ClientBuilder::tasks`](crate::ClientBuilder::tasks).
    ///
    /// # Errors
    /// As for awaiting the request.
    pub async fn once(self) -> Result<RoundOutcome<A>, ClientError> {
        let Self {
            client,
            ask,
            round,
            options,
            answer: _,
        } = self;
        let mut ask = ask?;
        match client
            .answer_once(&mut ask, round.as_ref(), &options)
            .await?
        {
            Answered::Complete { result, cached } => {
                read::<A>(&client, &ask.method, &result, cached, &options).map(RoundOutcome::Done)
            }
            Answered::Task(task) => Ok(RoundOutcome::Task(Box::new(client.taken(
                *task,
                &options,
                ask.reached,
            )))),
            Answered::InputRequired(interim) => {
                let InterimResult { requests, state } = client.by_hand(interim)?;
                let again = Self {
                    client,
                    ask: Ok(ask),
                    round: None,
                    options,
                    answer: PhantomData,
                };
                Ok(RoundOutcome::InputRequired(Box::new(InputRequired {
                    requests,
                    state,
                    again,
                })))
            }
        }
    }

    /// Sends the request; its progress and log messages come as items before its result.
    pub fn stream(self) -> CallStream<A> {
        CallStream::new(self)
    }

    pub(crate) fn map_options(self, f: impl FnOnce(CallOptions) -> CallOptions) -> Self {
        self.set(f)
    }
}

impl<A: FromResult> IntoFuture for Request<A> {
    type Output = Result<A::Output, ClientError>;
    type IntoFuture = BoxFuture<Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let Self {
                client,
                ask,
                round,
                options,
                answer: _,
            } = self;
            let mut ask = ask?;
            let (result, cached) = client.answer(&mut ask, round, &options).await?;
            read::<A>(&client, &ask.method, &result, cached, &options)
        })
    }
}

/// How far one request has come.
#[derive(Debug)]
pub enum RoundOutcome<A: FromResult> {
    /// The result is complete.
    Done(A::Output),
    /// The server needs input before it can go on.
    InputRequired(Box<InputRequired<A>>),
    /// The server works on it, and the result comes later (Tasks extension). Only for clients that
    /// take tasks.
    Task(Box<TaskHandle>),
}

/// What the server asks for, and the way to answer it. The server keeps nothing meanwhile: an
/// answer may come minutes later, or never.
#[derive(Debug)]
pub struct InputRequired<A> {
    requests: InputRequests,
    state: Option<RawJson>,
    again: Request<A>,
}

impl<A: FromResult> InputRequired<A> {
    /// The inputs asked for, in the server's order. None at all means: ask again with what it has
    /// given back.
    #[must_use]
    pub fn requests(&self) -> &InputRequests {
        &self.requests
    }

    /// The next round: the same request, with these inputs and the server's state. Each input goes
    /// under the key of its request.
    pub fn answer(self, responses: impl Into<InputResponses>) -> Request<A> {
        let Self {
            requests: _,
            state,
            mut again,
        } = self;
        match RawJson::from_value(&responses.into()) {
            Ok(responses) => {
                let responses = Some(responses).filter(|responses| responses.as_str() != "{}");
                again.round = Some(RoundAnswer { responses, state });
            }
            Err(error) => again.ask = Err(ClientError::Request(format!("the inputs: {error}"))),
        }
        again
    }
}
