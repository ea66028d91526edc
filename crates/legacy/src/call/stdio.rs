//! Calling a server of either era that runs as a child process.

mod connector;
mod detect;
mod line_reader;
mod line_transport;
mod process;

use super::legacy_side::{LegacySide, LegacySideOutcome};
use super::options::DualEraOptions;
use super::single_flight::SingleFlight;
use carryall_proto::{BoxFuture, Call, CallError, EraDecision, Reply};
use carryall_transport::stdio::ServerCommand;
use connector::{ServerConnection, StdioConnector};
use std::fmt;
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use tower_service::Service;

/// Calls an MCP server of either era that runs as a child process. Cheap to clone; clones share the
/// process.
///
/// The process is started by [`spawn`](Self::spawn), or with [`new`](Self::new) by the first call,
/// and the era of the server detected then. After it has exited, the next call starts it again, with
/// a growing delay between attempts. Calls in flight when it exits fail with
/// [`CallError::Broken`] and are not repeated, because they may have been executed.
///
/// Starting is bounded by [`DualEraOptions::handshake_timeout`] alone: a call that times out
/// meanwhile does not stop it, and a later one finds the server ready.
///
/// A server of an earlier revision is told once what its client supports, and keeps state per
/// process. [`SessionScope`](super::SessionScope) decides which calls share a process; calls that
/// declare different capabilities never do. At most eight processes run at a time, unless
/// [`DualEraOptions::max_sessions`] says otherwise.
///
/// When the last clone is dropped, or [`shutdown`](Self::shutdown) is called, the standard input of
/// the processes is closed. They get time to exit, then `SIGTERM` and finally `SIGKILL`, together
/// with the processes that they have started.
#[derive(Clone)]
pub struct DualEraStdio {
    inner: Arc<DualEraStdioInner>,
}

struct DualEraStdioInner {
    connector: Arc<StdioConnector>,
    connecting: SingleFlight<ServerConnection, CallError>,
    /// For calls of legacy clients while the server is called in the modern era.
    legacy_side: LegacySide,
}

impl DualEraStdio {
    /// Calls the server that `command` starts. Nothing is started before the first call.
    #[must_use]
    pub fn new(command: ServerCommand, options: DualEraOptions) -> Self {
        let connector = Arc::new(StdioConnector::new(command, options));
        Self {
            inner: Arc::new(DualEraStdioInner {
                legacy_side: connector.legacy_side(),
                connector,
                connecting: SingleFlight::default(),
            }),
        }
    }

    /// Starts the server and detects its era.
    ///
    /// # Errors
    /// When the program cannot be started, exits, speaks no common revision, or is not an MCP
    /// server.
    pub async fn spawn(command: ServerCommand, options: DualEraOptions) -> Result<Self, CallError> {
        let stdio = Self::new(command, options);
        stdio.inner.connect().await?;
        Ok(stdio)
    }

    /// The era of the server and how it was detected. `None` before the first start.
    #[must_use]
    pub fn decision(&self) -> Option<EraDecision> {
        self.inner.connector.decision()
    }

    /// Stops the server and waits until it has exited. Later calls are refused.
    ///
    /// Returns the status of the process started last. Bounded in time by the grace time of the
    /// [`ServerCommand`].
    pub async fn shutdown(&self) -> Option<ExitStatus> {
        let connector = &self.inner.connector;
        let connection = connector.take_connection();
        if let Some(ServerConnection::Modern(channel)) = &connection {
            // A server that does not read any more must not block this.
            let grace_time = connector.processes().command().grace_time();
            let _ = tokio::time::timeout(grace_time, channel.close()).await;
            channel.fail(CallError::broken("the server is shut down"));
        }
        connector.processes().stop();
        if let Some(ServerConnection::Legacy { adapter, .. }) = &connection {
            adapter.close().await;
        }
        self.inner.legacy_side.close().await;
        connector.processes().wait().await
    }
}

impl Drop for DualEraStdioInner {
    fn drop(&mut self) {
        self.connector.processes().stop();
        if let Some(ServerConnection::Modern(channel)) = self.connector.take_connection() {
            channel.fail(CallError::broken("the client was dropped"));
        }
    }
}

impl DualEraStdioInner {
    /// Returns the connection to the server, which is started if need be.
    async fn connect(&self) -> Result<ServerConnection, CallError> {
        if let Some(connection) = self.connector.connection() {
            return Ok(connection);
        }
        let connector = Arc::clone(&self.connector);
        let connecting = self.connecting.run(async move {
            match connector.connection() {
                Some(connection) => Ok(connection),
                None => connector.connect().await,
            }
        });
        connecting.await
    }

    async fn call(&self, call: Call) -> Result<Reply, CallError> {
        match self.connect().await? {
            ServerConnection::Modern(channel) => match self.legacy_side.call(call).await {
                LegacySideOutcome::Answered(reply) => reply,
                LegacySideOutcome::Modern(call) => channel.call(call).await,
            },
            ServerConnection::Legacy {
                adapter,
                is_outdated,
            } => match adapter.call(call.clone()).await {
                // The handshake was refused, so the call was not sent.
                Err(error) if error.is_unsent() && is_outdated.load(Ordering::Relaxed) => {
                    tracing::debug!(%error, "the era of the server has changed");
                    match self.connect().await? {
                        ServerConnection::Modern(channel) => channel.call(call).await,
                        ServerConnection::Legacy { adapter, .. } => adapter.call(call).await,
                    }
                }
                reply => reply,
            },
        }
    }
}

impl fmt::Debug for DualEraStdio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DualEraStdio")
            .field("command", self.inner.connector.processes().command())
            .field("decision", &self.decision())
            .finish_non_exhaustive()
    }
}

impl Service<Call> for DualEraStdio {
    type Response = Reply;
    type Error = CallError;
    type Future = BoxFuture<Result<Reply, CallError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), CallError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call) -> Self::Future {
        let inner = Arc::clone(&self.inner);
        Box::pin(async move { inner.call(call).await })
    }
}
