//! `subscriptions/listen`: change events to whoever listens (`basic/patterns/subscriptions`).

use crate::call::errors;
use crate::call::result_writer::ResultWriter;
use carryall_proto::budget::{Amount, Budget, BudgetExceeded, Reservation};
use carryall_proto::listen::{
    Change, PendingChanges, TaskChange, acknowledged, closing_response, subscription_meta,
};
use carryall_proto::{Call, CallError, Caller, Message, MessageStream, Principal, Reply, Response};
use carryall_types::{JsonObject, RequestId, SubscriptionFilter};
use futures_core::Stream;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

/// How many changes may wait for one slow listener before they are merged.
const PENDING: usize = 64;
/// What the subscriptions of all callers together may name, and those of one caller, in bytes.
const MAX_BYTES: usize = 256 * 1024 * 1024;
const MAX_BYTES_PER_CALLER: usize = 64 * 1024 * 1024;
/// What a subscription takes besides what it names, and each thing that it names besides its text:
/// it stands in the filter, and in the acknowledgement until that is sent.
const OVERHEAD: usize = 1024;
const PER_ENTRY: usize = 64;

/// All listeners of one server. When the server is gone, its subscriptions end in good order.
#[derive(Debug)]
pub(crate) struct Subscriptions {
    listeners: Mutex<Listeners>,
    budget: Budget,
    limit: usize,
    hasher: RandomState,
    stamp: Arc<ResultWriter>,
}

#[derive(Debug, Default)]
struct Listeners {
    next: u64,
    open: HashMap<u64, Arc<Listener>>,
    tasks: HashMap<String, OfTask>,
    closed: bool,
}

/// Who listens to one task.
#[derive(Debug, Default)]
struct OfTask {
    listeners: Vec<u64>,
    /// A digest of what they were told last, so that a write that changes nothing they can see is
    /// not told.
    told: Option<u64>,
}

#[derive(Debug)]
struct Listener {
    principal: Option<Arc<Principal>>,
    state: Mutex<State>,
    _reservation: Reservation,
}

#[derive(Debug)]
struct State {
    pending: PendingChanges,
    closing: bool,
    waker: Option<Waker>,
}

impl Subscriptions {
    /// At most `limit` subscriptions, and `per_caller` for each caller.
    pub(crate) fn new(stamp: Arc<ResultWriter>, limit: usize, per_caller: usize) -> Self {
        let total = Amount::new(limit, MAX_BYTES);
        let budget = Budget::new(total, Amount::new(per_caller, MAX_BYTES_PER_CALLER));
        Self {
            listeners: Mutex::default(),
            budget,
            limit,
            hasher: RandomState::new(),
            stamp,
        }
    }

