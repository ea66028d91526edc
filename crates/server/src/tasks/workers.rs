//! The tasks that this process works on.

use super::worker::TaskWorker;
use carryall_proto::sync::Mutex;
use std::collections::HashMap;
use std::sync::Arc;

/// The workers of this process, by the id of their task.
#[derive(Debug, Default)]
pub(super) struct Workers(Mutex<HashMap<String, Arc<TaskWorker>>>);

impl Workers {
    pub(super) fn len(&self) -> usize {
        self.0.lock().len()
    }

    /// Registers a worker until the guard is dropped.
    pub(super) fn register(self: &Arc<Self>, worker: &Arc<TaskWorker>) -> WorkerGuard {
        let id = worker.id().to_owned();
        self.0.lock().insert(id, Arc::clone(worker));
        WorkerGuard {
            workers: Arc::clone(self),
            worker: Arc::clone(worker),
        }
    }

    /// Tells the worker of a task, if there is one, that the task may have changed.
    pub(super) fn wake(&self, id: &str) {
        let worker = self.0.lock().get(id).cloned();
        if let Some(worker) = worker {
            worker.wake();
        }
    }

    pub(super) fn wake_all(&self) {
        let workers: Vec<_> = self.0.lock().values().cloned().collect();
        workers.iter().for_each(|worker| worker.wake());
    }
}

/// Removes a worker when its work ends, however it ends.
pub(super) struct WorkerGuard {
    workers: Arc<Workers>,
    worker: Arc<TaskWorker>,
}

impl Drop for WorkerGuard {
    fn drop(&mut self) {
        let mut workers = self.workers.0.lock();
        let id = self.worker.id();
        // The task may have been taken over by another worker of this process.
        if workers
            .get(id)
            .is_some_and(|registered| Arc::ptr_eq(registered, &self.worker))
        {
            workers.remove(id);
        }
    }
}
