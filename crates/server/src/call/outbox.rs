//! The notifications of one call on their way to its reply.
//!
//! Handler and reply are polled by the same task, so a plain call touches this queue once, when it
//! ends, and finds it empty. The queue is bounded: a handler that outruns its client waits.

use carryall_proto::Notification;
use carryall_proto::sync::Mutex;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::MutexGuard;
use std::task::{Context, Poll, Waker};

/// How many notifications of one call may wait for the client.
const BOUND: usize = 64;

#[derive(Debug, Default)]
pub(crate) struct Outbox(Mutex<Queue>);

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Notification>,
    /// The task that polls the reply, when the handler was pending at its last poll.
    reply: Option<Waker>,
    /// Tasks that wait for room.
    senders: Vec<Waker>,
    closed: bool,
}

impl Outbox {
    /// Queues a notification, waiting for room. After the call has ended it does nothing. Cancel
    /// safe: a dropped future has queued nothing.
    pub(crate) async fn send(&self, notification: Notification) {
        let mut notification = Some(notification);
        poll_fn(|cx| {
            let mut queue = self.lock();
            if queue.closed {
                return Poll::Ready(());
            }
            if queue.waiting.len() >= BOUND {
                // A task may ask many times before there is room; it is woken once.
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

    /// The next notification, making room for those who wait.
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

    /// Remembers whom to wake when something is queued by another task than the handler's own.
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

    /// Takes no more: the work is done, and nothing may be said about it from now on
    /// (`basic/patterns/progress`). Returns whether all that was said before has been taken.
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
