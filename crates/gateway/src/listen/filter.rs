//! Filters of subscriptions: what was requested and what was granted.

use carryall_proto::{Call, Notification, Params};
use carryall_types::{
    JsonObject, JsonValue, RawJson, SubscriptionFilter,
    SubscriptionsAcknowledgedNotificationParams, notification,
};
use serde::de::DeserializeOwned;
use std::collections::HashSet;

/// Removes from an acknowledgement what its upstream was not asked for.
pub(super) fn limit_to_requested(
    acknowledged: Notification,
    requested: &JsonObject,
) -> Notification {
    let params = acknowledged
        .params
        .clone()
        .and_then(|params| Params::parse(params).ok());
    let promised = params
        .as_ref()
        .and_then(|params| params.get("notifications")?.decode::<JsonObject>().ok());
    let (Some(params), Some(promised)) = (params, promised) else {
        return acknowledged;
    };
    let mut granted = promised.clone();
    granted.retain(|member, value| retain_requested(requested.get(member), value));
    if granted == promised {
        return acknowledged;
    }
    let params = params.with("notifications", &RawJson::from(&JsonValue::Object(granted)));
    Notification::new(
        notification::SUBSCRIPTIONS_ACKNOWLEDGED,
        params.raw().clone(),
    )
}

/// Removes from one member what was not requested. Returns whether to keep the member.
fn retain_requested(requested: Option<&JsonValue>, promised: &mut JsonValue) -> bool {
    match (requested, promised) {
        // It promises nothing.
        (_, JsonValue::Null | JsonValue::Bool(false)) => true,
        (None | Some(JsonValue::Null | JsonValue::Bool(false)), _) => false,
        (Some(JsonValue::Array(requested)), JsonValue::Array(promised)) => {
            let texts: HashSet<&str> = requested.iter().filter_map(JsonValue::as_str).collect();
            // Items other than strings belong to extensions.
            promised.retain(|item| item.as_str().is_none_or(|text| texts.contains(text)));
            true
        }
        (Some(JsonValue::Array(_)), _) => false,
        _ => true,
    }
}

/// Returns the filter of a `subscriptions/listen` call; empty if it is malformed.
pub(super) fn requested<F: DeserializeOwned + Default>(call: &Call) -> F {
    call.params()
        .get("notifications")
        .and_then(|filter| filter.decode().ok())
        .unwrap_or_default()
}

/// Returns what an acknowledgement grants.
pub(super) fn granted_filter(acknowledged: &Notification) -> SubscriptionFilter {
    let params = acknowledged
        .params
        .as_ref()
        .and_then(|params| params.decode().ok());
    params
        .map(|params: SubscriptionsAcknowledgedNotificationParams| params.notifications)
        .unwrap_or_default()
}
