//! What a handler returned, or did not, to the outcome of its call.

use crate::core::Core;
use crate::ctx::{Ctx, missing_capabilities};
use crate::output::{Failure, Refusal, ToolError, ToolOutput};
use crate::tool_entry::ToolEntry;
use carryall_proto::Outcome;
use carryall_proto::deprecated::Feature;
use carryall_types::{ErrorObject, InputRequest, InputRequests, InputRequiredResult, RawJson, code};
use std::time::Duration;

/// A tool's output, held against its output schema.
pub(crate) fn tool(ctx: &Ctx, entry: &ToolEntry, output: Result<ToolOutput, ToolError>) -> Outcome {
    match output.and_then(|output| entry.conforming(output)) {
        Ok(output) => rendered(ctx.core().stamp.tool_output(&output)),
        Err(ToolError(refusal)) => refused(ctx, refusal),
    }
}

/// The result of a prompt, a resource or a completion.
pub(crate) fn other(ctx: &Ctx, result: Result<RawJson, Failure>) -> Outcome {
    match result {
        Ok(result) => Outcome::Result(result),
        Err(Failure(refusal)) => refused(ctx, refusal),
    }
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

/// The tool failed with this message.
pub(crate) fn tool_failed(core: &Core, message: String) -> Outcome {
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
        Refusal::InputRequired(_) if ctx.task().is_some() => {
            tracing::error!("a task asks with Ctx::ask, and cannot end with a question");
            Outcome::Error(ErrorObject::internal())
        }
        Refusal::InputRequired(result) => input_required(ctx, *result),
        Refusal::Task(task) => rendered(ctx.core().stamp.result("task", &*task, None)),
    }
}

/// Whether the client can be asked all of this: it has declared what that takes
/// (`basic/patterns/mrtr#server-requirements-basic-workflow`).
pub(crate) fn may_ask(ctx: &Ctx, requests: &InputRequests) -> Result<(), ErrorObject> {
    let declared = ctx.client_capabilities();
    let missing = requests.iter().filter_map(|(_, request)| request.required_capability().missing_from(declared));
    let missing: Vec<_> = missing.collect();
    if !missing.is_empty() {
        return Err(missing_capabilities(&missing));
    }
    requests.iter().for_each(|(_, request)| notice_deprecated(request));
    Ok(())
}

/// Asks the client, within what it has declared (`basic/patterns/mrtr#server-requirements-basic-workflow`).
fn input_required(ctx: &Ctx, mut result: InputRequiredResult) -> Outcome {
    if !ctx.call().method.allows_rounds() {
        tracing::error!(method = %ctx.call().method, "this method cannot ask the client");
        return Outcome::Error(ErrorObject::internal());
    }
    // Nothing to bring is nothing to ask: the client would come back at once, again and again.
    result.input_requests.take_if(|requests| requests.is_empty());
    if let Some(Err(missing)) = result.input_requests.as_ref().map(|requests| may_ask(ctx, requests)) {
        return Outcome::Error(missing);
    }
    if result.input_requests.is_none() && result.request_state.is_none() {
        tracing::error!("an input_required result needs inputRequests or requestState");
        return Outcome::Error(ErrorObject::internal());
    }
    let meta = result.meta.take();
    rendered(ctx.core().stamp.result("input_required", &result, meta.as_ref()))
}

/// Tells whoever runs the server, once, that it relies on what may go (`deprecated`).
fn notice_deprecated(request: &InputRequest) {
    let feature = match request {
        InputRequest::Elicit(_) => return,
        InputRequest::CreateMessage(_) => Feature::Sampling,
        InputRequest::ListRoots(_) => Feature::Roots,
    };
    if feature.is_first_use() {
        tracing::warn!("a handler asks the client for input: {}", feature.notice());
    }
}

pub(crate) fn tool_timed_out(ctx: &Ctx, limit: Duration) -> Outcome {
    tool_failed(ctx.core(), format!("The tool did not finish within {limit:?}"))
}

pub(crate) fn timed_out(limit: Duration) -> Outcome {
    Outcome::Error(ErrorObject::new(code::INTERNAL_ERROR, format!("Not finished within {limit:?}")))
}
