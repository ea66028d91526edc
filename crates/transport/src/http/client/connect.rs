//! Opens connections.

use super::connection::{Http1Connection, Http2Connection};
use super::stream::HttpStream;
use super::target::EndpointUrl;
use carryall_proto::{CallError, PrintableFmt};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::time::Duration;
use std::{fmt, io};
use tokio::net::TcpStream;

/// Limit on the size of a response's head.
const MAX_HEAD: usize = 64 * 1024;
/// Limit on the read buffer.
const MAX_BUFFER: usize = 256 * 1024;
/// Interval of HTTP/2 keep-alive pings.
const PING_INTERVAL: Duration = Duration::from_secs(30);

/// Flow-control windows of one HTTP/2 stream and of the connection. Calls of many callers share a
/// connection: with these windows, as many streams as servers usually allow may be left unread
/// without blocking the others.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 256 * STREAM_WINDOW;

pub(super) struct Connector {
    pub(super) timeout: Duration,
    /// Speaks HTTP/2 with prior knowledge, unless TLS negotiates the version.
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

pub(super) enum NewConnection {
    Http1(Box<Http1Connection>),
    Http2(Http2Connection),
}

impl Connector {
    pub(super) async fn connect(&self, url: &EndpointUrl) -> Result<NewConnection, CallError> {
        match tokio::time::timeout(self.timeout, self.connect_unbounded(url)).await {
            Ok(connected) => connected,
            Err(_) => Err(CallError::unreachable(format!(
                "{}: no connection within {:?}",
                url.authority, self.timeout
            ))),
        }
    }

    async fn connect_unbounded(&self, url: &EndpointUrl) -> Result<NewConnection, CallError> {
        let failed = |error: io::Error| {
            CallError::unreachable(ConnectError {
                authority: url.authority.clone(),
                error,
            })
        };
        let stream = TcpStream::connect((&*url.host, url.port))
            .await
            .map_err(failed)?;
        // A request is written whole, so Nagle's algorithm could only delay it.
        stream.set_nodelay(true).map_err(failed)?;
        #[cfg(feature = "tls")]
        if let Some(connector) = &self.tls {
            let stream = super::tls::handshake(connector, url, stream)
                .await
                .map_err(failed)?;
            let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            return http_handshake(HttpStream::Tls(Box::new(stream)), http2).await;
        }
        http_handshake(HttpStream::Plain(stream), self.http2).await
    }
}

async fn http_handshake(stream: HttpStream, http2: bool) -> Result<NewConnection, CallError> {
    let io = TokioIo::new(stream);
    if http2 {
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_while_idle(false)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(MAX_HEAD as u32)
            .handshake(io)
            .await
            .map_err(CallError::unreachable)?;
        // Many calls share the connection, so none of them can drive it. The task ends with the
        // connection, which hyper closes once the pool and the calls have dropped their senders.
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error = %PrintableFmt(&error), "HTTP/2 connection ended");
            }
        });
        return Ok(NewConnection::Http2(Http2Connection::new(sender)));
    }
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(MAX_BUFFER)
        .max_header_size(MAX_HEAD)
        .handshake(io)
        .await
        .map_err(CallError::unreachable)?;
    let connection = Http1Connection::new(sender, connection);
    Ok(NewConnection::Http1(Box::new(connection)))
}

/// Which server could not be reached, and why.
#[derive(Debug)]
struct ConnectError {
    authority: Box<str>,
    error: io::Error,
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.authority, self.error)
    }
}

impl std::error::Error for ConnectError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}
