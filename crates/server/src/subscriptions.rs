//! Open `subscriptions/listen` requests and their notifications (`basic/patterns/subscriptions`).

use crate::call::errors;
use crate::call::result_writer::ResultWriter;
use carryall_proto::budget::{Amount, Budget, BudgetExceeded, Reservation};
use carryall_proto::listen::{
    Change, PendingChanges, TaskChange, acknowledged, closing_response, subscription_meta,
};
use carryall_proto::sync::Mutex;
use carryall_proto::{Call, CallError, Caller, Message, MessageStream, Principal, Reply, Response};
use carryall_types::{JsonObject, RequestId, SubscriptionFilter};
use futures_core::Stream;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};

/// The most changes that wait for one slow subscriber before they are merged.
const MAX_PENDING: usize = 64;
/// The most bytes that the subscriptions of all callers together may name, and those of one.
const MAX_BYTES: usize = 256 * 1024 * 1024;
const MAX_BYTES_PER_CALLER: usize = 64 * 1024 * 1024;
/// Estimates, in bytes: what a subscription takes besides the names in it, and what each name takes
/// besides its text.
const SUBSCRIPTION_OVERHEAD: usize = 1024;
const NAME_OVERHEAD: usize = 64;

/// The open subscriptions of one server. Dropping it ends them with their closing result.
#[derive(Debug)]
pub(crate) struct Subscriptions {
    subscribers: Mutex<Subscribers>,
    budget: Budget,
    limit: usize,
    hasher: RandomState,
    results: Arc<ResultWriter>,
}

#[derive(Debug, Default)]
struct Subscribers {
    next_id: u64,
    open: HashMap<u64, Arc<Subscriber>>,
    by_task: HashMap<String, TaskSubscribers>,
    is_closed: bool,
}

/// The subscribers of one task.
#[derive(Debug, Default)]
struct TaskSubscribers {
    ids: Vec<u64>,
    /// The newest version of the task that was published.
    version: u64,
    /// A digest of what was published last: writes that change nothing visible are not published.
    digest: Option<u64>,
}

#[derive(Debug)]
struct Subscriber {
    principal: Option<Arc<Principal>>,
    state: Mutex<SubscriberState>,
    _reservation: Reservation,
}

#[derive(Debug)]
struct SubscriberState {
    pending: PendingChanges,
    is_closing: bool,
    waker: Option<Waker>,
}

impl Subscriptions {
    /// Allows `limit` open subscriptions, and `per_caller` for each caller.
    pub(crate) fn new(results: Arc<ResultWriter>, limit: usize, per_caller: usize) -> Self {
        let total = Amount::new(limit, MAX_BYTES);
        let budget = Budget::new(total, Amount::new(per_caller, MAX_BYTES_PER_CALLER));
        Self {
            subscribers: Mutex::default(),
            budget,
            limit,
            hasher: RandomState::new(),
            results,
        }
    }

    /// Opens a subscription with the filter that the server has agreed to.
    pub(crate) fn open(self: &Arc<Self>, call: &Call, filter: SubscriptionFilter) -> Reply {
        let (id, principal) = (call.id().clone(), call.shared_principal());
        let acknowledgement = acknowledged(&id, &filter);
        let mut subscribers = self.subscribers.lock();
        if subscribers.is_closed {
            return Response::error(id, errors::subscriptions_closed()).into();
        }
        let reserved = self
            .budget
            .reserve(&Caller::accountable(call), size(&id, &filter));
        let reservation = match reserved {
            Ok(reservation) => reservation,
            Err(exceeded) => {
                let limit = (exceeded == BudgetExceeded::Total).then_some(self.limit);
                return Response::error(id, errors::too_many_subscriptions(limit)).into();
            }
        };
        let state = SubscriberState {
            pending: PendingChanges::new(filter, MAX_PENDING),
            is_closing: false,
            waker: None,
        };
        let subscriber = Arc::new(Subscriber {
            principal,
            state: Mutex::new(state),
            _reservation: reservation,
        });
        let subscriber_id = subscribers.next_id;
        subscribers.next_id += 1;
        for task in subscriber.tasks() {
            let of_task = subscribers.by_task.entry(task).or_default();
            of_task.ids.push(subscriber_id);
        }
        subscribers
            .open
            .insert(subscriber_id, Arc::clone(&subscriber));
        let stream: MessageStream = Box::pin(SubscriptionStream {
            id,
            subscriber_id,
            subscriptions: Arc::downgrade(self),
            results: Arc::clone(&self.results),
            subscriber,
            acknowledgement: Some(Box::new(Message::Notification(acknowledgement))),
            has_ended: false,
        });
        Reply::Stream(stream)
    }

    /// Notifies the subscribers that asked for this kind of change and that `may_know` of it.
    pub(crate) fn publish(&self, change: &Change, may_know: impl Fn(Option<&Principal>) -> bool) {
        let subscribers: Vec<_> = self.subscribers.lock().open.values().cloned().collect();
        for subscriber in subscribers {
            if may_know(subscriber.principal.as_deref()) {
                subscriber.update(|state| state.pending.insert(change));
            }
        }
    }

