//! Parts of answers that take longer than the answer waits: a server that is still starting, for
//! one.
//!
//! Such a part is left out of the answer and followed to its end. When it is there, the lists have
//! changed as far as clients are concerned, and those that listen are told so.

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

/// A part that takes longer is given up. Longer than a server on stdio may take to start.
const LIMIT: Duration = Duration::from_secs(120);

/// Which part of which answer: the upstream's name, and the method.
type Key = (Box<str>, Method);

/// The parts that are still to come, one of each kind from each upstream at most.
#[derive(Default)]
pub(super) struct Late {
    /// Somebody follows them.
    followed: AtomicBool,
    state: Mutex<State>,
    added: Notify,
    joined: LateListChanges,
}

#[derive(Default)]
struct State {
    keys: HashSet<Key>,
    new: VecDeque<(Key, BoxFuture<Outcome>)>,
}

impl Late {
    /// Follows a part to its end, unless one like it is being followed. Without anybody to follow
    /// it, it is dropped.
    pub(super) fn add(&self, upstream: &str, method: &Method, part: BoxFuture<Outcome>) {
        if !self.followed.load(Ordering::Relaxed) {
            return;
        }
        let key = (upstream.into(), method.clone());
        let mut state = self.lock();
        if state.keys.insert(key.clone()) {
            state.new.push_back((key, part));
            drop(state);
            self.added.notify_one();
        }
    }

    /// What has joined, for listeners.
    pub(super) fn joined(&self) -> &LateListChanges {
        &self.joined
    }

    /// Follows the parts for as long as it is polled; never completes.
    pub(super) async fn follow(&self) {
        let _followed = Followed::by(self);
        let mut running = FuturesUnordered::new();
        loop {
            while let Some((key, part)) = { self.lock().new.pop_front() } {
                running.push(async move { (key, timeout(LIMIT, part).await) });
            }
            tokio::select! {
                () = self.added.notified() => {}
                Some(((upstream, method), part)) = running.next(), if !running.is_empty() => {
                    match part {
                        Ok(Outcome::Result(_)) => {
                            tracing::info!(%upstream, %method, "an upstream that was left out has answered");
                            self.joined.tell(&method);
                        }
                        Ok(Outcome::Error(error)) => {
                            let code = error.code;
                            tracing::debug!(%upstream, %method, code, "an upstream that was left out has failed");
                        }
                        Err(_) => tracing::debug!(%upstream, %method, "an upstream that was left out is given up"),
                    }
                    self.lock().keys.remove(&(upstream, method));
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

/// While this is there, parts are followed.
struct Followed<'a>(&'a Late);

impl<'a> Followed<'a> {
    fn by(late: &'a Late) -> Self {
        late.followed.store(true, Ordering::Relaxed);
        Self(late)
    }
}

impl Drop for Followed<'_> {
    fn drop(&mut self) {
        self.0.followed.store(false, Ordering::Relaxed);
        let gone = std::mem::take(&mut *self.0.lock());
        drop(gone);
    }
}
