//! Serving on one's own standard streams.

use super::own::{self, Input, Output};
use crate::lines::{FallbackChannels, LineOptions, serve_lines_with};
use carryall_proto::{Call, CallError, Reply};
use std::future::pending;
use std::io;
use tower_service::Service;

/// This process's standard streams as the channel of an MCP server.
///
/// Taking them changes the whole process: its own standard input becomes empty and whatever it
/// prints goes to standard error, so that a stray `println!` in some dependency cannot corrupt the
/// channel. The fewer threads the runtime has, the faster a channel with one client is: a
/// current-thread runtime needs no wake-up between reading and answering.
#[derive(Debug)]
pub struct StdioServer {
    input: Input,
    output: Output,
    options: LineOptions,
    alternates: Option<FallbackChannels>,
}

impl StdioServer {
    /// Takes the standard streams. Needs a runtime with I/O enabled.
    ///
    /// # Errors
    /// When they are closed, or of a kind that cannot be read or written.
    pub fn take() -> io::Result<Self> {
        let (input, output) = own::take()?;
        Ok(Self {
            input,
            output,
            options: LineOptions::default(),
            alternates: None,
        })
    }

    /// Other bounds than the default ones.
    #[must_use]
    pub fn options(mut self, options: LineOptions) -> Self {
        self.options = options;
        self
    }

    /// Another protocol on the same channel.
    #[must_use]
    pub fn alternates(mut self, alternates: FallbackChannels) -> Self {
        self.alternates = Some(alternates);
        self
    }

    /// Serves until standard input ends.
    ///
    /// # Errors
    /// When reading or writing fails.
    pub async fn run<S>(self, service: S) -> io::Result<()>
    where
        S: Service<Call, Response = Reply> + Clone + Send + Sync + 'static,
        S::Error: Into<CallError>,
        S::Future: Send,
    {
        self.run_until(service, pending()).await
    }

    /// Serves until standard input ends or `shutdown` completes.
    ///
    /// # Errors
    /// When reading or writing fails.
    pub async fn run_until<S>(
        self,
        service: S,
        shutdown: impl Future<Output = ()>,
    ) -> io::Result<()>
    where
        S: Service<Call, Response = Reply> + Clone + Send + Sync + 'static,
        S::Error: Into<CallError>,
        S::Future: Send,
    {
        serve_lines_with(
            self.input,
            self.output,
            service,
            self.options,
            self.alternates.as_ref(),
            shutdown,
        )
        .await
    }
}

/// Serves on this process's standard streams until standard input ends; see [`StdioServer`].
///
/// # Errors
/// When the streams cannot be taken, or reading or writing fails.
pub async fn serve_stdio<S>(service: S) -> io::Result<()>
where
    S: Service<Call, Response = Reply> + Clone + Send + Sync + 'static,
    S::Error: Into<CallError>,
    S::Future: Send,
{
    StdioServer::take()?.run(service).await
}
