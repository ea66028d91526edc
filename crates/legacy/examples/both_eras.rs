//! A server on standard streams for clients of every revision. The tests call it in both ways.
#![allow(deprecated, reason = "logging is one of the things that are called")]

use carryall_legacy::serve::{LegacyOptions, lines};
use carryall_server::{Ctx, HandlerError, Resource, Server, Tool};
use carryall_transport::StdioServer;
use carryall_types::{
    ElicitRequestFormParams, InputRequest, InputRequests, InputRequiredResult, LoggingLevel,
    RequestedSchema,
};
use serde_json::Value;
use std::error::Error;

const NOTE: &str = "demo://note";

async fn name(ctx: Ctx) -> Result<String, HandlerError> {
    match ctx.input_responses()?.get_as::<Value>("name") {
        Some(answer) => Ok(answer
            .map_err(|error| HandlerError::new(error.to_string()))?
            .to_string()),
        None => {
            let form = ElicitRequestFormParams::new(
                "Your name?",
                RequestedSchema::new().string("name", |field| field),
            );
            let asked = InputRequests::new().with("name", InputRequest::from(form));
            Err(HandlerError::input_required(
                InputRequiredResult::new()
                    .with_input_requests(asked)
                    .with_request_state("kept"),
            ))
        }
    }
}

async fn steps(ctx: Ctx) -> &'static str {
    ctx.log(LoggingLevel::Info, None, "stepping").await;
    for step in 1..=3 {
        ctx.progress(step).of(3.0).await;
    }
    "stepped"
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let server = Server::new("both", "1")
        .with_logging()
        .instructions("Be kind.");
    let server = server
        .tool(Tool::new("hello", async || "hello"))
        .tool(Tool::new("name", name))
        .tool(Tool::new("steps", steps))
        .resource(Resource::new(NOTE, "note", async || "a note"))
        .build()?;
    let told = server.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            told.resource_updated(NOTE);
        }
    });
    StdioServer::take()?
        .fallback(lines(server.clone(), LegacyOptions::default().tasks(false)))
        .run(server)
        .await?;
    Ok(())
}
