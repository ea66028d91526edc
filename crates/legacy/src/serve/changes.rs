//! What a client wants to hear about, and the one subscription of the service that tells it.

use super::conversation::{Conversation, Origin};
use super::negotiated;
use crate::generate::{self, Emitter};
use carryall_proto::{CallError, Message, MessageStream, Notification, Reply, key};
use carryall_types::{JsonObject, JsonValue, LoggingLevel, Method, RawJson, RequestId, SubscriptionFilter};
use futures_core::Stream;
use futures_util::{FutureExt as _, StreamExt as _};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Between attempts to subscribe again when the service ends a subscription.
const AGAIN: carryall_proto::backoff::Backoff =
    carryall_proto::backoff::Backoff::new(Duration::from_millis(500), Duration::from_secs(30));

/// A change of what a client wants to hear.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Change {
    /// `logging/setLevel`.
    LogLevel(LoggingLevel),
    /// `resources/subscribe`.
    Subscribed(String),
    /// `resources/unsubscribe`.
    Unsubscribed(String),
}

/// The resources that a client has subscribed to.
pub(crate) struct Subscriptions {
    limit: usize,
    uris: watch::Sender<BTreeSet<String>>,
}

impl Subscriptions {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, uris: watch::Sender::default() }
    }

    /// `false` when there are too many.
    pub(crate) fn add(&self, uri: String) -> bool {
        let mut fits = true;
        self.uris.send_if_modified(|uris| {
            fits = uris.len() < self.limit || uris.contains(&uri);
            fits && uris.insert(uri)
        });
        fits
    }

    pub(crate) fn remove(&self, uri: &str) {
        self.uris.send_if_modified(|uris| uris.remove(uri));
    }
}

/// The notifications of one subscription of the service, renewed when what the client wants changes, and when the service
/// ends it.
pub(crate) fn stream(
    conversation: Arc<Conversation>,
    origin: Origin,
) -> Pin<Box<dyn Stream<Item = Notification> + Send>> {
    generate::stream(move |out| async move {
        let listening = Listening { conversation: &conversation, origin: &origin, out: &out };
        let mut failures = 0;
        loop {
            match listening.until_ended().await {
                Ended::Unsupported => return std::future::pending().await,
                Ended::Heard => failures = 0,
                Ended::Silent => failures += 1,
            }
            let mut random = [0; 8];
            let _ = getrandom::fill(&mut random);
            tokio::time::sleep(AGAIN.delay(failures, u64::from_le_bytes(random))).await;
        }
    })
}

/// How a subscription of the service came to its end.
enum Ended {
    /// There was none: the service tells of no changes.
    Unsupported,
    /// It was acknowledged.
    Heard,
    /// It was not.
    Silent,
}

struct Listening<'a> {
    conversation: &'a Arc<Conversation>,
    origin: &'a Origin,
    out: &'a Emitter<Notification>,
}

