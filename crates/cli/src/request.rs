//! Carries out a request with everything between it and its result: input requests
//! (`basic/patterns/mrtr`), and the task that it may become (Tasks extension).

use crate::connection::ConnectedServer;
use crate::error::CliError;
use crate::exit::ExitStatus;
use crate::input::{AnswerOptions, PendingInput};
use crate::output::spinner::Spinner;
use crate::task;
use carryall::client::{FromResult, Request, RoundOutcome, TaskHandle};
use serde_json::json;
use std::time::Duration;

/// Maximum number of rounds. A server that asks more often is unlikely to come to an end.
const MAX_ROUNDS: u32 = 10;

/// The outcome of a request.
pub(crate) enum RequestOutcome<A: FromResult> {
    Done(A::Output),
    /// The request has become a task.
    Task(Box<TaskHandle>),
}

/// Sends a request and returns its result. Answers input requests, and waits for a task.
pub(crate) async fn complete<A: FromResult>(
    server: &ConnectedServer,
    spinner: &Spinner,
    what: &str,
    request: Request<A>,
    answers: &AnswerOptions,
) -> Result<A::Output, CliError> {
    match send(server, spinner, what, request, answers).await? {
        RequestOutcome::Done(output) => Ok(output),
        RequestOutcome::Task(task) => {
            task::wait_for_call::<A>(server, spinner, what, &task, answers).await
        }
    }
}

/// Sends a request and returns its result or its task. Answers input requests.
pub(crate) async fn send<A: FromResult>(
    server: &ConnectedServer,
    spinner: &Spinner,
    what: &str,
    mut request: Request<A>,
    answers: &AnswerOptions,
) -> Result<RequestOutcome<A>, CliError> {
    for round in 0..MAX_ROUNDS {
        let sent = request.once().await;
        let pending = match sent.map_err(|error| server.error(&error))? {
            RoundOutcome::Done(output) => return Ok(RequestOutcome::Done(output)),
            RoundOutcome::Task(task) => return Ok(RequestOutcome::Task(task)),
            RoundOutcome::InputRequired(pending) => pending,
            _ => {
                return Err(CliError::new(
                    ExitStatus::Refused,
                    format!("{what}: unknown outcome of a round"),
                ));
            }
        };
        let requests = pending.requests();
        if requests.is_empty() {
            // The server only wants the request again, with its `requestState`.
            tokio::time::sleep(Duration::from_millis(25) * round).await;
        }
        let result = json!({"resultType": "input_required", "inputRequests": requests});
        let input = PendingInput {
            what,
            requests,
            result,
            later: None,
        };
        let responses = input.answer_all(server, spinner, answers).await?;
        request = pending.answer(responses);
    }
    Err(CliError::new(
        ExitStatus::Refused,
        format!(
            "{}: {what} asked for input {MAX_ROUNDS} times without a result",
            server.label
        ),
    ))
}
