//! A call to what answers it.

use crate::completion::{self, CompletionKey, Of};
use crate::core::{Core, Place};
use crate::ctx::{Ctx, missing_capabilities};
use crate::output::{Failure, Refusal, ToolError, ToolOutput};
use crate::prompt::PromptArguments;
use crate::running::{Running, ServerFuture};
use crate::tool::ToolEntry;
use crate::uri::{Variables, is_uri};
use carryall_proto::json::{Scanner, ValueKind};
use carryall_proto::listen::honoured;
use carryall_proto::{Call, Outcome, Reply, Response, SharedService};
use carryall_types::{
    CompleteRequestParams, CompleteResult, CompletionReference, ErrorObject, InputRequiredResult, Method, RawJson,
    RequestId, SubscriptionsListenRequestParams, code,
};
use serde::de::DeserializeOwned;
use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tower_service::Service;

/// Answers one call.
pub(crate) fn answer(core: &Arc<Core>, call: Call) -> ServerFuture {
    let id = call.id.clone();
    begin(core, call).unwrap_or_else(|error| ServerFuture::ready(Response::error(id, error)))
}

fn begin(core: &Arc<Core>, call: Call) -> Result<ServerFuture, ErrorObject> {
    let features = **core.features.load();
    let offered = match call.method {
        Method::ServerDiscover | Method::SubscriptionsListen => true,
        Method::ToolsList | Method::ToolsCall => features.tools,
        Method::PromptsList | Method::PromptsGet => features.prompts,
        Method::ResourcesList | Method::ResourcesTemplatesList | Method::ResourcesRead => features.resources,
        Method::CompletionComplete => features.completions,
        Method::Other(_) => false,
    };
    if !offered {
        return Err(ErrorObject::method_not_found(call.method.as_str()));
    }
    match call.method {
        Method::ToolsCall => call_tool(core, call),
        Method::ServerDiscover => Ok(done(call.id.clone(), RawJson::clone(&core.discover.load()))),
        Method::ToolsList | Method::PromptsList | Method::ResourcesList | Method::ResourcesTemplatesList => {
            list(core, call)
        }
        Method::ResourcesRead => read_resource(core, call),
        Method::PromptsGet => get_prompt(core, call),
        Method::CompletionComplete => complete(core, call),
        Method::SubscriptionsListen => listen(core, &call).map(ServerFuture::ready),
        Method::Other(_) => Err(ErrorObject::method_not_found(call.method.as_str())),
    }
}

fn done(id: RequestId, result: RawJson) -> ServerFuture {
    ServerFuture::ready(Response::result(id, result))
}

fn list(core: &Arc<Core>, call: Call) -> Result<ServerFuture, ErrorObject> {
    let cursor: Option<String> = optional(&call, "cursor")?;
    let (cursor, caller) = (cursor.as_deref(), call.principal.as_deref());
    let (settings, stamp) = (core.settings.lists, &core.stamp);
    let catalogue = core.catalogue.load();
    let page = match call.method {
        Method::ToolsList => catalogue.tools.page(&call.method, "tools", cursor, caller, settings, stamp),
        Method::PromptsList => catalogue.prompts.page(&call.method, "prompts", cursor, caller, settings, stamp),
        Method::ResourcesList => catalogue.resources.page(&call.method, "resources", cursor, caller, settings, stamp),
        _ => catalogue.templates.page(&call.method, "resourceTemplates", cursor, caller, settings, stamp),
    }?;
    Ok(done(call.id.clone(), page))
}

fn listen(core: &Arc<Core>, call: &Call) -> Result<Reply, ErrorObject> {
    let params: SubscriptionsListenRequestParams = decode(call)?;
    let capabilities = core.capabilities(**core.features.load());
    let filter = honoured(&params.notifications, &capabilities, core.settings.max_resource_subscriptions);
    Ok(core.hub.open(call.id.clone(), filter, core.settings.max_listeners))
}

