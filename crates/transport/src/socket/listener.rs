//! Listening sockets, Unix or TCP.

use rustix::fs::Mode;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, sockopt};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::{UnixListener as StdUnixListener, UnixStream as StdUnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, ToSocketAddrs, UnixListener};

const BACKLOG: i32 = 128;
/// TCP keep-alive: idle time before the first probe, interval of probes, and number of unanswered
/// probes after which the connection is closed.
const KEEP_ALIVE_IDLE: Duration = Duration::from_secs(60);
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(15);
const KEEP_ALIVE_PROBES: u32 = 4;

#[derive(Debug)]
pub(super) enum SocketListener {
    Unix {
        listener: UnixListener,
        _file: SocketFile,
    },
    Tcp(TcpListener),
}

/// Removes the file of a Unix socket when it is dropped.
#[derive(Debug)]
pub(super) struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The two ends of a connection, and the address of its client.
pub(super) struct AcceptedStream {
    pub(super) reader: Box<dyn AsyncRead + Send + Unpin>,
    pub(super) writer: Box<dyn AsyncWrite + Send + Unpin>,
    pub(super) address: Option<IpAddr>,
}

impl SocketListener {
    /// Listens on a Unix socket that only the owner may connect to, replacing a stale one.
    pub(super) fn bind_unix(path: &Path) -> io::Result<Self> {
        remove_stale(path)?;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket =
            rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
        let file = SocketFile(path.to_owned());
        // Nobody can connect before `listen`, so the permissions apply from the start.
        rustix::fs::chmod(path, Mode::RUSR | Mode::WUSR)?;
        rustix::net::listen(&socket, BACKLOG)?;
        Ok(Self::Unix {
            listener: UnixListener::from_std(StdUnixListener::from(socket))?,
            _file: file,
        })
    }

    pub(super) async fn bind_tcp(address: impl ToSocketAddrs) -> io::Result<Self> {
        TcpListener::bind(address).await.map(Self::Tcp)
    }

    pub(super) fn local_addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Unix { .. } => None,
            Self::Tcp(listener) => listener.local_addr().ok(),
        }
    }

    pub(super) async fn accept(&self) -> io::Result<AcceptedStream> {
        match self {
            Self::Unix { listener, .. } => {
                let (reader, writer) = listener.accept().await?.0.into_split();
                Ok(AcceptedStream {
                    reader: Box::new(reader),
                    writer: Box::new(writer),
                    address: None,
                })
            }
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                configure(&stream);
                let (reader, writer) = stream.into_split();
                Ok(AcceptedStream {
                    reader: Box::new(reader),
                    writer: Box::new(writer),
                    address: Some(address.ip()),
                })
            }
        }
    }
}

/// Sets the options of a TCP connection, as far as the system allows.
fn configure(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    // Without keep-alive, a client whose machine is gone would keep its subscriptions forever.
    let _ = sockopt::set_socket_keepalive(stream, true);
    let _ = sockopt::set_tcp_keepidle(stream, KEEP_ALIVE_IDLE);
    let _ = sockopt::set_tcp_keepintvl(stream, KEEP_ALIVE_INTERVAL);
    let _ = sockopt::set_tcp_keepcnt(stream, KEEP_ALIVE_PROBES);
}

/// Removes a socket that nobody listens on.
fn remove_stale(path: &Path) -> io::Result<()> {
    let Ok(metadata) = std::fs::symlink_metadata(path) else {
        return Ok(());
    };
    if !metadata.file_type().is_socket() {
        return Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            format!("{} is not a socket", path.display()),
        ));
    }
    match StdUnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path)
        }
        _ => Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            format!("{} is in use", path.display()),
        )),
    }
}
