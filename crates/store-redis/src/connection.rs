//! The connection that operations share.

use carryall_store::{StoreError, StoreResult};
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, Cmd, FromRedisValue, RedisResult, ScriptInvocation};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

pub(crate) struct RedisConnection {
    client: Client,
    patience: Duration,
    /// Connects by itself, again too when the server ends the connection. With it how many there
    /// have been before.
    connection: Mutex<(u64, ConnectionManager)>,
}

impl RedisConnection {
    /// Connects with the first operation.
    pub(crate) fn new(client: Client, patience: Duration) -> StoreResult<Self> {
        let connection = lazy(&client, patience).map_err(StoreError::new)?;
        Ok(Self {
            client,
            patience,
            connection: Mutex::new((0, connection)),
        })
    }

    pub(crate) async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> StoreResult<T> {
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
            .connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let mut answered = false;
        let done = within(self.patience, async {
            let done = work(&mut connection).await;
            answered = true;
            done
        });
        let done = done.await;
        if !answered {
            self.renew(number);
        }
        done
    }

    /// A connection on which no answer came may be one that nobody has at the other end any more,
    /// and would keep failing until the operating system gives it up. Everybody else who waits on
    /// it waits in vain as well.
    fn renew(&self, number: u64) {
        let mut connection = self
            .connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if connection.0 == number
            && let Ok(new) = lazy(&self.client, self.patience)
        {
            *connection = (number + 1, new);
        }
    }
}

fn lazy(client: &Client, patience: Duration) -> RedisResult<ConnectionManager> {
    let config = ConnectionManagerConfig::new()
        .set_connection_timeout(Some(patience))
        // `within` watches the time.
        .set_response_timeout(None)
        .set_number_of_retries(1);
    ConnectionManager::new_lazy_with_config(client.clone(), config)
}

pub(crate) async fn within<T>(
    patience: Duration,
    work: impl Future<Output = RedisResult<T>>,
) -> StoreResult<T> {
    match tokio::time::timeout(patience, work).await {
        Ok(done) => done.map_err(StoreError::new),
        Err(_) => Err(StoreError::new(format!(
            "Redis did not answer within {patience:?}"
        ))),
    }
}
