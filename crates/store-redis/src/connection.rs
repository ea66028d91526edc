//! The connection shared by all operations.

use carryall_store::{StoreError, StoreResult};
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, Cmd, FromRedisValue, RedisResult, ScriptInvocation};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

pub(crate) struct RedisConnection {
    client: Client,
    timeout: Duration,
    /// The connection and its number. The manager reconnects by itself when the server closes the
    /// connection.
    current: Mutex<(u64, ConnectionManager)>,
}

impl RedisConnection {
    /// Creates a connection that is established by the first operation.
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

    pub(crate) async fn run<T: FromRedisValue>(
        &self,
        call: &ScriptInvocation<'_>,
    ) -> StoreResult<T> {
        self.with(async |connection| call.invoke_async(connection).await)
            .await
    }

    async fn with<T>(
        &self,
        work: impl AsyncFnOnce(&mut ConnectionManager) -> RedisResult<T>,
    ) -> StoreResult<T> {
        let (number, mut connection) = self
            .current
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let mut completed = false;
        let result = within(self.timeout, async {
            let result = work(&mut connection).await;
            completed = true;
            result
        })
        .await;
        if !completed {
            self.replace(number);
        }
        result
    }

    /// Replaces a connection on which an operation has timed out, unless it has been replaced
    /// already. The connection may be dead, and its operations would keep failing until the
    /// operating system closes it.
    fn replace(&self, number: u64) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.0 == number
            && let Ok(manager) = new_manager(&self.client, self.timeout)
        {
            *current = (number + 1, manager);
        }
    }
}

fn new_manager(client: &Client, timeout: Duration) -> RedisResult<ConnectionManager> {
    let config = ConnectionManagerConfig::new()
        .set_connection_timeout(Some(timeout))
        // `within` limits the time.
        .set_response_timeout(None)
        .set_number_of_retries(1);
    ConnectionManager::new_lazy_with_config(client.clone(), config)
}

pub(crate) async fn within<T>(
    timeout: Duration,
    work: impl Future<Output = RedisResult<T>>,
) -> StoreResult<T> {
    match tokio::time::timeout(timeout, work).await {
        Ok(result) => result.map_err(StoreError::new),
        Err(_) => Err(StoreError::new(format!(
            "Redis did not answer within {timeout:?}"
        ))),
    }
}
