//! `carryall call`: calls a tool.

use super::{first, tools};
use crate::answers::Answers;
use crate::args;
use crate::connect::{self, Server, ServerOptions};
use crate::fail::{Exit, Fail};
use crate::follow;
use crate::near;
use crate::render;
use crate::rounds::{self, Ended};
use crate::screen::{Format, Output};
use crate::text;
use carryall::proto::sync::Mutex;
use carryall::types::{CallToolResult, ContentBlock, JsonObject, JsonValue, Task, Tool};
use std::sync::Arc;

const EXAMPLES: &str = "\
Arguments:
  key=value    text, turned into what the tool's schema says (numbers, booleans, arrays, objects)
  key:=json    any JSON value
  key=@file    the text of a file; key:=@file for a file with JSON
  @file        a file with all arguments as one JSON object
  -            the same from standard input

A server that takes its time may make a task of the call. It is followed to its end; Ctrl-C cancels it.

Examples:
  carryall call localhost:8080 add a=2 b=3
  carryall call github search query='is:open label:bug' limit=5
  echo '{\"a\": 2, \"b\": 3}' | carryall call localhost:8080 add -
  carryall call localhost:8080 bake loaves=3 --no-wait
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
    /// If the call becomes a task, print the task instead of waiting for its result
    #[arg(long)]
    pub(crate) no_wait: bool,
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
        let (target, mut words) = self.server.split(
            self.target.clone(),
            self.words.clone(),
            self.command.clone(),
        )?;
        let name = first(&mut words, "TOOL", "carryall call localhost:8080 whoami")?;
        connect::answering(
            target,
            &self.server,
            &self.answers,
            Exit::Interrupted,
            async |server| {
                let called = if words.is_empty() {
                    self.without_arguments(server, &name).await?
                } else {
                    let tools = tools::all(server).await?;
                    let tool = tools::named(server, &tools, &name)?;
                    let arguments = args::for_schema(&words, &tool.input_schema)?;
                    check(server, tool, &arguments)?;
                    self.send(server, &name, arguments).await?
                };
                match called {
                    CallOutcome::Result(result) => {
                        finish(server, &format!("the tool {name}"), &result)
                    }
                    CallOutcome::Task(task) => begun(server, &task),
                }
            },
        )
        .await
    }

    /// Sent at once: there is nothing to convert and nothing to mirror into headers, so that the
    /// definition is needed only when the server objects.
    async fn without_arguments(&self, server: &Server, name: &str) -> Result<CallOutcome, Fail> {
        let answered = self.send(server, name, JsonObject::new()).await;
        let objected = match &answered {
            Ok(CallOutcome::Result(result)) => result.failed(),
            Ok(CallOutcome::Task(_)) => false,
            Err(fail) => fail.exit == Exit::Refused,
        };
        if objected {
            let tools = tools::all(server).await?;
            check(
                server,
                tools::named(server, &tools, name)?,
                &JsonObject::new(),
            )?;
        }
        answered
    }

    async fn send(
        &self,
        server: &Server,
        name: &str,
        arguments: JsonObject,
    ) -> Result<CallOutcome, Fail> {
        let busy = server.busy(&format!("calling {name}"));
        let request = server
            .client
            .call(name, arguments)
            .with(server.patient_options(&busy));
        if !self.no_wait {
            let result = busy
                .during(rounds::complete(
                    server,
                    &busy,
                    name,
                    request,
                    &self.answers,
                ))
                .await?;
            return Ok(CallOutcome::Result(result));
        }
        let task = Arc::new(Mutex::new(None));
        let keeper = Arc::clone(&task);
        let request = request.on_task(move |task| {
            *keeper.lock() = Some(task.clone());
        });
        match busy
            .during(rounds::answered(
                server,
                &busy,
                name,
                request,
                &self.answers,
            ))
            .await?
        {
            Ended::Done(result) => Ok(CallOutcome::Result(result)),
            Ended::Task(handle) => {
                let begun = task.lock().take();
                let untold = || {
                    Fail::new(
                        Exit::Refused,
                        format!("the task {} says nothing of itself", handle.id()),
                    )
                };
                begun.map(CallOutcome::Task).ok_or_else(untold)
            }
        }
    }
}

