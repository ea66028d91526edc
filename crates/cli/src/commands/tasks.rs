//! `carryall tasks`: what has become of tasks, which outlive the commands that began them (Tasks
//! extension).

use super::{call, first, no_more};
use crate::again::TaskFollowUp;
use crate::answers::{self, Answers, PendingInput};
use crate::connect::{self, Server, ServerOptions};
use crate::fail::{Exit, Fail};
use crate::follow::{self, failed};
use crate::render;
use crate::screen::{Format, OutputOptions, TITLE};
use crate::text;
use carryall::types::{CallToolResult, DetailedTask, JsonValue};

const EXAMPLES: &str = "\
A call that takes long may become a task of the server. `carryall call --no-wait` prints its ID.
Whoever knows that may be able to read the result.

Examples:
  carryall call localhost:8080 bake loaves=3 --no-wait
  carryall tasks get localhost:8080 ID
  carryall tasks update localhost:8080 ID --answer seeds=poppy
  carryall tasks wait localhost:8080 ID
  carryall tasks cancel localhost:8080 ID";

/// Ask after tasks, bring them answers, cancel them
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, arg_required_else_help = true, disable_help_subcommand = true)]
pub(crate) struct Tasks {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Show how a task stands, with what it asks or has come to
    #[command(
        override_usage = "carryall tasks get [OPTIONS] TARGET ID\n       carryall tasks get [OPTIONS] ID -- COMMAND [ARG]..."
    )]
    Get {
        #[command(flatten)]
        which: Which,
    },
    /// Wait for the result of a task; Ctrl-C leaves the task alone
    #[command(
        override_usage = "carryall tasks wait [OPTIONS] TARGET ID\n       carryall tasks wait [OPTIONS] ID -- COMMAND [ARG]..."
    )]
    Wait {
        #[command(flatten)]
        answers: Answers,
        #[command(flatten)]
        which: Which,
    },
    /// Bring answers to what a task asks, without waiting for its result
    #[command(
        override_usage = "carryall tasks update [OPTIONS] TARGET ID\n       carryall tasks update [OPTIONS] ID -- COMMAND [ARG]..."
    )]
    Update {
        #[command(flatten)]
        answers: Answers,
        #[command(flatten)]
        which: Which,
    },
    /// Say that nobody wants the result of a task any more
    #[command(
        override_usage = "carryall tasks cancel [OPTIONS] TARGET ID\n       carryall tasks cancel [OPTIONS] ID -- COMMAND [ARG]..."
    )]
    Cancel {
        #[command(flatten)]
        which: Which,
    },
}

/// A task of a server.
#[derive(Debug, clap::Args)]
struct Which {
    /// The server: a URL, a name from an mcp.json, stdio:'COMMAND' or unix:PATH
    #[arg(value_name = "TARGET")]
    target: Option<String>,
    /// The task
    #[arg(value_name = "ID")]
    words: Vec<String>,
    /// A command to start as the server, instead of TARGET
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
    #[command(flatten)]
    server: ServerOptions,
}

impl Tasks {
    /// How this command prints.
    pub(crate) fn screen(&self) -> OutputOptions {
        let (Action::Get { which }
        | Action::Wait { which, .. }
        | Action::Update { which, .. }
        | Action::Cancel { which }) = &self.action;
        which.server.screen
    }

    pub(crate) async fn run(self) -> Result<Exit, Fail> {
        let nothing = Answers::default();
        match &self.action {
            Action::Get { which } => which.with(&nothing, get).await,
            Action::Wait { which, answers } => {
                which
                    .with(answers, async |server, id| wait(server, id, answers).await)
                    .await
            }
            Action::Update { which, answers } => {
                which
                    .with(answers, async |server, id| {
                        update(server, id, answers).await
                    })
                    .await
            }
            Action::Cancel { which } => which.with(&nothing, cancel).await,
        }
    }
}

impl Which {
    async fn with(
        &self,
        answers: &Answers,
        work: impl AsyncFnOnce(&Server, &str) -> Result<Exit, Fail>,
    ) -> Result<Exit, Fail> {
        let words = (
            self.target.clone(),
            self.words.clone(),
            self.command.clone(),
        );
        let (target, mut words) = self.server.split(words.0, words.1, words.2)?;
        let id = first(&mut words, "ID", "carryall tasks get localhost:8080 ID")?;
        no_more(&words)?;
        let work = async |server: &Server| work(server, &id).await;
        connect::answering(target, &self.server, answers, Exit::Interrupted, work).await
    }
}

async fn get(server: &Server, id: &str) -> Result<Exit, Fail> {
    let busy = server.busy("asking after the task");
    let task = busy
        .during(server.client.task(id).get())
        .await
        .map_err(|error| failed(server, &error))?;
    print(server, &task)?;
    Ok(Exit::Ok)
}

