//! One wire request and its answer, within its time.

use crate::ClientError;
use crate::notices::NotificationDispatcher;
use carryall_proto::{BoxFuture, CallError, Message, MessageStream, Outcome, Reply, Response};
use carryall_types::{RawJson, RequestId};
use futures_util::StreamExt;
use std::pin::{Pin, pin};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until, timeout_at};

/// How long one wire request may take (`basic/patterns/cancellation#timeouts`).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Without an answer, or without progress if that counts.
    pub(crate) idle: Duration,
    /// In any case.
    pub(crate) total: Duration,
    pub(crate) reset_on_progress: bool,
}

/// Waits for the response. Whenever this returns or is dropped the call is dropped with it, and
/// that cancels whatever is still going on.
pub(crate) async fn exchange(
    answer: BoxFuture<Result<Reply, CallError>>,
    id: &RequestId,
    limits: Limits,
    notices: &mut NotificationDispatcher<'_>,
) -> Result<RawJson, ClientError> {
    let started = Instant::now();
    let idle = limits.idle.min(limits.total);
    // Not a `select!` with an alarm: a server that floods us uses up the task's budget each time,
    // and then a plain timer never goes off.
    let reply = match timeout_at(started + idle, answer).await {
        Ok(reply) => reply?,
        Err(_) => return Err(CallError::Timeout(idle).into()),
    };
    let response = match reply {
        Reply::Once(response) => response,
        Reply::Stream(stream) => {
            let alarm = pin!(sleep_until(started + idle));
            follow(stream, started, limits, alarm, notices).await?
        }
    };
    if response.id != *id {
        return Err(CallError::Malformed(format!(
            "the answer to request {id} carries id {}",
            response.id
        ))
        .into());
    }
    match response.outcome {
        Outcome::Result(result) => Ok(result),
        Outcome::Error(error) => Err(ClientError::Server(error)),
    }
}

async fn follow(
    mut stream: MessageStream,
    started: Instant,
    limits: Limits,
    mut alarm: Pin<&mut Sleep>,
    notices: &mut NotificationDispatcher<'_>,
) -> Result<Response, ClientError> {
    loop {
        let message = tokio::select! {
            // The alarm first: a server that never stops talking must not keep it from going off.
            biased;
            () = alarm.as_mut() => return Err(CallError::Timeout(started.elapsed()).into()),
            message = stream.next() => message,
        };
        match message {
            Some(Ok(Message::Response(response))) => return Ok(response),
            Some(Ok(Message::Notification(notification))) => {
                let progressed = notices.take(&notification, started.elapsed());
                if progressed && limits.reset_on_progress {
                    alarm
                        .as_mut()
                        .reset((Instant::now() + limits.idle).min(started + limits.total));
                }
            }
            Some(Err(error)) => return Err(error.into()),
            None => return Err(CallError::broken("the stream ended before the response").into()),
        }
    }
}
