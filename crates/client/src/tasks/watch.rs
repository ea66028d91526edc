//! Follows the state of a task.

use super::requests::{TaskRequests, TaskSnapshot};
use crate::ClientError;
use crate::listen::{ChangeStream, ListenRequest};
use carryall_proto::listen::Change;
use carryall_types::{DetailedTask, Method, RawJson, SubscriptionFilter, task_method};
use std::fmt;
use std::future::pending;
use std::time::Duration;

/// The longest poll interval, whatever the server asks for.
const MAX_POLL_INTERVAL: Duration = Duration::from_secs(60);
/// How many times longer the poll interval is while the server notifies of changes.
const POLL_FACTOR_WHILE_LISTENING: u32 = 10;

/// Follows the state of a task; see [`TaskHandle::watch`](crate::TaskHandle::watch).
///
/// Polls at the interval that the server asks for, or listens for notifications if the server
/// offers them.
///
/// ```no_run
/// # use carryall_client::{Client, ClientError};
/// # async fn example(client: Client) -> Result<(), ClientError> {
/// let mut watch = client.task("task-1").watch();
/// loop {
///     let task = watch.next().await?;
///     println!("{:?}", task.task.status);
///     if task.task.status.is_terminal() {
///         break;
///     }
/// }
/// # Ok(())
/// # }
/// ```
pub struct TaskWatch {
    task: TaskRequests,
    notifications: TaskNotifications,
    /// The last state returned; `None` makes the next one be fetched at once.
    last: Option<TaskSnapshot>,
}

impl TaskWatch {
    pub(crate) fn new(task: TaskRequests) -> Self {
        Self {
            task,
            notifications: TaskNotifications::NotOpened,
            last: None,
        }
    }

    /// Waits for the next state: the current one at once, then each change. A task that has ended
    /// does not change any more. Cancel safe.
    ///
    /// # Errors
    /// [`ClientError::is_invalid_params`] if there is no such task, or no longer.
    pub async fn next(&mut self) -> Result<DetailedTask, ClientError> {
        let snapshot = self.next_snapshot().await?;
        let task = snapshot.decode()?;
        self.task.report(&snapshot)?;
        Ok(task)
    }

    /// Makes the next state be fetched at once and returned even if it has not changed.
    pub(crate) fn refetch(&mut self) {
        self.last = None;
    }

    pub(crate) async fn next_snapshot(&mut self) -> Result<TaskSnapshot, ClientError> {
        let Some(last) = self.last.clone() else {
            let snapshot = self.task.snapshot().await?;
            self.last = Some(snapshot.clone());
            return Ok(snapshot);
        };
        if matches!(self.notifications, TaskNotifications::NotOpened) {
            self.notifications = TaskNotifications::open(&self.task).await;
        }
        loop {
            let mut interval = last.state.poll_interval(MAX_POLL_INTERVAL);
            if let TaskNotifications::Open(_) = self.notifications {
                interval *= POLL_FACTOR_WHILE_LISTENING;
            }
            let snapshot = tokio::select! {
                notified = self.notifications.next(&self.task.id) => match notified {
                    Some(text) => TaskSnapshot::parse(Method::from(task_method::CHANGED), text)?,
                    None => {
                        self.notifications = TaskNotifications::Unavailable;
                        self.task.snapshot().await?
                    }
                },
                () = tokio::time::sleep(interval) => self.task.snapshot().await?,
            };
            if snapshot.state != last.state {
                self.last = Some(snapshot.clone());
                return Ok(snapshot);
            }
        }
    }
}

impl fmt::Debug for TaskWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskWatch")
            .field("id", &self.task.id)
            .field("notifications", &self.notifications)
            .finish_non_exhaustive()
    }
}

/// The subscription to the changes of a task (`tasks#task-status-notifications`).
#[derive(Debug)]
enum TaskNotifications {
    NotOpened,
    Open(Box<ChangeStream>),
    /// The server offers none, or has stopped sending them.
    Unavailable,
}

impl TaskNotifications {
    async fn open(task: &TaskRequests) -> Self {
        let filter = SubscriptionFilter::new().with_task_ids(vec![task.id.clone()]);
        match ListenRequest::new(&task.core, filter).max_failures(0).await {
            Ok(changes) if changes.acknowledged().tasks().contains(&task.id) => {
                Self::Open(Box::new(changes))
            }
            Ok(_) => Self::Unavailable,
            Err(error) => {
                tracing::debug!(error = %carryall_proto::PrintableFmt(&error), "cannot listen for changes of a task; polling instead");
                Self::Unavailable
            }
        }
    }

    /// Waits for the next notification; `None` when the subscription has ended. Without a
    /// subscription it waits for ever.
    async fn next(&mut self, id: &str) -> Option<RawJson> {
        let Self::Open(changes) = self else {
            return pending().await;
        };
        loop {
            match changes.next().await {
                Some(Ok(Change::Task(change))) if &*change.id == id => return Some(change.task),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return None,
            }
        }
    }
}
