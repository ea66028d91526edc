//! New connections.

use super::link::{Http1, Http2};
use super::target::Target;
use carryall_proto::CallError;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use std::{fmt, io};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Bounds the head of a response.
const MAX_HEAD: usize = 64 * 1024;
/// Large answers are read in pieces of this size at most.
const MAX_BUFFER: usize = 256 * 1024;

/// What the connection accepts of one HTTP/2 stream that its caller does not read, and of all of
/// them together. Calls of many callers share a connection: as many streams as servers usually
/// allow may be left unread, and the others go on.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 256 * STREAM_WINDOW;

/// How to connect.
pub(super) struct Connector {
    pub(super) timeout: Duration,
    pub(super) http2: bool,
    #[cfg(feature = "tls")]
    pub(super) tls: Option<tokio_rustls::TlsConnector>,
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector")
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// A new connection, by the version of HTTP that both sides speak.
pub(super) enum Connected {
    Http1(Box<Http1>),
    Http2(Http2),
}

impl Connector {
    pub(super) async fn connect(&self, target: &Target) -> Result<Connected, CallError> {
        match tokio::time::timeout(self.timeout, self.connect_unbounded(target)).await {
            Ok(connected) => connected,
            Err(_) => Err(CallError::unreachable(format!(
                "{}: no connection within {:?}",
                target.authority, self.timeout
            ))),
        }
    }

    async fn connect_unbounded(&self, target: &Target) -> Result<Connected, CallError> {
        let failed = |error: io::Error| {
            CallError::unreachable(Failed {
                authority: target.authority.clone(),
                error,
            })
        };
        let stream = TcpStream::connect((&*target.host, target.port))
            .await
            .map_err(failed)?;
        // A request is written whole; waiting to fill a packet would only delay it.
        stream.set_nodelay(true).map_err(failed)?;
        #[cfg(feature = "tls")]
        if let Some(connector) = &self.tls {
            let stream = super::tls::handshake(connector, target, stream)
                .await
                .map_err(failed)?;
            let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            return handshake(Stream::Tls(Box::new(stream)), http2).await;
        }
        handshake(Stream::Plain(stream), self.http2).await
    }
}

async fn handshake(stream: Stream, http2: bool) -> Result<Connected, CallError> {
    let io = TokioIo::new(stream);
    if http2 {
        let (sender, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(Duration::from_secs(30))
            .keep_alive_while_idle(false)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(MAX_HEAD as u32)
            .handshake(io)
            .await
            .map_err(CallError::unreachable)?;
        // One connection serves many calls, so none of them can drive it.
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error = %carryall_proto::PrintableFmt(&error), "HTTP/2 connection ended");
            }
        });
        return Ok(Connected::Http2(Http2 { sender }));
    }
    let (sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_buf_size(MAX_BUFFER)
        .max_header_size(MAX_HEAD)
        .handshake(io)
        .await
        .map_err(CallError::unreachable)?;
    Ok(Connected::Http1(Box::new(Http1::new(sender, connection))))
}

/// Which server could not be reached, and why.
#[derive(Debug)]
struct Failed {
    authority: Box<str>,
    error: io::Error,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.authority, self.error)
    }
}

impl std::error::Error for Failed {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

/// A connection's bytes, encrypted or not.
#[derive(Debug)]
pub(super) enum Stream {
    Plain(TcpStream),
    #[cfg(feature = "tls")]
    Tls(Box<tokio_rustls::client::TlsStream<TcpStream>>),
}

macro_rules! each {
    ($self:ident, $stream:ident => $do:expr) => {
        match $self.get_mut() {
            Stream::Plain($stream) => $do,
            #[cfg(feature = "tls")]
            Stream::Tls($stream) => $do,
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        each!(self, stream => Pin::new(stream).poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self, stream => Pin::new(stream).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}
