//! `carryall call`: calls a tool.

mod check;

use super::{first, tool_result, tools};
use crate::args;
use crate::connection::{ConnectOptions, ConnectedServer};
use crate::duration;
use crate::error::CliError;
use crate::exit::ExitStatus;
use crate::input::AnswerOptions;
use crate::output::{OutputFormat, render, text};
use crate::request::{self, RequestOutcome};
use crate::task;
use carryall::proto::sync::Mutex;
use carryall::types::{CallToolResult, JsonObject, JsonValue, Task};
use std::sync::Arc;

const EXAMPLES: &str = "\
Arguments:
  key=value    text, converted to the type in the tool's schema
  key:=json    any JSON value
  key=@file    the text of a file; key:=@file for a file with JSON
  @file        a file with all arguments as one JSON object
  -            the same from standard input

A server may run a long call as a task. The command waits for its result; Ctrl-C cancels it.

Examples:
  carryall call localhost:8080 add a=2 b=3
  carryall call github search query='is:open label:bug' limit=5
  echo '{\"a\": 2, \"b\": 3}' | carryall call localhost:8080 add -
  carryall call localhost:8080 bake loaves=3 --no-wait
  carryall call whoami -- carryall demo --stdio";

/// Call a tool
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, override_usage = "carryall call [OPTIONS] TARGET TOOL [ARGUMENT]...\n       carryall call [OPTIONS] TOOL [ARGUMENT]... -- COMMAND [ARG]...")]
pub(crate) struct CallCommand {
    /// Server: a URL, a name from an mcp.json, stdio:'COMMAND' or unix:PATH
    #[arg(value_name = "TARGET")]
    pub(crate) target: Option<String>,
    /// Tool and its arguments
    #[arg(value_name = "TOOL [ARGUMENT]")]
    pub(crate) words: Vec<String>,
    /// Command that starts the server, instead of TARGET
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
    /// If the call becomes a task, print the task instead of waiting for its result
    #[arg(long)]
    pub(crate) no_wait: bool,
    #[command(flatten)]
    pub(crate) answers: AnswerOptions,
    #[command(flatten)]
    pub(crate) options: ConnectOptions,
}

/// The outcome of a call.
enum CallOutcome {
    Result(CallToolResult),
    /// A task, with `--no-wait`.
    Task(Task),
}

impl CallCommand {
    pub(crate) async fn run(self) -> Result<ExitStatus, CliError> {
        let (target, mut words) = self.options.resolve(
            self.target.clone(),
            self.words.clone(),
            self.command.clone(),
        )?;
        let name = first(&mut words, "TOOL", "carryall call localhost:8080 whoami")?;
        let work = async |server: &ConnectedServer| {
            let outcome = if words.is_empty() {
                self.call_without_arguments(server, &name).await?
            } else {
                let tools = tools::all(server).await?;
                let tool = tools::find(server, &tools, &name)?;
                let arguments = args::for_schema(&words, &tool.input_schema)?;
                check::check(server, tool, &arguments)?;
                self.call(server, &name, arguments).await?
            };
            match outcome {
                CallOutcome::Result(result) => {
                    tool_result::finish(server, &format!("tool {name}"), &result)
                }
                CallOutcome::Task(task) => print_task(server, &task),
            }
        };
        self.answers.connect(target, &self.options, work).await
    }

    /// Calls the tool without fetching its definition first: there are no arguments to convert or
    /// to mirror into headers. If the call fails, the definition may tell why.
    async fn call_without_arguments(
        &self,
        server: &ConnectedServer,
        name: &str,
    ) -> Result<CallOutcome, CliError> {
        let outcome = self.call(server, name, JsonObject::new()).await;
        let failed = match &outcome {
            Ok(CallOutcome::Result(result)) => result.failed(),
            Ok(CallOutcome::Task(_)) => false,
            Err(error) => error.status == ExitStatus::Refused,
        };
        if failed {
            let tools = tools::all(server).await?;
            let tool = tools::find(server, &tools, name)?;
            check::check(server, tool, &JsonObject::new())?;
        }
        outcome
    }

    async fn call(
        &self,
        server: &ConnectedServer,
        name: &str,
        arguments: JsonObject,
    ) -> Result<CallOutcome, CliError> {
        let spinner = server.spinner(&format!("calling {name}"));
        let request = server
            .client
            .call(name, arguments)
            .with(server.progress_options(&spinner));
        if !self.no_wait {
            let result = request::complete(server, &spinner, name, request, &self.answers);
            return Ok(CallOutcome::Result(spinner.during(result).await?));
        }
        let task = Arc::new(Mutex::new(None));
        let latest = Arc::clone(&task);
        let request = request.on_task(move |task| {
            *latest.lock() = Some(task.clone());
        });
        let sent = request::send(server, &spinner, name, request, &self.answers);
        match spinner.during(sent).await? {
            RequestOutcome::Done(result) => Ok(CallOutcome::Result(result)),
            RequestOutcome::Task(handle) => {
                let task = task.lock().take();
                task.map(CallOutcome::Task).ok_or_else(|| {
                    CliError::new(
                        ExitStatus::Refused,
                        format!("the server did not describe task {}", handle.id()),
                    )
                })
            }
        }
    }
}

/// Prints a task that has just started.
fn print_task(server: &ConnectedServer, task: &Task) -> Result<ExitStatus, CliError> {
    if server.ephemeral {
        server.output.warn(
            "the server was started for this call and ends with it, and so does the task unless it is stored elsewhere",
        );
    }
    match server.output.format {
        // As on the wire, where `resultType` tells a task from a result.
        OutputFormat::Json => {
            let mut shown = JsonObject::new();
            shown.insert("resultType".to_owned(), "task".into());
            if let Ok(JsonValue::Object(task)) = serde_json::to_value(task) {
                shown.extend(task);
            }
            server.output.json(&shown)?;
        }
        OutputFormat::Human => {
            let poll = task
                .poll_interval_ms
                .map(|ms| ("Poll", format!("every {}", duration::format_ms(ms))));
            let facts = [
                ("Task", text::one_line(&task.task_id)),
                ("Status", task::status(task)),
            ];
            server.output.print(&render::facts(
                &server.output,
                facts.into_iter().chain(poll),
            ))?;
            if !server.ephemeral {
                let wait = server.follow_up.wait(&task.task_id);
                server.output.note(&format!("To get its result: {wait}"));
            }
        }
    }
    Ok(ExitStatus::Ok)
}
