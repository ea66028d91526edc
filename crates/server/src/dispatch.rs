//! A call to what answers it.

pub(crate) mod handler_future;
pub(crate) mod outcome;

use crate::call::ctx::{Ctx, missing_capabilities};
use crate::call::errors::{self, busy};
use crate::call::handler_error::{ErrorKind, HandlerError};
use crate::catalogue::completion::{self, CompletionKey, CompletionTarget};
use crate::catalogue::content;
use crate::catalogue::prompt::PromptArguments;
use crate::catalogue::tool_entry::ToolEntry;
use crate::catalogue::uri::is_uri;
use crate::core::{Core, Permit};
use crate::dispatch::handler_future::{Running, ServerFuture, Work, guarded};
use crate::tasks::{self, TaskSupport};
use carryall_proto::json::{Scanner, ValueKind, WriteError};
use carryall_proto::listen::honoured;
use carryall_proto::{Call, Reply, Response, SharedService};
use carryall_types::{
    CompleteRequestParams, CompleteResult, CompletionReference, ErrorObject, Method, RawJson,
    RequestId, SubscriptionsListenRequestParams,
};
use serde::de::DeserializeOwned;
use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;
use tower_service::Service;

/// The longest URI that can be subscribed to. A longer one is left out of the acknowledgement.
const MAX_SUBSCRIBED_URI_BYTES: usize = 8 * 1024;

/// RoundAnswers one call.
pub(crate) fn answer(core: &Arc<Core>, call: Call) -> ServerFuture {
    let id = call.id.clone();
    let begun = guarded(|| begin(core, call)).unwrap_or_else(Err);
    begun.unwrap_or_else(|error| ServerFuture::ready(Response::error(id, error)))
}

fn begin(core: &Arc<Core>, call: Call) -> Result<ServerFuture, ErrorObject> {
    if call.method == Method::ServerDiscover {
        return Ok(done(call.id.clone(), RawJson::clone(&core.discover.load())));
    }
    core.start();
    let features = **core.features.load();
    let offered = match call.method {
        Method::ServerDiscover | Method::SubscriptionsListen => true,
        Method::ToolsList | Method::ToolsCall => features.tools,
        Method::PromptsList | Method::PromptsGet => features.prompts,
        Method::ResourcesList | Method::ResourcesTemplatesList | Method::ResourcesRead => {
            features.resources
        }
        Method::CompletionComplete => features.completions,
        Method::Other(_) => core.tasks.is_some(),
    };
    if !offered {
        return Err(errors::method_not_found(call.method.as_str()));
    }
    match call.method {
        Method::ToolsCall => call_tool(core, call),
        Method::ToolsList
        | Method::PromptsList
        | Method::ResourcesList
        | Method::ResourcesTemplatesList => list(core, call),
        Method::ResourcesRead => read_resource(core, call),
        Method::PromptsGet => get_prompt(core, call),
        Method::CompletionComplete => complete(core, call),
        Method::SubscriptionsListen => listen(core, call),
        Method::ServerDiscover | Method::Other(_) => of_tasks(core, call),
    }
}

fn done(id: RequestId, result: RawJson) -> ServerFuture {
    ServerFuture::ready(Response::result(id, result))
}

fn list(core: &Arc<Core>, call: Call) -> Result<ServerFuture, ErrorObject> {
    let cursor: Option<String> = optional(&call, "cursor")?;
    let (cursor, caller) = (cursor.as_deref(), call.principal.as_deref());
    let sealer = Some(&core.sealer).filter(|sealer| !sealer.keys().is_ephemeral());
    let (settings, stamp) = (core.settings.lists, (&*core.stamp, sealer));
    core.notice_unused_authorization(&call);
    let catalogue = core.catalogue.load();
    let page = match call.method {
        Method::ToolsList => {
            catalogue
                .tools
                .page(&call.method, "tools", cursor, caller, settings, stamp)
        }
        Method::PromptsList => {
            catalogue
                .prompts
                .page(&call.method, "prompts", cursor, caller, settings, stamp)
        }
        Method::ResourcesList => {
            catalogue
                .resources
                .page(&call.method, "resources", cursor, caller, settings, stamp)
        }
        _ => catalogue.templates.page(
            &call.method,
            "resourceTemplates",
            cursor,
            caller,
            settings,
            stamp,
        ),
    }?;
    Ok(done(call.id.clone(), page))
}

