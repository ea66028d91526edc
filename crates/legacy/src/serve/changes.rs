//! What a client wants to hear about, and the one subscription of the service that tells it.

use super::conversation::{ClientSession, RequestContext};
use super::negotiated;
use crate::generate::{self, Emitter};
use carryall_proto::budget::{Budget, BudgetExceeded, Reservation};
use carryall_proto::{CallError, Caller, Message, MessageStream, Notification, Reply};
use carryall_types::{
    ErrorObject, JsonObject, LoggingLevel, Method, RawJson, RequestId, SubscriptionFilter, code,
};
use futures_core::Stream;
use futures_util::{FutureExt as _, StreamExt as _};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
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

/// The longest URI that can be subscribed to, in bytes.
pub(crate) const MAX_URI_BYTES: usize = 8 * 1024;
/// How many bytes the URIs of one session may have together, as JSON. All of them go to a replica
/// that asks.
pub(crate) const MAX_SESSION_BYTES: usize = 512 * 1024;
/// What a subscription costs besides its URI, in bytes.
const OVERHEAD: usize = 256;

/// The resources that a client has subscribed to.
pub(crate) struct Subscriptions {
    limit: usize,
    budget: Budget,
    caller: Caller,
    uris: watch::Sender<Uris>,
}

#[derive(Default)]
struct Uris {
    all: BTreeMap<String, Reservation>,
    /// Their size as JSON.
    bytes: usize,
}

/// Why a resource cannot be subscribed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SubscribeError {
    UriTooLong,
    /// The session has so many.
    TooMany(usize),
    TooManyBytes,
    Exceeded(BudgetExceeded),
}

impl fmt::Display for SubscribeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UriTooLong => write!(f, "the uri is longer than {MAX_URI_BYTES} bytes"),
            Self::TooMany(limit) => write!(
                f,
                "this session has {limit} subscriptions already; unsubscribe from some"
            ),
            Self::TooManyBytes => {
                write!(
                    f,
                    "the subscribed URIs of this session have more than {MAX_SESSION_BYTES} bytes together"
                )
            }
            Self::Exceeded(exceeded) => write!(f, "too many subscriptions: {exceeded}"),
        }
    }
}

impl SubscribeError {
    pub(crate) fn to_error(self) -> ErrorObject {
        match self {
            Self::UriTooLong => ErrorObject::invalid_params(format!("Invalid params: {self}")),
            _ => ErrorObject::new(code::INVALID_REQUEST, format!("Invalid request: {self}")),
        }
    }
}

impl Subscriptions {
    pub(crate) fn new(limit: usize, budget: Budget, caller: Caller) -> Self {
        Self {
            limit,
            budget,
            caller,
            uris: watch::Sender::default(),
        }
    }

    /// Subscribes to a resource, unless that is so already.
    pub(crate) fn add(&self, uri: String) -> Result<(), SubscribeError> {
        if uri.len() > MAX_URI_BYTES {
            return Err(SubscribeError::UriTooLong);
        }
        let mut added = Ok(());
        self.uris.send_if_modified(|uris| {
            let size = json_size(&uri);
            if uris.all.contains_key(&uri) {
                return false;
            }
            let reserved = if uris.all.len() >= self.limit {
                Err(SubscribeError::TooMany(self.limit))
            } else if uris.bytes + size > MAX_SESSION_BYTES {
                Err(SubscribeError::TooManyBytes)
            } else {
                self.budget
                    .reserve(&self.caller, size + OVERHEAD)
                    .map_err(SubscribeError::Exceeded)
            };
            match reserved {
                Ok(reservation) => {
                    uris.bytes += size;
                    uris.all.insert(uri, reservation);
                    true
                }
                Err(refused) => {
                    added = Err(refused);
                    false
                }
            }
        });
        added
    }

    pub(crate) fn remove(&self, uri: &str) {
        self.uris.send_if_modified(|uris| {
            let removed = uris.all.remove(uri).is_some();
            if removed {
                uris.bytes -= json_size(uri);
            }
            removed
        });
    }

    /// All of them.
    pub(crate) fn list(&self) -> Vec<String> {
        self.uris.borrow().all.keys().cloned().collect()
    }

    /// Gives up all of them, and returns what was reserved for them.
    pub(crate) fn take(&self) -> Vec<Reservation> {
        std::mem::take(&mut self.uris.send_replace(Uris::default()).all)
            .into_values()
            .collect()
    }
}

fn json_size(uri: &str) -> usize {
    serde_json::to_vec(uri).map_or(usize::MAX, |text| text.len())
}

