//! The server side of a channel.

mod call;
mod channel;
mod monitor;
mod options;

pub use options::LineOptions;

use super::fallback::FallbackChannels;
use crate::connection_source::new_source;
use carryall_proto::{Call, CallError, CallSource, Reply, SharedService};
use channel::ServerChannel;
use std::future::{pending, poll_fn};
use std::io;
use std::pin::pin;
use tokio::io::{AsyncRead, AsyncWrite};
use tower_service::Service;

/// Serves the calls that arrive as lines on `reader`, and writes replies as lines to `writer`,
/// until the client closes its end. Dropping the future cancels the calls in flight.
///
/// # Errors
/// When reading or writing fails. A client that disconnects is not an error.
pub async fn serve_lines<R, W, S>(
    reader: R,
    writer: W,
    service: S,
    options: LineOptions,
) -> io::Result<()>
where
    R: AsyncRead,
    W: AsyncWrite,
    S: Service<Call, Response = Reply> + Clone + Send + Sync + 'static,
    S::Error: Into<CallError>,
    S::Future: Send,
{
    serve_lines_until(reader, writer, service, options, pending()).await
}

/// As [`serve_lines`], until `shutdown` completes. Then subscriptions are ended with their result,
/// and other calls have the grace time to finish.
///
/// # Errors
/// As [`serve_lines`].
pub async fn serve_lines_until<R, W, S>(
    reader: R,
    writer: W,
    service: S,
    options: LineOptions,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()>
where
    R: AsyncRead,
    W: AsyncWrite,
    S: Service<Call, Response = Reply> + Clone + Send + Sync + 'static,
    S::Error: Into<CallError>,
    S::Future: Send,
{
    serve_lines_with(reader, writer, service, options, None, shutdown).await
}

/// As [`serve_lines_until`], with another protocol on the same channel.
///
/// # Errors
/// As [`serve_lines`].
pub async fn serve_lines_with<R, W, S>(
    reader: R,
    writer: W,
    service: S,
    options: LineOptions,
    fallback: Option<&FallbackChannels>,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()>
where
    R: AsyncRead,
    W: AsyncWrite,
    S: Service<Call, Response = Reply> + Clone + Send + Sync + 'static,
    S::Error: Into<CallError>,
    S::Future: Send,
{
    let service = SharedService::new(service);
    let source = new_source(None);
    serve_channel(reader, writer, service, options, fallback, source, shutdown).await
}

/// As [`serve_lines_with`], for a channel whose calls come from `source`.
pub(crate) async fn serve_channel<R: AsyncRead, W: AsyncWrite>(
    reader: R,
    writer: W,
    service: SharedService,
    options: LineOptions,
    fallback: Option<&FallbackChannels>,
    source: CallSource,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let (mut reader, mut writer, mut shutdown) = (pin!(reader), pin!(writer), pin!(shutdown));
    let fallback = fallback.map(|fallback| fallback.make(source));
    let mut channel = ServerChannel::new(service, options, fallback, source);
    let served = poll_fn(|cx| {
        if !channel.is_closing() && shutdown.as_mut().poll(cx).is_ready() {
            channel.close();
        }
        channel.poll(cx, reader.as_mut(), writer.as_mut())
    })
    .await;
    match served {
        Err(error) if is_disconnect(&error) => Ok(()),
        served => served,
    }
}

fn is_disconnect(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
    matches!(
        error.kind(),
        BrokenPipe | ConnectionReset | ConnectionAborted
    )
}
