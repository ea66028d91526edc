//! The client side of a socket.

use crate::lines::{Channel, ChannelOptions};
use crate::reconnect::{OpenChannel, Reconnecting};
use carryall_proto::{BoxFuture, Call, CallError, Reply};
use std::path::PathBuf;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use std::{fmt, io};
use tokio::net::{TcpStream, UnixStream};
use tower_service::Service;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Calls an MCP server on a Unix or TCP socket. Cheap to clone; clones share the connection.
///
/// The connection is opened by the first call, and again by the next call after it was lost. Calls
/// in flight then fail with [`CallError::Broken`]. Connecting may take up to 10 s.
#[derive(Clone)]
pub struct SocketClient {
    inner: Arc<SocketClientInner>,
}

struct SocketClientInner {
    channel: Reconnecting<SocketConnector>,
}

struct SocketConnector {
    address: SocketAddress,
    options: ChannelOptions,
}

enum SocketAddress {
    Unix(PathBuf),
    Tcp(String),
}

impl SocketClient {
    /// Makes a client for the Unix socket at `path`.
    pub fn unix(path: impl Into<PathBuf>) -> Self {
        Self::new(SocketAddress::Unix(path.into()))
    }

    /// Makes a client for `address`, a host and a port.
    pub fn tcp(address: impl Into<String>) -> Self {
        Self::new(SocketAddress::Tcp(address.into()))
    }

    fn new(address: SocketAddress) -> Self {
        let connector = SocketConnector {
            address,
            options: ChannelOptions::default(),
        };
        Self {
            inner: Arc::new(SocketClientInner {
                channel: Reconnecting::new(connector),
            }),
        }
    }
}

impl OpenChannel for SocketConnector {
    async fn open(&self) -> Result<Channel, CallError> {
        match tokio::time::timeout(CONNECT_TIMEOUT, self.connect()).await {
            Ok(Ok(channel)) => Ok(channel),
            Ok(Err(error)) => Err(self.unreachable(&error)),
            Err(_) => {
                Err(self.unreachable(&format_args!("no connection within {CONNECT_TIMEOUT:?}")))
            }
        }
    }
}

impl SocketConnector {
    async fn connect(&self) -> io::Result<Channel> {
        match &self.address {
            SocketAddress::Unix(path) => {
                let (reader, writer) = UnixStream::connect(path).await?.into_split();
                Ok(Channel::open(reader, writer, self.options))
            }
            SocketAddress::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                let (reader, writer) = stream.into_split();
                Ok(Channel::open(reader, writer, self.options))
            }
        }
    }

    fn unreachable(&self, error: &dyn fmt::Display) -> CallError {
        CallError::unreachable(format!("{}: {error}", self.address))
    }
}

impl Drop for SocketClientInner {
    fn drop(&mut self) {
        if let Some(channel) = self.channel.current() {
            channel.fail(CallError::broken("the client was dropped"));
        }
    }
}

impl fmt::Display for SocketAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => path.display().fmt(f),
            Self::Tcp(address) => f.write_str(address),
        }
    }
}

impl fmt::Debug for SocketClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SocketClient({})", self.inner.channel.opener().address)
    }
}

impl Service<Call> for SocketClient {
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
