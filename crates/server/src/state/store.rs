//! The store that state lives in, and the removal of what has expired.

use crate::clock::now;
use carryall_store::{Memory, Store};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::MissedTickBehavior;

/// The time between two sweeps of the background work.
const SWEEP_INTERVAL: Duration = Duration::from_secs(10);
/// The time after which a write sweeps, since nobody drives the background work.
const OVERDUE_MS: u64 = 30 * 1000;
/// The most rows of one batch, and the most batches of one sweep.
const BATCH: usize = 1_000;
const MAX_BATCHES: usize = 10;

/// The store of a server: the author's, or one in memory.
#[derive(Debug)]
pub(crate) struct StateStore {
    store: Arc<dyn Store>,
    is_configured: bool,
    is_replicated: bool,
    /// When the last sweep began, in milliseconds since the epoch.
    swept_at: AtomicU64,
}

impl StateStore {
    pub(crate) fn new(configured: Option<Arc<dyn Store>>, is_replicated: bool) -> Self {
        Self {
            is_configured: configured.is_some(),
            store: configured.unwrap_or_else(|| Arc::new(Memory::new())),
            is_replicated,
            swept_at: AtomicU64::new(now()),
        }
    }

    pub(crate) fn get(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Whether the author has chosen the store, so that other replicas may share it.
    pub(crate) fn is_configured(&self) -> bool {
        self.is_configured
    }

    /// Whether the server has replicas that do not see what this one writes.
    pub(crate) fn lacks_shared_store(&self) -> bool {
        self.is_replicated && !self.store.is_shared()
    }

    /// The store that the replicas of the server share, if it has any.
    pub(crate) fn shared(&self) -> Option<&Arc<dyn Store>> {
        (self.is_replicated && self.store.is_shared()).then_some(&self.store)
    }

    /// Removes expired rows at intervals, for as long as it is polled; never completes.
    pub(crate) async fn sweep_at_intervals(&self) {
        let mut interval = tokio::time::interval(SWEEP_INTERVAL);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            self.swept_at.store(now(), Ordering::Relaxed);
            self.sweep(MAX_BATCHES).await;
        }
    }

    /// Removes some expired rows, unless that was done a short while ago. Called before writes, so
    /// that a store stays bounded although nobody drives the background work.
    pub(crate) async fn sweep_if_overdue(&self) {
        let (now, swept_at) = (now(), self.swept_at.load(Ordering::Relaxed));
        if now.saturating_sub(swept_at) < OVERDUE_MS {
            return;
        }
        let claimed =
            self.swept_at
                .compare_exchange(swept_at, now, Ordering::Relaxed, Ordering::Relaxed);
        if claimed.is_ok() {
            self.sweep(1).await;
        }
    }

    async fn sweep(&self, batches: usize) {
        for _ in 0..batches {
            match self.store.expire(now(), BATCH).await {
                Ok(removed) if removed == BATCH => {}
                Ok(_) => return,
                Err(error) => {
                    tracing::warn!(%error, "cannot remove expired rows");
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{OVERDUE_MS, StateStore};
    use crate::clock::now;
    use carryall_store::Row;
    use std::sync::atomic::Ordering;
    use std::time::Duration;

    async fn with_an_expired_row() -> StateStore {
        let store = StateStore::new(None, false);
        let expired = Row {
            kind: "task",
            key: "expired".to_owned(),
            version: 1,
            value: bytes::Bytes::new(),
            expires_at: Some(1),
            due_at: None,
        };
        store.get().insert(expired, 0).await.unwrap();
        store
    }

    async fn is_empty(store: &StateStore) -> bool {
        store.get().expire(u64::MAX / 2, 10).await.unwrap() == 0
    }

    #[tokio::test(start_paused = true)]
    async fn expired_rows_are_removed_at_intervals() {
        let store = with_an_expired_row().await;
        let _ = tokio::time::timeout(Duration::from_secs(11), store.sweep_at_intervals()).await;
        assert!(is_empty(&store).await);
    }

    #[tokio::test]
    async fn a_write_removes_expired_rows_where_nothing_else_does() {
        let store = with_an_expired_row().await;
        store.sweep_if_overdue().await;
        store.swept_at.store(now() - OVERDUE_MS, Ordering::Relaxed);
        store.sweep_if_overdue().await;
        assert!(is_empty(&store).await);
        let store = with_an_expired_row().await;
        store.sweep_if_overdue().await;
        assert!(!is_empty(&store).await, "swept a short while ago");
    }
}
