//! Tools that need input of the user, the model or the client before they can finish
//! (`basic/patterns/mrtr`).
//!
//! The first round asks. The second one has the same arguments and the answer. The server keeps
//! nothing in between, so it may go to any replica.

// Sampling and roots are deprecated, and part of the protocol.
#![allow(deprecated)]

use carryall::server::{ElicitOutcome, Form, ServerBuilder, Tool, ToolOutput};
use carryall::types::{CreateMessageRequestParams, ListRootsRequestParams, Role, SamplingMessage};
use carryall::{Ctx, HandlerError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Maximum length of the model's answer.
const MAX_TOKENS: u64 = 200;

pub(super) fn add(builder: ServerBuilder) -> ServerBuilder {
    builder
        .tool(
            Tool::new("book_table", book_table)
                .title("Book a table")
                .description("Asks the user for the date and the number of guests; books nothing")
                .destructive(false),
        )
        .tool(
            Tool::new("ask_model", ask_model)
                .title("Ask the model")
                .description("Passes a question to the model of the client (sampling)")
                .read_only(true),
        )
        .tool(
            Tool::new("show_roots", show_roots)
                .title("Show the roots")
                .description("Asks the client for its roots, the directories that it works in")
                .read_only(true),
        )
}

#[derive(Deserialize, JsonSchema)]
struct BookTableArgs {
    /// Name of the restaurant
    restaurant: String,
}

/// The form that the user fills in.
#[derive(Deserialize, JsonSchema)]
struct BookingForm {
    /// The day, as YYYY-MM-DD
    #[schemars(title = "Date", extend("format" = "date"))]
    date: String,
    #[schemars(title = "Guests", range(min = 1, max = 12), extend("default" = 2))]
    guests: u8,
    #[schemars(title = "Where")]
    #[serde(default)]
    seat: Seat,
    #[schemars(title = "Vegetarian menu")]
    #[serde(default)]
    vegetarian: bool,
}

#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Seat {
    #[default]
    Inside,
    Outside,
}

async fn book_table(
    ctx: Ctx,
    BookTableArgs { restaurant }: BookTableArgs,
) -> Result<ToolOutput, HandlerError> {
    let question = Form::<BookingForm>::new(format!(
        "When and for how many shall {restaurant} expect you?"
    ));
    let details = match ctx.ask_as("details", question).await? {
        ElicitOutcome::Accepted(details) => details,
        ElicitOutcome::Declined => {
            return Ok(ToolOutput::text("Nothing was booked: the user declined."));
        }
        ElicitOutcome::Cancelled => {
            return Ok(ToolOutput::text("Nothing was booked: the user cancelled."));
        }
    };
    let seat = match details.seat {
        Seat::Inside => "inside",
        Seat::Outside => "outside",
    };
    let menu = if details.vegetarian {
        ", vegetarian"
    } else {
        ""
    };
    let BookingForm { guests, date, .. } = details;
    Ok(ToolOutput::text(format!(
        "A table for {guests} at {restaurant} on {date}, {seat}{menu}."
    )))
}

#[derive(Deserialize, JsonSchema)]
struct AskModelArgs {
    /// Question to ask
    question: String,
}

async fn ask_model(ctx: Ctx, args: AskModelArgs) -> Result<ToolOutput, HandlerError> {
    let message = SamplingMessage::new(Role::User, args.question);
    let reply = ctx
        .ask(CreateMessageRequestParams::new(vec![message], MAX_TOKENS))
        .await?;
    Ok(ToolOutput::text(format!(
        "The model says: {}",
        reply.content.text()
    )))
}

async fn show_roots(ctx: Ctx) -> Result<ToolOutput, HandlerError> {
    let roots = ctx.ask(ListRootsRequestParams::new()).await?;
    let uris: Vec<&str> = roots.iter().map(|root| root.uri.as_str()).collect();
    Ok(ToolOutput::text(if uris.is_empty() {
        "There are no roots.".to_owned()
    } else {
        uris.join(", ")
    }))
}
