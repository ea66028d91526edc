//! Tools that run as tasks (Tasks extension).

use crate::rounds::accepted_content;
use carryall::server::{ServerBuilder, TaskOptions, TaskSupport, Tool};
use carryall::types::{ElicitRequestFormParams, ErrorObject, RequestedSchema, code};
use carryall::{Ctx, HandlerError, tool};
use std::time::Duration;
use tokio::time::sleep;

pub(crate) fn add(builder: ServerBuilder) -> ServerBuilder {
    builder
        .tasks(TaskOptions::default().poll_interval(Duration::from_millis(200)))
        // The suite calls whichever tool is listed first, without arguments.
        .tool(Tool::new("a_plain_tool", async || "Plainly").description("Answers at once"))
        .tool(greet)
        .tool(
            slow_compute()
                .as_task(TaskSupport::WhenPossible)
                .resumable(),
        )
        .tool(
            Tool::new("failing_job", fails)
                .description("Fails after a moment, always as a task")
                .as_task(TaskSupport::Always),
        )
        .tool(
            Tool::new("protocol_error_job", protocol_error)
                .description("Ends with a protocol error")
                .as_task(TaskSupport::WhenPossible),
        )
        .tool(confirm_delete().as_task(TaskSupport::Always).resumable())
        .tool(
            Tool::new("multi_input", ask_two_questions)
                .description("Asks two questions at once")
                .as_task(TaskSupport::Always),
        )
        .tool(
            Tool::new("test_tool_with_task", ask_then_run_as_task)
                .description("Asks in a round, then continues as a task")
                .as_task(TaskSupport::OnDemand),
        )
}

/// Greets a person
#[tool]
async fn greet(
    /// Whom to greet
    name: String,
) -> String {
    format!("Hello, {name}!")
}

/// Computes slowly
#[tool]
async fn slow_compute(
    /// How long it takes, in seconds
    seconds: f64,
    /// Name of the result
    #[arg(default = "unnamed".to_owned())]
    label: String,
) -> String {
    sleep(Duration::from_secs_f64(seconds.clamp(0.0, 3600.0))).await;
    format!("Computed {label} in {seconds} s")
}

async fn fails() -> Result<&'static str, HandlerError> {
    sleep(Duration::from_secs(1)).await;
    Err(HandlerError::new("The job failed, as it always does"))
}

async fn protocol_error() -> Result<&'static str, HandlerError> {
    Err(HandlerError::protocol(ErrorObject::new(
        code::INTERNAL_ERROR,
        "The job broke the protocol",
    )))
}

/// Deletes a file if the user confirms it
#[tool]
async fn confirm_delete(
    ctx: Ctx,
    /// The file to delete
    filename: String,
) -> Result<String, HandlerError> {
    let schema = RequestedSchema::new()
        .boolean("confirm", |field| field.with_description("Really?"))
        .required();
    let answer = accepted_content(
        ctx.ask(ElicitRequestFormParams::new(
            format!("Delete {filename}?"),
            schema,
        ))
        .await?,
    )?;
    Ok(
        match answer.get("confirm").and_then(|confirm| confirm.as_bool()) {
            Some(true) => format!("Deleted {filename}"),
            _ => format!("Kept {filename}"),
        },
    )
}

async fn ask_two_questions(ctx: Ctx) -> Result<String, HandlerError> {
    let schema = |name: &str| RequestedSchema::new().string(name, |field| field);
    let name = ElicitRequestFormParams::new("What is your name?", schema("name"));
    let colour = ElicitRequestFormParams::new("Which colour do you like?", schema("colour"));
    let (name, colour) = ctx.ask((name, colour)).await?;
    Ok(format!(
        "Got {:?} and {:?}",
        accepted_content(name)?,
        accepted_content(colour)?
    ))
}

async fn ask_then_run_as_task(ctx: Ctx) -> Result<String, HandlerError> {
    let schema = RequestedSchema::new()
        .string("name", |field| field.with_description("Your name"))
        .required();
    let answer = accepted_content(
        ctx.ask_as(
            "user_name",
            ElicitRequestFormParams::new("What is your name?", schema),
        )
        .await?,
    )?;
    ctx.become_task().await?;
    sleep(Duration::from_millis(200)).await;
    Ok(format!(
        "Hello, {}!",
        answer
            .get("name")
            .and_then(|name| name.as_str())
            .unwrap_or_default()
    ))
}
