//! Tools that answer immediately.

use super::board::MAX_NOTICE;
use super::{DemoState, media, resources};
use carryall::server::{ServerBuilder, State, Tool, ToolOutput};
use carryall::types::{
    Annotations, AudioContent, ContentBlock, ErrorObject, ImageContent, ResourceContents,
    ResourceLink, Role, TextContent,
};
use carryall::{Ctx, HandlerError, Json};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The tool that `surprise` adds and removes.
pub(super) const SURPRISE_PARTY: &str = "surprise_party";

pub(super) fn add(builder: ServerBuilder) -> ServerBuilder {
    builder
        .tool(
            Tool::new("whoami", whoami)
                .title("Who am I?")
                .description("Returns the name of the replica that answers")
                .icon(media::icon())
                .read_only(true)
                .open_world(false),
        )
        .tool(
            Tool::new("add", async |AddArgs { a, b }: AddArgs| sum(a, b))
                .title("Add")
                .description("Adds two whole numbers")
                .read_only(true)
                .open_world(false),
        )
        .tool(
            Tool::new("echo", async |args: EchoArgs| args.text.repeat(usize::from(args.times)))
                .title("Echo")
                .description("Returns its text")
                .read_only(true)
                .open_world(false),
        )
        .tool(
            Tool::new("forecast", async |args: ForecastArgs| Json(forecast(&args)))
                .title("Weather forecast")
                .description("Returns an invented forecast as structured output; the same city always has the same weather")
                .read_only(true),
        )
        .tool(
            Tool::new("postcard", async || postcard())
                .title("Postcard")
                .description("Returns every kind of content: text, image, audio, a link to a resource and an embedded resource")
                .read_only(true),
        )
        .tool(
            Tool::new("fail", async |args: FailArgs| fail(&args))
                .title("Fail")
                .description("Fails, with a tool error, which the model reads, or with a protocol error")
                .read_only(true),
        )
        .tool(
            Tool::new("query", query)
                .title("Query a region")
                .description(
                    "Its argument `region` is also sent in the header Mcp-Param-Region, so that proxies can route by it",
                )
                .read_only(true),
        )
        .tool(
            Tool::new("surprise", surprise)
                .title("Change the list of tools")
                .description("Adds or removes the tool `surprise_party`; subscribers are notified")
                .destructive(false)
                .idempotent(true),
        )
        .tool(
            Tool::new("post_notice", post_notice)
                .title("Post a notice")
                .description("Changes the resource demo://notice; its subscribers are notified")
                .destructive(true)
                .idempotent(true),
        )
}

async fn whoami(demo: State<Arc<DemoState>>) -> String {
    format!("replica {}", demo.replica)
}

#[derive(Deserialize, JsonSchema)]
struct AddArgs {
    /// First addend
    a: i64,
    /// Second addend
    b: i64,
}

#[derive(Serialize, JsonSchema)]
struct Sum {
    /// a + b
    sum: i64,
}

fn sum(a: i64, b: i64) -> Result<Json<Sum>, HandlerError> {
    let sum = a
        .checked_add(b)
        .ok_or_else(|| HandlerError::new("the sum is larger than 64 bits can hold"))?;
    Ok(Json(Sum { sum }))
}

#[derive(Deserialize, JsonSchema)]
struct EchoArgs {
    /// Text to return
    text: String,
    /// How often to repeat it
    #[serde(default = "default_times")]
    #[schemars(range(min = 1, max = 10))]
    times: u8,
}

fn default_times() -> u8 {
    1
}

#[derive(Deserialize, JsonSchema)]
struct ForecastArgs {
    /// Name of a city
    city: String,
    /// Units of the temperature
    #[serde(default)]
    units: Units,
}

#[derive(Clone, Copy, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Units {
    #[default]
    Celsius,
    Fahrenheit,
}

#[derive(Serialize, JsonSchema)]
struct Forecast {
    city: String,
    /// Description of the sky
    sky: String,
    temperature: f64,
    units: Units,
    /// Chance of rain, in percent
    #[schemars(range(min = 0, max = 100))]
    rain: u8,
}

