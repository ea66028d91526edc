//! Serving on the process's own standard streams.

use super::standard_streams::{self, StdinStream, StdoutStream};
use crate::lines::{FallbackChannels, LineOptions, serve_lines_with};
use carryall_proto::{Call, CallError, Reply};
use std::future::pending;
use std::io;
use tower_service::Service;

/// This process's standard streams as the channel of an MCP server.
///
/// Taking them affects the whole process: its standard input becomes empty and its output goes to
/// standard error, so that a stray `println!` in some dependency cannot corrupt the channel.
///
/// A channel has one client, so it is fastest on a current-thread runtime, which answers a message
/// without waking another thread.
#[derive(Debug)]
pub struct StdioServer {
    input: StdinStream,
    output: StdoutStream,
    options: LineOptions,
    fallback: Option<FallbackChannels>,
}

impl StdioServer {
    /// Takes the standard streams.
    ///
    /// # Errors
    /// When they are closed, or of a kind that cannot be read or written.
    ///
    /// # Panics
    /// When called outside of a tokio runtime with I/O enabled.
    pub fn take() -> io::Result<Self> {
        let (input, output) = standard_streams::take()?;
        Ok(Self {
            input,
            output,
            options: LineOptions::default(),
            fallback: None,
        })
    }

    /// Sets the limits of the channel. Default: those of [`LineOptions`].
    #[must_use]
    pub fn options(mut self, options: LineOptions) -> Self {
        self.options = options;
        self
    }

    /// Lets another protocol be spoken on the same channel. Default: none.
    #[must_use]
    pub fn fallback(mut self, fallback: FallbackChannels) -> Self {
        self.fallback = Some(fallback);
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
            self.fallback.as_ref(),
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
