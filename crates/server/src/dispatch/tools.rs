//! `tools/call`.

use super::concurrency::Permit;
use super::handler_future::{HandlerFuture, PendingHandler, ServerFuture};
use super::{Dispatcher, params};
use crate::call::ctx::Ctx;
use crate::call::errors;
use crate::catalogue::tool::ToolArguments;
use crate::catalogue::tool_entry::ToolEntry;
use crate::outcome;
use crate::tasks::options::TaskSupport;
use crate::tasks::promote::{PromotableHandler, with_task_support};
use carryall_proto::{Call, Reply, Response, SharedService};
use carryall_types::{ErrorObject, RawJson};
use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;
use tower_service::Service;

impl Dispatcher {
    pub(super) fn call_tool(self: &Arc<Self>, call: Call) -> Result<ServerFuture, ErrorObject> {
        let name = params::string(&call, "name")?;
        let catalogue = self.catalogue.current();
        let unknown = || {
            self.check_credentials(&call);
            errors::unknown("tool", &name)
        };
        let entry = catalogue
            .tools
            .get(&name, call.principal())
            .ok_or_else(unknown)?;
        let entry = Arc::clone(entry);
        drop(catalogue);
        let arguments = params::arguments(&call)?;
        if let (Some(headers), false) = (call.headers(), entry.headers.is_empty()) {
            let values = arguments.decode().map_err(errors::invalid_params)?;
            entry
                .headers
                .check(headers, &values)
                .map_err(|mismatch| mismatch.to_error())?;
        }
        let permit = self.acquire()?;
        if entry.tool.layers.is_empty() {
            return Ok(self.run_tool(entry, permit, call, arguments));
        }
        let innermost = SharedService::new(ToolService {
            dispatcher: Arc::clone(self),
            entry: Arc::clone(&entry),
            permit: Arc::new(permit),
        });
        let layers = entry.tool.layers.iter();
        let service = layers.fold(innermost, |inner, layer| layer(inner));
        let id = call.id().clone();
        Ok(ServerFuture::layered(service.answer(call), id))
    }

    fn run_tool(
        &self,
        entry: Arc<ToolEntry>,
        permit: Permit,
        call: Call,
        arguments: RawJson,
    ) -> ServerFuture {
        let refused = |message: String| {
            ServerFuture::ready(Response {
                id: call.id().clone(),
                outcome: outcome::tool_failed(&self.environment.results, message),
            })
        };
        if let Some(rate) = &entry.tool.rate
            && let Err(wait) = rate.admit(Instant::now())
        {
            return refused(format!(
                "Too many calls of this tool; try again in {} ms",
                wait.as_millis() + 1
            ));
        }
        if let Err(violations) = entry.input.check(&arguments) {
            return refused(format!("Invalid arguments: {violations}"));
        }
        let limit = entry.tool.timeout.or(self.limits.handler_timeout);
        let ctx = Ctx::new(call, Arc::clone(&self.environment));
        let handler = entry
            .tool
            .handler
            .call(ctx.clone(), ToolArguments(arguments));
        let handler = match &self.tasks {
            Some(tasks) if entry.tool.task != TaskSupport::Never => {
                match with_task_support(tasks, &ctx, &entry, handler) {
                    PromotableHandler::Plain(handler) => PendingHandler::Tool(handler, entry),
                    PromotableHandler::Promotable(handler) => {
                        PendingHandler::PromotableTool(handler, entry)
                    }
                }
            }
            _ => PendingHandler::Tool(handler, entry),
        };
        ServerFuture::handler(HandlerFuture::new(handler, ctx, permit, limit))
    }
}

/// One call of one tool, as a service that layers can wrap.
#[derive(Clone)]
struct ToolService {
    dispatcher: Arc<Dispatcher>,
    entry: Arc<ToolEntry>,
    permit: Arc<Permit>,
}

impl ToolService {
    fn run(self, call: Call, arguments: RawJson) -> ServerFuture {
        let permit = match Arc::try_unwrap(self.permit) {
            Ok(permit) => Ok(permit),
            // A layer that keeps a clone may call it again, which runs one more handler.
            Err(_) => self.dispatcher.acquire(),
        };
        match permit {
            Ok(permit) => self
                .dispatcher
                .run_tool(self.entry, permit, call, arguments),
            Err(error) => ServerFuture::ready(Response::error(call.id().clone(), error)),
        }
    }
}

impl Service<Call> for ToolService {
    type Response = Reply;
    type Error = Infallible;
    type Future = ServerFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call) -> ServerFuture {
        let id = call.id().clone();
        match params::arguments(&call) {
            Ok(arguments) => self.clone().run(call, arguments),
            Err(error) => ServerFuture::ready(Response::error(id, error)),
        }
    }
}
