//! Reads the notifications of a subscription.

use crate::notification::decode_params;
use carryall_proto::listen::{Change, TaskChange};
use carryall_proto::{Notification, Printable};
use carryall_types::{JsonObject, JsonValue, RawJson, RequestId, notification, task_method};
use serde::Deserialize;

/// What a notification means for a subscription.
pub(super) enum SubscriptionEvent {
    Change(Change),
    /// The server cancelled the subscription.
    Cancelled,
    /// Of another subscription, unknown or malformed.
    Ignored,
}

/// Reads a notification that arrived on the stream of subscription `id`.
pub(super) fn read(message: &Notification, id: &RequestId) -> SubscriptionEvent {
    if message.subscription_id().is_some_and(|other| other != *id) {
        tracing::debug!(method = %Printable(&message.method), "notification of another subscription ignored");
        return SubscriptionEvent::Ignored;
    }
    let change = match message.method.as_ref() {
        notification::TOOLS_LIST_CHANGED => Some(Change::Tools),
        notification::PROMPTS_LIST_CHANGED => Some(Change::Prompts),
        notification::RESOURCES_LIST_CHANGED => Some(Change::Resources),
        notification::RESOURCE_UPDATED => {
            updated_uri(message).map(|uri| Change::Resource(uri.into()))
        }
        task_method::CHANGED => changed_task(message).map(Change::Task),
        // A server that closes a subscription may say so before, after or instead of its result.
        notification::CANCELLED if cancels(message, id) => return SubscriptionEvent::Cancelled,
        notification::CANCELLED => None,
        method => {
            tracing::debug!(method = %Printable(method), "notification ignored");
            None
        }
    };
    change.map_or(SubscriptionEvent::Ignored, SubscriptionEvent::Change)
}

fn updated_uri(message: &Notification) -> Option<String> {
    #[derive(Deserialize)]
    struct UriField {
        uri: String,
    }
    decode_params::<UriField>(message).map(|params| params.uri)
}

fn changed_task(message: &Notification) -> Option<TaskChange> {
    let mut task: JsonObject = decode_params(message)?;
    // `_meta` belongs to the subscription, not to the task.
    task.shift_remove("_meta");
    let id = task.get("taskId")?.as_str()?.into();
    Some(TaskChange {
        id,
        task: RawJson::from(&JsonValue::Object(task)),
    })
}

/// Returns whether a `notifications/cancelled` cancels subscription `id`.
fn cancels(message: &Notification, id: &RequestId) -> bool {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct CancelledFields {
        request_id: RequestId,
        #[serde(default)]
        reason: Option<String>,
    }
    let Some(params) = decode_params::<CancelledFields>(message) else {
        return false;
    };
    let is_ours = params.request_id == *id;
    if is_ours {
        let reason = params.reason.as_deref().unwrap_or("none given");
        tracing::debug!(reason = %Printable(reason), "the server cancelled the subscription");
    }
    is_ours
}
