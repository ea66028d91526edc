//! Those who listen to a store, as every backend needs them: bounded, coalescing, never in a
//! writer's way.

use crate::{Changed, Changes};
use futures_core::Stream;
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

/// How many changes may wait for one listener before it is only told that there were some.
const PENDING: usize = 1024;

/// The listeners of one store in this process. Clones are the same listeners.
///
/// A backend hands out [`listen`](Self::listen) as its `changes`, and says what it hears of with
/// [`notify`](Self::notify).
#[derive(Clone, Debug, Default)]
pub struct ChangeListeners(Arc<Mutex<Vec<RegisteredListener>>>);

#[derive(Debug)]
struct RegisteredListener {
    kind: &'static str,
    /// Gone when the listener was dropped.
    pending: Weak<Mutex<QueuedChanges>>,
}

#[derive(Debug, Default)]
struct QueuedChanges {
    queue: VecDeque<Changed>,
    waker: Option<Waker>,
}

impl ChangeListeners {
    /// No listeners yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One more, who is told of rows of this kind until it is dropped. The stream does not end.
    #[must_use]
    pub fn listen(&self, kind: &'static str) -> Changes {
        let pending = Arc::new(Mutex::new(QueuedChanges::default()));
        let mut listeners = lock(&self.0);
        listeners.retain(RegisteredListener::is_there);
        listeners.push(RegisteredListener {
            kind,
            pending: Arc::downgrade(&pending),
        });
        Box::pin(Listening(pending))
    }

    /// Tells those who listen to this kind that the row of this key has changed.
    pub fn notify(&self, kind: &str, key: &str) {
        self.note(|of| of == kind, || Changed::Row(key.to_owned()));
    }

    /// Tells all of them that something was lost: [`Changed::Some`].
    pub fn notify_lagged(&self) {
        self.note(|_| true, || Changed::Some);
    }

    /// Whether nobody listens.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !lock(&self.0).iter().any(RegisteredListener::is_there)
    }

    fn note(&self, to: impl Fn(&str) -> bool, changed: impl Fn() -> Changed) {
        let mut wakers = Vec::new();
        lock(&self.0).retain(|listener| {
            let Some(pending) = listener.pending.upgrade() else {
                return false;
            };
            if to(listener.kind) {
                let mut pending = lock(&pending);
                pending.note(changed());
                wakers.extend(pending.waker.take());
            }
            true
        });
        // Whoever wakes up may listen again at once, so not under the lock.
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl RegisteredListener {
    fn is_there(&self) -> bool {
        self.pending.strong_count() > 0
    }
}

impl QueuedChanges {
    fn note(&mut self, changed: Changed) {
        if changed == Changed::Some || self.queue.len() >= PENDING {
            self.queue.clear();
            self.queue.push_back(Changed::Some);
        } else if self.queue.front() != Some(&Changed::Some) && !self.queue.contains(&changed) {
            self.queue.push_back(changed);
        }
    }
}

struct Listening(Arc<Mutex<QueuedChanges>>);

impl Stream for Listening {
    type Item = Changed;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Changed>> {
        let mut pending = lock(&self.0);
        match pending.queue.pop_front() {
            Some(changed) => Poll::Ready(Some(changed)),
            None => {
                pending.waker = Some(cx.waker().clone());
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
    use super::{ChangeListeners, PENDING};
    use crate::{Changed, Changes};
    use std::task::{Context, Poll, Waker};

    fn heard(changes: &mut Changes) -> Vec<Changed> {
        let mut cx = Context::from_waker(Waker::noop());
        let mut heard = Vec::new();
        while let Poll::Ready(Some(changed)) = changes.as_mut().poll_next(&mut cx) {
            heard.push(changed);
        }
        heard
    }

    #[test]
    fn a_listener_hears_of_its_kind_and_of_each_row_once() {
        let listeners = ChangeListeners::new();
        let mut changes = listeners.listen("a");
        for (kind, key) in [("a", "1"), ("b", "2"), ("a", "3"), ("a", "1")] {
            listeners.notify(kind, key);
        }
        assert_eq!(
            heard(&mut changes),
            [Changed::Row("1".into()), Changed::Row("3".into())]
        );
    }

    #[test]
    fn too_many_changes_become_one_that_says_so_and_then_it_goes_on() {
        let listeners = ChangeListeners::new();
        let mut changes = listeners.listen("a");
        (0..PENDING + 2).for_each(|key| listeners.notify("a", &key.to_string()));
        assert_eq!(heard(&mut changes), [Changed::Some]);
        listeners.notify("a", "1");
        listeners.notify_lagged();
        listeners.notify("a", "2");
        assert_eq!(
            heard(&mut changes),
            [Changed::Some],
            "what was lost covers what comes with it"
        );
        listeners.notify("a", "3");
        assert_eq!(heard(&mut changes), [Changed::Row("3".into())]);
    }

    #[test]
    fn who_has_left_is_forgotten() {
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
            "and takes up no place"
        );
    }
}
