//! Waits for tasks and answers what they ask (`tasks#task-polling`).

use crate::connection::{ConnectedServer, TaskFollowUp};
use crate::error::CliError;
use crate::exit::ExitStatus;
use crate::input::{AnswerOptions, PendingInput};
use crate::output::spinner::Spinner;
use crate::output::text;
use carryall::client::{ClientError, FromResult, TaskHandle};
use carryall::types::{InputRequests, Task, TaskStatus};
use std::collections::HashSet;

/// Waits for the task that a call has become. An interrupt cancels the task.
pub(crate) async fn wait_for_call<A: FromResult>(
    server: &ConnectedServer,
    spinner: &Spinner,
    what: &str,
    task: &TaskHandle,
    answers: &AnswerOptions,
) -> Result<A::Output, CliError> {
    server.cancel_on_interrupt(Some(task.clone()));
    if server.output.stderr_is_terminal || server.output.verbose {
        let mut note = format!(
            "{what} is running as task {}; Ctrl-C cancels it",
            text::one_line(task.id())
        );
        if !server.ephemeral {
            note += &format!(
                "\n  to wait elsewhere: {}",
                server.follow_up.wait(task.id())
            );
        }
        server.output.note(&note);
    }
    let ended = wait::<A>(server, spinner, what, task, answers).await;
    // An interrupt at a prompt arrives as an error, after which the task still has to be cancelled.
    if !matches!(&ended, Err(error) if error.status == ExitStatus::Interrupted) {
        server.cancel_on_interrupt(None);
    }
    ended
}

/// Waits for a task and answers what it asks.
pub(crate) async fn wait<A: FromResult>(
    server: &ConnectedServer,
    spinner: &Spinner,
    what: &str,
    task: &TaskHandle,
    answers: &AnswerOptions,
) -> Result<A::Output, CliError> {
    answer_until_terminal(server, spinner, what, task, answers)
        .await
        .map_err(|error| add_task_hints(server, task.id(), error))?;
    task.wait_for::<A>()
        .await
        .map_err(|error| task_error(server, &error))
}

/// Adds to the error of a command how to return to the task, which goes on without it.
fn add_task_hints(server: &ConnectedServer, id: &str, error: CliError) -> CliError {
    let (state, command) = match error.status {
        // An interrupted call cancels its task, and a refusal means that the server does not know
        // the task.
        ExitStatus::Interrupted | ExitStatus::Ok | ExitStatus::Refused => return error,
        // Has a hint with the command already.
        ExitStatus::InputRequired => ("", None),
        ExitStatus::Usage => {
            let command = server.follow_up.task("wait", id, "--answer FIELD=VALUE");
            ("is waiting for an answer", Some(command))
        }
        _ => ("may still be running", Some(server.follow_up.wait(id))),
    };
    let error = match command {
        Some(command) => error.hint(format!("task {} {state}: {command}", text::one_line(id))),
        None => error,
    };
    if server.ephemeral {
        error.hint(
            "the server was started for this command and has ended with it, and so has the task unless it is stored elsewhere",
        )
    } else {
        error
    }
}

/// Answers what a task asks until it is in a terminal state. Each request is answered once, even if
/// it is reported repeatedly.
async fn answer_until_terminal(
    server: &ConnectedServer,
    spinner: &Spinner,
    what: &str,
    task: &TaskHandle,
    answers: &AnswerOptions,
) -> Result<(), CliError> {
    let to_error = |error: ClientError| task_error(server, &error);
    let (mut watch, mut answered) = (task.watch(), HashSet::new());
    loop {
        let mut now = watch.next().await.map_err(to_error)?;
        spinner.status(&status(&now.task));
        if now.task.status.is_terminal() {
            return Ok(());
        }
        let requests = now.input_requests.take().unwrap_or_default();
        let requests: InputRequests = requests
            .into_iter()
            .filter(|(key, _)| !answered.contains(key))
            .collect();
        if now.task.status != TaskStatus::InputRequired || requests.is_empty() {
            continue;
        }
        answered.extend(requests.iter().map(|(key, _)| key.to_owned()));
        now.input_requests = Some(requests.clone());
        let input = PendingInput {
            what,
            requests: &requests,
            result: serde_json::to_value(&now).unwrap_or_default(),
            later: Some(TaskFollowUp {
                command: &server.follow_up,
                action: "wait",
                id: task.id(),
            }),
        };
        let responses = input.answer_all(server, spinner, answers).await?;
        task.update(responses).await.map_err(to_error)?;
        // The answers may let the task finish at once, so it is polled again without delay.
        watch = task.watch();
    }
}

/// Describes the state of a task, with the server's message if it has one.
pub(crate) fn status(task: &Task) -> String {
    let name = status_name(task.status);
    match &task.status_message {
        Some(message) if task.status == TaskStatus::Working => text::one_line(message),
        Some(message) => format!("{name}: {}", text::one_line(message)),
        None => name.to_owned(),
    }
}

pub(crate) fn status_name(status: TaskStatus) -> &'static str {
    match status {
        TaskStatus::Working => "working",
        TaskStatus::InputRequired => "waiting for input",
        TaskStatus::Completed => "completed",
        TaskStatus::Cancelled => "cancelled",
        TaskStatus::Failed => "failed",
    }
}

/// Converts the error of a request about a task.
pub(crate) fn task_error(server: &ConnectedServer, error: &ClientError) -> CliError {
    let converted = server.error(error);
    if error.is_invalid_params() {
        return converted.hint(
            "a task is known only to the caller that started it, and for as long as the server keeps it; \
             `carryall call --no-wait` prints its ID",
        );
    }
    if error.is_method_not_found() {
        return converted
            .hint("the server does not support tasks (extension io.modelcontextprotocol/tasks)");
    }
    converted
}
