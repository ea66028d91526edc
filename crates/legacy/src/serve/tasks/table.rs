//! The tasks of one session.

use super::internal_error;
use super::session_task::SessionTask;
use carryall_proto::sync::Mutex;
use carryall_types::ErrorObject;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Maximum number of tasks of a session, including ended ones.
const MAX_TASKS: usize = 256;

/// The tasks of one session by number, in the order in which they were started.
#[derive(Default)]
pub(crate) struct SessionTasks(Mutex<BTreeMap<u64, Arc<SessionTask>>>);

impl SessionTasks {
    /// Adds a task and returns its number.
    pub(super) fn insert(&self, task: &Arc<SessionTask>) -> Result<u64, ErrorObject> {
        let mut tasks = self.0.lock();
        if tasks.len() >= MAX_TASKS {
            return Err(internal_error(format!(
                "This session already has {MAX_TASKS} tasks; they are removed when their ttl ends"
            )));
        }
        let number = tasks.last_key_value().map_or(0, |(last, _)| last + 1);
        tasks.insert(number, Arc::clone(task));
        Ok(number)
    }

    pub(super) fn remove(&self, number: u64) {
        self.0.lock().remove(&number);
    }

    pub(super) fn find(&self, id: &str) -> Option<Arc<SessionTask>> {
        self.0.lock().values().find(|task| task.id() == id).cloned()
    }

    /// Returns up to `limit` tasks whose number is at least `from`.
    pub(super) fn page(&self, from: u64, limit: usize) -> Vec<(u64, Arc<SessionTask>)> {
        self.0
            .lock()
            .range(from..)
            .take(limit)
            .map(|(number, task)| (*number, Arc::clone(task)))
            .collect()
    }
}
