//! Cancels the task of a call that is dropped.

use super::handle::TaskHandle;
use crate::ClientError;
use carryall_types::RawJson;

/// Waits for the task that a call became; dropped before the task has ended, it cancels it.
pub(crate) struct CancelOnDrop(Option<TaskHandle>);

impl CancelOnDrop {
    pub(crate) fn new(handle: TaskHandle) -> Self {
        Self(Some(handle))
    }

    /// Waits for the text of the result.
    pub(crate) async fn result(mut self) -> Result<RawJson, ClientError> {
        let Some(handle) = self.0.clone() else {
            return Err(ClientError::Request("no task".into()));
        };
        let result = handle.result().await;
        // After an error in the client the task may still be running.
        if !matches!(&result, Err(error) if error.server().is_none()) {
            self.0 = None;
        }
        result
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if let (Some(handle), Ok(runtime)) = (self.0.take(), tokio::runtime::Handle::try_current())
        {
            drop(runtime.spawn(async move { handle.cancel().await }));
        }
    }
}
