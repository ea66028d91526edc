//! Turns what a handler returned into the outcome of its call. Failures are logged here.

use crate::call::ctx::Ctx;
use crate::call::error_policy::FailedCall;
use crate::call::handler_error::{Disclosure, ErrorKind, HandlerError, text_of};
use crate::call::result_writer::ResultWriter;
use crate::call::tool_output::ToolOutput;
use crate::catalogue::tool_entry::ToolEntry;
use crate::random;
use crate::state::rounds::may_ask;
use carryall_proto::{Outcome, Printable};
use carryall_types::{ErrorObject, InputRequiredResult, Method, RawJson, Task, code};
use std::error::Error;
use std::fmt;
use std::time::Duration;

/// The most causes of an error that are logged.
const MAX_CAUSES: usize = 16;

/// The outcome of a tool call, with its output checked against the tool's output schema.
pub(crate) fn of_tool(
    ctx: &Ctx,
    entry: &ToolEntry,
    output: Result<ToolOutput, HandlerError>,
) -> Outcome {
    match output.and_then(|output| entry.validate_output(output)) {
        Ok(output) => {
            if output.is_error {
                log_deliberate(ctx, || text_of(&output).to_owned());
            }
            rendered(ctx.environment().results.tool_output(&output))
        }
        Err(error) => failed(ctx, error),
    }
}

/// The outcome of a call that has become a task (`tasks#task-creation`).
pub(crate) fn of_promoted_call(ctx: &Ctx, task: &Task) -> Outcome {
    rendered(ctx.environment().results.result("task", task, None))
}

