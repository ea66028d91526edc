//! Notifications, and the members by which they name what they belong to.

use crate::{Params, key};
use carryall_types::{JsonObject, JsonValue, ProgressToken, RawJson, RequestId};
use serde::Deserialize;
use std::borrow::Cow;

/// A notification: a method and parameters, never an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// For example `notifications/progress`.
    pub method: Cow<'static, str>,
    /// The `params` object.
    pub params: Option<RawJson>,
}

impl Notification {
    /// Creates a notification with parameters.
    pub fn new(method: impl Into<Cow<'static, str>>, params: RawJson) -> Self {
        Self {
            method: method.into(),
            params: Some(params),
        }
    }

    /// Returns the progress token in the parameters.
    #[must_use]
    pub fn progress_token(&self) -> Option<ProgressToken> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct ProgressParams {
            progress_token: ProgressToken,
        }
        let params: ProgressParams = self.params.as_ref()?.decode().ok()?;
        Some(params.progress_token)
    }

    /// Sets the progress token. Returns false, and changes nothing, if the parameters are not an
    /// object.
    pub fn set_progress_token(&mut self, token: &ProgressToken) -> bool {
        let params = self.params.clone().map(Params::parse);
        let (Some(Ok(params)), Ok(token)) = (params, RawJson::from_value(token)) else {
            return false;
        };
        self.params = Some(params.with(key::PROGRESS_TOKEN, &token).raw().clone());
        true
    }

    /// Returns the id of the subscription that the notification belongs to
    /// (`basic/patterns/subscriptions`).
    #[must_use]
    pub fn subscription_id(&self) -> Option<RequestId> {
        #[derive(Deserialize)]
        struct SubscriptionParams {
            #[serde(rename = "_meta")]
            meta: SubscriptionMeta,
        }
        #[derive(Deserialize)]
        struct SubscriptionMeta {
            #[serde(rename = "io.modelcontextprotocol/subscriptionId")]
            id: RequestId,
        }
        let params: SubscriptionParams = self.params.as_ref()?.decode().ok()?;
        Some(params.meta.id)
    }

    /// Replaces the subscription id, if there is one.
    pub fn replace_subscription_id(&mut self, id: &RequestId) {
        if let Some(params) = &mut self.params {
            replace_subscription_id(params, id);
        }
    }

    /// Removes the subscription id, and `_meta` and the parameters if nothing else is in them.
    pub fn remove_subscription_id(&mut self) {
        let params = self.params.as_ref().map(RawJson::decode::<JsonObject>);
        let Some(Ok(mut params)) = params else {
            return;
        };
        if let Some(JsonValue::Object(meta)) = params.get_mut("_meta") {
            meta.remove(key::SUBSCRIPTION_ID);
            if meta.is_empty() {
                params.remove("_meta");
            }
        }
        self.params = (!params.is_empty()).then(|| RawJson::from(&JsonValue::Object(params)));
    }
}

/// Replaces the subscription id in the `_meta` of an object, the parameters of a notification or a
/// result, if there is one.
pub(crate) fn replace_subscription_id(object: &mut RawJson, id: &RequestId) {
    let Ok(params) = Params::parse(object.clone()) else {
        return;
    };
    let meta = params
        .get("_meta")
        .and_then(|meta| meta.decode::<JsonObject>().ok());
    let (Some(mut meta), Ok(id)) = (meta, serde_json::to_value(id)) else {
        return;
    };
    if let Some(current) = meta.get_mut(key::SUBSCRIPTION_ID) {
        *current = id;
        let meta = RawJson::from(&JsonValue::Object(meta));
        *object = params.with("_meta", &meta).raw().clone();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notification(params: &str) -> Notification {
        Notification::new("n", RawJson::parse(params.to_owned()).unwrap())
    }

    fn text(notification: &Notification) -> &str {
        notification.params.as_ref().unwrap().as_str()
    }

    #[test]
    fn a_progress_token_is_read_and_replaced_with_its_type() {
        let mut progress = notification(r#"{"progressToken":"1","progress":2}"#);
        assert_eq!(progress.progress_token(), Some("1".into()));
        assert!(progress.set_progress_token(&7.into()));
        assert_eq!(text(&progress), r#"{"progressToken":7,"progress":2}"#);
        let mut malformed = notification("[]");
        assert_eq!(malformed.progress_token(), None);
        assert!(!malformed.set_progress_token(&7.into()));
        assert_eq!(text(&malformed), "[]");
    }

    #[test]
    fn a_subscription_id_is_replaced_only_where_there_is_one() {
        let id = r#"{"_meta":{"io.modelcontextprotocol/subscriptionId":3,"x/y":1},"uri":"a:"}"#;
        let mut updated = notification(id);
        assert_eq!(updated.subscription_id(), Some(3.into()));
        updated.replace_subscription_id(&"s".into());
        assert_eq!(updated.subscription_id(), Some("s".into()));
        assert_eq!(text(&updated), id.replace(":3,", ":\"s\","));
        for other in [r#"{"_meta":{"x/y":1}}"#, "{}", "[]"] {
            let mut without = notification(other);
            assert_eq!(without.subscription_id(), None);
            without.replace_subscription_id(&"s".into());
            assert_eq!(text(&without), other);
        }
    }

    #[test]
    fn removing_a_subscription_id_leaves_no_empty_objects() {
        let mut updated =
            notification(r#"{"_meta":{"io.modelcontextprotocol/subscriptionId":3},"uri":"a:"}"#);
        updated.remove_subscription_id();
        assert_eq!(text(&updated), r#"{"uri":"a:"}"#);
        let mut changed = notification(r#"{"_meta":{"io.modelcontextprotocol/subscriptionId":3}}"#);
        changed.remove_subscription_id();
        assert_eq!(changed.params, None);
    }
}
