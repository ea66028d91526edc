//! `carryall tools`: lists tools.

use super::empty;
use crate::args;
use crate::connection::{self, ConnectOptions, ConnectedServer};
use crate::error::CliError;
use crate::exit::ExitStatus;
use crate::output::{FAINT, NAME, OutputFormat, TITLE, render, text, warnings};
use crate::suggest;
use carryall::types::{JsonValue, Tool};

/// Number of arguments per tool in the table of all tools.
const MAX_ARGUMENTS: usize = 40;

/// List tools, or show tools in detail
#[derive(Debug, clap::Args)]
pub(crate) struct ToolsCommand {
    /// Server: a URL, a name from an mcp.json, stdio:'COMMAND' or unix:PATH
    #[arg(value_name = "TARGET")]
    pub(crate) target: Option<String>,
    /// Show these tools in detail
    #[arg(value_name = "TOOL")]
    pub(crate) names: Vec<String>,
    /// Command that starts the server, instead of TARGET
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
    #[command(flatten)]
    pub(crate) options: ConnectOptions,
}

impl ToolsCommand {
    pub(crate) async fn run(self) -> Result<ExitStatus, CliError> {
        let (target, names) = self
            .options
            .resolve(self.target, self.names, self.command)?;
        connection::with(
            target,
            &self.options,
            ExitStatus::Interrupted,
            async |server| {
                let mut tools = all(server).await?;
                if tools.is_empty() && names.is_empty() {
                    empty::explain(server, "tools", |offers| offers.tools.is_some()).await;
                }
                if !names.is_empty() {
                    let chosen: Result<Vec<Tool>, CliError> = names
                        .iter()
                        .map(|name| find(server, &tools, name).cloned())
                        .collect();
                    tools = chosen?;
                }
                match server.output.format {
                    OutputFormat::Json => {
                        server.output.json(&serde_json::json!({ "tools": tools }))?
                    }
                    OutputFormat::Human if names.is_empty() && tools.is_empty() => {}
                    OutputFormat::Human if names.is_empty() => {
                        server.output.print(&table(server, &tools))?
                    }
                    OutputFormat::Human => {
                        let details: Vec<String> =
                            tools.iter().map(|tool| details(server, tool)).collect();
                        server.output.print(&details.join("\n"))?;
                    }
                }
                Ok(ExitStatus::Ok)
            },
        )
        .await
    }
}

/// Returns all tools; none if the server does not offer tools.
pub(super) async fn all(server: &ConnectedServer) -> Result<Vec<Tool>, CliError> {
    empty::if_not_offered(
        server,
        server.list(server.client.list_tools(), "tools").await,
    )
}

/// Finds the tool of this name.
pub(super) fn find<'a>(
    server: &ConnectedServer,
    tools: &'a [Tool],
    name: &str,
) -> Result<&'a Tool, CliError> {
    if let Some(tool) = tools.iter().find(|tool| tool.name == name) {
        return Ok(tool);
    }
    let mut error = CliError::usage(format!("{}: there is no tool {name:?}", server.label));
    let excluded = warnings::excluded_tools();
    if let Some((_, problem)) = excluded.iter().find(|(excluded, _)| excluded == name) {
        return Err(error.hint(format!(
            "the server lists one, but its definition is invalid: {problem}"
        )));
    }
    error.hints.extend(suggest::did_you_mean(
        name,
        tools.iter().map(|tool| tool.name.as_str()),
    ));
    Err(error.hint(match tools.len() {
        0 => "the server lists no tools; `carryall tools` shows why".to_owned(),
        count => format!("`carryall tools` lists all {count}"),
    }))
}

fn table(server: &ConnectedServer, tools: &[Tool]) -> String {
    let rows = tools
        .iter()
        .map(|tool| [tool.name.clone(), signature(tool), about(tool)]);
    render::table(&server.output, ["TOOL", "ARGUMENTS", "DESCRIPTION"], rows)
}

fn about(tool: &Tool) -> String {
    let text = tool
        .description
        .as_deref()
        .or(tool.title.as_deref())
        .unwrap_or_default();
    // `carryall tools TARGET TOOL` shows the other paragraphs.
    text.split("\n\n").next().unwrap_or_default().to_owned()
}

/// Returns `a=integer [priority=low|normal|high]`, as on the command line.
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
            let word = format!("{name}={}", args::describe_type(schema, name));
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

fn details(server: &ConnectedServer, tool: &Tool) -> String {
    let output = &server.output;
    let mut out = output.paint(NAME, &text::one_line(&tool.name));
    if tool.display_name() != tool.name {
        out += &format!(
            "  {}",
            output.paint(TITLE, &text::one_line(tool.display_name()))
        );
    }
    out.push('\n');
    if let Some(description) = &tool.description {
        out += &format!("{}\n", text::sanitize(description).trim_end());
    }
    if let Some(hints) = &tool.annotations {
        let words = [
            (hints.read_only_hint, "read-only", "not read-only"),
            (hints.destructive_hint, "destructive", "not destructive"),
            (hints.idempotent_hint, "idempotent", "not idempotent"),
            (hints.open_world_hint, "open-world", "closed-world"),
        ];
        let hints: Vec<&str> = words
            .iter()
            .filter_map(|(hint, yes, no)| hint.map(|hint| if hint { *yes } else { *no }))
            .collect();
        if !hints.is_empty() {
            out += &format!(
                "{}\n",
                output.paint(
                    FAINT,
                    &format!("Declared by the server: {}", hints.join(", "))
                )
            );
        }
    }
    let rows = argument_rows(tool);
    if rows.is_empty() {
        out += &format!("\n{}\n", output.paint(FAINT, "No arguments"));
    } else {
        out += &format!(
            "\n{}\n",
            render::table(output, ["ARGUMENT", "TYPE", "", "DESCRIPTION"], rows)
        );
    }
    if let Some(schema) = &tool.output_schema {
        out += &format!(
            "\n{}\n{}\n",
            output.paint(TITLE, "Structured output"),
            render::json(schema)
        );
    }
    out
}

/// Returns name, type, need (required, optional or default) and description of each argument.
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
        let titles = args::allowed_values(schema, name).and_then(|values| values.titles());
        let about: Vec<String> = Some(description.to_owned())
            .filter(|text| !text.is_empty())
            .into_iter()
            .chain(titles)
            .collect();
        [
            name.clone(),
            args::describe_type(schema, name),
            need,
            about.join("; "),
        ]
    };
    properties.into_iter().flatten().map(row).collect()
}
