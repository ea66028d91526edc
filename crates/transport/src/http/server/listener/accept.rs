//! Accepts connections until the shutdown begins, then drains them.
//!
//! This loop is written by hand because each connection is bounded (in total and per address),
//! numbered, and told of the shutdown through a watch channel that costs an atomic load per request
//! instead of a poll. `axum::serve` and `hyper_util::server::graceful` do none of the three.

use super::connection::{ConnectionContext, ShutdownPhase};
use super::watchdog::TickLimits;
use crate::connection_source::new_source;
use carryall_proto::Caller;
use carryall_proto::budget::{Amount, Budget};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{sleep, timeout};

/// Pause after an error that accepting again at once would not solve, such as too many open files.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);
/// Time for the connections that are cut off to be dropped.
const CUT_OFF_TIMEOUT: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug)]
pub(super) struct ListenerLimits {
    pub(super) connections: u32,
    pub(super) per_address: Option<u32>,
    pub(super) head: Duration,
    pub(super) idle: Duration,
    pub(super) stalled: Duration,
    pub(super) drain: Duration,
}

impl Default for ListenerLimits {
    fn default() -> Self {
        Self {
            connections: 16 * 1024,
            per_address: None,
            head: Duration::from_secs(10),
            idle: Duration::from_secs(120),
            stalled: Duration::from_secs(30),
            drain: Duration::from_secs(10),
        }
    }
}

/// Spawns `serve` for each connection until `shutdown` completes, then waits up to the drain time
/// for the open connections to end.
pub(super) async fn accept_until<F>(
    listener: TcpListener,
    limits: ListenerLimits,
    shutdown: impl Future<Output = ()>,
    serve: impl Fn(TcpStream, ConnectionContext) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let tick_limits = TickLimits::new(limits.head, limits.idle, limits.stalled);
    let phase = watch::Sender::new(ShutdownPhase::Open);
    let permits = Arc::new(Semaphore::new(limits.connections as usize));
    let share = limits
        .per_address
        .unwrap_or(limits.connections.div_ceil(4) * 3) as usize;
    let addresses = Budget::new(Amount::new(usize::MAX, 0), Amount::new(share, 0));
    let mut shutdown = pin!(shutdown);
    loop {
        let (stream, address, permit) = tokio::select! {
            biased;
            () = shutdown.as_mut() => break,
            accepted = accept(&listener, &permits) => accepted,
        };
        let Ok(share) = addresses.reserve(&Caller::from(address.ip()), 0) else {
            tracing::debug!(%address, "connection refused: too many connections from this address");
            continue;
        };
        let context = ConnectionContext {
            phase: phase.subscribe(),
            tick_limits,
            stalled: limits.stalled,
            source: new_source(Some(address.ip())),
            _permit: permit,
            _share: share,
        };
        tokio::spawn(serve(stream, context));
    }
    drop(listener);
    phase.send_replace(ShutdownPhase::Draining);
    let all_closed = || permits.acquire_many(limits.connections);
    if timeout(limits.drain, all_closed()).await.is_err() {
        tracing::warn!("closing connections that exceed the drain timeout");
        phase.send_replace(ShutdownPhase::Closed);
        let _ = timeout(CUT_OFF_TIMEOUT, all_closed()).await;
    }
}

/// Returns the next connection, once there is a permit for it. Errors do not end the server: they
/// concern one connection, or pass, as running out of file descriptors does.
async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> (TcpStream, SocketAddr, OwnedSemaphorePermit) {
    loop {
        let Ok(permit) = Arc::clone(permits).acquire_owned().await else {
            continue;
        };
        match listener.accept().await {
            Ok((stream, address)) => {
                // With Nagle's algorithm, the second write of a response waits for a delayed
                // acknowledgement.
                let _ = stream.set_nodelay(true);
                return (stream, address, permit);
            }
            Err(error) if concerns_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections");
                sleep(ACCEPT_BACKOFF).await;
            }
        }
    }
}

fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    )
}