fn call_tool(core: &Arc<Core>, call: Call) -> Result<ServerFuture, ErrorObject> {
    let name = string_param(&call, "name")?;
    let catalogue = core.catalogue.load();
    let unknown = || ErrorObject::invalid_params(format!("Unknown tool: {name}"));
    let entry = catalogue.tools.get(&name, call.principal.as_deref()).ok_or_else(unknown)?;
    let entry = Arc::clone(entry);
    drop(catalogue);
    let arguments = arguments(&call)?;
    if let (Some(headers), false) = (&call.headers, entry.headers.is_empty()) {
        let values = arguments.decode().map_err(|error| ErrorObject::invalid_params(error.to_string()))?;
        entry.headers.check(headers, &values).map_err(|mismatch| mismatch.to_error())?;
    }
    let place = core.enter().ok_or_else(busy)?;
    let task = ToolTask { core: Arc::clone(core), entry: Arc::clone(&entry), place: Arc::new(place) };
    if entry.tool.layers.is_empty() {
        return Ok(task.run(call, arguments));
    }
    let id = call.id.clone();
    let innermost = SharedService::new(task);
    let service = entry.tool.layers.iter().fold(innermost, |inner, layer| layer(inner));
    Ok(ServerFuture::layered(service.answer(call), id))
}

/// One call of one tool; a service, so that layers can be put around it.
#[derive(Clone)]
struct ToolTask {
    core: Arc<Core>,
    entry: Arc<ToolEntry>,
    place: Arc<Place>,
}

impl ToolTask {
    fn run(self, call: Call, arguments: RawJson) -> ServerFuture {
        let Self { core, entry, place } = self;
        if let Some(wait) = entry.tool.rate.as_ref().and_then(|rate| rate.admit(Instant::now()).err()) {
            let message = format!("Too many calls of this tool; try again in {} ms", wait.as_millis() + 1);
            return ServerFuture::ready(Response { id: call.id.clone(), outcome: failed(&core, message) });
        }
        if let Err(violations) = entry.input.check(&arguments) {
            let message = format!("Invalid arguments: {violations}");
            return ServerFuture::ready(Response { id: call.id.clone(), outcome: failed(&core, message) });
        }
        let limit = entry.tool.timeout.or(core.settings.timeout);
        let ctx = Ctx::new(call, Arc::clone(&core));
        let handler_ctx = ctx.clone();
        let handler = Box::pin(async move {
            let result = entry.run(handler_ctx.clone(), arguments).await;
            drop(place);
            match result {
                Ok(output) => rendered(core.stamp.tool_output(&output)),
                Err(ToolError(refusal)) => refused(&handler_ctx, refusal),
            }
        });
        ServerFuture::running(Running::new(handler, ctx, limit, tool_timed_out))
    }
}

impl Service<Call> for ToolTask {
    type Response = Reply;
    type Error = Infallible;
    type Future = ServerFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call) -> ServerFuture {
        let id = call.id.clone();
        match arguments(&call) {
            Ok(arguments) => self.clone().run(call, arguments),
            Err(error) => ServerFuture::ready(Response::error(id, error)),
        }
    }
}

fn get_prompt(core: &Arc<Core>, call: Call) -> Result<ServerFuture, ErrorObject> {
    let name = string_param(&call, "name")?;
    let catalogue = core.catalogue.load();
    let unknown = || ErrorObject::invalid_params(format!("Unknown prompt: {name}"));
    let entry = Arc::clone(catalogue.prompts.get(&name, call.principal.as_deref()).ok_or_else(unknown)?);
    let arguments = PromptArguments::parse(call.params.get("arguments")).map_err(as_error)?;
    entry.check(&arguments).map_err(as_error)?;
    Ok(run(core, call, move |ctx| async move {
        let mut result = (entry.prompt.handler)(ctx.clone(), arguments).await?;
        let meta = result.meta.take();
        Ok(ctx.core().stamp.result("complete", &result, meta.as_ref())?)
    })?)
}

