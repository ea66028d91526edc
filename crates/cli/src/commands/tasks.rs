//! `carryall tasks`: tasks, which outlive the calls that started them (Tasks extension).

use super::{first, no_more, tool_result};
use crate::connection::{ConnectOptions, ConnectedServer, TaskFollowUp};
use crate::duration;
use crate::error::CliError;
use crate::exit::ExitStatus;
use crate::input::{self, AnswerOptions, PendingInput};
use crate::output::{OutputFormat, OutputOptions, TITLE, render, text};
use crate::task::{self, task_error};
use carryall::client::ClientError;
use carryall::types::{CallToolResult, DetailedTask, JsonValue};

const EXAMPLES: &str = "\
A server may run a long call as a task. `carryall call --no-wait` prints the ID of the task. \
Keep the ID secret: on some servers it is enough to read the result.

Examples:
  carryall call localhost:8080 bake loaves=3 --no-wait
  carryall tasks get localhost:8080 ID
  carryall tasks update localhost:8080 ID --answer seeds=poppy
  carryall tasks wait localhost:8080 ID
  carryall tasks cancel localhost:8080 ID";

/// Show, wait for, answer and cancel tasks
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, arg_required_else_help = true, disable_help_subcommand = true)]
pub(crate) struct TasksCommand {
    #[command(subcommand)]
    action: TaskAction,
}

#[derive(Debug, clap::Subcommand)]
enum TaskAction {
    /// Show the state of a task, with what it asks and its result
    #[command(
        override_usage = "carryall tasks get [OPTIONS] TARGET ID\n       carryall tasks get [OPTIONS] ID -- COMMAND [ARG]..."
    )]
    Get {
        #[command(flatten)]
        args: TaskArgs,
    },
    /// Wait for the result of a task; Ctrl-C does not cancel the task
    #[command(
        override_usage = "carryall tasks wait [OPTIONS] TARGET ID\n       carryall tasks wait [OPTIONS] ID -- COMMAND [ARG]..."
    )]
    Wait {
        #[command(flatten)]
        answers: AnswerOptions,
        #[command(flatten)]
        args: TaskArgs,
    },
    /// Answer what a task asks, without waiting for its result
    #[command(
        override_usage = "carryall tasks update [OPTIONS] TARGET ID\n       carryall tasks update [OPTIONS] ID -- COMMAND [ARG]..."
    )]
    Update {
        #[command(flatten)]
        answers: AnswerOptions,
        #[command(flatten)]
        args: TaskArgs,
    },
    /// Cancel a task
    #[command(
        override_usage = "carryall tasks cancel [OPTIONS] TARGET ID\n       carryall tasks cancel [OPTIONS] ID -- COMMAND [ARG]..."
    )]
    Cancel {
        #[command(flatten)]
        args: TaskArgs,
    },
}

/// A task of a server.
#[derive(Debug, clap::Args)]
struct TaskArgs {
    /// Server: a URL, a name from an mcp.json, stdio:'COMMAND' or unix:PATH
    #[arg(value_name = "TARGET")]
    target: Option<String>,
    /// ID of the task
    #[arg(value_name = "ID")]
    words: Vec<String>,
    /// Command that starts the server, instead of TARGET
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
    #[command(flatten)]
    options: ConnectOptions,
}

impl TasksCommand {
    /// Returns the output options of the command.
    pub(crate) fn output(&self) -> OutputOptions {
        let (TaskAction::Get { args }
        | TaskAction::Wait { args, .. }
        | TaskAction::Update { args, .. }
        | TaskAction::Cancel { args }) = &self.action;
        args.options.output
    }

    pub(crate) async fn run(self) -> Result<ExitStatus, CliError> {
        let no_answers = AnswerOptions::default();
        match &self.action {
            TaskAction::Get { args } => args.connect(&no_answers, get).await,
            TaskAction::Wait { args, answers } => {
                args.connect(answers, async |server, id| wait(server, id, answers).await)
                    .await
            }
            TaskAction::Update { args, answers } => {
                args.connect(answers, async |server, id| {
                    update(server, id, answers).await
                })
                .await
            }
            TaskAction::Cancel { args } => args.connect(&no_answers, cancel).await,
        }
    }
}

impl TaskArgs {
    async fn connect(
        &self,
        answers: &AnswerOptions,
        work: impl AsyncFnOnce(&ConnectedServer, &str) -> Result<ExitStatus, CliError>,
    ) -> Result<ExitStatus, CliError> {
        let (target, mut words) = self.options.resolve(
            self.target.clone(),
            self.words.clone(),
            self.command.clone(),
        )?;
        let id = first(&mut words, "ID", "carryall tasks get localhost:8080 ID")?;
        no_more(&words)?;
        let work = async |server: &ConnectedServer| work(server, &id).await;
        answers.connect(target, &self.options, work).await
    }
}

