//! Waits for the response to one wire request, within its timeouts.

use super::notifications::NotificationDispatcher;
use crate::ClientError;
use carryall_proto::{BoxFuture, CallError, Message, MessageStream, Outcome, Reply, Response};
use carryall_types::{RawJson, RequestId};
use futures_util::StreamExt;
use std::pin::{Pin, pin};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until, timeout_at};

/// The timeouts of one wire request (`basic/patterns/cancellation#timeouts`).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    /// Time without a response or, with `reset_on_progress`, without progress.
    pub(crate) idle: Duration,
    /// Time for the whole request.
    pub(crate) total: Duration,
    pub(crate) reset_on_progress: bool,
}

/// Waits for the response. The reply is dropped when this returns or is dropped, which cancels the
/// request if it is still running.
pub(crate) async fn exchange(
    reply: BoxFuture<Result<Reply, CallError>>,
    id: &RequestId,
    timeouts: Timeouts,
    notifications: &mut NotificationDispatcher<'_>,
) -> Result<RawJson, ClientError> {
    let started = Instant::now();
    let idle = timeouts.idle.min(timeouts.total);
    // `timeout_at` rather than `select!` with a timer: a server that floods us exhausts the task's
    // coop budget at every poll, and a plain timer would then never fire.
    let reply = match timeout_at(started + idle, reply).await {
        Ok(reply) => reply?,
        Err(_) => return Err(CallError::Timeout(idle).into()),
    };
    let response = match reply {
        Reply::Once(response) => response,
        Reply::Stream(stream) => {
            let timer = pin!(sleep_until(started + idle));
            read_stream(stream, started, timeouts, timer, notifications).await?
        }
    };
    if response.id != *id {
        return Err(CallError::Malformed(format!(
            "the response to request {id} has id {}",
            response.id
        ))
        .into());
    }
    match response.outcome {
        Outcome::Result(result) => Ok(result),
        Outcome::Error(error) => Err(ClientError::Server(error)),
    }
}

async fn read_stream(
    mut stream: MessageStream,
    started: Instant,
    timeouts: Timeouts,
    mut timer: Pin<&mut Sleep>,
    notifications: &mut NotificationDispatcher<'_>,
) -> Result<Response, ClientError> {
    loop {
        let message = tokio::select! {
            // The timer first: an endless stream of notifications must not starve it.
            biased;
            () = timer.as_mut() => return Err(CallError::Timeout(started.elapsed()).into()),
            message = stream.next() => message,
        };
        match message {
            Some(Ok(Message::Response(response))) => return Ok(response),
            Some(Ok(Message::Notification(notification))) => {
                let is_progress = notifications.dispatch(&notification, started.elapsed());
                if is_progress && timeouts.reset_on_progress {
                    timer
                        .as_mut()
                        .reset((Instant::now() + timeouts.idle).min(started + timeouts.total));
                }
            }
            Some(Err(error)) => return Err(error.into()),
            None => return Err(CallError::broken("the stream ended before the response").into()),
        }
    }
}
