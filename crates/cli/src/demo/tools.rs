//! Tools that answer at once.

use super::board::MAX_NOTICE;
use super::{Shared, media, resources};
use carryall::server::{ServerBuilder, State, Tool, ToolOutput};
use carryall::types::{
    Annotations, AudioContent, ContentBlock, ErrorObject, ImageContent, ResourceContents,
    ResourceLink, Role, TextContent,
};
use carryall::{Ctx, HandlerError, Json};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The tool that comes and goes.
pub(super) const SURPRISE_PARTY: &str = "surprise_party";

pub(super) fn add(builder: ServerBuilder) -> ServerBuilder {
    builder
        .tool(
            Tool::new("whoami", whoami)
                .title("Who am I?")
                .description("Which replica answers")
                .icon(media::icon())
                .read_only(true)
                .open_world(false),
        )
        .tool(
            Tool::new("add", async |Add { a, b }: Add| sum(a, b))
                .title("Add")
                .description("Adds two whole numbers")
                .read_only(true)
                .open_world(false),
        )
        .tool(
            Tool::new("echo", async |args: Echo| args.text.repeat(usize::from(args.times)))
                .title("Echo")
                .description("Gives back what it was given")
                .read_only(true)
                .open_world(false),
        )
        .tool(
            Tool::new("forecast", async |args: Place| Json(forecast(&args)))
                .title("Weather forecast")
                .description("A made-up forecast as structured output; the same place always has the same weather")
                .read_only(true),
        )
        .tool(
            Tool::new("postcard", async || postcard())
                .title("Postcard")
                .description("Every kind of content: text, picture, sound, a link to a resource and a resource itself")
                .read_only(true),
        )
        .tool(
            Tool::new("fail", async |args: Failing| fail(&args))
                .title("Fail")
                .description("Fails: as the tool's own failure, which the model reads, or as a protocol error")
                .read_only(true),
        )
        .tool(
            Tool::new("query", query)
                .title("Query a region")
                .description(
                    "Its argument `region` travels in the header Mcp-Param-Region too, so that proxies can route by it",
                )
                .read_only(true),
        )
        .tool(
            Tool::new("surprise", surprise)
                .title("Change the list of tools")
                .description("Adds the tool `surprise_party` or takes it away; listeners are told")
                .destructive(false)
                .idempotent(true),
        )
        .tool(
            Tool::new("post_notice", post_notice)
                .title("Post a notice")
                .description("Changes the resource demo://notice; its subscribers are told")
                .destructive(true)
                .idempotent(true),
        )
}

async fn whoami(shared: State<Arc<Shared>>) -> String {
    format!("replica {}", shared.replica)
}

#[derive(Deserialize, JsonSchema)]
struct Add {
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
struct Echo {
    /// What to say
    text: String,
    /// How often
    #[serde(default = "once")]
    #[schemars(range(min = 1, max = 10))]
    times: u8,
}

fn once() -> u8 {
    1
}

#[derive(Deserialize, JsonSchema)]
struct Place {
    /// A city
    city: String,
    /// In which units
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
    /// What the sky looks like
    sky: String,
    temperature: f64,
    units: Units,
    /// Chance of rain, in percent
    #[schemars(range(min = 0, max = 100))]
    rain: u8,
}

fn forecast(place: &Place) -> Forecast {
    // Made from the name, so that every replica says the same.
    let seed = place.city.to_lowercase().bytes().fold(7_u32, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(byte.into())
    });
    let celsius = f64::from(seed % 350) / 10.0 - 5.0;
    let temperature = match place.units {
        Units::Celsius => celsius,
        Units::Fahrenheit => celsius * 1.8 + 32.0,
    };
    Forecast {
        city: place.city.clone(),
        sky: ["clear", "cloudy", "overcast", "foggy"][seed as usize / 350 % 4].into(),
        temperature: (temperature * 10.0).round() / 10.0,
        units: place.units,
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
            ResourceContents::text("demo://postcards/1", "Wish you were here.")
                .with_mime_type("text/plain"),
        ),
    ]
}

#[derive(Deserialize, JsonSchema)]
struct Failing {
    /// Why it fails
    #[serde(default = "some_reason")]
    reason: String,
    /// Whose fault it is to be
    #[serde(default)]
    kind: FailureKind,
}

fn some_reason() -> String {
    "it was asked to".into()
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum FailureKind {
    #[default]
    Tool,
    Protocol,
}

fn fail(args: &Failing) -> Result<ToolOutput, HandlerError> {
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
struct Query {
    /// Where to ask, for example eu-west-1
    #[schemars(extend("x-mcp-header" = "Region"))]
    region: String,
    /// What to ask
    text: String,
}

async fn query(ctx: Ctx, args: Query) -> String {
    // The door has compared the two already (`basic/transports/streamable-http`): a header that
    // differs gets no further.
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
struct Surprise {
    /// Whether `surprise_party` is to be there
    show: bool,
}

async fn surprise(
    shared: State<Arc<Shared>>,
    args: Surprise,
) -> Result<&'static str, HandlerError> {
    shared.board.write(|notes| notes.surprise = args.show)?;
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
        .description("Was not here before")
        .read_only(true)
}

#[derive(Deserialize, JsonSchema)]
struct Notice {
    /// The new text
    #[schemars(length(min = 1, max = MAX_NOTICE))]
    text: String,
}

async fn post_notice(
    shared: State<Arc<Shared>>,
    args: Notice,
) -> Result<&'static str, HandlerError> {
    shared.board.write(|notes| notes.notice = args.text)?;
    Ok("Posted at demo://notice.")
}
