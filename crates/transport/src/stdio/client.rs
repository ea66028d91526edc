//! Calling a server that is a child process.

use super::child::{ServerCommand, SpawnedServer};
use crate::lines::{Channel, ChannelOptions};
use crate::reconnect::{Connect, Reconnecting};
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
/// The process is started by [`spawn`](Self::spawn), and started again by the next call after it
/// has exited; in between attempts there is a growing pause. Calls in flight when it exits fail
/// with [`CallError::Broken`] and are not sent again, because whether they were executed is
/// unknown.
///
/// When the last clone is dropped, or [`shutdown`](Self::shutdown) is called, the process finds its
/// standard input closed, gets time to exit, then `SIGTERM` and finally `SIGKILL`, together with
/// whatever it has started.
#[derive(Clone)]
pub struct StdioClient {
    shared: Arc<Shared>,
}

struct Shared {
    way: Reconnecting<Processes>,
}

struct Processes {
    command: ServerCommand,
    options: ChannelOptions,
    stop: watch::Sender<bool>,
    /// Of the process that was started last.
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

    /// Starts the server, with bounds of one's own.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub async fn spawn_with(
        command: ServerCommand,
        options: ChannelOptions,
    ) -> Result<Self, CallError> {
        let processes = Processes {
            command,
            options,
            stop: watch::Sender::new(false),
            supervisor: Mutex::default(),
        };
        let client = Self {
            shared: Arc::new(Shared {
                way: Reconnecting::new(processes),
            }),
        };
        client.shared.way.open().await?;
        Ok(client)
    }

    /// Ends the server, and waits until it is gone. Calls from now on are refused.
    pub async fn shutdown(&self) -> Option<ExitStatus> {
        let processes = self.shared.way.connect();
        let channel = self.shared.way.current();
        processes.stop.send_replace(true);
        if let Some(channel) = channel {
            // A server that does not read any more must not keep us here.
            let _ = tokio::time::timeout(processes.command.grace_time(), channel.close()).await;
            channel.fail(CallError::broken("the server is shut down"));
        }
        let supervisor = processes.supervisor.lock().take();
        supervisor?.await.ok().flatten()
    }
}

impl Connect for Processes {
    async fn connect(&self) -> Result<Channel, CallError> {
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
        let (mut stop, lost) = (self.stop.subscribe(), channel.clone());
        let supervisor = tokio::spawn(async move {
            // A server that closes its output is shutting down, or cannot be talked to any more.
            let stopped = async {
                tokio::select! {
                    _ = stop.wait_for(|stop| *stop) => {}
                    _ = lost.until_lost() => {}
                }
            };
            let status = process.supervise(stopped).await;
            let status_shown = status.map_or("its status is unknown".to_owned(), |status| {
                status.to_string()
            });
            lost.fail(CallError::broken(format!(
                "the server process has exited: {status_shown}"
            )));
            status
        });
        *self.supervisor.lock() = Some(supervisor);
        Ok(channel)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.way.connect().stop.send_replace(true);
        if let Some(channel) = self.way.current() {
            channel.fail(CallError::broken("the client is gone"));
        }
    }
}

impl fmt::Debug for StdioClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StdioClient")
            .field("command", &self.shared.way.connect().command)
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
        let shared = Arc::clone(&self.shared);
        Box::pin(async move { shared.way.call(call).await })
    }
}