    /// Notifies the subscribers of a task, unless they know a newer `version` of it. What they were
    /// notified of last is repeated only if `again`.
    pub(crate) fn publish_task(&self, change: TaskChange, version: u64, again: bool) {
        let subscribers: Vec<_> = {
            let mut subscribers = self.subscribers.lock();
            let Some(of_task) = subscribers.by_task.get_mut(&*change.id) else {
                return;
            };
            if version < of_task.version {
                return;
            }
            of_task.version = version;
            let digest = self.hasher.hash_one(change.task.as_bytes());
            if of_task.digest.replace(digest) == Some(digest) && !again {
                return;
            }
            let ids = of_task.ids.clone();
            ids.iter()
                .filter_map(|id| subscribers.open.get(id).cloned())
                .collect()
        };
        let change = Change::Task(change);
        for subscriber in subscribers {
            subscriber.update(|state| state.pending.insert(&change));
        }
    }

    pub(crate) fn has_task(&self, id: &str) -> bool {
        self.subscribers.lock().by_task.contains_key(id)
    }

    /// The tasks that somebody subscribes to.
    pub(crate) fn tasks(&self) -> Vec<String> {
        self.subscribers.lock().by_task.keys().cloned().collect()
    }

    /// The resources that somebody subscribes to, each once.
    pub(crate) fn resources(&self) -> HashSet<String> {
        let subscribers: Vec<_> = self.subscribers.lock().open.values().cloned().collect();
        let uris = |subscriber: &Arc<Subscriber>| {
            let state = subscriber.state.lock();
            state.pending.filter().resource_uris().to_vec()
        };
        subscribers.iter().flat_map(uris).collect()
    }

    /// Ends all subscriptions with their closing result, and refuses new ones.
    pub(crate) fn close(&self) {
        let closing: Vec<_> = {
            let mut subscribers = self.subscribers.lock();
            subscribers.is_closed = true;
            subscribers.by_task.clear();
            subscribers
                .open
                .drain()
                .map(|(_, subscriber)| subscriber)
                .collect()
        };
        for subscriber in closing {
            subscriber.update(|state| {
                state.is_closing = true;
                true
            });
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.subscribers.lock().open.len()
    }
}

/// The bytes that a subscription with this filter holds.
fn size(id: &RequestId, filter: &SubscriptionFilter) -> usize {
    let names = filter.resource_uris().iter().chain(filter.tasks());
    let id = if let RequestId::String(text) = id {
        text.len()
    } else {
        0
    };
    // A name stands in the filter, and a second time in the acknowledgement or the index by task.
    SUBSCRIPTION_OVERHEAD
        + id
        + names
            .map(|name| NAME_OVERHEAD + 2 * name.len())
            .sum::<usize>()
}

impl Drop for Subscriptions {
    fn drop(&mut self) {
        self.close();
    }
}

impl Subscriber {
    fn tasks(&self) -> Vec<String> {
        self.state.lock().pending.filter().tasks().to_vec()
    }

    /// Applies a change, and wakes the stream if `change` says that there is something to send.
    fn update(&self, change: impl FnOnce(&mut SubscriberState) -> bool) {
        let mut state = self.state.lock();
        let waker = if change(&mut state) {
            state.waker.take()
        } else {
            None
        };
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// The messages of one subscription: the acknowledgement, then changes, then the closing result.
struct SubscriptionStream {
    id: RequestId,
    subscriber_id: u64,
    subscriptions: Weak<Subscriptions>,
    results: Arc<ResultWriter>,
    subscriber: Arc<Subscriber>,
    acknowledgement: Option<Box<Message>>,
    has_ended: bool,
}

impl Stream for SubscriptionStream {
    type Item = Result<Message, CallError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.has_ended {
            return Poll::Ready(None);
        }
        if let Some(acknowledgement) = self.acknowledgement.take() {
            return Poll::Ready(Some(Ok(*acknowledgement)));
        }
        let mut state = self.subscriber.state.lock();
        if let Some(change) = state.pending.pop() {
            return Poll::Ready(Some(Ok(Message::Notification(
                change.notification(&self.id),
            ))));
        }
        if !state.is_closing {
            state.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        drop(state);
        self.has_ended = true;
        Poll::Ready(Some(Ok(Message::Response(self.closing_response()))))
    }
}

impl SubscriptionStream {
    /// The result that ends the subscription, with its id and the server's name in `_meta`.
    fn closing_response(&self) -> Response {
        let meta = subscription_meta(&self.id);
        match self
            .results
            .result("complete", &JsonObject::new(), Some(&meta))
        {
            Ok(result) => Response::result(self.id.clone(), result),
            Err(_) => closing_response(&self.id),
        }
    }
}

impl Drop for SubscriptionStream {
    fn drop(&mut self) {
        let Some(subscriptions) = self.subscriptions.upgrade() else {
            return;
        };
        let tasks = self.subscriber.tasks();
        let mut subscribers = subscriptions.subscribers.lock();
        for task in tasks {
            if let Some(of_task) = subscribers.by_task.get_mut(&task) {
                of_task.ids.retain(|id| *id != self.subscriber_id);
                if of_task.ids.is_empty() {
                    subscribers.by_task.remove(&task);
                }
            }
        }
        let removed = subscribers.open.remove(&self.subscriber_id);
        drop(subscribers);
        // Dropped outside the lock: dropping a waker may run code of an executor.
        drop(removed);
    }
}
