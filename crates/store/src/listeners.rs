//! The change listeners of a store. Each has a bounded queue, so that it never delays a writer.

use crate::{Changes, RowChange};
use futures_core::Stream;
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

/// The maximum number of queued changes per listener. On overflow, the queue is replaced with a
/// single [`RowChange::Lagged`].
const MAX_QUEUED: usize = 1024;

/// The listeners of one store in this process. Clones share them.
///
/// A backend returns [`listen`](Self::listen) from [`Store::changes`](crate::Store::changes), and
/// reports the changes it learns of with [`notify`](Self::notify).
///
/// ```
/// use carryall_store::ChangeListeners;
///
/// let listeners = ChangeListeners::new();
/// let changes = listeners.listen("task");
/// listeners.notify("task", "42"); // Queues `RowChange::Row("42")`.
/// listeners.notify_lagged(); // Replaces the queue with `RowChange::Lagged`.
/// # drop(changes);
/// ```
#[derive(Clone, Debug, Default)]
pub struct ChangeListeners(Arc<Mutex<Vec<RegisteredListener>>>);

#[derive(Debug)]
struct RegisteredListener {
    kind: &'static str,
    /// Owned by the stream, so that dropping the stream removes the listener.
    queue: Weak<Mutex<QueuedChanges>>,
}

#[derive(Debug, Default)]
struct QueuedChanges {
    changes: VecDeque<RowChange>,
    waker: Option<Waker>,
}

impl ChangeListeners {
    /// Creates an empty set of listeners.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a listener for rows of one kind, registered until it is dropped. The stream does not
    /// end. It queues at most 1024 changes, each key once.
    #[must_use]
    pub fn listen(&self, kind: &'static str) -> Changes {
        let queue = Arc::new(Mutex::new(QueuedChanges::default()));
        let mut listeners = lock(&self.0);
        listeners.retain(RegisteredListener::is_alive);
        listeners.push(RegisteredListener {
            kind,
            queue: Arc::downgrade(&queue),
        });
        Box::pin(QueuedChangeStream(queue))
    }

    /// Notifies the listeners of this kind that the row with this key has changed.
    pub fn notify(&self, kind: &str, key: &str) {
        self.push_to(|of| of == kind, || RowChange::Row(key.to_owned()));
    }

    /// Notifies all listeners that changes were lost ([`RowChange::Lagged`]).
    pub fn notify_lagged(&self) {
        self.push_to(|_| true, || RowChange::Lagged);
    }

    /// Returns whether there is no listener.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !lock(&self.0).iter().any(RegisteredListener::is_alive)
    }

    /// Queues a change for the listeners whose kind `wants` accepts.
    fn push_to(&self, wants: impl Fn(&str) -> bool, change: impl Fn() -> RowChange) {
        let mut wakers = Vec::new();
        lock(&self.0).retain(|listener| {
            let Some(queue) = listener.queue.upgrade() else {
                return false;
            };
            if wants(listener.kind) {
                let mut queue = lock(&queue);
                queue.push(change());
                wakers.extend(queue.waker.take());
            }
            true
        });
        // After the lock is released: a waker may call `listen`.
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl RegisteredListener {
    fn is_alive(&self) -> bool {
        self.queue.strong_count() > 0
    }
}

impl QueuedChanges {
    /// Queues a change, unless it is queued already or `Lagged` covers it.
    fn push(&mut self, change: RowChange) {
        if change == RowChange::Lagged || self.changes.len() >= MAX_QUEUED {
            self.changes.clear();
            self.changes.push_back(RowChange::Lagged);
        } else if self.changes.front() != Some(&RowChange::Lagged)
            && !self.changes.contains(&change)
        {
            self.changes.push_back(change);
        }
    }
}

struct QueuedChangeStream(Arc<Mutex<QueuedChanges>>);

impl Stream for QueuedChangeStream {
    type Item = RowChange;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<RowChange>> {
        let mut queue = lock(&self.0);
        match queue.changes.pop_front() {
            Some(change) => Poll::Ready(Some(change)),
            None => {
                queue.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::{ChangeListeners, MAX_QUEUED};
    use crate::{Changes, RowChange};
    use std::task::{Context, Poll, Waker};

    fn queued(changes: &mut Changes) -> Vec<RowChange> {
        let mut cx = Context::from_waker(Waker::noop());
        let mut queued = Vec::new();
        while let Poll::Ready(Some(change)) = changes.as_mut().poll_next(&mut cx) {
            queued.push(change);
        }
        queued
    }

    #[test]
    fn a_listener_receives_each_changed_row_of_its_kind_once() {
        let listeners = ChangeListeners::new();
        let mut changes = listeners.listen("a");
        for (kind, key) in [("a", "1"), ("b", "2"), ("a", "3"), ("a", "1")] {
            listeners.notify(kind, key);
        }
        assert_eq!(
            queued(&mut changes),
            [RowChange::Row("1".into()), RowChange::Row("3".into())]
        );
    }

    #[test]
    fn a_full_queue_becomes_lagged_and_then_continues() {
        let listeners = ChangeListeners::new();
        let mut changes = listeners.listen("a");
        (0..MAX_QUEUED + 2).for_each(|key| listeners.notify("a", &key.to_string()));
        assert_eq!(queued(&mut changes), [RowChange::Lagged]);
        listeners.notify("a", "1");
        listeners.notify_lagged();
        listeners.notify("a", "2");
        assert_eq!(
            queued(&mut changes),
            [RowChange::Lagged],
            "`Lagged` covers the changes around it"
        );
        listeners.notify("a", "3");
        assert_eq!(queued(&mut changes), [RowChange::Row("3".into())]);
    }

    #[test]
    fn dropped_listeners_are_removed() {
        let listeners = ChangeListeners::new();
        assert!(listeners.is_empty());
        let changes = listeners.listen("a");
        assert!(!listeners.is_empty());
        drop(changes);
        assert!(listeners.is_empty());
        drop(listeners.listen("b"));
        assert_eq!(
            listeners.0.lock().unwrap().len(),
            1,
            "the next `listen` removed the first listener"
        );
    }
}
