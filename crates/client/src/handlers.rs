//! Who provides the inputs that servers ask for.

use crate::ClientError;
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

/// What a handler may return: the input itself, or a result with it.
///
/// An error fails the call on this side, without telling the server. A user who does not want to
/// answer is not an error: that is an [`ElicitResult`] with the action `decline` or `cancel`.
pub trait IntoInput<T> {
    /// The input, or why there is none.
    ///
    /// # Errors
    /// What the handler reported.
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

type Handler<P, R> = Arc<dyn Fn(P) -> BoxFuture<Result<R, BoxError>> + Send + Sync>;

/// The handlers of one client.
#[derive(Clone, Default)]
pub(crate) struct Handlers {
    pub(crate) form: Option<Handler<ElicitRequestFormParams, ElicitResult>>,
    pub(crate) url: Option<Handler<ElicitRequestURLParams, ElicitResult>>,
    /// Whether the model behind `sample` can be given tools.
    pub(crate) sample_with_tools: bool,
    pub(crate) sample: Option<Handler<CreateMessageRequestParams, CreateMessageResult>>,
    pub(crate) roots: Option<Handler<(), ListRootsResult>>,
}

/// Erases the types of a handler.
pub(crate) fn handler<P, R, F, Fut>(f: F) -> Handler<P, R>
where
    F: Fn(P) -> Fut + Send + Sync + 'static,
    Fut: Future<Output: IntoInput<R>> + Send + 'static,
{
    Arc::new(move |params| {
        let answer = f(params);
        Box::pin(async move { answer.await.into_input() })
    })
}

impl Handlers {
    /// Declares what the handlers can do, and no more (`client/elicitation#capabilities`,
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

    /// Provides one input. What has been declared is checked before; a handler that is missing
    /// nevertheless means that the capability was declared for answering by hand.
    pub(crate) async fn provide(
        &self,
        key: &str,
        request: InputRequest,
    ) -> Result<RawJson, ClientError> {
        match request {
            InputRequest::Elicit(question) => {
                let answer = self.elicit(key, question.clone()).await?;
                answer
                    .check(&question)
                    .map_err(|why| failed(key, why.into()))?;
                encode(key, &answer)
            }
            InputRequest::CreateMessage(params) => {
                let handler = known(self.sample.as_ref(), "sampling")?;
                notice(DeprecatedFeature::Sampling);
                params.validate().map_err(|why| {
                    failed(key, format!("the conversation is malformed: {why}").into())
                })?;
                encode(
                    key,
                    &handler(*params).await.map_err(|cause| failed(key, cause))?,
                )
            }
            InputRequest::ListRoots(_) => {
                let handler = known(self.roots.as_ref(), "roots")?;
                notice(DeprecatedFeature::Roots);
                let roots = handler(()).await.map_err(|cause| failed(key, cause))?;
                roots.check().map_err(|why| failed(key, why.into()))?;
                encode(key, &roots)
            }
        }
    }

    async fn elicit(
        &self,
        key: &str,
        question: ElicitRequestParams,
    ) -> Result<ElicitResult, ClientError> {
        match question {
            ElicitRequestParams::Form(form) => {
                known(self.form.as_ref(), "elicitation.form")?(form).await
            }
            ElicitRequestParams::Url(url) => {
                let handler = known(self.url.as_ref(), "elicitation.url")?;
                // Nobody is ever shown an address that is not a web address
                // (`client/elicitation#safe-url-handling`).
                url.check().map_err(|why| failed(key, why.into()))?;
                handler(url).await
            }
        }
        .map_err(|cause| failed(key, cause))
    }
}

/// Tells whoever runs the client, once, that the server relies on what may go (`deprecated`).
fn notice(feature: DeprecatedFeature) {
    if feature.is_first_use() {
        tracing::warn!("the server asks for input: {}", feature.notice());
    }
}

fn known<'a, T>(handler: Option<&'a T>, capability: &str) -> Result<&'a T, ClientError> {
    handler.ok_or_else(|| ClientError::Unsupported {
        capability: capability.into(),
    })
}

fn encode<T: serde::Serialize>(key: &str, answer: &T) -> Result<RawJson, ClientError> {
    RawJson::from_value(answer).map_err(|error| failed(key, error.into()))
}

fn failed(key: &str, cause: BoxError) -> ClientError {
    ClientError::Input {
        key: key.into(),
        cause: Arc::new(cause),
    }
}

impl fmt::Debug for Handlers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handlers")
            .field("form", &self.form.is_some())
            .field("url", &self.url.is_some())
            .field("sample", &self.sample.is_some())
            .field("roots", &self.roots.is_some())
            .finish()
    }
}
