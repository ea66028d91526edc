//! Tasks that outlive the request that started them, and their owner.

use carryall_proto::sync::Mutex;
use std::sync::{Arc, Weak};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

/// Finished tasks are removed when there are this many entries, or twice as many as were running
/// the last time.
const MIN_REAP: usize = 64;

/// Owns the tasks of one endpoint, or of all channels of one server. Dropping it aborts those that
/// are still running.
#[derive(Debug, Default)]
pub(crate) struct BackgroundTasks(Arc<TaskList>);

#[derive(Debug, Default)]
struct TaskList(Mutex<TaskHandles>);

#[derive(Debug, Default)]
struct TaskHandles {
    handles: Vec<AbortHandle>,
    reap_at: usize,
}

impl BackgroundTasks {
    /// Returns a handle that spawns tasks for this owner.
    pub(crate) fn spawner(&self) -> Spawner {
        Spawner(Arc::downgrade(&self.0))
    }
}

impl Drop for TaskList {
    fn drop(&mut self) {
        let tasks = self.0.get_mut();
        tasks.handles.iter().for_each(AbortHandle::abort);
    }
}

/// Spawns tasks for a [`BackgroundTasks`]. It does not keep the owner alive, so a task may hold it.
#[derive(Clone, Debug)]
pub(crate) struct Spawner(Weak<TaskList>);

impl Spawner {
    /// Spawns a task. Returns `false`, and drops the task, if the owner is gone or if this is
    /// called outside of a runtime.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> bool {
        let (Some(list), Ok(runtime)) = (self.0.upgrade(), Handle::try_current()) else {
            return false;
        };
        // Not under the lock: a runtime that is shutting down drops the task at once, and what the
        // task holds may spawn when it is dropped.
        let handle = runtime.spawn(task).abort_handle();
        let mut tasks = list.0.lock();
        if tasks.handles.len() >= tasks.reap_at.max(MIN_REAP) {
            tasks.handles.retain(|handle| !handle.is_finished());
            tasks.reap_at = tasks.handles.len() * 2;
        }
        tasks.handles.push(handle);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn dropping_the_owner_aborts_its_tasks() {
        let owner = BackgroundTasks::default();
        let spawner = owner.spawner();
        let (held, dropped) = oneshot::channel::<()>();
        assert!(spawner.spawn(async move {
            let _held = held;
            std::future::pending().await
        }));
        tokio::task::yield_now().await;
        drop(owner);
        assert!(dropped.await.is_err());
        assert!(!spawner.spawn(async {}), "nobody owns this one");
    }

    #[tokio::test]
    async fn finished_tasks_are_removed() {
        let owner = BackgroundTasks::default();
        for _ in 0..10 * MIN_REAP {
            owner.spawner().spawn(async {});
            tokio::task::yield_now().await;
        }
        assert!(owner.0.0.lock().handles.len() <= MIN_REAP);
    }
}