async fn get(server: &ConnectedServer, id: &str) -> Result<ExitStatus, CliError> {
    let spinner = server.spinner("getting the task");
    let task = spinner
        .during(server.client.task(id).get())
        .await
        .map_err(|error| task_error(server, &error))?;
    print(server, &task)?;
    Ok(ExitStatus::Ok)
}

async fn wait(
    server: &ConnectedServer,
    id: &str,
    answers: &AnswerOptions,
) -> Result<ExitStatus, CliError> {
    let spinner = server.spinner("waiting for the task");
    let (what, task) = (format!("task {id}"), server.client.task(id));
    let waiting = task::wait::<CallToolResult>(server, &spinner, &what, &task, answers);
    let result = spinner.during(waiting).await?;
    tool_result::finish(server, "the tool", &result)
}

async fn update(
    server: &ConnectedServer,
    id: &str,
    answers: &AnswerOptions,
) -> Result<ExitStatus, CliError> {
    let spinner = server.spinner("answering the task");
    let task = server.client.task(id);
    let to_error = |error: ClientError| task_error(server, &error);
    let updated = async {
        let now = task.get().await.map_err(to_error)?;
        let requests = now.input_requests.clone().unwrap_or_default();
        if requests.is_empty() {
            let status = task::status(&now.task);
            return Err(CliError::usage(format!(
                "{}: the task does not ask for input ({status})",
                server.label
            )));
        }
        let input = PendingInput {
            what: &format!("task {id}"),
            requests: &requests,
            result: serde_json::to_value(&now).unwrap_or_default(),
            later: Some(TaskFollowUp {
                command: &server.follow_up,
                action: "update",
                id,
            }),
        };
        let responses = input
            .answer_some(server, &spinner, answers)
            .await
            .map_err(|error| match error.status {
                ExitStatus::Usage => error.hint(format!(
                    "nothing was sent, and task {} is still waiting for an answer",
                    text::one_line(id)
                )),
                _ => error,
            })?;
        task.update(responses).await.map_err(to_error)?;
        task.get().await.map_err(to_error)
    };
    print(server, &spinner.during(updated).await?)?;
    Ok(ExitStatus::Ok)
}

async fn cancel(server: &ConnectedServer, id: &str) -> Result<ExitStatus, CliError> {
    let spinner = server.spinner("cancelling the task");
    let task = server.client.task(id);
    let cancelled = async {
        task.cancel()
            .await
            .map_err(|error| task_error(server, &error))?;
        match task.get().await {
            Ok(now) => Ok(Some(now)),
            // A server may drop a cancelled task (`tasks#task-cancellation`).
            Err(error) if error.is_invalid_params() => Ok(None),
            Err(error) => Err(task_error(server, &error)),
        }
    };
    match spinner.during(cancelled).await? {
        Some(now) => print(server, &now)?,
        None => server
            .output
            .note("The task is cancelled, and the server no longer has it."),
    }
    Ok(ExitStatus::Ok)
}

fn print(server: &ConnectedServer, task: &DetailedTask) -> Result<(), CliError> {
    match server.output.format {
        OutputFormat::Json => server.output.json(task),
        OutputFormat::Human => server.output.print(&render(server, task)),
    }
}

fn render(server: &ConnectedServer, detailed: &DetailedTask) -> String {
    let (output, task) = (&server.output, &detailed.task);
    let mut facts = vec![
        ("Task", text::one_line(&task.task_id)),
        ("Status", task::status_name(task.status).to_owned()),
    ];
    facts.extend(
        task.status_message
            .as_deref()
            .map(|message| ("Message", text::one_line(message))),
    );
    facts.push(("Created", text::one_line(&task.created_at)));
    facts.push(("Changed", text::one_line(&task.last_updated_at)));
    facts.push((
        "Kept",
        task.ttl_ms.map_or("without limit".to_owned(), |ms| {
            format!("for at least {}", duration::format_ms(ms))
        }),
    ));
    let mut out = render::facts(output, facts);
    let mut more =
        |title: &str, text: &str| out += &format!("\n\n{}\n{text}", output.paint(TITLE, title));
    if let Some(requests) = detailed
        .input_requests
        .as_ref()
        .filter(|requests| !requests.is_empty())
    {
        more("Asks for input", &input::describe(requests));
    }
    if let Some(result) = &detailed.result {
        match serde_json::from_value::<CallToolResult>(JsonValue::Object(result.clone())) {
            Ok(result) => more("Result", &tool_result::render(output, &result)),
            Err(_) => more("Result", &render::json(result)),
        }
    }
    if let Some(error) = &detailed.error {
        more("Error", &text::one_line(&error.to_string()));
    }
    out
}
