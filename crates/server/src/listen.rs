//! `subscriptions/listen`: change events to whoever listens (`basic/patterns/subscriptions`).

use carryall_proto::listen::{Change, PendingChanges, acknowledged, closing_response};
use carryall_proto::{CallError, Message, MessageStream, Reply, Response};
use carryall_types::{ErrorObject, RequestId, SubscriptionFilter};
use futures_core::Stream;
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

/// How many changes may wait for one slow listener before they are merged.
const PENDING: usize = 64;

/// All listeners of one server.
#[derive(Debug, Default)]
pub(crate) struct Hub(Mutex<Listeners>);

#[derive(Debug, Default)]
struct Listeners {
    next: u64,
    open: HashMap<u64, Arc<Listener>>,
    closed: bool,
}

#[derive(Debug)]
struct Listener(Mutex<State>);

#[derive(Debug)]
struct State {
    pending: PendingChanges,
    closing: bool,
    waker: Option<Waker>,
}

impl Hub {
    /// Opens a subscription with the filter that the server has agreed to.
    pub(crate) fn open(self: &Arc<Self>, id: RequestId, filter: SubscriptionFilter, limit: usize) -> Reply {
        let ack = acknowledged(&id, &filter);
        let mut listeners = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if listeners.closed {
            return Response::error(id, ErrorObject::internal()).into();
        }
        if listeners.open.len() >= limit {
            let error = ErrorObject::new(TOO_MANY, format!("This server holds its maximum of {limit} subscriptions"));
            return Response::error(id, error).into();
        }
        let pending = PendingChanges::new(filter, PENDING);
        let listener = Arc::new(Listener(Mutex::new(State { pending, closing: false, waker: None })));
        let number = listeners.next;
        listeners.next += 1;
        listeners.open.insert(number, Arc::clone(&listener));
        let stream: MessageStream = Box::pin(Subscription {
            id,
            number,
            hub: Arc::downgrade(self),
            listener,
            ack: Some(Box::new(Message::Notification(ack))),
            ended: false,
        });
        Reply::Stream(stream)
    }

    /// Tells everybody who asked for this kind of change.
    pub(crate) fn publish(&self, change: &Change) {
        let listeners: Vec<_> = {
            let hub = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            hub.open.values().cloned().collect()
        };
        for listener in listeners {
            listener.update(|state| state.pending.insert(change));
        }
    }

    /// Ends all subscriptions in good order, and takes no new ones.
    pub(crate) fn close(&self) {
        let listeners: Vec<_> = {
            let mut hub = self.0.lock().unwrap_or_else(PoisonError::into_inner);
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
        self.0.lock().unwrap_or_else(PoisonError::into_inner).open.len()
    }
}

/// Outside the range that JSON-RPC reserves (`basic/index#error-codes`).
const TOO_MANY: i64 = -31001;

impl Listener {
    fn update(&self, change: impl FnOnce(&mut State) -> bool) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
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
        let mut state = self.listener.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(change) = state.pending.pop() {
            return Poll::Ready(Some(Ok(Message::Notification(change.notification(&self.id)))));
        }
        if !state.closing {
            state.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        drop(state);
        self.ended = true;
        Poll::Ready(Some(Ok(Message::Response(closing_response(&self.id)))))
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if let Some(hub) = self.hub.upgrade() {
            hub.0.lock().unwrap_or_else(PoisonError::into_inner).open.remove(&self.number);
        }
    }
}