/// What a call has come to.
enum CallOutcome {
    Result(CallToolResult),
    /// A task that nobody waits for.
    Task(Task),
}

/// Prints a result, and says so if the tool has failed.
pub(super) fn finish(server: &Server, what: &str, result: &CallToolResult) -> Result<Exit, Fail> {
    print(&server.screen, result)?;
    if result.failed() {
        let what = format!("{}: {what} says that it failed (isError)", server.place);
        return Err(Fail::new(Exit::ToolFailed, what));
    }
    Ok(Exit::Ok)
}

/// Prints a task that has just begun.
fn begun(server: &Server, task: &Task) -> Result<Exit, Fail> {
    if !server.lasts {
        server.screen.warn(
            "the server was started for this call and ends with it; unless it keeps tasks elsewhere, so does the task",
        );
    }
    match server.screen.format {
        // As on the wire: programs tell it from a result by its type.
        Format::Json => {
            let mut shown = JsonObject::new();
            shown.insert("resultType".to_owned(), "task".into());
            if let Ok(JsonValue::Object(task)) = serde_json::to_value(task) {
                shown.extend(task);
            }
            server.screen.json(&shown)?;
        }
        Format::Human => {
            let poll = task
                .poll_interval_ms
                .map(|ms| ("Poll", format!("every {}", super::tasks::time(ms))));
            let facts = [
                ("Task", text::line(&task.task_id)),
                ("Status", follow::status(task)),
            ];
            server.screen.print(&render::facts(
                &server.screen,
                facts.into_iter().chain(poll),
            ))?;
            if server.lasts {
                server.screen.note(&format!(
                    "Its result: {}",
                    follow::wait(server, &task.task_id)
                ));
            }
        }
    }
    Ok(Exit::Ok)
}

/// Finds what the server would refuse anyway, and says it better: what is missing, and what was
/// misspelt.
fn check(server: &Server, tool: &Tool, arguments: &JsonObject) -> Result<(), Fail> {
    let schema = &tool.input_schema;
    let known: Vec<&str> = schema
        .get("properties")
        .and_then(JsonValue::as_object)
        .into_iter()
        .flatten()
        .map(|(name, _)| name.as_str())
        .collect();
    let strangers: Vec<&str> = arguments
        .keys()
        .map(String::as_str)
        .filter(|name| !known.contains(name))
        .collect();
    let closed = schema.get("additionalProperties") == Some(&JsonValue::Bool(false));
    let missing: Vec<&str> = args::required(schema)
        .filter(|name| !arguments.contains_key(*name))
        .collect();
    let wrong = args::wrong_choice(arguments, schema);
    if missing.is_empty() && wrong.is_none() && (strangers.is_empty() || !closed) {
        return Ok(());
    }
    let mut what = Vec::new();
    if !missing.is_empty() {
        let rows = tools::argument_rows(tool);
        let rows = rows
            .into_iter()
            .filter(|[name, ..]| missing.contains(&name.as_str()));
        let rows = rows.map(|[name, kind, _, about]| [name, kind, about]);
        let lines: Vec<String> = render::plain_table(rows)
            .lines()
            .map(|line| format!("  {line}"))
            .collect();
        let plural = if missing.len() == 1 {
            "argument is"
        } else {
            "arguments are"
        };
        what.push(format!(
            "tool {}: required {plural} missing:\n{}",
            tool.name,
            lines.join("\n")
        ));
    }
    let mut fail = Fail::usage(String::new());
    for stranger in strangers {
        if closed {
            what.push(format!("tool {} takes no argument {stranger:?}", tool.name));
        }
        fail.hints.extend(
            near::did_you_mean(stranger, known.iter().copied())
                .map(|hint| format!("{stranger}: {hint}")),
        );
    }
    if let Some((key, problem, meant)) = wrong {
        what.push(format!("tool {}: argument {key:?}: {problem}", tool.name));
        fail.hints
            .extend(meant.map(|meant| format!("{key}: {meant}")));
    }
    fail.what = format!("{}: {}", server.place, what.join("; "));
    Err(fail.hint(format!(
        "`carryall tools TARGET {}` shows what it takes",
        tool.name
    )))
}

