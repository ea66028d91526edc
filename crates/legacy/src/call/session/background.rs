//! Work of a session that no caller waits for.

use carryall_proto::Caller;
use carryall_proto::budget::{Amount, Budget};
use carryall_proto::sync::Mutex;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Background tasks of one session, bounded in number and in the bytes that they hold. Dropping
/// this aborts them.
pub(super) struct BoundedTasks {
    tasks: Mutex<JoinSet<()>>,
    /// Not accounted to a caller: the server causes this work.
    budget: Budget,
}

/// The limit is reached, or there is no runtime.
#[derive(Debug)]
pub(super) struct NotSpawned;

impl BoundedTasks {
    pub(super) fn new(limit: Amount) -> Self {
        Self {
            tasks: Mutex::default(),
            budget: Budget::new(limit, limit),
        }
    }

    /// Spawns `work`, which holds so many bytes.
    pub(super) fn spawn(
        &self,
        bytes: usize,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), NotSpawned> {
        let runtime = Handle::try_current().map_err(|_| NotSpawned)?;
        let mut tasks = self.tasks.lock();
        // Releases what finished tasks still hold.
        while tasks.try_join_next().is_some() {}
        // A single item fits, whatever its size.
        let bytes = bytes.min(self.budget.share().bytes);
        let reservation = self
            .budget
            .reserve(&Caller::Anonymous, bytes)
            .map_err(|_| NotSpawned)?;
        let work = async move {
            work.await;
            drop(reservation);
        };
        tasks.spawn_on(work, &runtime);
        Ok(())
    }

    /// Waits until all tasks have finished, then aborts what is left after `limit`.
    pub(super) async fn finish(&self, limit: Duration) {
        let tasks = std::mem::take(&mut *self.tasks.lock());
        let _ = timeout(limit, tasks.join_all()).await;
    }

    #[cfg(test)]
    pub(super) fn used(&self) -> Amount {
        self.budget.used()
    }
}
