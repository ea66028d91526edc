//! Calling a server on a socket.

use crate::lines::{Channel, ChannelOptions};
use crate::reconnect::{Connect, Reconnecting};
use carryall_proto::{BoxFuture, Call, CallError, Reply};
use std::path::PathBuf;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use std::{fmt, io};
use tokio::net::{TcpStream, UnixStream};
use tower_service::Service;

const CONNECT: Duration = Duration::from_secs(10);

/// Calls an MCP server on a Unix or TCP socket. Cheap to clone; clones share the connection, which
/// is opened by the first call and again by the next one after it was lost. Calls in flight then
/// fail with [`CallError::Broken`].
#[derive(Clone)]
pub struct SocketClient {
    shared: Arc<Shared>,
}

struct Shared {
    way: Reconnecting<Socket>,
}

struct Socket {
    address: Address,
    options: ChannelOptions,
}

enum Address {
    Unix(PathBuf),
    Tcp(String),
}

impl SocketClient {
    /// A client for the Unix socket at `path`.
    pub fn unix(path: impl Into<PathBuf>) -> Self {
        Self::new(Address::Unix(path.into()), ChannelOptions::default())
    }

    /// A client for `address`, a host and a port.
    pub fn tcp(address: impl Into<String>) -> Self {
        Self::new(Address::Tcp(address.into()), ChannelOptions::default())
    }

    fn new(address: Address, options: ChannelOptions) -> Self {
        Self {
            shared: Arc::new(Shared {
                way: Reconnecting::new(Socket { address, options }),
            }),
        }
    }
}

impl Connect for Socket {
    async fn connect(&self) -> Result<Channel, CallError> {
        let failed =
            |error: io::Error| CallError::unreachable(format!("{}: {error}", self.address));
        let late = || {
            io::Error::new(
                io::ErrorKind::TimedOut,
                format!("no connection within {CONNECT:?}"),
            )
        };
        match &self.address {
            Address::Unix(path) => {
                let stream = tokio::time::timeout(CONNECT, UnixStream::connect(path)).await;
                let (reader, writer) = stream
                    .map_err(|_| failed(late()))?
                    .map_err(failed)?
                    .into_split();
                Ok(Channel::open(reader, writer, self.options))
            }
            Address::Tcp(address) => {
                let stream = tokio::time::timeout(CONNECT, TcpStream::connect(address)).await;
                let stream = stream.map_err(|_| failed(late()))?.map_err(failed)?;
                stream.set_nodelay(true).map_err(failed)?;
                let (reader, writer) = stream.into_split();
                Ok(Channel::open(reader, writer, self.options))
            }
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(channel) = self.way.current() {
            channel.fail(CallError::broken("the client is gone"));
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => path.display().fmt(f),
            Self::Tcp(address) => f.write_str(address),
        }
    }
}

impl fmt::Debug for SocketClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SocketClient({})", self.shared.way.connect().address)
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
        let shared = Arc::clone(&self.shared);
        Box::pin(async move { shared.way.call(call).await })
    }
}