/// The outcome of a prompt, a resource or a completion.
pub(crate) fn of_other(ctx: &Ctx, result: Result<RawJson, HandlerError>) -> Outcome {
    match result {
        Ok(result) => Outcome::Result(result),
        Err(error) => failed(ctx, error),
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

/// The outcome of a tool that failed with this message.
pub(crate) fn tool_failed(results: &ResultWriter, message: String) -> Outcome {
    rendered(results.tool_output(&ToolOutput::text(message).failed()))
}

fn failed(ctx: &Ctx, error: HandlerError) -> Outcome {
    if let ErrorKind::Shown { .. } | ErrorKind::Protocol(_) = &error.0 {
        log_deliberate(ctx, || error.to_string());
    }
    let is_tool = *ctx.call().method() == Method::ToolsCall;
    match error.0 {
        ErrorKind::Shown { output, .. } if is_tool => {
            rendered(ctx.environment().results.tool_output(&output))
        }
        ErrorKind::Shown { output, code } => {
            Outcome::Error(ErrorObject::new(code, text_of(&output)))
        }
        ErrorKind::Failed { error, disclosure } => {
            let (disclosure, reference) = decide(ctx, &*error, disclosure);
            let message = match (disclosure, reference) {
                (Disclosure::Message, _) => error.to_string(),
                (Disclosure::Text(text), _) => text,
                (Disclosure::Generic | Disclosure::Reference, reference) if is_tool => {
                    with_reference("The tool failed", reference)
                }
                (Disclosure::Generic | Disclosure::Reference, reference) => {
                    with_reference(INTERNAL_ERROR, reference)
                }
            };
            if is_tool {
                tool_failed(&ctx.environment().results, message)
            } else {
                Outcome::Error(ErrorObject::new(code::INTERNAL_ERROR, message))
            }
        }
        ErrorKind::Internal(error) => {
            let (_, reference) = decide(ctx, &*error, None);
            let message = with_reference(INTERNAL_ERROR, reference);
            Outcome::Error(ErrorObject::new(code::INTERNAL_ERROR, message))
        }
        ErrorKind::Protocol(error) if carryall_proto::wire::may_emit(error.code) => {
            Outcome::Error(error)
        }
        ErrorKind::Protocol(error) => {
            tracing::error!(
                code = error.code,
                "a handler used an error code that the specification reserves"
            );
            Outcome::Error(ErrorObject::new(code::INTERNAL_ERROR, error.message))
        }
        ErrorKind::InputRequired(_) if ctx.task().is_some() => {
            tracing::error!("a handler returned input_required in a task; use Ctx::ask");
            Outcome::Error(ErrorObject::internal())
        }
        ErrorKind::InputRequired(result) => input_required(ctx, *result),
    }
}

const INTERNAL_ERROR: &str = "Internal error";

fn with_reference(message: &str, reference: Option<String>) -> String {
    match reference {
        Some(reference) => format!("{message} (reference {reference})"),
        None => message.to_owned(),
    }
}

/// Logs an error with its causes, and returns how much of it the client is told, and under which
/// reference the log has it.
fn decide(
    ctx: &Ctx,
    error: &(dyn Error + Send + Sync + 'static),
    disclosure: Option<Disclosure>,
) -> (Disclosure, Option<String>) {
    let call = ctx.call();
    let name = call.log_name().unwrap_or_default();
    let action = ctx.environment().errors.decide(&FailedCall {
        error,
        method: call.method(),
        name: &name,
        principal: call.principal(),
    });
    let disclosure = disclosure.unwrap_or(action.disclosure);
    let reference = (disclosure == Disclosure::Reference).then(|| {
        // Without random bytes the reference is of no use, but the error stays masked.
        let bytes = random::bytes::<6>().unwrap_or_default();
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    });
    if let Some(level) = action.level {
        log_error(level, ctx, &name, reference.as_deref(), error);
    }
    (disclosure, reference)
}

fn log_error(
    level: tracing::Level,
    ctx: &Ctx,
    name: &str,
    reference: Option<&str>,
    error: &(dyn Error + 'static),
) {
    // The level of an event is part of its static data.
    macro_rules! log_at {
        ($($level:ident)*) => {
            match level {
                $(tracing::Level::$level => tracing::event!(
                    tracing::Level::$level,
                    method = ctx.call().method().as_str(),
                    name = %Printable(name),
                    reference,
                    error = %OneLine(error),
                    "handler failed"
                ),)*
            }
        };
    }
    log_at!(ERROR WARN INFO DEBUG TRACE);
}

/// Logs the message of a deliberate error.
fn log_deliberate(ctx: &Ctx, text: impl FnOnce() -> String) {
    if tracing::enabled!(tracing::Level::DEBUG) {
        let ((method, name), text) = (method_and_name(ctx), text());
        tracing::debug!(method, name = %Printable(&name), error = %Printable(&text), "handler returned an error");
    }
}

/// The method of the call, and the entry that it names.
fn method_and_name(ctx: &Ctx) -> (&str, String) {
    (
        ctx.call().method().as_str(),
        ctx.call().log_name().unwrap_or_default().into_owned(),
    )
}

/// An error with its causes on one line.
struct OneLine<'a>(&'a (dyn Error + 'static));

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let causes = std::iter::successors(Some(self.0), |error: &&dyn Error| (*error).source())
            .take(MAX_CAUSES);
        let mut before = String::new();
        for (at, error) in causes.enumerate() {
            let text = error.to_string();
            // Some errors contain the message of their source.
            if at > 0 && before.ends_with(&text) {
                continue;
            }
            let between = if at > 0 { ": " } else { "" };
            write!(f, "{between}{}", Printable(&text))?;
            before = text;
        }
        Ok(())
    }
}

/// The outcome that asks the client questions
/// (`basic/patterns/mrtr#server-requirements-basic-workflow`).
fn input_required(ctx: &Ctx, mut result: InputRequiredResult) -> Outcome {
    if !ctx.call().method().allows_rounds() {
        tracing::error!(method = %ctx.call().method(), "a handler asks the client, and its method does not allow that");
        return Outcome::Error(ErrorObject::internal());
    }
    // A client would retry an empty set of questions at once, again and again.
    result
        .input_requests
        .take_if(|requests| requests.is_empty());
    if let Some(Err(missing)) = result
        .input_requests
        .as_ref()
        .map(|requests| may_ask(ctx, requests))
    {
        return Outcome::Error(missing);
    }
    if result.input_requests.is_none() && result.request_state.is_none() {
        tracing::error!("a handler returned input_required without inputRequests and requestState");
        return Outcome::Error(ErrorObject::internal());
    }
    let meta = result.meta.take();
    rendered(
        ctx.environment()
            .results
            .result("input_required", &result, meta.as_ref()),
    )
}

pub(crate) fn tool_timed_out(ctx: &Ctx, limit: Duration) -> Outcome {
    log_timeout(ctx, limit);
    tool_failed(
        &ctx.environment().results,
        format!("The tool did not finish within {limit:?}"),
    )
}

pub(crate) fn timed_out(ctx: &Ctx, limit: Duration) -> Outcome {
    log_timeout(ctx, limit);
    Outcome::Error(ErrorObject::new(
        code::INTERNAL_ERROR,
        format!("Not finished within {limit:?}"),
    ))
}

fn log_timeout(ctx: &Ctx, limit: Duration) {
    let (method, name) = method_and_name(ctx);
    tracing::warn!(method, name = %Printable(&name), ?limit, "handler timed out");
}