fn of_tasks(core: &Arc<Core>, call: Call) -> Result<ServerFuture, ErrorObject> {
    let unknown = || errors::method_not_found(call.method.as_str());
    let outcome = core
        .tasks
        .as_ref()
        .ok_or_else(unknown)?
        .answer(core, &call)?;
    let id = call.id.clone();
    Ok(ServerFuture::layered(
        Box::pin(async move { Ok(tasks::respond(&call, outcome.await).into()) }),
        id,
    ))
}

fn listen(core: &Arc<Core>, call: Call) -> Result<ServerFuture, ErrorObject> {
    let params: SubscriptionsListenRequestParams = decode(&call)?;
    let capabilities = core.capabilities(**core.features.load());
    let mut filter = honoured(
        &params.notifications,
        &capabilities,
        core.settings.max_resource_subscriptions,
    );
    if let Some(uris) = &mut filter.resource_subscriptions {
        let catalogue = core.catalogue.load();
        uris.retain(|uri| {
            uri.len() <= MAX_SUBSCRIBED_URI_BYTES
                && catalogue.may_know(uri, call.principal.as_deref())
        });
    }
    let Some(tasks) = core
        .tasks
        .as_ref()
        .filter(|_| !params.notifications.tasks().is_empty())
    else {
        return Ok(ServerFuture::ready(core.hub.open(&call, filter)));
    };
    if !tasks::is_declared(call.meta.client_capabilities()) {
        return Err(missing_capabilities(&[tasks::required()]));
    }
    let (core, tasks, id) = (Arc::clone(core), Arc::clone(tasks), call.id.clone());
    let opened = async move {
        let (wanted, limit) = (
            params.notifications.tasks(),
            core.settings.max_resource_subscriptions,
        );
        let ids = tasks
            .listenable(wanted, call.principal.as_deref(), limit)
            .await;
        filter.task_ids = Some(ids.clone());
        let reply = core.hub.open(&call, filter);
        // What has changed since the client last asked.
        tasks.tell(&core, ids, true).await;
        Ok(reply)
    };
    Ok(ServerFuture::layered(Box::pin(opened), id))
}

fn call_tool(core: &Arc<Core>, call: Call) -> Result<ServerFuture, ErrorObject> {
    let name = string_param(&call, "name")?;
    let catalogue = core.catalogue.load();
    let unknown = || {
        core.notice_unused_authorization(&call);
        errors::unknown("tool", &name)
    };
    let entry = catalogue
        .tools
        .get(&name, call.principal.as_deref())
        .ok_or_else(unknown)?;
    let entry = Arc::clone(entry);
    drop(catalogue);
    let arguments = arguments(&call)?;
    if let (Some(headers), false) = (&call.headers, entry.headers.is_empty()) {
        let values = arguments.decode().map_err(errors::invalid_params)?;
        entry
            .headers
            .check(headers, &values)
            .map_err(|mismatch| mismatch.to_error())?;
    }
    let place = core.enter().ok_or_else(busy)?;
    if entry.tool.layers.is_empty() {
        return Ok(run_tool(core, entry, place, call, arguments));
    }
    let task = ToolService {
        core: Arc::clone(core),
        entry: Arc::clone(&entry),
        place: Arc::new(place),
    };
    let id = call.id.clone();
    let innermost = SharedService::new(task);
    let service = entry
        .tool
        .layers
        .iter()
        .fold(innermost, |inner, layer| layer(inner));
    Ok(ServerFuture::layered(service.answer(call), id))
}

/// One call of one tool; a service, so that layers can be put around it.
#[derive(Clone)]
struct ToolService {
    core: Arc<Core>,
    entry: Arc<ToolEntry>,
    place: Arc<Permit>,
}

