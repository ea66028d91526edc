//! `carryall tools`: what a server's tools are.

use super::nothing;
use crate::args;
use crate::connect::{self, Server, ServerOptions};
use crate::fail::{Exit, Fail};
use crate::near;
use crate::render;
use crate::screen::{FAINT, Format, NAME, TITLE};
use crate::text;
use carryall::types::{JsonValue, Tool};

/// Arguments that the table of all tools has room for.
const MAX_ARGUMENTS: usize = 40;

/// List tools, or show some in detail
#[derive(Debug, clap::Args)]
pub(crate) struct Tools {
    /// The server: a URL, a name from an mcp.json, stdio:'COMMAND' or unix:PATH
    #[arg(value_name = "TARGET")]
    pub(crate) target: Option<String>,
    /// Show these tools in detail
    #[arg(value_name = "TOOL")]
    pub(crate) names: Vec<String>,
    /// A command to start as the server, instead of TARGET
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
    #[command(flatten)]
    pub(crate) server: ServerOptions,
}

impl Tools {
    pub(crate) async fn run(self) -> Result<Exit, Fail> {
        let (target, names) = self.server.split(self.target, self.names, self.command)?;
        connect::with(target, &self.server, Exit::Interrupted, async |server| {
            let mut tools = all(server).await?;
            if tools.is_empty() && names.is_empty() {
                nothing::explain(server, "tools", |offers| offers.tools.is_some()).await;
            }
            if !names.is_empty() {
                let chosen: Result<Vec<Tool>, Fail> = names
                    .iter()
                    .map(|name| named(server, &tools, name).cloned())
                    .collect();
                tools = chosen?;
            }
            match server.screen.format {
                Format::Json => server.screen.json(&serde_json::json!({ "tools": tools }))?,
                Format::Human if names.is_empty() && tools.is_empty() => {}
                Format::Human if names.is_empty() => server.screen.print(&table(server, &tools))?,
                Format::Human => {
                    let details: Vec<String> =
                        tools.iter().map(|tool| details(server, tool)).collect();
                    server.screen.print(&details.join("\n"))?;
                }
            }
            Ok(Exit::Ok)
        })
        .await
    }
}

/// All tools; none when the server does not have such things.
pub(super) async fn all(server: &Server) -> Result<Vec<Tool>, Fail> {
    nothing::where_not_offered(
        server,
        server.list(server.client.list_tools(), "tools").await,
    )
}

/// The tool of this name.
pub(super) fn named<'a>(server: &Server, tools: &'a [Tool], name: &str) -> Result<&'a Tool, Fail> {
    if let Some(tool) = tools.iter().find(|tool| tool.name == name) {
        return Ok(tool);
    }
    let mut fail = Fail::usage(format!("{}: there is no tool {name:?}", server.place));
    let dropped = crate::notes::dropped();
    if let Some((_, problem)) = dropped.iter().find(|(dropped, _)| dropped == name) {
        return Err(fail.hint(format!(
            "the server has one, but its definition breaks the protocol: {problem}"
        )));
    }
    fail.hints.extend(near::did_you_mean(
        name,
        tools.iter().map(|tool| tool.name.as_str()),
    ));
    Err(fail.hint(match tools.len() {
        0 => "the server lists no tools; `carryall tools` says why".to_owned(),
        count => format!("`carryall tools` lists all {count}"),
    }))
}

fn table(server: &Server, tools: &[Tool]) -> String {
    let rows = tools
        .iter()
        .map(|tool| [tool.name.clone(), signature(tool), about(tool)]);
    render::table(&server.screen, ["TOOL", "ARGUMENTS", "DESCRIPTION"], rows)
}

fn about(tool: &Tool) -> String {
    let text = tool
        .description
        .as_deref()
        .or(tool.title.as_deref())
        .unwrap_or_default();
    // The first paragraph: the rest is for models, and for `carryall tools TARGET TOOL`.
    text.split("\n\n").next().unwrap_or_default().to_owned()
}

/// `a=integer [priority=low|normal|high]`, as one would type it.
fn signature(tool: &Tool) -> String {
    let schema = &tool.input_schema;
    let mut arguments = schema
        .get("properties")
        .and_then(JsonValue::as_object)
        .into_iter()
        .flat_map(|all| all.keys());
    let words: Vec<String> = arguments
        .by_ref()
        .take(MAX_ARGUMENTS)
        .map(|name| {
            let word = format!("{name}={}", args::types_shown(schema, name));
            if args::required(schema).any(|required| required == name) {
                word
            } else {
                format!("[{word}]")
            }
        })
        .collect();
    let more = if arguments.next().is_some() {
        " …"
    } else {
        ""
    };
    format!("{}{more}", words.join(" "))
}

fn details(server: &Server, tool: &Tool) -> String {
    let screen = &server.screen;
    let mut out = screen.paint(NAME, &text::line(&tool.name));
    if tool.display_name() != tool.name {
        out += &format!(
            "  {}",
            screen.paint(TITLE, &text::line(tool.display_name()))
        );
    }
    out.push('\n');
    if let Some(description) = &tool.description {
        out += &format!("{}\n", text::clean(description).trim_end());
    }
    if let Some(hints) = &tool.annotations {
        let words = [
            (hints.read_only_hint, "read-only", "changes things"),
            (hints.destructive_hint, "may destroy", "destroys nothing"),
            (hints.idempotent_hint, "idempotent", "not idempotent"),
            (
                hints.open_world_hint,
                "reaches the outside world",
                "stays inside",
            ),
        ];
        let said: Vec<&str> = words
            .iter()
            .filter_map(|(hint, yes, no)| hint.map(|hint| if hint { *yes } else { *no }))
            .collect();
        if !said.is_empty() {
            out += &format!(
                "{}\n",
                screen.paint(FAINT, &format!("It says of itself: {}", said.join(", ")))
            );
        }
    }
    let rows = argument_rows(tool);
    if rows.is_empty() {
        out += &format!("\n{}\n", screen.paint(FAINT, "No arguments"));
    } else {
        out += &format!(
            "\n{}\n",
            render::table(screen, ["ARGUMENT", "TYPE", "", "DESCRIPTION"], rows)
        );
    }
    if let Some(schema) = &tool.output_schema {
        out += &format!(
            "\n{}\n{}\n",
            screen.paint(TITLE, "Structured output"),
            render::json(schema)
        );
    }
    out
}

/// Name, type, whether it is required, and what it is for.
pub(super) fn argument_rows(tool: &Tool) -> Vec<[String; 4]> {
    let schema = &tool.input_schema;
    let properties = schema.get("properties").and_then(JsonValue::as_object);
    let row = |(name, property): (&String, &JsonValue)| {
        let need = match property.get("default") {
            _ if args::required(schema).any(|required| required == name) => "required".to_owned(),
            Some(default) => format!("default {default}"),
            None => "optional".to_owned(),
        };
        let description = property
            .get("description")
            .and_then(JsonValue::as_str)
            .unwrap_or_default()
            .trim();
        let titles = args::choices(schema, name).and_then(|choices| choices.titles());
        let about: Vec<String> = Some(description.to_owned())
            .filter(|text| !text.is_empty())
            .into_iter()
            .chain(titles)
            .collect();
        [
            name.clone(),
            args::types_shown(schema, name),
            need,
            about.join("; "),
        ]
    };
    properties.into_iter().flatten().map(row).collect()
}