fn forecast(args: &ForecastArgs) -> Forecast {
    // Derived from the name, so that every replica answers the same.
    let seed = args.city.to_lowercase().bytes().fold(7_u32, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(byte.into())
    });
    let celsius = f64::from(seed % 350) / 10.0 - 5.0;
    let temperature = match args.units {
        Units::Celsius => celsius,
        Units::Fahrenheit => celsius * 1.8 + 32.0,
    };
    Forecast {
        city: args.city.clone(),
        sky: ["clear", "cloudy", "overcast", "foggy"][seed as usize / 350 % 4].into(),
        temperature: (temperature * 10.0).round() / 10.0,
        units: args.units,
        rain: u8::try_from(seed / 1_400 % 101).unwrap_or(0),
    }
}

fn postcard() -> Vec<ContentBlock> {
    let greeting = TextContent::new("Greetings from a server that remembers nothing.")
        .with_annotations(
            Annotations::new()
                .with_audience(vec![Role::User])
                .with_priority(1.0),
        );
    let link = ResourceLink::new(resources::README, "readme")
        .with_title("About this demo")
        .with_mime_type("text/markdown");
    vec![
        ContentBlock::Text(greeting),
        ContentBlock::Image(ImageContent::from_bytes(media::LOGO, "image/png")),
        ContentBlock::Audio(AudioContent::from_bytes(&media::tone(), "audio/wav")),
        ContentBlock::ResourceLink(link),
        ContentBlock::resource(
            ResourceContents::text("demo://postcards/1", "Greetings from the seaside.")
                .with_mime_type("text/plain"),
        ),
    ]
}

#[derive(Deserialize, JsonSchema)]
struct FailArgs {
    /// Reason of the failure
    #[serde(default = "default_reason")]
    reason: String,
    /// Kind of error
    #[serde(default)]
    kind: FailureKind,
}

fn default_reason() -> String {
    "it was asked to".into()
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum FailureKind {
    #[default]
    Tool,
    Protocol,
}

fn fail(args: &FailArgs) -> Result<ToolOutput, HandlerError> {
    match args.kind {
        FailureKind::Tool => Err(HandlerError::new(format!(
            "This tool failed: {}",
            args.reason
        ))),
        FailureKind::Protocol => Err(HandlerError::protocol(ErrorObject::invalid_params(
            args.reason.clone(),
        ))),
    }
}

#[derive(Deserialize, JsonSchema)]
struct QueryArgs {
    /// Region to query, for example eu-west-1
    #[schemars(extend("x-mcp-header" = "Region"))]
    region: String,
    /// Text of the query
    text: String,
}

async fn query(ctx: Ctx, args: QueryArgs) -> String {
    // Request validation has compared header and argument already
    // (`basic/transports/streamable-http`).
    let header = ctx
        .headers()
        .and_then(|headers| headers.get("mcp-param-region"))
        .and_then(|value| value.to_str().ok());
    let how = match header {
        Some(value) => format!("the header Mcp-Param-Region said {value:?}"),
        None => "no header on this transport".into(),
    };
    format!("{} asked in {} ({how})", args.text, args.region)
}

#[derive(Deserialize, JsonSchema)]
struct SurpriseArgs {
    /// Whether `surprise_party` should exist
    show: bool,
}

async fn surprise(
    demo: State<Arc<DemoState>>,
    args: SurpriseArgs,
) -> Result<&'static str, HandlerError> {
    demo.board.update(|board| board.surprise = args.show)?;
    Ok(if args.show {
        "There will be a surprise_party."
    } else {
        "The party is over."
    })
}

/// The tool that `surprise` adds.
pub(super) fn surprise_party() -> Tool {
    Tool::new(SURPRISE_PARTY, async || "Surprise!")
        .title("Surprise party")
        .description("Appears when `surprise` is called")
        .read_only(true)
}

#[derive(Deserialize, JsonSchema)]
struct NoticeArgs {
    /// The new text
    #[schemars(length(min = 1, max = MAX_NOTICE))]
    text: String,
}

async fn post_notice(
    demo: State<Arc<DemoState>>,
    args: NoticeArgs,
) -> Result<&'static str, HandlerError> {
    demo.board.update(|board| board.notice = args.text)?;
    Ok("Posted at demo://notice.")
}