async fn wait(server: &Server, id: &str, answers: &Answers) -> Result<Exit, Fail> {
    let busy = server.busy("waiting for the task");
    let (what, task) = (format!("task {id}"), server.client.task(id));
    let result = busy
        .during(follow::to_its_end::<CallToolResult>(
            server, &busy, &what, &task, answers,
        ))
        .await?;
    call::finish(server, "the tool", &result)
}

async fn update(server: &Server, id: &str, answers: &Answers) -> Result<Exit, Fail> {
    let busy = server.busy("bringing answers");
    let task = server.client.task(id);
    let updated = async {
        let now = task.get().await.map_err(|error| failed(server, &error))?;
        let requests = now.input_requests.clone().unwrap_or_default();
        if requests.is_empty() {
            let status = follow::status(&now.task);
            return Err(Fail::usage(format!(
                "{}: the task asks for nothing ({status})",
                server.place
            )));
        }
        let result = serde_json::to_value(&now).unwrap_or_default();
        let (what, later) = (
            format!("task {id}"),
            Some(TaskFollowUp {
                again: &server.again,
                action: "update",
                id,
            }),
        );
        let asking = PendingInput {
            what: &what,
            requests: &requests,
            result,
            later,
        };
        let responses =
            asking
                .some(server, &busy, answers)
                .await
                .map_err(|fail| match fail.exit {
                    Exit::Usage => fail.hint(format!(
                        "nothing was sent, and the task {} waits for an answer",
                        text::line(id)
                    )),
                    _ => fail,
                })?;
        task.update(responses)
            .await
            .map_err(|error| failed(server, &error))?;
        task.get().await.map_err(|error| failed(server, &error))
    };
    print(server, &busy.during(updated).await?)?;
    Ok(Exit::Ok)
}

async fn cancel(server: &Server, id: &str) -> Result<Exit, Fail> {
    let busy = server.busy("cancelling the task");
    let task = server.client.task(id);
    let cancelled = async {
        task.cancel()
            .await
            .map_err(|error| failed(server, &error))?;
        match task.get().await {
            Ok(now) => Ok(Some(now)),
            // A server may forget what was cancelled (`tasks#task-cancellation`).
            Err(error) if error.is_invalid_params() => Ok(None),
            Err(error) => Err(failed(server, &error)),
        }
    };
    match busy.during(cancelled).await? {
        Some(now) => print(server, &now)?,
        None => server
            .screen
            .note("The task is cancelled, and the server has forgotten it."),
    }
    Ok(Exit::Ok)
}

fn print(server: &Server, task: &DetailedTask) -> Result<(), Fail> {
    match server.screen.format {
        Format::Json => server.screen.json(task),
        Format::Human => server.screen.print(&shown(server, task)),
    }
}

fn shown(server: &Server, detailed: &DetailedTask) -> String {
    let (screen, task) = (&server.screen, &detailed.task);
    let mut facts = vec![
        ("Task", text::line(&task.task_id)),
        ("Status", follow::word(task.status).to_owned()),
    ];
    facts.extend(
        task.status_message
            .as_deref()
            .map(|message| ("Message", text::line(message))),
    );
    facts.push(("Created", text::line(&task.created_at)));
    facts.push(("Changed", text::line(&task.last_updated_at)));
    facts.push((
        "Kept",
        task.ttl_ms.map_or("for good".to_owned(), |ms| {
            format!("for {} at least", time(ms))
        }),
    ));
    let mut out = render::facts(screen, facts);
    let mut more =
        |title: &str, text: &str| out += &format!("\n\n{}\n{text}", screen.paint(TITLE, title));
    if let Some(requests) = detailed
        .input_requests
        .as_ref()
        .filter(|requests| !requests.is_empty())
    {
        more("It asks", &answers::questions(requests));
    }
    if let Some(result) = &detailed.result {
        match serde_json::from_value::<CallToolResult>(JsonValue::Object(result.clone())) {
            Ok(result) => more("Result", &call::shown(screen, &result)),
            Err(_) => more("Result", &render::json(result)),
        }
    }
    if let Some(error) = &detailed.error {
        more("Error", &text::line(&error.to_string()));
    }
    out
}

/// A time for people.
pub(super) fn time(ms: u64) -> String {
    let units = [(3_600_000, "h"), (60_000, "min"), (1_000, "s")];
    let whole = units
        .iter()
        .find(|(unit, _)| ms >= *unit && ms.is_multiple_of(*unit));
    whole.map_or_else(
        || format!("{ms} ms"),
        |(unit, name)| format!("{} {name}", ms / unit),
    )
}

#[cfg(test)]
mod tests {
    use super::time;

    #[test]
    fn times_are_written_in_the_largest_unit_that_fits() {
        assert_eq!(
            [0, 250, 1_000, 90_000, 60_000, 7_200_000]
                .map(time)
                .join(", "),
            "0 ms, 250 ms, 1 s, 90 s, 1 min, 2 h"
        );
    }
}
