//! Tools that need the word of the user, of the model or of the client before they can finish (`basic/patterns/mrtr`).
//!
//! The first round asks, the second brings the answer along with the same arguments. Nothing is kept in between, so the
//! second may go to any replica.

// Sampling and roots are part of the tour for as long as they are part of the protocol.
#![allow(deprecated)]

use carryall::server::{ServerBuilder, Tool, ToolOutput};
use carryall::types::{
    CreateMessageRequestParams, CreateMessageResult, ElicitAction, ElicitRequestFormParams, ElicitResult, InputRequest,
    InputRequests, InputRequiredResult, ListRootsRequestParams, ListRootsResult, RequestedSchema, Role,
    SamplingMessage, SamplingMessageContentBlock, StringFormat,
};
use carryall::{Ctx, ToolError};
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

/// The keys of the questions.
const DETAILS: &str = "details";
const WORDS: &str = "words";
const ROOTS: &str = "roots";
/// How long the model's answer may become.
const MAX_TOKENS: u64 = 200;

pub(super) fn add(builder: ServerBuilder) -> ServerBuilder {
    builder
        .tool(
            Tool::new("book_table", book_table)
                .title("Book a table")
                .description("Asks the user when and for how many, then books nothing at all")
                .destructive(false),
        )
        .tool(
            Tool::new("ask_model", ask_model)
                .title("Ask the model")
                .description("Passes a question on to the model of the client (sampling)")
                .read_only(true),
        )
        .tool(
            Tool::without_arguments("show_roots", show_roots)
                .title("Show the roots")
                .description("Asks the client for its roots, the directories it works in")
                .read_only(true),
        )
}

/// The answer to the one question of a tool, or what asks it.
fn answer<A: DeserializeOwned>(ctx: &Ctx, key: &str, question: impl Into<InputRequest>) -> Result<A, ToolError> {
    let Some(answer) = ctx.input_responses()?.get_as::<A>(key) else {
        let question = question.into();
        ctx.require(&question.required_capability())?;
        let requests = InputRequests::new().with(key, question);
        return Err(ToolError::input_required(InputRequiredResult::new().with_input_requests(requests)));
    };
    answer.map_err(|error| ToolError::new(format!("The answer is malformed: {error}")))
}

#[derive(Deserialize, JsonSchema)]
struct Booking {
    /// Which restaurant
    restaurant: String,
}

async fn book_table(ctx: Ctx, args: Booking) -> Result<ToolOutput, ToolError> {
    let answer: ElicitResult = answer(&ctx, DETAILS, form(&args.restaurant))?;
    let content = match (answer.action, answer.content) {
        (ElicitAction::Accept, Some(content)) => content,
        (ElicitAction::Accept, None) => return Err(ToolError::new("The form came back empty.")),
        (ElicitAction::Decline, _) => return Ok(ToolOutput::text("Nothing was booked: the user declined.")),
        (ElicitAction::Cancel, _) => return Ok(ToolOutput::text("Nothing was booked: the user cancelled.")),
    };
    // Whatever the client has checked, the answer comes from outside.
    form(&args.restaurant)
        .requested_schema
        .check(&content)
        .map_err(|why| ToolError::new(format!("The answer does not fit: {why}")))?;
    let guests = content.get("guests").cloned().unwrap_or(json!(2));
    let date = content.get("date").and_then(|date| date.as_str()).unwrap_or("some day");
    let seat = content.get("seat").and_then(|seat| seat.as_str()).unwrap_or("inside");
    Ok(ToolOutput::text(format!("A table for {guests} at {} on {date}, {seat}.", args.restaurant)))
}

fn form(restaurant: &str) -> ElicitRequestFormParams {
    let schema = RequestedSchema::new()
        .string("date", |field| {
            field.with_title("Date").with_description("The day, as YYYY-MM-DD").with_format(StringFormat::Date)
        })
        .required()
        .integer("guests", |field| field.with_title("Guests").with_minimum(1.0).with_maximum(12.0).with_default(2.0))
        .required()
        .select("seat", ["inside", "outside"], |field| field.with_title("Where").with_default("inside"))
        .boolean("vegetarian", |field| field.with_title("Vegetarian menu").with_default(false));
    ElicitRequestFormParams::new(format!("When and for how many shall {restaurant} expect you?"), schema)
}

#[derive(Deserialize, JsonSchema)]
struct Question {
    /// What to ask
    question: String,
}

async fn ask_model(ctx: Ctx, args: Question) -> Result<ToolOutput, ToolError> {
    let asked = SamplingMessage::new(Role::User, SamplingMessageContentBlock::text(args.question));
    let said: CreateMessageResult = answer(&ctx, WORDS, CreateMessageRequestParams::new(vec![asked], MAX_TOKENS))?;
    Ok(ToolOutput::text(format!("The model says: {}", said.into_message().content.text())))
}

async fn show_roots(ctx: Ctx) -> Result<ToolOutput, ToolError> {
    let found: ListRootsResult = answer(&ctx, ROOTS, ListRootsRequestParams::new())?;
    let uris: Vec<&str> = found.roots.iter().map(|root| root.uri.as_str()).collect();
    Ok(ToolOutput::text(if uris.is_empty() { "There are no roots.".to_owned() } else { uris.join(", ") }))
}
