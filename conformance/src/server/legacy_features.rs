//! Tools for the scenarios of revision 2025-11-25. Written with the modern API: a legacy client gets
//! requests on its stream, a modern one a round.

use crate::rounds::{self, accepted_content};
use carryall::legacy::serve::StreamControl;
use carryall::server::{ServerBuilder, Tool};
use carryall::types::{
    ElicitRequestFormParams, JsonObject, LegacyTitledEnumSchema, LoggingLevel,
    PrimitiveSchemaDefinition, RequestedSchema, StringFormat,
};
use carryall::{Ctx, HandlerError, tool};
use serde_json::json;
use std::time::Duration;
use tokio::time::sleep;

pub(crate) fn add(builder: ServerBuilder) -> ServerBuilder {
    builder
        .tool(
            Tool::new("test_tool_with_logging", log_three_times)
                .description("Logs three times at info"),
        )
        .tool(test_sampling)
        .tool(test_elicitation)
        .tool(
            Tool::new("test_elicitation_sep1034_defaults", elicit_defaults)
                .description("Elicits a form with a default in every field"),
        )
        .tool(
            Tool::new("test_elicitation_sep1330_enums", elicit_enums)
                .description("Elicits every kind of enum field"),
        )
        .tool(
            Tool::new("test_reconnection", close_stream)
                .description("Closes its stream and answers on the next one"),
        )
}

// Logging and sampling are deprecated and still have to work (SEP-2577).
#[allow(deprecated)]
async fn log_three_times(ctx: Ctx) -> &'static str {
    let pause = || sleep(Duration::from_millis(50));
    ctx.log(LoggingLevel::Info, None, "Tool execution started")
        .await;
    pause().await;
    ctx.log(LoggingLevel::Info, None, "Tool processing data")
        .await;
    pause().await;
    ctx.log(LoggingLevel::Info, None, "Tool execution completed")
        .await;
    "Worked and logged"
}

/// Passes a prompt to the client's model
#[tool]
async fn test_sampling(
    ctx: Ctx,
    /// What to ask the model
    prompt: String,
) -> Result<String, HandlerError> {
    let result = ctx.ask(rounds::prompt(&prompt, 100)).await?;
    Ok(format!("LLM response: {}", result.content.text()))
}

/// Asks for a name and an address
#[tool]
async fn test_elicitation(
    ctx: Ctx,
    /// What to show to the user
    message: String,
) -> Result<String, HandlerError> {
    let schema = RequestedSchema::new()
        .string("username", |field| {
            field.with_description("User's response")
        })
        .required()
        .string("email", |field| {
            field
                .with_description("User's email address")
                .with_format(StringFormat::Email)
        })
        .required();
    elicit(&ctx, ElicitRequestFormParams::new(message, schema)).await
}

async fn elicit_defaults(ctx: Ctx) -> Result<String, HandlerError> {
    let schema = RequestedSchema::new()
        .string("name", |field| field.with_default("John Doe"))
        .integer("age", |field| field.with_default(30.0))
        .number("score", |field| field.with_default(95.5))
        .select("status", ["active", "inactive", "pending"], |field| {
            field.with_default("active")
        })
        .boolean("verified", |field| field.with_default(true));
    elicit(
        &ctx,
        ElicitRequestFormParams::new("Please check your profile", schema),
    )
    .await
}

async fn elicit_enums(ctx: Ctx) -> Result<String, HandlerError> {
    let options = ["option1", "option2", "option3"];
    let old = LegacyTitledEnumSchema::new(["opt1", "opt2", "opt3"].map(str::to_owned).to_vec())
        .with_enum_names(
            ["Option One", "Option Two", "Option Three"]
                .map(str::to_owned)
                .to_vec(),
        );
    let schema = RequestedSchema::new()
        .select("untitledSingle", options, |field| field)
        .select_titled(
            "titledSingle",
            [
                ("value1", "First Option"),
                ("value2", "Second Option"),
                ("value3", "Third Option"),
            ],
            |field| field,
        )
        .field("legacyEnum", PrimitiveSchemaDefinition::LegacyTitled(old))
        .multi_select("untitledMulti", options, |field| field)
        .multi_select_titled(
            "titledMulti",
            [
                ("value1", "First Choice"),
                ("value2", "Second Choice"),
                ("value3", "Third Choice"),
            ],
            |field| field,
        );
    elicit(&ctx, ElicitRequestFormParams::new("Please choose", schema)).await
}

/// Elicits a form and returns the text that the suite expects.
async fn elicit(ctx: &Ctx, form: ElicitRequestFormParams) -> Result<String, HandlerError> {
    let content: JsonObject = accepted_content(ctx.ask(form).await?)?;
    Ok(format!(
        "Elicitation completed: action=accept, content={}",
        json!(content)
    ))
}

/// Closes the stream of a legacy client, which then resumes it. A modern client has no such stream.
async fn close_stream(ctx: Ctx) -> &'static str {
    if let Some(stream) = ctx.extensions().get::<StreamControl>() {
        stream.pause().await;
    }
    sleep(Duration::from_millis(100)).await;
    "Reconnection test completed"
}
