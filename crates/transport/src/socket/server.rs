//! Serving on a socket.

use crate::connection::new_source;
use crate::lines::{FallbackChannels, LineOptions, serve_channel};
use carryall_proto::budget::{Amount, Budget};
use carryall_proto::{Call, CallError, Caller, Reply, SharedService};
use rustix::fs::Mode;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, sockopt};
use std::future::pending;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, ToSocketAddrs, UnixListener};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tower_service::Service;

const BACKLOG: i32 = 128;
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);
/// How long open connections may take to end after the shutdown began.
const DRAIN: Duration = Duration::from_secs(10);
/// How long a client may leave output unread.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a TCP connection may be open without a call.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10 * 60);
/// When the system asks whether the other end of a quiet TCP connection is still there, how often,
/// and how many times.
const KEEP_ALIVE: (Duration, Duration, u32) = (Duration::from_secs(60), Duration::from_secs(15), 4);

/// A server on a Unix or TCP socket, with the framing of stdio.
#[derive(Debug)]
pub struct SocketServer {
    listener: Listener,
    options: LineOptions,
    alternates: Option<FallbackChannels>,
    max_connections: u32,
    per_address: Option<u32>,
    drain: Duration,
}

#[derive(Debug)]
enum Listener {
    Unix {
        listener: UnixListener,
        _file: SocketFile,
    },
    Tcp(TcpListener),
}

/// Removed when the server is gone.
#[derive(Debug)]
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

impl SocketServer {
    /// Listens on a Unix socket that only the own user may connect to. What a server that has died
    /// left at `path` is replaced; a socket that somebody serves, or any other file, is not.
    ///
    /// # Errors
    /// When `path` is taken, or cannot be used for a socket.
    pub fn bind_unix(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref();
        remove_stale(path)?;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket =
            rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
        let file = SocketFile(path.to_owned());
        // Nobody can connect before `listen`, so there is no moment at which others could.
        rustix::fs::chmod(path, Mode::RUSR | Mode::WUSR)?;
        rustix::net::listen(&socket, BACKLOG)?;
        let listener = UnixListener::from_std(std::os::unix::net::UnixListener::from(socket))?;
        let options = LineOptions {
            write_timeout: Some(WRITE_TIMEOUT),
            ..LineOptions::default()
        };
        Ok(Self::new(
            Listener::Unix {
                listener,
                _file: file,
            },
            options,
        ))
    }

