//! The server side of a socket.

use super::listener::{AcceptedStream, SocketListener};
use crate::connection_source::new_source;
use crate::lines::{FallbackChannels, LineOptions, serve_channel};
use carryall_proto::budget::{Amount, Budget};
use carryall_proto::{Call, CallError, Caller, Reply, SharedService};
use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::ToSocketAddrs;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tower_service::Service;

/// Pause after an error of accepting, such as too many open files.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
const TCP_IDLE_TIMEOUT: Duration = Duration::from_secs(10 * 60);

/// A server on a Unix or TCP socket, with the framing of stdio.
#[derive(Debug)]
pub struct SocketServer {
    listener: SocketListener,
    options: LineOptions,
    fallback: Option<FallbackChannels>,
    max_connections: u32,
    max_per_address: Option<u32>,
    drain_timeout: Duration,
}

impl SocketServer {
    /// Listens on a Unix socket that only its owner may connect to. A socket at `path` that nobody
    /// listens on any more is replaced; a socket in use, or any other file, is not.
    ///
    /// # Errors
    /// When `path` is taken, or cannot be used for a socket.
    pub fn bind_unix(path: impl AsRef<Path>) -> io::Result<Self> {
        let options = LineOptions {
            write_timeout: Some(WRITE_TIMEOUT),
            ..LineOptions::default()
        };
        let listener = SocketListener::bind_unix(path.as_ref())?;
        Ok(Self::new(listener, options))
    }

    /// Listens on a TCP socket. Anybody who can connect can call: this transport has no
    /// authorization.
    ///
    /// # Errors
    /// When the address cannot be resolved or bound.
    pub async fn bind_tcp(address: impl ToSocketAddrs) -> io::Result<Self> {
        let options = LineOptions {
            close_on_non_json: true,
            idle_timeout: Some(TCP_IDLE_TIMEOUT),
            write_timeout: Some(WRITE_TIMEOUT),
            ..LineOptions::default()
        };
        let listener = SocketListener::bind_tcp(address).await?;
        Ok(Self::new(listener, options))
    }

    fn new(listener: SocketListener, options: LineOptions) -> Self {
        Self {
            listener,
            options,
            fallback: None,
            max_connections: 1024,
            max_per_address: None,
            drain_timeout: Duration::from_secs(10),
        }
    }

    /// Sets the limits of each connection. Default: those of [`LineOptions`], with a write timeout
    /// of 30 s, and over TCP also an idle timeout of 10 min and `close_on_non_json`.
    #[must_use]
    pub fn options(mut self, options: LineOptions) -> Self {
        self.options = options;
        self
    }

    /// Lets another protocol be spoken on the same channels. Default: none.
    #[must_use]
    pub fn fallback(mut self, fallback: FallbackChannels) -> Self {
        self.fallback = Some(fallback);
        self
    }

    /// Sets the maximum number of open connections, at least 1; further connections wait to be
    /// accepted. Default: 1,024.
    #[must_use]
    pub fn max_connections(mut self, max: u32) -> Self {
        self.max_connections = max.max(1);
        self
    }

    /// Sets how long a connection may stay open without a call; `None` for no limit. Default:
    /// 10 min for TCP, no limit for a Unix socket.
    #[must_use]
    pub fn idle_timeout(mut self, limit: Option<Duration>) -> Self {
        self.options.idle_timeout = limit;
        self
    }

    /// Sets the maximum number of TCP connections per IPv4 address or IPv6 /64 network, at least 1;
    /// further connections are closed at once. Default: a quarter of
    /// [`max_connections`](Self::max_connections).
    #[must_use]
    pub fn max_connections_per_address(mut self, max: u32) -> Self {
        self.max_per_address = Some(max.max(1));
        self
    }

    /// Sets how long connections may take to end after the shutdown has begun. Default: 10 s.
    #[must_use]
    pub fn drain_timeout(mut self, limit: Duration) -> Self {
        self.drain_timeout = limit;
        self
    }

    /// Returns the address of a TCP socket; `None` for a Unix socket.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves forever.
    pub async fn run<S>(self, service: S)
    where
        S: Service<Call, Response = Reply> + Clone + Send + Sync + 'static,
        S::Error: Into<CallError>,
        S::Future: Send,
    {
        self.run_until(service, pending()).await;
    }

    /// Serves until `shutdown` completes. Then no connection is accepted, subscriptions are ended,
    /// other calls have the grace time to finish, and connections that exceed the drain timeout are
    /// closed. Dropping the future closes all connections.
    pub async fn run_until<S>(self, service: S, shutdown: impl Future<Output = ()>)
    where
        S: Service<Call, Response = Reply> + Clone + Send + Sync + 'static,
        S::Error: Into<CallError>,
        S::Future: Send,
    {
        let service = SharedService::new(service);
        let permits = Arc::new(Semaphore::new(self.max_connections as usize));
        let share = self
            .max_per_address
            .unwrap_or(self.max_connections.div_ceil(4)) as usize;
        let addresses = Budget::new(Amount::new(usize::MAX, 0), Amount::new(share, 0));
        let stop = watch::Sender::new(false);
        let mut connections = JoinSet::new();
        let mut shutdown = pin!(shutdown);
        loop {
            let accept = async {
                // The shutdown must not have to wait for a permit.
                let permit = Arc::clone(&permits).acquire_owned().await.ok();
                (permit, self.listener.accept().await)
            };
            let (permit, accepted) = tokio::select! {
                biased;
                () = shutdown.as_mut() => break,
                accepted = accept => accepted,
            };
            while connections.try_join_next().is_some() {}
            let stream = match accepted {
                Ok(stream) => stream,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept connections");
                    sleep(ACCEPT_BACKOFF).await;
                    continue;
                }
            };
            let address = stream.address;
            let reserved = address.map(|address| addresses.reserve(&Caller::from(address), 0));
            let Ok(reservation) = reserved.transpose() else {
                tracing::debug!(
                    ?address,
                    share,
                    "connection refused: too many connections from this address"
                );
                continue;
            };
            let (service, options) = (service.clone(), self.options);
            let (fallback, mut stop) = (self.fallback.clone(), stop.subscribe());
            let source = new_source(address);
            connections.spawn(async move {
                let _held = (permit, reservation);
                let AcceptedStream { reader, writer, .. } = stream;
                let fallback = fallback.as_ref();
                let stopped = async move { _ = stop.wait_for(|stop| *stop).await };
                let served =
                    serve_channel(reader, writer, service, options, fallback, source, stopped);
                if let Err(error) = served.await {
                    tracing::debug!(%error, "connection ended");
                }
            });
        }
        stop.send_replace(true);
        drop(self.listener);
        let all_ended = async { while connections.join_next().await.is_some() {} };
        if timeout(self.drain_timeout, all_ended).await.is_err() {
            tracing::warn!("closing connections that exceed the drain timeout");
            connections.shutdown().await;
        }
    }
}