/// The notifications of one subscription of the service, renewed when what the client wants
/// changes, and when the service ends it.
pub(crate) fn stream(
    conversation: Arc<ClientSession>,
    origin: RequestContext,
) -> Pin<Box<dyn Stream<Item = Notification> + Send>> {
    generate::stream(move |out| async move {
        let listening = ChangeSubscription {
            conversation: &conversation,
            origin: &origin,
            out: &out,
        };
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

struct ChangeSubscription<'a> {
    conversation: &'a Arc<ClientSession>,
    origin: &'a RequestContext,
    out: &'a Emitter<Notification>,
}

impl ChangeSubscription<'_> {
    async fn until_ended(&self) -> Ended {
        let mut wanted = self.conversation.subscriptions.uris.subscribe();
        let Some(lists) = self.lists().await else {
            return Ended::Silent;
        };
        let mut current: Option<MessageStream> = None;
        loop {
            let uris: Vec<String> = wanted.borrow_and_update().all.keys().cloned().collect();
            let filter = SubscriptionFilter {
                resource_subscriptions: (!uris.is_empty()).then_some(uris),
                ..lists.clone()
            };
            if filter == SubscriptionFilter::default() {
                // There is nothing to hear of until somebody subscribes to something.
                if wanted.changed().await.is_err() {
                    return Ended::Unsupported;
                }
                continue;
            }
            // The new subscription is there before the old one goes, so that no change falls
            // between the two.
            let next = match self.open(&filter).await {
                Ok(Some(next)) => next,
                Ok(None) => return Ended::Unsupported,
                Err(error) => {
                    tracing::debug!(%error, "the service cannot be listened to");
                    return Ended::Silent;
                }
            };
            if let Some(mut old) = current.replace(next) {
                while let Some(Some(Ok(Message::Notification(notification)))) =
                    old.next().now_or_never()
                {
                    self.tell(notification).await;
                }
            }
            let Some(messages) = &mut current else {
                return Ended::Silent;
            };
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
        let ClientSession {
            service,
            negotiated,
            ..
        } = &**self.conversation;
        let capabilities = negotiated::discover(service, negotiated, self.origin)
            .await
            .ok()?
            .capabilities;
        let tells = |changes: Option<Option<bool>>| changes.flatten().filter(|tells| *tells);
        Some(SubscriptionFilter {
            tools_list_changed: tells(capabilities.tools.map(|tools| tools.list_changed)),
            prompts_list_changed: tells(capabilities.prompts.map(|prompts| prompts.list_changed)),
            resources_list_changed: tells(
                capabilities
                    .resources
                    .map(|resources| resources.list_changed),
            ),
            ..SubscriptionFilter::default()
        })
    }

    /// Opens a subscription and waits for its acknowledgement; `None` when the service has none.
    async fn open(&self, filter: &SubscriptionFilter) -> Result<Option<MessageStream>, CallError> {
        let params = RawJson::from(&serde_json::json!({"notifications": filter}));
        let ClientSession {
            service,
            negotiated,
            ..
        } = &**self.conversation;
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

    async fn tell(&self, mut notification: Notification) {
        // A client of an earlier revision knows nothing of subscriptions.
        notification.remove_subscription_id();
        self.out.emit(notification).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use carryall_proto::budget::Amount;

    fn address(last: u8) -> Caller {
        Caller::Address([10, 0, 0, last].into())
    }

    fn subscriptions(limit: usize) -> Subscriptions {
        let budget = Budget::new(
            Amount::new(1_000, 10_000_000),
            Amount::new(1_000, 10_000_000),
        );
        Subscriptions::new(limit, budget, address(1))
    }

    #[test]
    fn subscriptions_are_bounded_and_counted_once() {
        let subscriptions = subscriptions(2);
        for uri in ["a:", "b:", "a:"] {
            assert_eq!(subscriptions.add(uri.into()), Ok(()));
        }
        assert_eq!(
            subscriptions.add("c:".into()),
            Err(SubscribeError::TooMany(2))
        );
        subscriptions.remove("a:");
        subscriptions.remove("never there");
        assert_eq!(subscriptions.add("c:".into()), Ok(()));
        assert_eq!(subscriptions.list(), ["b:", "c:"]);
    }

    #[test]
    fn a_uri_has_a_length_and_all_of_a_session_have_one_together() {
        let subscriptions = subscriptions(1_000);
        assert_eq!(
            subscriptions.add("x".repeat(MAX_URI_BYTES + 1)),
            Err(SubscribeError::UriTooLong)
        );
        let uri = |n: usize| format!("{n:04}{}", "x".repeat(MAX_URI_BYTES - 4));
        let fit = (0..1_000)
            .take_while(|n| subscriptions.add(uri(*n)).is_ok())
            .count();
        assert_eq!(fit, MAX_SESSION_BYTES / (MAX_URI_BYTES + 2));
        assert_eq!(
            subscriptions.add(uri(fit)),
            Err(SubscribeError::TooManyBytes)
        );
        // Each of these is six bytes in JSON.
        assert_eq!(
            subscriptions.add("\u{1}".repeat(MAX_URI_BYTES)),
            Err(SubscribeError::TooManyBytes)
        );
        subscriptions.remove(&uri(0));
        assert_eq!(subscriptions.add(uri(fit)), Ok(()));
    }

    #[test]
    fn one_caller_cannot_use_up_the_subscriptions_of_all() {
        let budget = Budget::new(Amount::new(4, 100_000), Amount::new(2, 50_000));
        let of = |last| Subscriptions::new(100, budget.clone(), address(last));
        let (first, second, other) = (of(1), of(1), of(2));
        assert_eq!(first.add("a:".into()), Ok(()));
        assert_eq!(second.add("a:".into()), Ok(()));
        let full = Err(SubscribeError::Exceeded(BudgetExceeded::Caller));
        assert_eq!(
            second.add("b:".into()),
            full,
            "sessions of one caller share what it has"
        );
        assert_eq!(other.add("b:".into()), Ok(()));
        drop(first);
        assert_eq!(second.add("b:".into()), Ok(()));
        let held = second.take();
        assert_eq!(
            second.add("c:".into()),
            full,
            "what was taken out is still held"
        );
        drop(held);
        assert_eq!(second.add("c:".into()), Ok(()));
    }
}
