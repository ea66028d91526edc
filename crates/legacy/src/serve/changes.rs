//! The notifications of changes that a client receives, from one subscription of the service.

use super::client_session::ClientSession;
use super::discover::discover;
use super::exchange::RequestContext;
use super::negotiated::modern_call;
use crate::generate::{self, Emitter, Generated};
use carryall_proto::backoff::Backoff;
use carryall_proto::{CallError, Message, MessageStream, Notification, ParamsWriter, Reply, key};
use carryall_types::{JsonObject, JsonValue, Method, RawJson, RequestId, SubscriptionFilter};
use futures_util::{FutureExt as _, StreamExt as _};
use std::sync::Arc;
use std::time::Duration;

/// Delays between attempts to subscribe again after the service has ended a subscription.
const RESUBSCRIBE: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30));

/// Returns the change notifications for a client, until the server shuts down.
///
/// They come from one `subscriptions/listen` of the service, which is renewed when the client
/// changes what it is subscribed to, and when the service ends it.
pub(crate) fn stream(
    session: &Arc<ClientSession>,
    context: RequestContext,
) -> Generated<Notification> {
    let shutdown = Box::pin(session.shutdown.begun());
    let session = Arc::clone(session);
    let notifications = generate::stream(move |out| async move {
        let subscription = ChangeSubscription {
            session: &session,
            context: &context,
            out: &out,
        };
        let mut failures = 0;
        loop {
            match subscription.until_ended().await {
                SubscriptionEnd::Unsupported => return std::future::pending().await,
                SubscriptionEnd::Acknowledged => failures = 0,
                SubscriptionEnd::Failed => failures += 1,
            }
            let mut random = [0; 8];
            let _ = getrandom::fill(&mut random);
            tokio::time::sleep(RESUBSCRIBE.delay(failures, u64::from_le_bytes(random))).await;
        }
    });
    Box::pin(notifications.take_until(shutdown))
}

/// How a subscription of the service ended.
enum SubscriptionEnd {
    /// The service reports no changes.
    Unsupported,
    /// It had been acknowledged.
    Acknowledged,
    /// It was never acknowledged.
    Failed,
}

struct ChangeSubscription<'a> {
    session: &'a ClientSession,
    context: &'a RequestContext,
    out: &'a Emitter<Notification>,
}

impl ChangeSubscription<'_> {
    async fn until_ended(&self) -> SubscriptionEnd {
        let mut subscribed = self.session.subscriptions.watch();
        let Some(lists) = self.reported_lists().await else {
            return SubscriptionEnd::Failed;
        };
        let mut current: Option<MessageStream> = None;
        loop {
            let uris = subscribed.list();
            let filter = SubscriptionFilter {
                resource_subscriptions: (!uris.is_empty()).then_some(uris),
                ..lists.clone()
            };
            if filter == SubscriptionFilter::default() {
                // Nothing to receive until the client subscribes to a resource.
                if subscribed.changed().await.is_err() {
                    return SubscriptionEnd::Unsupported;
                }
                continue;
            }
            // The new subscription is acknowledged before the old one is dropped, so that no change
            // falls between the two.
            let next = match self.open(&filter).await {
                Ok(Some(next)) => next,
                Ok(None) => return SubscriptionEnd::Unsupported,
                Err(error) => {
                    tracing::debug!(%error, "cannot subscribe to changes of the service");
                    return SubscriptionEnd::Failed;
                }
            };
            if let Some(mut old) = current.replace(next) {
                while let Some(Some(Ok(Message::Notification(notification)))) =
                    old.next().now_or_never()
                {
                    self.emit(notification).await;
                }
            }
            let Some(messages) = &mut current else {
                return SubscriptionEnd::Failed;
            };
            loop {
                tokio::select! {
                    message = messages.next() => match message {
                        Some(Ok(Message::Notification(notification))) => {
                            self.emit(notification).await;
                        }
                        Some(Ok(Message::Response(_)) | Err(_)) | None => {
                            return SubscriptionEnd::Acknowledged;
                        }
                    },
                    changed = subscribed.changed() => match changed {
                        Ok(()) => break,
                        Err(_) => return SubscriptionEnd::Acknowledged,
                    },
                }
            }
        }
    }

    /// Returns the lists whose changes the service reports.
    async fn reported_lists(&self) -> Option<SubscriptionFilter> {
        let ClientSession {
            service,
            negotiated,
            ..
        } = self.session;
        let capabilities = discover(service, negotiated, self.context)
            .await
            .ok()?
            .capabilities;
        let reports = |changes: Option<Option<bool>>| changes.flatten().filter(|reports| *reports);
        Some(SubscriptionFilter {
            tools_list_changed: reports(capabilities.tools.map(|tools| tools.list_changed)),
            prompts_list_changed: reports(capabilities.prompts.map(|prompts| prompts.list_changed)),
            resources_list_changed: reports(
                capabilities
                    .resources
                    .map(|resources| resources.list_changed),
            ),
            ..SubscriptionFilter::default()
        })
    }

    /// Opens a subscription and waits for its acknowledgement; `None` if the service has no
    /// subscriptions.
    async fn open(&self, filter: &SubscriptionFilter) -> Result<Option<MessageStream>, CallError> {
        let ClientSession {
            service,
            negotiated,
            ..
        } = self.session;
        let mut params = ParamsWriter::new();
        if params.put("notifications", filter).is_err() {
            return Ok(None);
        }
        let call = modern_call(
            RequestId::String("changes".into()),
            Method::SubscriptionsListen,
            &params.finish(),
            negotiated.meta(None, None, &JsonObject::new()),
            self.context,
        );
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

    async fn emit(&self, notification: Notification) {
        self.out.emit(without_subscription_id(notification)).await;
    }
}

/// Removes the subscription id, which legacy clients do not know.
fn without_subscription_id(mut notification: Notification) -> Notification {
    let Some(mut params) = notification
        .params
        .as_ref()
        .and_then(|params| params.decode::<JsonObject>().ok())
    else {
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
    fn the_subscription_id_is_removed_and_the_rest_is_kept() {
        let with = |params: &str| {
            Notification::new(
                "notifications/x",
                RawJson::parse(params.to_owned()).unwrap(),
            )
        };
        let id = r#"{"uri":"a:","_meta":{"io.modelcontextprotocol/subscriptionId":"changes"}}"#;
        assert_eq!(
            without_subscription_id(with(id)).params.unwrap().as_str(),
            r#"{"uri":"a:"}"#
        );
        let other = r#"{"_meta":{"io.modelcontextprotocol/subscriptionId":1,"x/y":2}}"#;
        assert_eq!(
            without_subscription_id(with(other))
                .params
                .unwrap()
                .as_str(),
            r#"{"_meta":{"x/y":2}}"#
        );
        let only = r#"{"_meta":{"io.modelcontextprotocol/subscriptionId":1}}"#;
        assert_eq!(without_subscription_id(with(only)).params, None);
    }
}
