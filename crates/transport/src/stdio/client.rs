//! The client side: calls a server that is a child process.

use super::child::{ServerCommand, SpawnedServer};
use crate::lines::{Channel, ChannelOptions};
use crate::reconnect::{OpenChannel, Reconnecting};
use carryall_proto::sync::Mutex;
use carryall_proto::{BoxFuture, Call, CallError, Reply};
use std::fmt;
use std::process::ExitStatus;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tower_service::Service;

/// Calls an MCP server that runs as a child process. Cheap to clone; clones share the process.
///
/// The process is started by [`spawn`](Self::spawn), and again by the next call after it has
/// exited, with a growing pause between attempts. Calls in flight when it exits fail with
/// [`CallError::Broken`] and are not sent again, because they may have been executed.
///
/// When the last clone is dropped, or [`shutdown`](Self::shutdown) is called, the standard input of
/// the process is closed. If it does not exit, it gets `SIGTERM` and finally `SIGKILL`, together
/// with the processes that it has started.
#[derive(Clone)]
pub struct StdioClient {
    inner: Arc<StdioClientInner>,
}

struct StdioClientInner {
    channel: Reconnecting<ProcessStarter>,
}

struct ProcessStarter {
    command: ServerCommand,
    options: ChannelOptions,
    stop: watch::Sender<bool>,
    /// The task that supervises the process started last.
    supervisor: Mutex<Option<JoinHandle<Option<ExitStatus>>>>,
}

impl StdioClient {
    /// Starts the server.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub async fn spawn(command: ServerCommand) -> Result<Self, CallError> {
        Self::spawn_with(command, ChannelOptions::default()).await
    }

    /// Starts the server, with other limits.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub async fn spawn_with(
        command: ServerCommand,
        options: ChannelOptions,
    ) -> Result<Self, CallError> {
        let starter = ProcessStarter {
            command,
            options,
            stop: watch::Sender::new(false),
            supervisor: Mutex::default(),
        };
        let client = Self {
            inner: Arc::new(StdioClientInner {
                channel: Reconnecting::new(starter),
            }),
        };
        client.inner.channel.open().await?;
        Ok(client)
    }

    /// Ends the server and waits for it. Further calls fail with [`CallError::Refused`]. Returns the
    /// exit status, if it is known.
    pub async fn shutdown(&self) -> Option<ExitStatus> {
        let starter = self.inner.channel.opener();
        let channel = self.inner.channel.current();
        starter.stop.send_replace(true);
        if let Some(channel) = channel {
            // Bounded, because a server that does not read would block this.
            let _ = tokio::time::timeout(starter.command.grace_time(), channel.close()).await;
            channel.fail(CallError::broken("the server is shut down"));
        }
        let supervisor = starter.supervisor.lock().take();
        supervisor?.await.ok().flatten()
    }
}

impl OpenChannel for ProcessStarter {
    async fn open(&self) -> Result<Channel, CallError> {
        if *self.stop.borrow() {
            return Err(CallError::Refused("the server is shut down".into()));
        }
        let SpawnedServer {
            stdin,
            stdout,
            process,
        } = self.command.spawn().map_err(|error| {
            CallError::unreachable(format!(
                "cannot start {:?}: {error}",
                self.command.program()
            ))
        })?;
        let channel = Channel::open(stdout, stdin, self.options);
        let (mut stop, supervised) = (self.stop.subscribe(), channel.clone());
        let supervisor = tokio::spawn(async move {
            // A server that closes its output is shutting down, or cannot answer any more.
            let stopped = async {
                tokio::select! {
                    _ = stop.wait_for(|stop| *stop) => {}
                    _ = supervised.until_failed() => {}
                }
            };
            let status = process.supervise(stopped).await;
            let shown = status.map_or("unknown status".to_owned(), |status| status.to_string());
            supervised.fail(CallError::broken(format!(
                "the server process has exited: {shown}"
            )));
            status
        });
        *self.supervisor.lock() = Some(supervisor);
        Ok(channel)
    }
}

impl Drop for StdioClientInner {
    fn drop(&mut self) {
        self.channel.opener().stop.send_replace(true);
        if let Some(channel) = self.channel.current() {
            channel.fail(CallError::broken("the client was dropped"));
        }
    }
}

impl fmt::Debug for StdioClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StdioClient")
            .field("command", &self.inner.channel.opener().command)
            .finish_non_exhaustive()
    }
}

impl Service<Call> for StdioClient {
    type Response = Reply;
    type Error = CallError;
    type Future = BoxFuture<Result<Reply, CallError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), CallError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call) -> Self::Future {
        let inner = Arc::clone(&self.inner);
        Box::pin(async move { inner.channel.call(call).await })
    }
}