impl Listening<'_> {
    async fn until_ended(&self) -> Ended {
        let mut wanted = self.conversation.subscriptions.uris.subscribe();
        let Some(lists) = self.lists().await else { return Ended::Silent };
        let mut current: Option<MessageStream> = None;
        loop {
            let uris: Vec<String> = wanted.borrow_and_update().iter().cloned().collect();
            let filter =
                SubscriptionFilter { resource_subscriptions: (!uris.is_empty()).then_some(uris), ..lists.clone() };
            if filter == SubscriptionFilter::default() {
                // There is nothing to hear of until somebody subscribes to something.
                if wanted.changed().await.is_err() {
                    return Ended::Unsupported;
                }
                continue;
            }
            // The new subscription is there before the old one goes, so that no change falls between the two.
            let next = match self.open(&filter).await {
                Ok(Some(next)) => next,
                Ok(None) => return Ended::Unsupported,
                Err(error) => {
                    tracing::debug!(%error, "the service cannot be listened to");
                    return Ended::Silent;
                }
            };
            if let Some(mut old) = current.replace(next) {
                while let Some(Some(Ok(Message::Notification(notification)))) = old.next().now_or_never() {
                    self.tell(notification).await;
                }
            }
            let Some(messages) = &mut current else { return Ended::Silent };
            loop {
                tokio::select! {
                    message = messages.next() => match message {
                        Some(Ok(Message::Notification(notification))) => self.tell(notification).await,
                        Some(Ok(Message::Response(_)) | Err(_)) | None => return Ended::Heard,
                    },
                    changed = wanted.changed() => match changed {
                        Ok(()) => break,
                        Err(_) => return Ended::Heard,
                    },
                }
            }
        }
    }

    /// The lists whose changes the service tells of.
    async fn lists(&self) -> Option<SubscriptionFilter> {
        let Conversation { service, negotiated, .. } = &**self.conversation;
        let capabilities = negotiated::discover(service, negotiated, self.origin).await.ok()?.capabilities;
        let tells = |changes: Option<Option<bool>>| changes.flatten().filter(|tells| *tells);
        Some(SubscriptionFilter {
            tools_list_changed: tells(capabilities.tools.map(|tools| tools.list_changed)),
            prompts_list_changed: tells(capabilities.prompts.map(|prompts| prompts.list_changed)),
            resources_list_changed: tells(capabilities.resources.map(|resources| resources.list_changed)),
            ..SubscriptionFilter::default()
        })
    }

    /// Opens a subscription and waits for its acknowledgement; `None` when the service has none.
    async fn open(&self, filter: &SubscriptionFilter) -> Result<Option<MessageStream>, CallError> {
        let params = RawJson::from(&serde_json::json!({"notifications": filter}));
        let Conversation { service, negotiated, .. } = &**self.conversation;
        let meta = negotiated.meta(None, None, &JsonObject::new());
        let id = RequestId::String("changes".into());
        let call = negotiated::call(id, Method::SubscriptionsListen, params, meta, self.origin);
        let Ok(call) = call else { return Ok(None) };
        match service.answer(call).await? {
            Reply::Once(_) => Ok(None),
            Reply::Stream(mut messages) => match messages.next().await {
                Some(Ok(Message::Notification(_))) => Ok(Some(messages)),
                Some(Ok(Message::Response(_))) => Ok(None),
                Some(Err(error)) => Err(error),
                None => Err(CallError::broken("the subscription ended at once")),
            },
        }
    }

    async fn tell(&self, notification: Notification) {
        self.out.emit(without_subscription(notification)).await;
    }
}

/// The notification without the id of a subscription that its reader knows nothing of.
fn without_subscription(mut notification: Notification) -> Notification {
    let Some(mut params) = notification.params.as_ref().and_then(|params| params.decode::<JsonObject>().ok()) else {
        return notification;
    };
    if let Some(JsonValue::Object(meta)) = params.get_mut("_meta") {
        meta.remove(key::SUBSCRIPTION_ID);
        if meta.is_empty() {
            params.remove("_meta");
        }
    }
    notification.params = (!params.is_empty()).then(|| RawJson::from(&JsonValue::Object(params)));
    notification
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subscriptions_are_bounded_and_counted_once() {
        let subscriptions = Subscriptions::new(2);
        assert!(subscriptions.add("a:".into()) && subscriptions.add("b:".into()) && subscriptions.add("a:".into()));
        assert!(!subscriptions.add("c:".into()));
        subscriptions.remove("a:");
        assert!(subscriptions.add("c:".into()));
    }

    #[test]
    fn the_subscription_id_goes_and_the_rest_stays() {
        let with = |params: &str| Notification::new("notifications/x", RawJson::parse(params.to_owned()).unwrap());
        let id = r#"{"uri":"a:","_meta":{"io.modelcontextprotocol/subscriptionId":"changes"}}"#;
        assert_eq!(without_subscription(with(id)).params.unwrap().as_str(), r#"{"uri":"a:"}"#);
        let other = r#"{"_meta":{"io.modelcontextprotocol/subscriptionId":1,"x/y":2}}"#;
        assert_eq!(without_subscription(with(other)).params.unwrap().as_str(), r#"{"_meta":{"x/y":2}}"#);
        let only = r#"{"_meta":{"io.modelcontextprotocol/subscriptionId":1}}"#;
        assert_eq!(without_subscription(with(only)).params, None);
    }
}
