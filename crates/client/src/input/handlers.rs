//! The handlers that provide the input servers ask for.

use crate::ClientError;
use crate::error::InputError;
use carryall_proto::deprecated::DeprecatedFeature;
use carryall_proto::{BoxError, BoxFuture};
use carryall_types::{
    ClientCapabilities, CreateMessageRequestParams, CreateMessageResult, ElicitRequestFormParams,
    ElicitRequestParams, ElicitRequestURLParams, ElicitResult, InputRequest, ListRootsResult,
    RawJson,
};
use std::fmt;
use std::future::Future;
use std::sync::Arc;

/// What a handler may return: the input, or a `Result` with it.
///
/// An error fails the call in the client; the server is not told. A user who does not want to
/// answer is not an error, but an [`ElicitResult`] with the action `decline` or `cancel`.
pub trait IntoInput<T> {
    /// Returns the input.
    ///
    /// # Errors
    /// The error of the handler.
    fn into_input(self) -> Result<T, BoxError>;
}

macro_rules! into_input {
    ($($input:ty),*) => {$(
        impl IntoInput<$input> for $input {
            fn into_input(self) -> Result<$input, BoxError> {
                Ok(self)
            }
        }
        impl<E: Into<BoxError>> IntoInput<$input> for Result<$input, E> {
            fn into_input(self) -> Result<$input, BoxError> {
                self.map_err(Into::into)
            }
        }
    )*};
}

into_input!(ElicitResult, CreateMessageResult, ListRootsResult);

type InputHandler<P, R> = Arc<dyn Fn(P) -> BoxFuture<Result<R, BoxError>> + Send + Sync>;

/// The handlers of one client.
#[derive(Clone, Default)]
pub(crate) struct InputHandlers {
    pub(crate) form: Option<InputHandler<ElicitRequestFormParams, ElicitResult>>,
    pub(crate) url: Option<InputHandler<ElicitRequestURLParams, ElicitResult>>,
    pub(crate) sample: Option<InputHandler<CreateMessageRequestParams, CreateMessageResult>>,
    /// Whether the model of `sample` accepts tools.
    pub(crate) sample_with_tools: bool,
    pub(crate) roots: Option<InputHandler<(), ListRootsResult>>,
}

/// Erases the type of a handler.
pub(crate) fn erase<P, R, F, Fut>(f: F) -> InputHandler<P, R>
where
    F: Fn(P) -> Fut + Send + Sync + 'static,
    Fut: Future<Output: IntoInput<R>> + Send + 'static,
{
    Arc::new(move |params| {
        let input = f(params);
        Box::pin(async move { input.await.into_input() })
    })
}

impl InputHandlers {
    /// Adds the capabilities that the handlers implement (`client/elicitation#capabilities`,
    /// `client/sampling#capabilities`, `client/roots#capabilities`).
    pub(crate) fn declare(&self, capabilities: &mut ClientCapabilities) {
        if self.form.is_some() || self.url.is_some() {
            let elicitation = capabilities.elicitation.get_or_insert_default();
            if self.form.is_some() {
                elicitation.form.get_or_insert_default();
            }
            if self.url.is_some() {
                elicitation.url.get_or_insert_default();
            }
        }
        if self.sample.is_some() {
            let sampling = capabilities.sampling.get_or_insert_default();
            if self.sample_with_tools {
                sampling.tools.get_or_insert_default();
            }
        }
        if self.roots.is_some() {
            capabilities.roots.get_or_insert_default();
        }
    }

    /// Returns whether a handler is set for the request.
    pub(crate) fn can_handle(&self, request: &InputRequest) -> bool {
        match request {
            InputRequest::Elicit(ElicitRequestParams::Form(_)) => self.form.is_some(),
            InputRequest::Elicit(ElicitRequestParams::Url(_)) => self.url.is_some(),
            InputRequest::CreateMessage(params) => {
                self.sample.is_some() && (self.sample_with_tools || !params.uses_tools())
            }
            InputRequest::ListRoots(_) => self.roots.is_some(),
        }
    }

    /// Runs the handler of one input request and checks its input. The caller has checked that the
    /// capability is declared; a missing handler then means that it was declared for answering by
    /// hand.
    pub(crate) async fn provide(
        &self,
        key: &str,
        request: InputRequest,
    ) -> Result<RawJson, ClientError> {
        match request {
            InputRequest::Elicit(params) => {
                let result = self.elicit(key, params.clone()).await?;
                result
                    .check(&params)
                    .map_err(|reason| failed(key, reason.into()))?;
                encode(key, &result)
            }
            InputRequest::CreateMessage(params) => {
                let handler = require(self.sample.as_ref(), "sampling")?;
                warn_deprecated(DeprecatedFeature::Sampling);
                params.validate().map_err(|reason| {
                    failed(
                        key,
                        format!("the conversation is malformed: {reason}").into(),
                    )
                })?;
                let result = handler(*params).await.map_err(|cause| failed(key, cause))?;
                encode(key, &result)
            }
            InputRequest::ListRoots(_) => {
                let handler = require(self.roots.as_ref(), "roots")?;
                warn_deprecated(DeprecatedFeature::Roots);
                let roots = handler(()).await.map_err(|cause| failed(key, cause))?;
                roots.check().map_err(|reason| failed(key, reason.into()))?;
                encode(key, &roots)
            }
        }
    }

    async fn elicit(
        &self,
        key: &str,
        params: ElicitRequestParams,
    ) -> Result<ElicitResult, ClientError> {
        match params {
            ElicitRequestParams::Form(form) => {
                require(self.form.as_ref(), "elicitation.form")?(form).await
            }
            ElicitRequestParams::Url(url) => {
                let handler = require(self.url.as_ref(), "elicitation.url")?;
                // Users are never shown an address that is not a web address
                // (`client/elicitation#safe-url-handling`).
                url.check().map_err(|reason| failed(key, reason.into()))?;
                handler(url).await
            }
        }
        .map_err(|cause| failed(key, cause))
    }
}

/// Warns, once per process, that the server relies on a deprecated feature.
fn warn_deprecated(feature: DeprecatedFeature) {
    if feature.is_first_use() {
        tracing::warn!("the server asks for input: {}", feature.notice());
    }
}

fn require<'a, T>(handler: Option<&'a T>, capability: &str) -> Result<&'a T, ClientError> {
    let undeclared = || InputError::Undeclared {
        capability: capability.into(),
    };
    handler.ok_or_else(|| undeclared().into())
}

fn encode<T: serde::Serialize>(key: &str, input: &T) -> Result<RawJson, ClientError> {
    RawJson::from_value(input).map_err(|error| failed(key, error.into()))
}

fn failed(key: &str, cause: BoxError) -> ClientError {
    let error = InputError::Handler {
        key: key.into(),
        cause: Arc::new(cause),
    };
    error.into()
}

impl fmt::Debug for InputHandlers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InputHandlers")
            .field("form", &self.form.is_some())
            .field("url", &self.url.is_some())
            .field("sample", &self.sample.is_some())
            .field("roots", &self.roots.is_some())
            .finish()
    }
}
