//! Tools without rounds: every kind of content, an error, progress, logging, a header parameter and a
//! required client capability.

use crate::media;
use carryall::server::{ServerBuilder, Tool, ToolOutput};
use carryall::types::{
    ClientCapabilities, ContentBlock, JsonObject, LoggingLevel, ResourceContents,
    SamplingCapability,
};
use carryall::{Ctx, HandlerError};
use serde_json::json;
use std::time::Duration;
use tokio::time::sleep;

pub(crate) fn add(builder: ServerBuilder) -> ServerBuilder {
    builder
        .tool(by_region())
        .tool(Tool::new("test_simple_text", simple_text).description("Returns text"))
        .tool(Tool::new("test_image_content", image).description("Returns an image"))
        .tool(Tool::new("test_audio_content", audio).description("Returns a recording"))
        .tool(Tool::new("test_embedded_resource", embedded).description("Returns a resource"))
        .tool(
            Tool::new("test_multiple_content_types", mixed)
                .description("Returns three kinds of content"),
        )
        .tool(Tool::new("test_error_handling", fails).description("Always fails"))
        .tool(
            Tool::new("test_tool_with_progress", reports_progress)
                .description("Reports progress three times"),
        )
        .tool(Tool::new("test_logging_tool", logs).description("Logs at two levels"))
        .tool(
            Tool::new("test_missing_capability", samples).description("Requires sampling support"),
        )
}

/// A tool whose parameter is mirrored in a header (`server/tools#x-mcp-header`).
fn by_region() -> Tool {
    let schema = json!({
        "type": "object",
        "properties": {"region": {"type": "string", "description": "Where to run", "x-mcp-header": "Region"}},
        "additionalProperties": false,
    });
    let schema = schema.as_object().cloned().unwrap_or_default();
    Tool::dynamic(
        "execute_by_region",
        schema,
        async |arguments: JsonObject| match arguments
            .get("region")
            .and_then(|region| region.as_str())
        {
            Some(region) => format!("Executed in {region}"),
            None => "Executed anywhere".to_owned(),
        },
    )
    .description("Runs in a region, which is mirrored in a header")
}

async fn simple_text() -> &'static str {
    "This is a simple text response for testing."
}

async fn image() -> ContentBlock {
    media::image()
}

async fn audio() -> ContentBlock {
    media::audio()
}

async fn embedded() -> ContentBlock {
    let resource = ResourceContents::text(
        "test://embedded-resource",
        "This is an embedded resource content.",
    );
    ContentBlock::resource(resource.with_mime_type("text/plain"))
}

async fn mixed() -> ToolOutput {
    let data = json!({"test": "data", "value": 123}).to_string();
    let resource = ResourceContents::text("test://mixed-content-resource", data)
        .with_mime_type("application/json");
    ToolOutput::content([
        ContentBlock::text("Multiple content types test:"),
        media::image(),
        ContentBlock::resource(resource),
    ])
}

async fn fails() -> Result<(), HandlerError> {
    Err(HandlerError::new(
        "This tool intentionally returns an error for testing",
    ))
}

async fn reports_progress(ctx: Ctx) -> &'static str {
    for done in [0.0, 50.0, 100.0] {
        ctx.progress(done).of(100.0).await;
        sleep(Duration::from_millis(50)).await;
    }
    "Done"
}

// Logging and sampling are deprecated and still have to work (SEP-2577).
#[allow(deprecated)]
async fn logs(ctx: Ctx) -> &'static str {
    for (level, message) in [
        (LoggingLevel::Debug, "about to work"),
        (LoggingLevel::Info, "worked"),
    ] {
        ctx.log(level, Some("test_logging_tool"), message).await;
    }
    "Logged"
}

#[allow(deprecated)]
async fn samples(ctx: Ctx) -> Result<&'static str, HandlerError> {
    ctx.require(&ClientCapabilities::new().with_sampling(SamplingCapability::new()))?;
    Ok("This client samples")
}