fn read_resource(core: &Arc<Core>, call: Call) -> Result<ServerFuture, ErrorObject> {
    let uri = string_param(&call, "uri")?;
    let not_found = || as_error(Failure::resource_not_found(&uri));
    if !is_uri(&uri) {
        return Err(not_found());
    }
    let catalogue = core.catalogue.load();
    let caller = call.principal.as_deref();
    let exact = catalogue.resources.get(&uri, caller).map(|entry| (Arc::clone(entry), Variables::default()));
    let by_template = || {
        catalogue.templates.iter().filter(|entry| entry.resource.access.allows(caller)).find_map(|entry| {
            let variables = entry.template.as_ref()?.matches(&uri)?;
            Some((Arc::clone(entry), variables))
        })
    };
    let (entry, variables) = exact.or_else(by_template).ok_or_else(not_found)?;
    Ok(run(core, call, move |ctx| async move {
        let contents = (entry.resource.handler)(ctx.clone(), variables).await?;
        let contents = contents.resolve(&uri, entry.mime_type.as_deref());
        let mut result = carryall_types::ReadResourceResult::new(contents);
        result.ttl_ms = entry.resource.cache.ttl_ms;
        result.cache_scope = entry.resource.cache.scope;
        if entry.resource.access.is_restricted() {
            result.cache_scope = carryall_types::CacheScope::Private;
        }
        Ok(ctx.core().stamp.result("complete", &result, None)?)
    })?)
}

fn complete(core: &Arc<Core>, call: Call) -> Result<ServerFuture, ErrorObject> {
    let params: CompleteRequestParams = decode(&call)?;
    let caller = call.principal.as_deref();
    let catalogue = core.catalogue.load();
    let of = match &params.reference {
        CompletionReference::Prompt(prompt) => {
            let unknown = || ErrorObject::invalid_params(format!("Unknown prompt: {}", prompt.name));
            catalogue.prompts.get(&prompt.name, caller).ok_or_else(unknown)?;
            Of::Prompt(prompt.name.clone())
        }
        CompletionReference::Resource(resource) => {
            let unknown = || ErrorObject::invalid_params(format!("Unknown resource template: {}", resource.uri));
            let known = catalogue.templates.get(&resource.uri, caller).or(catalogue.resources.get(&resource.uri, caller));
            known.ok_or_else(unknown)?;
            Of::Template(resource.uri.clone())
        }
    };
    let key = CompletionKey { of, argument: params.argument.name.clone() };
    let handler = catalogue.completions.get(&key).cloned();
    let typed = completion::typed(&params);
    run(core, call, move |ctx| async move {
        let suggestions = match handler {
            Some(handler) => handler(ctx.clone(), typed).await?,
            None => Default::default(),
        };
        let result = CompleteResult::new(suggestions.into_completion());
        Ok(ctx.core().stamp.result("complete", &result, None)?)
    })
}

/// Runs a handler that has no way of its own to say that it failed.
fn run<F, Fut>(core: &Arc<Core>, call: Call, handler: F) -> Result<ServerFuture, ErrorObject>
where
    F: FnOnce(Ctx) -> Fut,
    Fut: Future<Output = Result<RawJson, Failure>> + Send + 'static,
{
    let place = core.enter().ok_or_else(busy)?;
    let ctx = Ctx::new(call, Arc::clone(core));
    let result = handler(ctx.clone());
    let handler_ctx = ctx.clone();
    let handler = Box::pin(async move {
        let result = result.await;
        drop(place);
        match result {
            Ok(result) => Outcome::Result(result),
            Err(Failure(refusal)) => refused(&handler_ctx, refusal),
        }
    });
    Ok(ServerFuture::running(Running::new(handler, ctx, core.settings.timeout, timed_out)))
}

