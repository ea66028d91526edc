//! `carryall call`: calls a tool.

use super::{first, tools};
use crate::args;
use crate::connect::{self, Server, ServerOptions};
use crate::fail::{Exit, Fail};
use crate::near;
use crate::render;
use crate::rounds::{self, Answers};
use crate::screen::{Format, Screen};
use carryall::types::{CallToolResult, ContentBlock, JsonObject, JsonValue, Tool};

const EXAMPLES: &str = "\
Arguments:
  key=value    text, turned into what the tool's schema says (numbers, booleans, arrays, objects)
  key:=json    any JSON value
  key=@file    the text of a file; key:=@file for a file with JSON
  @file        a file with all arguments as one JSON object
  -            the same from standard input

Examples:
  carryall call localhost:8080 add a=2 b=3
  carryall call github search query='is:open label:bug' limit=5
  echo '{\"a\": 2, \"b\": 3}' | carryall call localhost:8080 add -
  carryall call whoami -- carryall demo --stdio";

/// Call a tool
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, override_usage = "carryall call [OPTIONS] TARGET TOOL [ARGUMENT]...\n       carryall call [OPTIONS] TOOL [ARGUMENT]... -- COMMAND [ARG]...")]
pub(crate) struct Call {
    /// The server: a URL, a name from an mcp.json, stdio:'COMMAND' or unix:PATH
    #[arg(value_name = "TARGET")]
    pub(crate) target: Option<String>,
    /// The tool and its arguments
    #[arg(value_name = "TOOL [ARGUMENT]")]
    pub(crate) words: Vec<String>,
    #[command(flatten)]
    pub(crate) answers: Answers,
    /// A command to start as the server, instead of TARGET
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
    #[command(flatten)]
    pub(crate) server: ServerOptions,
}

impl Call {
    pub(crate) async fn run(self) -> Result<Exit, Fail> {
        let (target, mut words) = self.server.split(self.target.clone(), self.words.clone(), self.command.clone())?;
        let name = first(&mut words, "TOOL", "carryall call localhost:8080 whoami")?;
        connect::with(target, &self.server, Exit::Interrupted, async |server| {
            let result = if words.is_empty() {
                self.without_arguments(server, &name).await?
            } else {
                let tools = tools::all(server).await?;
                let tool = tools::named(server, &tools, &name)?;
                let arguments = args::for_schema(&words, &tool.input_schema)?;
                check(server, tool, &arguments)?;
                self.send(server, &name, arguments).await?
            };
            print(&server.screen, &result)?;
            if result.failed() {
                let what = format!("{}: the tool {name} says that it failed (isError)", server.place);
                return Err(Fail::new(Exit::ToolFailed, what));
            }
            Ok(Exit::Ok)
        })
        .await
    }

    /// Sent at once: there is nothing to convert and nothing to mirror into headers, so that the definition is needed
    /// only when the server objects.
    async fn without_arguments(&self, server: &Server, name: &str) -> Result<CallToolResult, Fail> {
        let answered = self.send(server, name, JsonObject::new()).await;
        let objected = match &answered {
            Ok(result) => result.failed(),
            Err(fail) => fail.exit == Exit::Refused,
        };
        if objected {
            let tools = tools::all(server).await?;
            check(server, tools::named(server, &tools, name)?, &JsonObject::new())?;
        }
        answered
    }

    async fn send(&self, server: &Server, name: &str, arguments: JsonObject) -> Result<CallToolResult, Fail> {
        let busy = server.busy(&format!("calling {name}"));
        let request = server.client.call(name, arguments).with(server.patient_options(&busy));
        busy.during(rounds::complete(server, name, request, &self.answers)).await
    }
}

/// Finds what the server would refuse anyway, and says it better: what is missing, and what was misspelt.
fn check(server: &Server, tool: &Tool, arguments: &JsonObject) -> Result<(), Fail> {
    let schema = &tool.input_schema;
    let known: Vec<&str> = schema
        .get("properties")
        .and_then(JsonValue::as_object)
        .into_iter()
        .flatten()
        .map(|(name, _)| name.as_str())
        .collect();
    let strangers: Vec<&str> = arguments.keys().map(String::as_str).filter(|name| !known.contains(name)).collect();
    let closed = schema.get("additionalProperties") == Some(&JsonValue::Bool(false));
    let missing: Vec<&str> = args::required(schema).filter(|name| !arguments.contains_key(*name)).collect();
    if missing.is_empty() && (strangers.is_empty() || !closed) {
        return Ok(());
    }
    let mut what = Vec::new();
    if !missing.is_empty() {
        let rows = tools::argument_rows(tool);
        let rows = rows.into_iter().filter(|[name, ..]| missing.contains(&name.as_str()));
        let rows = rows.map(|[name, kind, _, about]| [name, kind, about]);
        let lines: Vec<String> = render::plain_table(rows).lines().map(|line| format!("  {line}")).collect();
        let plural = if missing.len() == 1 { "argument is" } else { "arguments are" };
        what.push(format!("tool {}: required {plural} missing:\n{}", tool.name, lines.join("\n")));
    }
    let mut fail = Fail::usage(String::new());
    for stranger in strangers {
        if closed {
            what.push(format!("tool {} takes no argument {stranger:?}", tool.name));
        }
        fail.hints
            .extend(near::did_you_mean(stranger, known.iter().copied()).map(|hint| format!("{stranger}: {hint}")));
    }
    fail.what = format!("{}: {}", server.place, what.join("; "));
    Err(fail.hint(format!("`carryall tools TARGET {}` shows what it takes", tool.name)))
}

fn print(screen: &Screen, result: &CallToolResult) -> Result<(), Fail> {
    if screen.format == Format::Json {
        return screen.json(result);
    }
    let Some(structured) = &result.structured_content else {
        return screen.print(&render::content(screen, &result.content));
    };
    // Most servers give the structured content as text once more, for models that read only that.
    let same = |block: &&ContentBlock| {
        let text = block.as_text().and_then(|text| serde_json::from_str::<JsonValue>(text).ok());
        text.is_none_or(|value| value != *structured)
    };
    let others: Vec<ContentBlock> = result.content.iter().filter(same).cloned().collect();
    let mut out = render::content(screen, &others);
    if !out.is_empty() {
        out.push('\n');
    }
    screen.print(&format!("{out}{}", render::json(structured)))
}
