//! The queue of notifications between the handler of a call and its reply.
//!
//! Handler and reply are polled by the same task, so that a plain call touches the queue once, when
//! it ends, and finds it empty. The queue is bounded: a handler that outruns its client waits.

use carryall_proto::Notification;
use carryall_proto::sync::Mutex;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::MutexGuard;
use std::task::{Context, Poll, Waker};

/// The most notifications that wait for the client.
const CAPACITY: usize = 64;

#[derive(Debug, Default)]
pub(crate) struct Outbox(Mutex<Queue>);

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Notification>,
    /// Wakes the reply. Set while the handler is pending.
    reply: Option<Waker>,
    /// Wakes the senders that wait for room.
    senders: Vec<Waker>,
    closed: bool,
}

impl Outbox {
    /// Queues a notification, waiting for room. Does nothing after the call has ended. Cancel safe:
    /// a future that is dropped has queued nothing.
    pub(crate) async fn send(&self, notification: Notification) {
        let mut notification = Some(notification);
        poll_fn(|cx| {
            let mut queue = self.lock();
            if queue.closed {
                return Poll::Ready(());
            }
            if queue.waiting.len() >= CAPACITY {
                // A task that polls several times before there is room is woken once.
                if !queue
                    .senders
                    .iter()
                    .any(|waker| waker.will_wake(cx.waker()))
                {
                    queue.senders.push(cx.waker().clone());
                }
                return Poll::Pending;
            }
            queue.waiting.extend(notification.take());
            if let Some(reply) = queue.reply.take() {
                drop(queue);
                reply.wake();
            }
            Poll::Ready(())
        })
        .await;
    }

    /// Takes the next notification, and wakes the senders that wait for room.
    pub(crate) fn pop(&self) -> Option<Notification> {
        let mut queue = self.lock();
        let next = queue.waiting.pop_front();
        let senders = if next.is_some() {
            std::mem::take(&mut queue.senders)
        } else {
            Vec::new()
        };
        drop(queue);
        senders.into_iter().for_each(Waker::wake);
        next
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lock().waiting.is_empty()
    }

    /// Registers the task to wake when another task than the handler's queues a notification.
    pub(crate) fn register(&self, cx: &Context<'_>) {
        let mut queue = self.lock();
        if !queue
            .reply
            .as_ref()
            .is_some_and(|waker| waker.will_wake(cx.waker()))
        {
            queue.reply = Some(cx.waker().clone());
        }
    }

    /// Closes the queue: a call that has ended may send no more notifications
    /// (`basic/patterns/progress`). Returns whether the queue is empty.
    pub(crate) fn close(&self) -> bool {
        let mut queue = self.lock();
        queue.closed = true;
        let senders = std::mem::take(&mut queue.senders);
        let drained = queue.waiting.is_empty();
        drop(queue);
        senders.into_iter().for_each(Waker::wake);
        drained
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.0.lock()
    }
}
