//! The resources that a client has subscribed to.

use carryall_proto::Caller;
use carryall_proto::budget::{Budget, BudgetExceeded, Reservation};
use carryall_types::{ErrorObject, code};
use std::collections::BTreeMap;
use std::fmt;
use tokio::sync::watch;

/// Maximum length of a URI that can be subscribed to, in bytes.
pub(crate) const MAX_URI_BYTES: usize = 8 * 1024;
/// Maximum size of all URIs of one session together, in bytes of JSON. All of them go to a replica
/// that asks for the session.
pub(crate) const MAX_SESSION_BYTES: usize = 512 * 1024;
/// What a subscription counts against the quota besides its URI, in bytes.
const OVERHEAD: usize = 256;

/// The subscriptions of one session, bounded in number and bytes.
pub(crate) struct SubscribedResources {
    limit: usize,
    budget: Budget,
    caller: Caller,
    uris: watch::Sender<SubscribedUris>,
}

#[derive(Default)]
struct SubscribedUris {
    reservations: BTreeMap<String, Reservation>,
    /// The size of the URIs as JSON.
    bytes: usize,
}

/// Why a resource cannot be subscribed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SubscribeError {
    UriTooLong,
    /// The session has this many subscriptions.
    TooMany(usize),
    TooManyBytes,
    QuotaExceeded(BudgetExceeded),
}

impl fmt::Display for SubscribeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UriTooLong => write!(f, "the uri is longer than {MAX_URI_BYTES} bytes"),
            Self::TooMany(limit) => write!(
                f,
                "this session already has {limit} subscriptions; unsubscribe from some"
            ),
            Self::TooManyBytes => write!(
                f,
                "the subscribed URIs of this session exceed {MAX_SESSION_BYTES} bytes"
            ),
            Self::QuotaExceeded(exceeded) => write!(f, "too many subscriptions: {exceeded}"),
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

impl SubscribedResources {
    pub(crate) fn new(limit: usize, budget: Budget, caller: Caller) -> Self {
        Self {
            limit,
            budget,
            caller,
            uris: watch::Sender::default(),
        }
    }

    /// Subscribes to a resource. Does nothing if that has been done.
    pub(crate) fn add(&self, uri: String) -> Result<(), SubscribeError> {
        if uri.len() > MAX_URI_BYTES {
            return Err(SubscribeError::UriTooLong);
        }
        let mut added = Ok(());
        self.uris.send_if_modified(|uris| {
            if uris.reservations.contains_key(&uri) {
                return false;
            }
            let size = json_size(&uri);
            let reserved = if uris.reservations.len() >= self.limit {
                Err(SubscribeError::TooMany(self.limit))
            } else if uris.bytes + size > MAX_SESSION_BYTES {
                Err(SubscribeError::TooManyBytes)
            } else {
                self.budget
                    .reserve(&self.caller, size + OVERHEAD)
                    .map_err(SubscribeError::QuotaExceeded)
            };
            match reserved {
                Ok(reservation) => {
                    uris.bytes += size;
                    uris.reservations.insert(uri, reservation);
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
            let removed = uris.reservations.remove(uri).is_some();
            if removed {
                uris.bytes -= json_size(uri);
            }
            removed
        });
    }

    /// Returns the subscribed URIs.
    pub(crate) fn list(&self) -> Vec<String> {
        self.uris.borrow().reservations.keys().cloned().collect()
    }

    /// Returns a handle that reports changes of the set.
    pub(crate) fn watch(&self) -> SubscriptionWatch {
        SubscriptionWatch(self.uris.subscribe())
    }

    /// Removes all subscriptions, and returns what was reserved for them.
    pub(crate) fn take(&self) -> Vec<Reservation> {
        std::mem::take(
            &mut self
                .uris
                .send_replace(SubscribedUris::default())
                .reservations,
        )
        .into_values()
        .collect()
    }
}

/// Reports changes of [`SubscribedResources`].
pub(crate) struct SubscriptionWatch(watch::Receiver<SubscribedUris>);

impl SubscriptionWatch {
    /// Returns the subscribed URIs, and marks them as seen.
    pub(crate) fn list(&mut self) -> Vec<String> {
        let uris = self.0.borrow_and_update();
        uris.reservations.keys().cloned().collect()
    }

    /// Waits until the set differs from what was seen last. `Err` when the session is gone. Cancel
    /// safe.
    pub(crate) async fn changed(&mut self) -> Result<(), watch::error::RecvError> {
        self.0.changed().await
    }
}

fn json_size(uri: &str) -> usize {
    serde_json::to_vec(uri).map_or(usize::MAX, |text| text.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use carryall_proto::budget::Amount;

    fn address(last: u8) -> Caller {
        Caller::Address([10, 0, 0, last].into())
    }

    fn subscriptions(limit: usize) -> SubscribedResources {
        let budget = Budget::new(
            Amount::new(1_000, 10_000_000),
            Amount::new(1_000, 10_000_000),
        );
        SubscribedResources::new(limit, budget, address(1))
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
    fn uris_are_bounded_in_length_each_and_together() {
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
        // Each of these characters takes six bytes in JSON.
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
        let of = |last| SubscribedResources::new(100, budget.clone(), address(last));
        let (first, second, other) = (of(1), of(1), of(2));
        assert_eq!(first.add("a:".into()), Ok(()));
        assert_eq!(second.add("a:".into()), Ok(()));
        let full = Err(SubscribeError::QuotaExceeded(BudgetExceeded::Caller));
        assert_eq!(
            second.add("b:".into()),
            full,
            "sessions of one caller share its quota"
        );
        assert_eq!(other.add("b:".into()), Ok(()));
        drop(first);
        assert_eq!(second.add("b:".into()), Ok(()));
        let held = second.take();
        assert_eq!(
            second.add("c:".into()),
            full,
            "reservations that were taken out still count"
        );
        drop(held);
        assert_eq!(second.add("c:".into()), Ok(()));
    }
}
