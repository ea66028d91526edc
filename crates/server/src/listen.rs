//! `subscriptions/listen`: change events to whoever listens (`basic/patterns/subscriptions`).

use crate::refusal;
use crate::render::Stamp;
use carryall_proto::listen::{Change, PendingChanges, acknowledged, closing_response, subscription_meta};
use carryall_proto::{CallError, Message, MessageStream, Principal, Reply, Response};
use carryall_types::{JsonObject, RequestId, SubscriptionFilter};
use futures_core::Stream;
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

/// How many changes may wait for one slow listener before they are merged.
const PENDING: usize = 64;

/// All listeners of one server. When the server is gone, its subscriptions end in good order.
#[derive(Debug)]
pub(crate) struct Hub {
    listeners: Mutex<Listeners>,
    stamp: Arc<Stamp>,
}

#[derive(Debug, Default)]
struct Listeners {
    next: u64,
    open: HashMap<u64, Arc<Listener>>,
    closed: bool,
}

#[derive(Debug)]
struct Listener {
    principal: Option<Arc<Principal>>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    pending: PendingChanges,
    closing: bool,
    waker: Option<Waker>,
}

impl Hub {
    pub(crate) fn new(stamp: Arc<Stamp>) -> Self {
        Self { listeners: Mutex::default(), stamp }
    }

    /// Opens a subscription with the filter that the server has agreed to.
    pub(crate) fn open(
        self: &Arc<Self>,
        id: RequestId,
        principal: Option<Arc<Principal>>,
        filter: SubscriptionFilter,
        limit: usize,
    ) -> Reply {
        let ack = acknowledged(&id, &filter);
        let mut listeners = self.lock();
        if listeners.closed {
            return Response::error(id, refusal::subscriptions_closed()).into();
        }
        if listeners.open.len() >= limit {
            return Response::error(id, refusal::too_many_subscriptions(limit)).into();
        }
        let pending = PendingChanges::new(filter, PENDING);
        let state = Mutex::new(State { pending, closing: false, waker: None });
        let listener = Arc::new(Listener { principal, state });
        let number = listeners.next;
        listeners.next += 1;
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

    /// Ends all subscriptions in good order, and takes no new ones.
    pub(crate) fn close(&self) {
        let listeners: Vec<_> = {
            let mut hub = self.lock();
            hub.closed = true;
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
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.close();
    }
}

impl Listener {
    fn update(&self, change: impl FnOnce(&mut State) -> bool) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let waker = if change(&mut state) { state.waker.take() } else { None };
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
    hub: Weak<Hub>,
    stamp: Arc<Stamp>,
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
        let mut state = self.listener.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(change) = state.pending.pop() {
            return Poll::Ready(Some(Ok(Message::Notification(change.notification(&self.id)))));
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
    /// The result that ends the subscription: whose it was, and the server's name as on every result.
    fn closing(&self) -> Response {
        let meta = subscription_meta(&self.id);
        match self.stamp.result("complete", &JsonObject::new(), Some(&meta)) {
            Ok(result) => Response::result(self.id.clone(), result),
            Err(_) => closing_response(&self.id),
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if let Some(hub) = self.hub.upgrade() {
            let gone = hub.lock().open.remove(&self.number);
            // Let go outside the lock: a waker may run code of an executor when it is dropped.
            drop(gone);
        }
    }
}