impl ToolService {
    fn run(self, call: Call, arguments: RawJson) -> ServerFuture {
        match Arc::try_unwrap(self.place) {
            Ok(place) => run_tool(&self.core, self.entry, place, call, arguments),
            // A layer kept a clone and calls it again: that is one more running handler.
            Err(_) => match self.core.enter() {
                Some(place) => run_tool(&self.core, self.entry, place, call, arguments),
                None => ServerFuture::ready(Response::error(call.id.clone(), busy())),
            },
        }
    }
}

fn run_tool(
    core: &Arc<Core>,
    entry: Arc<ToolEntry>,
    place: Permit,
    call: Call,
    arguments: RawJson,
) -> ServerFuture {
    let refused = |message: String| {
        let outcome = outcome::tool_failed(core, message);
        ServerFuture::ready(Response {
            id: call.id.clone(),
            outcome,
        })
    };
    if let Some(wait) = entry
        .tool
        .rate
        .as_ref()
        .and_then(|rate| rate.admit(Instant::now()).err())
    {
        return refused(format!(
            "Too many calls of this tool; try again in {} ms",
            wait.as_millis() + 1
        ));
    }
    if let Err(violations) = entry.input.check(&arguments) {
        return refused(format!("Invalid arguments: {violations}"));
    }
    let limit = entry.tool.timeout.or(core.settings.timeout);
    let ctx = Ctx::new(call, Arc::clone(core));
    let mut handler = (entry.tool.handler)(ctx.clone(), arguments);
    if let (Some(tasks), true) = (&core.tasks, entry.tool.task != TaskSupport::Never) {
        handler = tasks::as_task(tasks, &ctx, &entry, handler);
    }
    ServerFuture::running(Running::new(Work::Tool(handler, entry), ctx, place, limit))
}

impl Service<Call> for ToolService {
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
    let unknown = || {
        core.notice_unused_authorization(&call);
        errors::unknown("prompt", &name)
    };
    let entry = Arc::clone(
        catalogue
            .prompts
            .get(&name, call.principal.as_deref())
            .ok_or_else(unknown)?,
    );
    let arguments = PromptArguments::parse(given_arguments(&call)).map_err(as_error)?;
    entry.check(&arguments).map_err(as_error)?;
    run(core, call, move |ctx| async move {
        let mut result = (entry.prompt.handler)(ctx.clone(), arguments).await?;
        content::complete(
            result
                .messages
                .iter_mut()
                .map(|message| &mut message.content),
        )
        .map_err(malformed)?;
        let meta = result.meta.take();
        rendered(ctx.core().stamp.result("complete", &result, meta.as_ref()))
    })
}

fn read_resource(core: &Arc<Core>, call: Call) -> Result<ServerFuture, ErrorObject> {
    let uri = string_param(&call, "uri")?;
    let not_found = || {
        core.notice_unused_authorization(&call);
        as_error(HandlerError::resource_not_found(&uri))
    };
    if !is_uri(&uri) {
        return Err(not_found());
    }
    let catalogue = core.catalogue.load();
    let caller = call.principal.as_deref();
    let found = catalogue
        .resource_at(&uri)
        .filter(|(entry, _)| entry.resource.access.allows(caller));
    let (entry, variables) = found.ok_or_else(not_found)?;
    run(core, call, move |ctx| async move {
        let contents = (entry.resource.handler)(ctx.clone(), variables).await?;
        let contents = contents.resolve(&uri, entry.mime_type.as_deref());
        content::check_contents(&contents).map_err(malformed)?;
        let mut result = carryall_types::ReadResourceResult::new(contents);
        result.ttl_ms = entry.resource.cache.ttl_ms;
        result.cache_scope = entry.resource.cache.scope;
        if entry.resource.access.is_restricted() {
            result.cache_scope = carryall_types::CacheScope::Private;
        }
        rendered(ctx.core().stamp.result("complete", &result, None))
    })
}

