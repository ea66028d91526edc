//! Opens a subscription: from the request to its acknowledgement.

use crate::ClientError;
use crate::call::spec::RequestSpec;
use crate::core::ScopedCore;
use crate::meta::MetaOptions;
use crate::notification::decode_params;
use carryall_proto::{
    Call, CallError, Message, MessageStream, Outcome, ParamsWriter, Reply, Response,
};
use carryall_types::{
    Method, RequestId, SubscriptionFilter, SubscriptionsAcknowledgedNotificationParams, code,
    notification,
};
use futures_util::StreamExt;
use std::time::Duration;

/// The outcome of opening a subscription.
pub(super) enum OpenedSubscription {
    Open {
        id: RequestId,
        stream: MessageStream,
        acknowledged: SubscriptionFilter,
    },
    /// The server closed the subscription gracefully at once.
    Closed,
}

/// Sends `subscriptions/listen` and waits for its acknowledgement, the first message of the
/// subscription.
pub(super) async fn open(
    core: ScopedCore,
    filter: SubscriptionFilter,
    timeout: Duration,
) -> Result<OpenedSubscription, ClientError> {
    let mut params = ParamsWriter::new();
    params
        .put("notifications", &filter)
        .map_err(|error| ClientError::Request(error.to_string()))?;
    let mut spec = RequestSpec::new(Method::SubscriptionsListen, params);
    let opening = async {
        match attempt(&core, &mut spec).await {
            Err(ClientError::Server(refusal))
                if refusal.code == code::UNSUPPORTED_PROTOCOL_VERSION =>
            {
                core.choose_version(&refusal)?;
                attempt(&core, &mut spec).await
            }
            opened => opened,
        }
    };
    tokio::time::timeout(timeout, opening)
        .await
        .map_err(|_| CallError::Timeout(timeout))?
}

async fn attempt(
    core: &ScopedCore,
    spec: &mut RequestSpec,
) -> Result<OpenedSubscription, ClientError> {
    let id = RequestId::Number(core.next_id());
    let meta = core.render_meta(&MetaOptions::default(), None)?;
    let params = spec.params(meta.raw(), None);
    let call = Call::new(id.clone(), spec.method.clone(), params, meta);
    let mut stream = match core.service.answer(call).await? {
        Reply::Once(response) => return closed(response),
        Reply::Stream(stream) => stream,
    };
    while let Some(message) = stream.next().await {
        match message? {
            Message::Response(response) => return closed(response),
            Message::Notification(message) => {
                let is_ours = message.subscription_id().is_none_or(|other| other == id);
                if is_ours && message.method == notification::SUBSCRIPTIONS_ACKNOWLEDGED {
                    let params =
                        decode_params::<SubscriptionsAcknowledgedNotificationParams>(&message);
                    let acknowledged = params
                        .map(|params| params.notifications)
                        .unwrap_or_default();
                    return Ok(OpenedSubscription::Open {
                        id,
                        stream,
                        acknowledged,
                    });
                }
                // The acknowledgement must come first.
                tracing::debug!(method = %carryall_proto::Printable(&message.method), "notification before the acknowledgement ignored");
            }
        }
    }
    Err(CallError::broken("the stream ended before the acknowledgement").into())
}

fn closed(response: Response) -> Result<OpenedSubscription, ClientError> {
    match response.outcome {
        Outcome::Result(_) => Ok(OpenedSubscription::Closed),
        Outcome::Error(error) => Err(ClientError::Server(error)),
    }
}

/// Returns whether opening again later may succeed.
pub(super) fn is_transient(error: &ClientError) -> bool {
    match error {
        ClientError::Call(
            CallError::Unreachable(_)
            | CallError::Broken(_)
            | CallError::Timeout(_)
            | CallError::Busy(_),
        ) => true,
        // The answers of proxies while a server is down or busy.
        ClientError::Call(CallError::NotMcp { status, .. }) => {
            matches!(status, 429 | 502 | 503 | 504)
        }
        _ => false,
    }
}
