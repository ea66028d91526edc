//! A task, followed to its end (`tasks#task-polling`).

use crate::again::TaskFollowUp;
use crate::answers::{Answers, PendingInput};
use crate::busy::Spinner;
use crate::connect::Server;
use crate::fail::{Exit, Fail};
use crate::text;
use carryall::client::{ClientError, FromResult, TaskHandle};
use carryall::types::{InputRequests, Task, TaskStatus};
use std::collections::HashSet;

/// Follows the task that a call has become. If the call is broken off, so is the task.
pub(crate) async fn call<A: FromResult>(
    server: &Server,
    busy: &Spinner,
    what: &str,
    task: &TaskHandle,
    answers: &Answers,
) -> Result<A::Output, Fail> {
    server.mind(Some(task.clone()));
    if server.screen.watched || server.screen.verbose {
        let mut note = format!(
            "{what} is at work as task {}; Ctrl-C cancels it",
            text::line(task.id())
        );
        if server.lasts {
            note += &format!("\n  from elsewhere: {}", wait(server, task.id()));
        }
        server.screen.note(&note);
    }
    let ended = to_its_end::<A>(server, busy, what, task, answers).await;
    match &ended {
        // Whoever has interrupted it sees to it that it is cancelled.
        Err(fail) if fail.exit == Exit::Interrupted => {}
        _ => server.mind(None),
    }
    ended
}

/// Follows a task to its result, with answers to what it asks.
pub(crate) async fn to_its_end<A: FromResult>(
    server: &Server,
    busy: &Spinner,
    what: &str,
    task: &TaskHandle,
    answers: &Answers,
) -> Result<A::Output, Fail> {
    asked_for(server, busy, what, task, answers)
        .await
        .map_err(|fail| left_behind(server, task.id(), fail))?;
    task.wait_for::<A>()
        .await
        .map_err(|error| failed(server, &error))
}

/// What to say of a task that goes on although the command does not: how it is called, and how to
/// go on with it.
fn left_behind(server: &Server, id: &str, fail: Fail) -> Fail {
    let command = match fail.exit {
        // Whoever interrupts a call cancels its task; nobody can go on with what the server does
        // not know.
        Exit::Interrupted | Exit::Ok | Exit::Refused => return fail,
        // Says so already, with what to answer.
        Exit::InputRequired => None,
        Exit::Usage => Some(server.again.task("wait", id, "--answer FIELD=VALUE")),
        _ => Some(wait(server, id)),
    };
    let state = if fail.exit == Exit::Usage {
        "waits for an answer"
    } else {
        "goes on, as far as is known"
    };
    let fail = match command {
        Some(command) => fail.hint(format!("the task {} {state}: {command}", text::line(id))),
        None => fail,
    };
    if server.lasts {
        return fail;
    }
    fail.hint("the server was started for this command and has ended with it, and so has the task unless it is kept elsewhere")
}

/// Answers whatever a task asks until it has ended: each question once, however often it is told.
async fn asked_for(
    server: &Server,
    busy: &Spinner,
    what: &str,
    task: &TaskHandle,
    answers: &Answers,
) -> Result<(), Fail> {
    let failed = |error: ClientError| failed(server, &error);
    let (mut news, mut answered) = (task.watch(), HashSet::new());
    loop {
        let mut now = news.next().await.map_err(failed)?;
        busy.status(&status(&now.task));
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
        let result = serde_json::to_value(&now).unwrap_or_default();
        let later = Some(TaskFollowUp {
            again: &server.again,
            action: "wait",
            id: task.id(),
        });
        let responses = PendingInput {
            what,
            requests: &requests,
            result,
            later,
        }
        .all(server, busy, answers)
        .await?;
        task.update(responses).await.map_err(failed)?;
        // The answers may have been all that it waited for, which is news of this side.
        news = task.watch();
    }
}

/// How a task stands, in words: those of the server, if it has any.
pub(crate) fn status(task: &Task) -> String {
    let word = word(task.status);
    match &task.status_message {
        Some(message) if task.status == TaskStatus::Working => text::line(message),
        Some(message) => format!("{word}: {}", text::line(message)),
        None => word.to_owned(),
    }
}

/// How a task stands, in a word or two.
pub(crate) fn word(status: TaskStatus) -> &'static str {
    match status {
        TaskStatus::Working => "working",
        TaskStatus::InputRequired => "waits for answers",
        TaskStatus::Completed => "completed",
        TaskStatus::Cancelled => "cancelled",
        TaskStatus::Failed => "failed",
    }
}

/// The command that waits for a task.
pub(crate) fn wait(server: &Server, id: &str) -> String {
    server.again.task("wait", id, "")
}

/// What went wrong with a request about a task.
pub(crate) fn failed(server: &Server, error: &ClientError) -> Fail {
    let fail = server.failed(error);
    if error.is_invalid_params() {
        let hint = "a task is known to whoever began it, for as long as the server keeps it";
        return fail.hint(format!("{hint}; `carryall call --no-wait` prints its ID"));
    }
    if error.is_method_not_found() {
        return fail.hint("the server keeps no tasks (extension io.modelcontextprotocol/tasks)");
    }
    fail
}
