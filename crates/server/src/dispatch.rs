//! Routes each [`Call`] by its method, and returns the future of its
//! [`Reply`](carryall_proto::Reply).

mod completions;
pub(crate) mod concurrency;
pub(crate) mod handler_future;
mod instances;
mod lists;
pub(crate) mod params;
mod prompts;
mod resources;
mod subscriptions;
mod tools;
mod unused_credentials;

use crate::call::catch_panic::catch_panic;
use crate::call::ctx::Ctx;
use crate::call::errors;
use crate::call::handler_error::HandlerError;
use crate::catalogue::rate_limit::RateLimit;
use crate::environment::Environment;
use crate::live_catalogue::LiveCatalogue;
use crate::state::sealer::Sealer;
use crate::tasks::engine::TaskEngine;
use carryall_proto::json::WriteError;
use carryall_proto::{Call, Response};
use carryall_types::{ErrorObject, Method, RawJson};
use concurrency::{ConcurrencyLimit, Permit};
use handler_future::{HandlerFuture, PendingHandler, ServerFuture};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use unused_credentials::UnusedCredentialsWarning;

/// Answers the calls of one server.
pub(crate) struct Dispatcher {
    pub(crate) environment: Arc<Environment>,
    pub(crate) catalogue: Arc<LiveCatalogue>,
    pub(crate) tasks: Option<Arc<TaskEngine>>,
    pub(crate) limits: DispatchLimits,
    unused_credentials: UnusedCredentialsWarning,
}

pub(crate) struct DispatchLimits {
    pub(crate) concurrency: Arc<ConcurrencyLimit>,
    pub(crate) handler_timeout: Option<Duration>,
    /// Maximum number of resources that one subscription may name.
    pub(crate) max_resource_subscriptions: usize,
    pub(crate) completion_rate: RateLimit,
}

impl Dispatcher {
    pub(crate) fn new(
        environment: Arc<Environment>,
        catalogue: Arc<LiveCatalogue>,
        tasks: Option<Arc<TaskEngine>>,
        limits: DispatchLimits,
    ) -> Self {
        Self {
            environment,
            catalogue,
            tasks,
            limits,
            unused_credentials: UnusedCredentialsWarning::default(),
        }
    }

    /// Answers one call. An error or a panic before the handler runs becomes an error response.
    pub(crate) fn answer(self: &Arc<Self>, call: Call) -> ServerFuture {
        let id = call.id().clone();
        let routed = catch_panic(|| self.route(call)).unwrap_or_else(Err);
        routed.unwrap_or_else(|error| ServerFuture::ready(Response::error(id, error)))
    }

    /// Returns the future that answers the call. A method of a feature that the server does not
    /// have is rejected as an unknown method.
    fn route(self: &Arc<Self>, call: Call) -> Result<ServerFuture, ErrorObject> {
        let features = self.catalogue.features();
        let is_offered = match call.method() {
            Method::ServerDiscover | Method::SubscriptionsListen => true,
            Method::ToolsList | Method::ToolsCall => features.tools,
            Method::PromptsList | Method::PromptsGet => features.prompts,
            Method::ResourcesList | Method::ResourcesTemplatesList | Method::ResourcesRead => {
                features.resources
            }
            Method::CompletionComplete => features.completions,
            // The Tasks extension has the only other methods.
            Method::Other(_) => self.tasks.is_some(),
        };
        if !is_offered {
            return Err(errors::method_not_found(call.method().as_str()));
        }
        match call.method() {
            Method::ServerDiscover => Ok(ServerFuture::ready(Response::result(
                call.id().clone(),
                self.catalogue.discovery(),
            ))),
            Method::ToolsCall => self.call_tool(call),
            Method::ToolsList
            | Method::PromptsList
            | Method::ResourcesList
            | Method::ResourcesTemplatesList => self.list(call),
            Method::ResourcesRead => self.read_resource(call),
            Method::PromptsGet => self.get_prompt(call),
            Method::CompletionComplete => self.complete(call),
            Method::SubscriptionsListen => self.listen(call),
            Method::Other(_) => self.task_method(call),
        }
    }

    /// Answers a method of the Tasks extension.
    fn task_method(&self, call: Call) -> Result<ServerFuture, ErrorObject> {
        let Some(tasks) = &self.tasks else {
            return Err(errors::method_not_found(call.method().as_str()));
        };
        let (answer, id) = (tasks.answer(&call)?, call.id().clone());
        let reply = async move {
            Ok(match answer.await {
                Ok(result) => Response::result(call.id().clone(), result),
                Err(error) => Response::error(call.id().clone(), error),
            }
            .into())
        };
        Ok(ServerFuture::layered(Box::pin(reply), id))
    }

    /// Runs the handler of a prompt, a resource, a completion or a list of instances. Tools have
    /// their own path, because a tool call can become a task.
    fn run<F, Fut>(&self, call: Call, handler: F) -> Result<ServerFuture, ErrorObject>
    where
        F: FnOnce(Ctx) -> Fut,
        Fut: Future<Output = Result<RawJson, HandlerError>> + Send + 'static,
    {
        let permit = self.acquire()?;
        let ctx = Ctx::new(call, Arc::clone(&self.environment));
        let handler = PendingHandler::Other(Box::pin(handler(ctx.clone())));
        let limit = self.limits.handler_timeout;
        Ok(ServerFuture::handler(HandlerFuture::new(
            handler, ctx, permit, limit,
        )))
    }

    /// Takes a permit to run a handler. Fails if too many handlers are running.
    fn acquire(&self) -> Result<Permit, ErrorObject> {
        self.limits.concurrency.acquire().ok_or_else(errors::busy)
    }

    /// Warns the operator if an anonymous call carries credentials; see
    /// [`UnusedCredentialsWarning`].
    fn check_credentials(&self, call: &Call) {
        self.unused_credentials
            .check(call, || self.catalogue.current().is_restricted());
    }
}

/// Returns the sealer, unless its keys are ephemeral: then other replicas, and this server after a
/// restart, could not open what it seals.
fn usable_sealer(environment: &Environment) -> Option<&Sealer> {
    Some(&environment.sealer).filter(|sealer| !sealer.keys().is_ephemeral())
}

/// Reports a result that cannot be serialized as an internal error of the handler.
fn map_write_error(result: Result<RawJson, WriteError>) -> Result<RawJson, HandlerError> {
    result.map_err(HandlerError::internal)
}

/// Logs that a handler returned content that violates the protocol, and returns the error that the
/// client receives.
fn malformed_content(why: &'static str) -> HandlerError {
    tracing::error!(why, "a handler returned malformed content");
    HandlerError::protocol(ErrorObject::internal())
}
