//! A tool that needs the user's word before it can finish (`basic/patterns/mrtr`).
//!
//! The first round asks, the second brings the answer along with the same arguments. Nothing is kept in between, so the
//! second may go to any replica.

use carryall::server::{ServerBuilder, Tool, ToolOutput};
use carryall::types::{
    ElicitAction, ElicitRequestFormParams, ElicitResult, InputRequest, InputRequests, InputRequiredResult,
    RequestedSchema, StringFormat,
};
use carryall::{Ctx, ToolError};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

/// The key of the question.
const DETAILS: &str = "details";

pub(super) fn add(builder: ServerBuilder) -> ServerBuilder {
    builder.tool(
        Tool::new("book_table", book_table)
            .title("Book a table")
            .description("Asks the user when and for how many, then books nothing at all")
            .destructive(false),
    )
}

#[derive(Deserialize, JsonSchema)]
struct Booking {
    /// Which restaurant
    restaurant: String,
}

async fn book_table(ctx: Ctx, args: Booking) -> Result<ToolOutput, ToolError> {
    let question = question(&args.restaurant);
    let Some(answer) = ctx.input_responses()?.get_as::<ElicitResult>(DETAILS) else {
        ctx.require(&question.required_capability())?;
        let requests = InputRequests::new().with(DETAILS, question);
        return Err(ToolError::input_required(InputRequiredResult::new().with_input_requests(requests)));
    };
    let answer = answer.map_err(|error| ToolError::new(format!("The answer is malformed: {error}")))?;
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

fn question(restaurant: &str) -> InputRequest {
    form(restaurant).into()
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
