//! Opens a subscription at one upstream.

use super::filter::{limit_to_requested, requested};
use crate::error::GatewayError;
use crate::upstream::Upstream;
use carryall_proto::{Call, Message, MessageStream, Notification, Outcome, Reply};
use carryall_types::{ErrorObject, JsonObject, notification};
use futures_util::StreamExt as _;
use std::time::Duration;
use tokio::time::timeout;

/// The outcome of opening a subscription at one upstream.
pub(super) enum OpenOutcome {
    Acknowledged(Notification, MessageStream),
    /// The upstream refused, and would do so again.
    Refused(ErrorObject),
    /// The upstream failed; it may succeed later.
    Failed(ErrorObject),
    /// The upstream did not acknowledge in time; it may be starting.
    TimedOut(ErrorObject),
}

pub(super) async fn open(upstream: &Upstream, call: Call, limit: Duration) -> OpenOutcome {
    let requested: JsonObject = requested(&call);
    let reply = match timeout(limit, upstream.exchange(call)).await {
        Ok(Ok(reply)) => reply,
        Ok(Err(error)) => return OpenOutcome::Failed(error.to_error()),
        Err(_) => return OpenOutcome::TimedOut(GatewayError::Timeout(limit).to_error()),
    };
    let mut stream = match reply {
        Reply::Stream(stream) => stream,
        Reply::Once(response) => match response.outcome {
            Outcome::Error(error) => return OpenOutcome::Refused(error),
            // A graceful close before the acknowledgement: the server is shutting down.
            Outcome::Result(_) => return OpenOutcome::Failed(ErrorObject::internal()),
        },
    };
    // `exchange` has waited for the first message, which must be the acknowledgement.
    match stream.next().await {
        Some(Ok(Message::Notification(first)))
            if first.method == notification::SUBSCRIPTIONS_ACKNOWLEDGED =>
        {
            OpenOutcome::Acknowledged(limit_to_requested(first, &requested), stream)
        }
        _ => {
            tracing::warn!(
                upstream = upstream.name(),
                "the first message of the subscription is not its acknowledgement"
            );
            OpenOutcome::Failed(ErrorObject::internal())
        }
    }
}
