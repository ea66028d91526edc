//! The connection shared by all operations.

use carryall_store::{StoreError, StoreResult};
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, Cmd, FromRedisValue, RedisResult, ScriptInvocation};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

pub(crate) struct RedisConnection {
    client: Client,
    timeout: Duration,
    /// The number of replaced connections, and the current one. A [`ConnectionManager`] reconnects
    /// when the server closes the connection, but not when an operation times out: see
    /// [`replace`](Self::replace).
    current: Mutex<(u64, ConnectionManager)>,
}

impl RedisConnection {
    /// Creates a connection, which the first operation opens.
    pub(crate) fn new(client: Client, timeout: Duration) -> StoreResult<Self> {
        let manager = new_manager(&client, timeout).map_err(StoreError::new)?;
        Ok(Self {
            client,
            timeout,
            current: Mutex::new((0, manager)),
        })
    }

    pub(crate) async fn query<T: FromRedisValue>(&self, command: &Cmd) -> StoreResult<T> {
        self.with(async |connection| command.query_async(connection).await)
            .await
    }

    pub(crate) async fn run_script<T: FromRedisValue>(
        &self,
        call: &ScriptInvocation<'_>,
    ) -> StoreResult<T> {
        self.with(async |connection| call.invoke_async(connection).await)
            .await
    }

    /// Runs an operation within the timeout. Replaces the connection if the operation times out.
    async fn with<T>(
        &self,
        operation: impl AsyncFnOnce(&mut ConnectionManager) -> RedisResult<T>,
    ) -> StoreResult<T> {
        let (generation, mut connection) = self
            .current
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        // Distinguishes a timeout from an error of the operation.
        let mut completed = false;
        let result = within(self.timeout, async {
            let result = operation(&mut connection).await;
            completed = true;
            result
        })
        .await;
        if !completed {
            self.replace(generation);
        }
        result
    }

    /// Replaces the connection of this generation, on which an operation has timed out, unless
    /// another operation has replaced it already. The connection may be dead: further operations on
    /// it would time out until the operating system closes it.
    fn replace(&self, generation: u64) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.0 == generation
            && let Ok(manager) = new_manager(&self.client, self.timeout)
        {
            *current = (generation + 1, manager);
        }
    }
}

fn new_manager(client: &Client, timeout: Duration) -> RedisResult<ConnectionManager> {
    let config = ConnectionManagerConfig::new()
        .set_connection_timeout(Some(timeout))
        // `within` limits the time of an operation.
        .set_response_timeout(None)
        .set_number_of_retries(1);
    ConnectionManager::new_lazy_with_config(client.clone(), config)
}

/// Completes with the result of `operation`, or with an error after `timeout`.
pub(crate) async fn within<T>(
    timeout: Duration,
    operation: impl Future<Output = RedisResult<T>>,
) -> StoreResult<T> {
    match tokio::time::timeout(timeout, operation).await {
        Ok(result) => result.map_err(StoreError::new),
        Err(_) => Err(StoreError::new(format!(
            "Redis did not answer within {timeout:?}"
        ))),
    }
}