fn print(screen: &Output, result: &CallToolResult) -> Result<(), Fail> {
    match screen.format {
        Format::Json => screen.json(result),
        Format::Human => screen.print(&shown(screen, result)),
    }
}

/// A result for people.
pub(super) fn shown(screen: &Output, result: &CallToolResult) -> String {
    let Some(structured) = &result.structured_content else {
        return render::content(screen, &result.content);
    };
    if let Some(wrapped) = only_result(structured)
        && repeats(&result.content, wrapped)
    {
        // What FastMCP and others make of a value that is no object: `{"result": value}`, and the
        // value as text.
        return match wrapped {
            JsonValue::Array(_) | JsonValue::Object(_) => render::json(wrapped),
            _ => render::content(screen, &result.content),
        };
    }
    // Most servers give the structured content as text once more, for models that read only that.
    let others: Vec<ContentBlock> = result
        .content
        .iter()
        .filter(|block| !says(block, structured))
        .cloned()
        .collect();
    let mut out = render::content(screen, &others);
    if !out.is_empty() {
        out.push('\n');
    }
    format!("{out}{}", render::json(structured))
}

/// The value in `{"result": value}`.
fn only_result(structured: &JsonValue) -> Option<&JsonValue> {
    structured
        .as_object()
        .filter(|object| object.len() == 1)?
        .get("result")
}

/// Whether the text of the content is this value and nothing else: as a whole, or one block for
/// each item of a list.
fn repeats(content: &[ContentBlock], value: &JsonValue) -> bool {
    match (content, value) {
        ([block], value) if says(block, value) => true,
        (blocks, JsonValue::Array(items)) => {
            blocks.len() == items.len()
                && blocks
                    .iter()
                    .zip(items)
                    .all(|(block, item)| says(block, item))
        }
        ([], JsonValue::Null) => true,
        _ => false,
    }
}

/// Whether a block is the text of this value, as JSON or as the string that it is.
fn says(block: &ContentBlock, value: &JsonValue) -> bool {
    let Some(text) = block.as_text() else {
        return false;
    };
    value.as_str() == Some(text)
        || serde_json::from_str::<JsonValue>(text).is_ok_and(|said| said == *value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::screen::OutputOptions;
    use serde_json::json;

    fn printed(texts: &[&str], structured: JsonValue) -> String {
        let mut result = CallToolResult::new(
            texts
                .iter()
                .map(|text| ContentBlock::text(*text))
                .collect::<Vec<_>>(),
        );
        result.structured_content = Some(structured);
        shown(&Output::new(OutputOptions::default()), &result)
    }

    #[test]
    fn what_is_said_twice_is_printed_once() {
        assert_eq!(
            printed(&["{\"sum\": 5}"], json!({"sum": 5})),
            "{\n  \"sum\": 5\n}"
        );
        assert_eq!(printed(&["hello"], json!({"result": "hello"})), "hello");
        assert_eq!(printed(&["5"], json!({"result": 5})), "5");
        assert_eq!(printed(&["true"], json!({"result": true})), "true");
        assert_eq!(
            printed(&["1", "2"], json!({"result": [1, 2]})),
            "[\n  1,\n  2\n]"
        );
        assert_eq!(
            printed(&["a", "b"], json!({"result": ["a", "b"]})),
            "[\n  \"a\",\n  \"b\"\n]"
        );
        assert_eq!(printed(&["[1]"], json!({"result": [1]})), "[\n  1\n]");
        assert_eq!(printed(&[], json!({"result": null})), "");
    }

    #[test]
    fn what_is_said_only_once_is_never_left_out() {
        assert_eq!(
            printed(&["five"], json!({"result": 5})),
            "five\n{\n  \"result\": 5\n}"
        );
        assert_eq!(
            printed(&["hello"], json!({"result": "hello", "more": 1}))
                .lines()
                .next(),
            Some("hello")
        );
        let unequal = printed(&["1"], json!({"result": [1, 2]}));
        assert!(
            unequal.starts_with("1\n") && unequal.contains('2'),
            "{unequal}"
        );
    }
}