fn rendered(result: Result<RawJson, carryall_proto::json::WriteError>) -> Outcome {
    match result {
        Ok(result) => Outcome::Result(result),
        Err(error) => {
            tracing::error!(%error, "a result cannot be written as JSON");
            Outcome::Error(ErrorObject::internal())
        }
    }
}

fn failed(core: &Core, message: String) -> Outcome {
    rendered(core.stamp.tool_output(&ToolOutput::text(message).failed()))
}

fn refused(ctx: &Ctx, refusal: Refusal) -> Outcome {
    match refusal {
        Refusal::Tool(output) => rendered(ctx.core().stamp.tool_output(&output)),
        Refusal::Protocol(error) if carryall_proto::wire::may_emit(error.code) => Outcome::Error(error),
        Refusal::Protocol(error) => {
            tracing::error!(code = error.code, "a handler used an error code that the specification reserves");
            Outcome::Error(ErrorObject::new(code::INTERNAL_ERROR, error.message))
        }
        Refusal::InputRequired(result) => input_required(ctx, *result),
    }
}

/// Asks the client, within what it has declared (`basic/patterns/mrtr#server-requirements-basic-workflow`).
fn input_required(ctx: &Ctx, mut result: InputRequiredResult) -> Outcome {
    if !ctx.call().method.allows_rounds() {
        tracing::error!(method = %ctx.call().method, "this method cannot ask the client");
        return Outcome::Error(ErrorObject::internal());
    }
    let declared = ctx.client_capabilities();
    let requests = result.input_requests.iter().flat_map(|requests| requests.iter());
    let missing: Vec<_> =
        requests.filter_map(|(_, request)| request.required_capability().missing_from(declared)).collect();
    if !missing.is_empty() {
        return Outcome::Error(missing_capabilities(&missing));
    }
    if result.input_requests.is_none() && result.request_state.is_none() {
        tracing::error!("an input_required result needs inputRequests or requestState");
        return Outcome::Error(ErrorObject::internal());
    }
    let meta = result.meta.take();
    rendered(ctx.core().stamp.result("input_required", &result, meta.as_ref()))
}

fn tool_timed_out(ctx: &Ctx, limit: Duration) -> Outcome {
    failed(ctx.core(), format!("The tool did not finish within {limit:?}"))
}

fn timed_out(_: &Ctx, limit: Duration) -> Outcome {
    Outcome::Error(ErrorObject::new(code::INTERNAL_ERROR, format!("Not finished within {limit:?}")))
}

fn busy() -> ErrorObject {
    ErrorObject::new(code::INTERNAL_ERROR, "The server is at its limit of running calls; try again later")
}

fn as_error(failure: Failure) -> ErrorObject {
    match failure.0 {
        Refusal::Protocol(error) => error,
        _ => ErrorObject::internal(),
    }
}

fn arguments(call: &Call) -> Result<RawJson, ErrorObject> {
    let Some(arguments) = call.params.get("arguments") else { return Ok(RawJson::EMPTY_OBJECT) };
    match Scanner::new(arguments.as_str()).kind() {
        Ok(ValueKind::Object) => Ok(arguments),
        _ => Err(ErrorObject::invalid_params("Invalid params: \"arguments\" must be an object")),
    }
}

fn string_param(call: &Call, name: &str) -> Result<String, ErrorObject> {
    optional(call, name)?.ok_or_else(|| ErrorObject::invalid_params(format!("Invalid params: {name:?} is missing")))
}

fn optional<T: DeserializeOwned>(call: &Call, name: &str) -> Result<Option<T>, ErrorObject> {
    let Some(text) = call.params.get_str(name) else { return Ok(None) };
    serde_json::from_str(text)
        .map_err(|error| ErrorObject::invalid_params(format!("Invalid params: {name:?}: {error}")))
}

fn decode<T: DeserializeOwned>(call: &Call) -> Result<T, ErrorObject> {
    call.params.raw().decode().map_err(|error| ErrorObject::invalid_params(format!("Invalid params: {error}")))
}