    /// Listens on a TCP socket. Anybody who can connect can call: there is no authorization on this
    /// binding.
    ///
    /// # Errors
    /// When the address cannot be resolved or bound.
    pub async fn bind_tcp(address: impl ToSocketAddrs) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let options = LineOptions {
            close_on_non_json: true,
            idle_timeout: Some(IDLE_TIMEOUT),
            write_timeout: Some(WRITE_TIMEOUT),
            ..LineOptions::default()
        };
        Ok(Self::new(Listener::Tcp(listener), options))
    }

    fn new(listener: Listener, options: LineOptions) -> Self {
        Self {
            listener,
            options,
            alternates: None,
            max_connections: 1024,
            per_address: None,
            drain: DRAIN,
        }
    }

    /// Other bounds for each connection. They replace those of the binding, such as the idle
    /// timeout over TCP.
    #[must_use]
    pub fn options(mut self, options: LineOptions) -> Self {
        self.options = options;
        self
    }

    /// Another protocol on the same channels.
    #[must_use]
    pub fn alternates(mut self, alternates: FallbackChannels) -> Self {
        self.alternates = Some(alternates);
        self
    }

    /// How many connections may be open; further ones wait to be accepted. 1,024 unless set.
    #[must_use]
    pub fn max_connections(mut self, max: u32) -> Self {
        self.max_connections = max.max(1);
        self
    }

    /// How long a connection may stay open without a call; `None` for as long as it likes. 10 min
    /// for TCP, no bound for a Unix socket unless set.
    #[must_use]
    pub fn idle_timeout(mut self, limit: Option<Duration>) -> Self {
        self.options.idle_timeout = limit;
        self
    }

    /// How many of the connections may come from one address over TCP, or from one /64 network of
    /// IPv6 addresses; further ones are closed at once. A quarter of
    /// [`max_connections`](Self::max_connections) unless set.
    #[must_use]
    pub fn max_connections_per_address(mut self, max: u32) -> Self {
        self.per_address = Some(max.max(1));
        self
    }

    /// How long connections may take to end after the shutdown began, before they are cut off. 10 s
    /// unless set.
    #[must_use]
    pub fn drain_timeout(mut self, limit: Duration) -> Self {
        self.drain = limit;
        self
    }

    /// The address of a TCP socket; `None` for a Unix socket.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        match &self.listener {
            Listener::Unix { .. } => None,
            Listener::Tcp(listener) => listener.local_addr().ok(),
        }
    }

    /// Serves, for ever.
    pub async fn run<S>(self, service: S)
    where
        S: Service<Call, Response = Reply> + Clone + Send + Sync + 'static,
        S::Error: Into<CallError>,
        S::Future: Send,
    {
        self.run_until(service, pending()).await;
    }

    /// Serves until `shutdown` completes. Then nothing new is accepted, subscriptions are closed,
    /// and other calls have the grace time to finish. What is left after the drain time is cut off.
    /// Dropping the future cuts off everything.
    pub async fn run_until<S>(self, service: S, shutdown: impl Future<Output = ()>)
    where
        S: Service<Call, Response = Reply> + Clone + Send + Sync + 'static,
        S::Error: Into<CallError>,
        S::Future: Send,
    {
        let service = SharedService::new(service);
        let slots = Arc::new(Semaphore::new(self.max_connections as usize));
        let share = self.per_address.unwrap_or(self.max_connections.div_ceil(4)) as usize;
        let addresses = Budget::new(Amount::new(usize::MAX, 0), Amount::new(share, 0));
        let stop = watch::Sender::new(false);
        let mut connections = JoinSet::new();
        let mut shutdown = pin!(shutdown);
        loop {
            let accept = async {
                // Waiting for a slot must not keep the server from stopping either.
                let slot = Arc::clone(&slots).acquire_owned().await.ok();
                (slot, self.listener.accept().await)
            };
            let (slot, accepted) = tokio::select! {
                biased;
                () = shutdown.as_mut() => break,
                accepted = accept => accepted,
            };
            while connections.try_join_next().is_some() {}
            let (reader, writer, address) = match accepted {
                Ok(stream) => stream,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept connections");
                    sleep(ACCEPT_BACKOFF).await;
                    continue;
                }
            };
            let share = match address
                .map(|address| addresses.reserve(&Caller::from(address), 0))
                .transpose()
            {
                Ok(share) => share,
                Err(_) => {
                    tracing::debug!(
                        ?address,
                        share,
                        "connection refused: the address has its share of connections"
                    );
                    continue;
                }
            };
            let (service, options, mut stop) = (service.clone(), self.options, stop.subscribe());
            let (alternates, source) = (self.alternates.clone(), new_source(address));
            connections.spawn(async move {
                let _held = (slot, share);
                let stopped = async move { _ = stop.wait_for(|stop| *stop).await };
                if let Err(error) = serve_channel(
                    reader,
                    writer,
                    service,
                    options,
                    alternates.as_ref(),
                    source,
                    stopped,
                )
                .await
                {
                    tracing::debug!(%error, "connection ended");
                }
            });
        }
        stop.send_replace(true);
        drop(self.listener);
        if timeout(self.drain, async {
            while connections.join_next().await.is_some() {}
        })
        .await
        .is_err()
        {
            tracing::warn!("cutting off connections that outlast the drain time");
            connections.shutdown().await;
        }
    }
}

type Accepted = (
    Box<dyn AsyncRead + Send + Unpin>,
    Box<dyn AsyncWrite + Send + Unpin>,
    Option<IpAddr>,
);

impl Listener {
    async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Self::Unix { listener, .. } => {
                let (reader, writer) = listener.accept().await?.0.into_split();
                Ok((Box::new(reader), Box::new(writer), None))
            }
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                let _ = stream.set_nodelay(true);
                let (idle, interval, count) = KEEP_ALIVE;
                // Without it a client whose machine is gone would hold its subscriptions for ever.
                let _ = sockopt::set_socket_keepalive(&stream, true);
                let _ = sockopt::set_tcp_keepidle(&stream, idle);
                let _ = sockopt::set_tcp_keepintvl(&stream, interval);
                let _ = sockopt::set_tcp_keepcnt(&stream, count);
                let (reader, writer) = stream.into_split();
                Ok((Box::new(reader), Box::new(writer), Some(address.ip())))
            }
        }
    }
}

/// Removes a socket on which nobody listens any more.
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
    match std::os::unix::net::UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path)
        }
        _ => Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            format!("{} is in use", path.display()),
        )),
    }
}
