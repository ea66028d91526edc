//! Opening a subscription: from the request to its acknowledgement.

use crate::ClientError;
use crate::client::Client;
use crate::notices::decode;
use crate::options::MetaOptions;
use crate::wire::RequestSpec;
use carryall_proto::listen::TaskChange;
use carryall_proto::{
    Call, CallError, Message, MessageStream, Notification, Outcome, ParamsWriter, Reply, Response,
    key,
};
use carryall_types::{
    JsonObject, JsonValue, Method, RawJson, RequestId, SubscriptionFilter,
    SubscriptionsAcknowledgedNotificationParams, code, notification,
};
use futures_util::StreamExt;
use serde::Deserialize;
use std::time::Duration;

/// How opening went.
pub(super) enum Opened {
    Open {
        id: RequestId,
        stream: MessageStream,
        acknowledged: SubscriptionFilter,
    },
    /// The server has ended the subscription at once, in good order.
    Closed,
}

/// Sends `subscriptions/listen` and waits for its acknowledgement, the first message of the
/// subscription.
pub(super) async fn open(
    client: Client,
    filter: SubscriptionFilter,
    timeout: Duration,
) -> Result<Opened, ClientError> {
    let mut params = ParamsWriter::new();
    params
        .put("notifications", &filter)
        .map_err(|error| ClientError::Request(error.to_string()))?;
    let mut ask = RequestSpec::new(Method::SubscriptionsListen, params);
    let opening = async {
        match attempt(&client, &mut ask).await {
            Err(ClientError::Server(refusal))
                if refusal.code == code::UNSUPPORTED_PROTOCOL_VERSION =>
            {
                client.inner.choose_version(&refusal)?;
                attempt(&client, &mut ask).await
            }
            opened => opened,
        }
    };
    tokio::time::timeout(timeout, opening)
        .await
        .map_err(|_| CallError::Timeout(timeout))?
}

async fn attempt(client: &Client, ask: &mut RequestSpec) -> Result<Opened, ClientError> {
    let inner = &*client.inner;
    let id = RequestId::Number(inner.next_id());
    let meta = inner
        .template()
        .render(&inner.meta_options(&MetaOptions::default()), None)?;
    let params = ask.params(meta.raw(), None);
    let mut stream = match inner
        .service
        .answer(Call::new(id.clone(), ask.method.clone(), params, meta))
        .await?
    {
        Reply::Once(response) => return ended(response),
        Reply::Stream(stream) => stream,
    };
    while let Some(message) = stream.next().await {
        match message? {
            Message::Response(response) => return ended(response),
            Message::Notification(message) => {
                let ours = subscription_of(&message).is_none_or(|other| other == id);
                if ours && message.method == notification::SUBSCRIPTIONS_ACKNOWLEDGED {
                    let params = decode::<SubscriptionsAcknowledgedNotificationParams>(&message);
                    let acknowledged = params
                        .map(|params| params.notifications)
                        .unwrap_or_default();
                    return Ok(Opened::Open {
                        id,
                        stream,
                        acknowledged,
                    });
                }
                // Nothing may come before the acknowledgement.
                tracing::debug!(method = %carryall_proto::Printable(&message.method), "notification before the acknowledgement ignored");
            }
        }
    }
    Err(CallError::broken("the stream ended before the acknowledgement").into())
}

fn ended(response: Response) -> Result<Opened, ClientError> {
    match response.outcome {
        Outcome::Result(_) => Ok(Opened::Closed),
        Outcome::Error(error) => Err(ClientError::Server(error)),
    }
}

/// Whether trying again later may help.
pub(super) fn may_pass(error: &ClientError) -> bool {
    match error {
        ClientError::Call(
            CallError::Unreachable(_)
            | CallError::Broken(_)
            | CallError::Timeout(_)
            | CallError::Busy(_),
        ) => true,
        // What proxies answer while a server is away or busy.
        ClientError::Call(CallError::NotMcp { status, .. }) => {
            matches!(status, 429 | 502 | 503 | 504)
        }
        _ => false,
    }
}

/// The subscription that a message belongs to.
pub(super) fn subscription_of(message: &Notification) -> Option<RequestId> {
    #[derive(Deserialize)]
    struct Params {
        #[serde(rename = "_meta", default)]
        meta: JsonObject,
    }
    let mut params: Params = decode(message)?;
    serde_json::from_value(params.meta.remove(key::SUBSCRIPTION_ID)?).ok()
}

/// The resource that has changed.
pub(super) fn updated_uri(message: &Notification) -> Option<String> {
    #[derive(Deserialize)]
    struct Params {
        uri: String,
    }
    decode::<Params>(message).map(|params| params.uri)
}

/// How a task stands now.
pub(super) fn task_of(message: &Notification) -> Option<TaskChange> {
    let mut task: JsonObject = decode(message)?;
    // What belongs to the subscription is not the task's.
    task.shift_remove("_meta");
    let id = task.get("taskId")?.as_str()?.into();
    Some(TaskChange {
        id,
        task: RawJson::from(&JsonValue::Object(task)),
    })
}

/// Whether `notifications/cancelled` ends the subscription `id`.
pub(super) fn cancels(message: &Notification, id: &RequestId) -> bool {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Params {
        request_id: RequestId,
        #[serde(default)]
        reason: Option<String>,
    }
    let Some(params) = decode::<Params>(message) else {
        return false;
    };
    let ends = params.request_id == *id;
    if ends {
        tracing::debug!(reason = %carryall_proto::Printable(params.reason.as_deref().unwrap_or("none given")), "the server ended the subscription");
    }
    ends
}

/// What is in `requested` and not in `acknowledged`.
pub(super) fn missing(
    requested: &SubscriptionFilter,
    acknowledged: &SubscriptionFilter,
) -> SubscriptionFilter {
    let list = |wanted: bool, sent: bool| (wanted && !sent).then_some(true);
    let mut missing = SubscriptionFilter::new();
    missing.tools_list_changed = list(requested.wants_tools(), acknowledged.wants_tools());
    missing.prompts_list_changed = list(requested.wants_prompts(), acknowledged.wants_prompts());
    missing.resources_list_changed =
        list(requested.wants_resources(), acknowledged.wants_resources());
    let sent = acknowledged.resource_uris();
    let uris: Vec<String> = requested
        .resource_uris()
        .iter()
        .filter(|uri| !sent.contains(uri))
        .cloned()
        .collect();
    missing.resource_subscriptions = (!uris.is_empty()).then_some(uris);
    let sent = acknowledged.tasks();
    let ids: Vec<String> = requested
        .tasks()
        .iter()
        .filter(|id| !sent.contains(id))
        .cloned()
        .collect();
    missing.task_ids = (!ids.is_empty()).then_some(ids);
    missing
}