    /// Opens a subscription with the filter that the server has agreed to.
    pub(crate) fn open(self: &Arc<Self>, call: &Call, filter: SubscriptionFilter) -> Reply {
        let (id, principal) = (call.id.clone(), call.principal.clone());
        let ack = acknowledged(&id, &filter);
        let mut listeners = self.lock();
        if listeners.closed {
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
        let pending = PendingChanges::new(filter, PENDING);
        let state = Mutex::new(State {
            pending,
            closing: false,
            waker: None,
        });
        let listener = Arc::new(Listener {
            principal,
            state,
            _reservation: reservation,
        });
        let number = listeners.next;
        listeners.next += 1;
        for task in listener.tasks() {
            listeners
                .tasks
                .entry(task)
                .or_default()
                .listeners
                .push(number);
        }
        listeners.open.insert(number, Arc::clone(&listener));
        let stream: MessageStream = Box::pin(Subscription {
            id,
            number,
            hub: Arc::downgrade(self),
            stamp: Arc::clone(&self.stamp),
            listener,
            ack: Some(Box::new(Message::Notification(ack))),
            ended: false,
        });
        Reply::Stream(stream)
    }

    /// Tells everybody who asked for this kind of change and may know of it.
    pub(crate) fn publish(&self, change: &Change, may_know: impl Fn(Option<&Principal>) -> bool) {
        let listeners: Vec<_> = self.lock().open.values().cloned().collect();
        for listener in listeners {
            if may_know(listener.principal.as_deref()) {
                listener.update(|state| state.pending.insert(change));
            }
        }
    }

    /// Tells those who listen to this task, unless they know, or `again`.
    pub(crate) fn publish_task(&self, change: TaskChange, again: bool) {
        let listeners: Vec<_> = {
            let mut hub = self.lock();
            let Some(of) = hub.tasks.get_mut(&*change.id) else {
                return;
            };
            let digest = self.hasher.hash_one(change.task.as_bytes());
            if of.told.replace(digest) == Some(digest) && !again {
                return;
            }
            let numbers = of.listeners.clone();
            numbers
                .iter()
                .filter_map(|number| hub.open.get(number).cloned())
                .collect()
        };
        let change = Change::Task(change);
        listeners
            .iter()
            .for_each(|listener| listener.update(|state| state.pending.insert(&change)));
    }

    pub(crate) fn listens_to_task(&self, id: &str) -> bool {
        self.lock().tasks.contains_key(id)
    }

    pub(crate) fn tasks_listened_to(&self) -> Vec<String> {
        self.lock().tasks.keys().cloned().collect()
    }

    /// The resources that somebody listens to, each once.
    pub(crate) fn resources_listened_to(&self) -> HashSet<String> {
        let listeners: Vec<_> = self.lock().open.values().cloned().collect();
        let uris = |listener: &Arc<Listener>| {
            let state = listener
                .state
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            state.pending.filter().resource_uris().to_vec()
        };
        listeners.iter().flat_map(uris).collect()
    }

    /// Ends all subscriptions in good order, and takes no new ones.
    pub(crate) fn close(&self) {
        let listeners: Vec<_> = {
            let mut hub = self.lock();
            hub.closed = true;
            hub.tasks.clear();
            hub.open.drain().map(|(_, listener)| listener).collect()
        };
        for listener in listeners {
            listener.update(|state| {
                state.closing = true;
                true
            });
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().open.len()
    }

    fn lock(&self) -> MutexGuard<'_, Listeners> {
        self.listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a subscription with this filter holds, in bytes.
fn size(id: &RequestId, filter: &SubscriptionFilter) -> usize {
    let named = filter.resource_uris().iter().chain(filter.tasks());
    let id = if let RequestId::String(text) = id {
        text.len()
    } else {
        0
    };
    // The name stands in the filter, and that of a task in the index by task too.
    OVERHEAD + id + named.map(|name| PER_ENTRY + 2 * name.len()).sum::<usize>()
}

impl Drop for Subscriptions {
    fn drop(&mut self) {
        self.close();
    }
}

impl Listener {
    fn tasks(&self) -> Vec<String> {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pending
            .filter()
            .tasks()
            .to_vec()
    }

    fn update(&self, change: impl FnOnce(&mut State) -> bool) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
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

/// One subscription's messages: the acknowledgement, then changes, then the closing result.
struct Subscription {
    id: RequestId,
    number: u64,
    hub: Weak<Subscriptions>,
    stamp: Arc<ResultWriter>,
    listener: Arc<Listener>,
    ack: Option<Box<Message>>,
    ended: bool,
}

impl Stream for Subscription {
    type Item = Result<Message, CallError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        if let Some(ack) = self.ack.take() {
            return Poll::Ready(Some(Ok(*ack)));
        }
        let mut state = self
            .listener
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(change) = state.pending.pop() {
            return Poll::Ready(Some(Ok(Message::Notification(
                change.notification(&self.id),
            ))));
        }
        if !state.closing {
            state.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        drop(state);
        self.ended = true;
        Poll::Ready(Some(Ok(Message::Response(self.closing()))))
    }
}

impl Subscription {
    /// The result that ends the subscription: whose it was, and the server's name as on every
    /// result.
    fn closing(&self) -> Response {
        let meta = subscription_meta(&self.id);
        match self
            .stamp
            .result("complete", &JsonObject::new(), Some(&meta))
        {
            Ok(result) => Response::result(self.id.clone(), result),
            Err(_) => closing_response(&self.id),
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if let Some(hub) = self.hub.upgrade() {
            let tasks = self.listener.tasks();
            let mut hub = hub.lock();
            for task in tasks {
                if let Some(of) = hub.tasks.get_mut(&task) {
                    of.listeners.retain(|number| *number != self.number);
                    if of.listeners.is_empty() {
                        hub.tasks.remove(&task);
                    }
                }
            }
            let gone = hub.open.remove(&self.number);
            drop(hub);
            // Let go outside the lock: a waker may run code of an executor when it is dropped.
            drop(gone);
        }
    }
}
