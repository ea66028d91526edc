//! Awaits answers that exceeded the fan-out timeout, for example of servers that are still starting.
//!
//! Such an answer is left out of the merged one. When it arrives, the merged lists have changed as
//! far as clients can tell, and subscribers are notified.

use crate::listen::LateListChanges;
use carryall_proto::sync::Mutex;
use carryall_proto::{BoxFuture, Outcome};
use carryall_types::Method;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use std::collections::{HashSet, VecDeque};
use std::sync::MutexGuard;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::timeout;

/// How long a late answer is awaited: longer than a server on stdio may take to start.
const LATE_TIMEOUT: Duration = Duration::from_secs(120);

/// The name of an upstream and the method it has not answered.
type LateKey = (Box<str>, Method);

/// The late answers, at most one for each upstream and method.
#[derive(Default)]
pub(super) struct LateAnswers {
    /// Whether [`follow`](Self::follow) is running.
    followed: AtomicBool,
    queue: Mutex<LateQueue>,
    added: Notify,
    changes: LateListChanges,
}

#[derive(Default)]
struct LateQueue {
    /// The answers awaited, queued ones included.
    keys: HashSet<LateKey>,
    queued: VecDeque<(LateKey, BoxFuture<Outcome>)>,
}

impl LateAnswers {
    /// Awaits an answer, unless the same is awaited already. While [`follow`](Self::follow) is not
    /// running, the answer is dropped, which cancels the call.
    pub(super) fn add(&self, upstream: &str, method: &Method, answer: BoxFuture<Outcome>) {
        if !self.followed.load(Ordering::Relaxed) {
            return;
        }
        let key = (upstream.into(), method.clone());
        let mut queue = self.lock();
        if queue.keys.insert(key.clone()) {
            queue.queued.push_back((key, answer));
            drop(queue);
            self.added.notify_one();
        }
    }

    /// Returns the list changes caused by late answers.
    pub(super) fn changes(&self) -> &LateListChanges {
        &self.changes
    }

    /// Awaits the answers. Never completes.
    pub(super) async fn follow(&self) {
        let _guard = FollowGuard::new(self);
        let mut awaited = FuturesUnordered::new();
        loop {
            while let Some((key, answer)) = { self.lock().queued.pop_front() } {
                awaited.push(async move { (key, timeout(LATE_TIMEOUT, answer).await) });
            }
            tokio::select! {
                () = self.added.notified() => {}
                Some(((upstream, method), outcome)) = awaited.next(), if !awaited.is_empty() => {
                    match outcome {
                        Ok(Outcome::Result(_)) => {
                            tracing::info!(%upstream, %method, "late answer received");
                            self.changes.publish(&method);
                        }
                        Ok(Outcome::Error(error)) => {
                            let code = error.code;
                            tracing::debug!(%upstream, %method, code, "late answer is an error");
                        }
                        Err(_) => tracing::debug!(%upstream, %method, "late answer timed out"),
                    }
                    self.lock().keys.remove(&(upstream, method));
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, LateQueue> {
        self.queue.lock()
    }
}

/// Marks the answers as followed for as long as it exists.
struct FollowGuard<'a>(&'a LateAnswers);

impl<'a> FollowGuard<'a> {
    fn new(answers: &'a LateAnswers) -> Self {
        answers.followed.store(true, Ordering::Relaxed);
        Self(answers)
    }
}

impl Drop for FollowGuard<'_> {
    fn drop(&mut self) {
        self.0.followed.store(false, Ordering::Relaxed);
        let queue = std::mem::take(&mut *self.0.lock());
        // Dropping runs code of other crates, so not under the lock.
        drop(queue);
    }
}
