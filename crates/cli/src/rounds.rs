//! From a request to its result: what the server asks for on the way (`basic/patterns/mrtr`), and
//! the task that the request may become (Tasks extension).

use crate::answers::{Answers, PendingInput};
use crate::busy::Spinner;
use crate::connect::Server;
use crate::fail::{Exit, Fail};
use crate::follow;
use carryall::client::{FromResult, Request, RoundOutcome, TaskHandle};
use serde_json::json;
use std::time::Duration;

/// A server that asks more often than this goes round in circles.
const MAX_ROUNDS: u32 = 10;

/// How far a request has come.
pub(crate) enum Ended<A: FromResult> {
    /// The result is there.
    Done(A::Output),
    /// The server works on it.
    Task(Box<TaskHandle>),
}

/// Asks until the result is there, whatever comes on the way.
pub(crate) async fn complete<A: FromResult>(
    server: &Server,
    busy: &Spinner,
    what: &str,
    request: Request<A>,
    answers: &Answers,
) -> Result<A::Output, Fail> {
    match answered(server, busy, what, request, answers).await? {
        Ended::Done(output) => Ok(output),
        Ended::Task(task) => follow::call::<A>(server, busy, what, &task, answers).await,
    }
}

/// Asks until the result is there, or a task that leads to it.
pub(crate) async fn answered<A: FromResult>(
    server: &Server,
    busy: &Spinner,
    what: &str,
    mut request: Request<A>,
    answers: &Answers,
) -> Result<Ended<A>, Fail> {
    for round in 0..MAX_ROUNDS {
        let asked = match request
            .once()
            .await
            .map_err(|error| server.failed(&error))?
        {
            RoundOutcome::Done(output) => return Ok(Ended::Done(output)),
            RoundOutcome::Task(task) => return Ok(Ended::Task(task)),
            RoundOutcome::InputRequired(asked) => asked,
            _ => {
                return Err(Fail::new(
                    Exit::Refused,
                    format!("{what}: unknown outcome of a round"),
                ));
            }
        };
        let requests = asked.requests();
        if requests.is_empty() {
            // Nothing to answer: the server wants to be asked again, with what it has given back.
            tokio::time::sleep(Duration::from_millis(25) * round).await;
        }
        let result = json!({"resultType": "input_required", "inputRequests": requests});
        let responses = PendingInput {
            what,
            requests,
            result,
            later: None,
        }
        .all(server, busy, answers)
        .await?;
        request = asked.answer(responses);
    }
    Err(Fail::new(
        Exit::Refused,
        format!(
            "{}: {what} asked for input {MAX_ROUNDS} times without coming to a result",
            server.place
        ),
    ))
}