fn complete(core: &Arc<Core>, call: Call) -> Result<ServerFuture, ErrorObject> {
    let params: CompleteRequestParams = decode(&call)?;
    let caller = call.principal.as_deref();
    let catalogue = core.catalogue.load();
    let argument = &params.argument.name;
    let (of, declared) = match &params.reference {
        CompletionReference::Prompt(prompt) => {
            let unknown = || errors::unknown("prompt", &prompt.name);
            let entry = catalogue
                .prompts
                .get(&prompt.name, caller)
                .ok_or_else(unknown)?;
            (
                CompletionTarget::Prompt(prompt.name.clone()),
                entry.has_argument(argument),
            )
        }
        CompletionReference::Resource(resource) => {
            let unknown = || errors::unknown("resource template", &resource.uri);
            let known = catalogue
                .templates
                .get(&resource.uri, caller)
                .or(catalogue.resources.get(&resource.uri, caller));
            (
                CompletionTarget::Template(resource.uri.clone()),
                known.ok_or_else(unknown)?.has_variable(argument),
            )
        }
    };
    let key = CompletionKey {
        of,
        argument: argument.clone(),
    };
    let handler = catalogue.completions.get(&key).cloned();
    if handler.is_none() && !declared {
        return Err(errors::unknown("argument", argument));
    }
    core.settings
        .completion_rate
        .admit(Instant::now())
        .map_err(|wait| errors::too_often("completions", wait))?;
    let typed = completion::typed(&params);
    run(core, call, move |ctx| async move {
        let suggestions = match handler {
            Some(handler) => handler(ctx.clone(), typed).await?,
            None => Default::default(),
        };
        let result = CompleteResult::new(suggestions.into_completion());
        rendered(ctx.core().stamp.result("complete", &result, None))
    })
}

/// Runs a handler that has no way of its own to say that it failed.
fn run<F, Fut>(core: &Arc<Core>, call: Call, handler: F) -> Result<ServerFuture, ErrorObject>
where
    F: FnOnce(Ctx) -> Fut,
    Fut: Future<Output = Result<RawJson, HandlerError>> + Send + 'static,
{
    let place = core.enter().ok_or_else(busy)?;
    let ctx = Ctx::new(call, Arc::clone(core));
    let work = Work::Other(Box::pin(handler(ctx.clone())));
    Ok(ServerFuture::running(Running::new(
        work,
        ctx,
        place,
        core.settings.timeout,
    )))
}

fn rendered(result: Result<RawJson, WriteError>) -> Result<RawJson, HandlerError> {
    result.map_err(HandlerError::internal)
}

fn malformed(why: &'static str) -> HandlerError {
    tracing::error!(why, "the content that a handler returned is malformed");
    HandlerError::protocol(ErrorObject::internal())
}

fn as_error(failure: HandlerError) -> ErrorObject {
    match failure.0 {
        ErrorKind::Protocol(error) => error,
        _ => ErrorObject::internal(),
    }
}

/// The arguments of a call. Some clients write `null` where there are none, though the schema
/// leaves the member out.
fn arguments(call: &Call) -> Result<RawJson, ErrorObject> {
    let Some(arguments) = given_arguments(call) else {
        return Ok(RawJson::EMPTY_OBJECT);
    };
    match Scanner::new(arguments.as_str()).kind() {
        Ok(ValueKind::Object) => Ok(arguments),
        _ => Err(ErrorObject::invalid_params(
            "Invalid params: \"arguments\" must be an object",
        )),
    }
}

pub(crate) fn given_arguments(call: &Call) -> Option<RawJson> {
    call.params
        .get("arguments")
        .filter(|arguments| arguments.as_str() != "null")
}

fn string_param(call: &Call, name: &str) -> Result<String, ErrorObject> {
    match (call.params.string(name), call.params.get_str(name)) {
        (Some(text), _) => Ok(text.into_owned()),
        (None, None) => Err(ErrorObject::invalid_params(format!(
            "Invalid params: {name:?} is missing"
        ))),
        (None, Some(_)) => Err(ErrorObject::invalid_params(format!(
            "Invalid params: {name:?} has to be a string"
        ))),
    }
}

fn optional<T: DeserializeOwned>(call: &Call, name: &str) -> Result<Option<T>, ErrorObject> {
    let Some(text) = call.params.get_str(name) else {
        return Ok(None);
    };
    carryall_types::decode_text(text)
        .map_err(|error| errors::invalid_params(format!("{name:?}: {error}")))
}

fn decode<T: DeserializeOwned>(call: &Call) -> Result<T, ErrorObject> {
    call.params.raw().decode().map_err(errors::invalid_params)
}
