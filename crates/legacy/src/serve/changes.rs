//! The notifications of changes that a client receives, from one subscription of the service.

use super::client_session::ClientSession;
use super::discover::discover;
use super::exchange::RequestContext;
use super::negotiated::modern_call;
use crate::generate::{self, Emitter, Generated};
use carryall_proto::backoff::Backoff;
use carryall_proto::{CallError, Message, MessageStream, Notification, ParamsWriter, Reply};
use carryall_types::{Method, RequestId, SubscriptionFilter};
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
        let ClientSession { service, meta, .. } = self.session;
        let capabilities = discover(service, meta.clone(), self.context)
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
        let ClientSession { service, meta, .. } = self.session;
        let mut params = ParamsWriter::new();
        if params.put("notifications", filter).is_err() {
            return Ok(None);
        }
        let call = modern_call(
            RequestId::String("changes".into()),
            Method::SubscriptionsListen,
            params.finish(),
            meta.clone(),
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

    async fn emit(&self, mut notification: Notification) {
        // Legacy clients do not know subscription ids.
        notification.remove_subscription_id();
        self.out.emit(notification).await;
    }
}
