//! From an accepted socket to served requests.

use super::adapter::{Adapter, Multiplexed};
use super::streams::{MAX_STREAMS, SEND_BUFFER, StreamExecutor};
use super::watch::{Activity, Patience, Verdict, Watchdog, Watched};
use crate::connection::new_source;
use carryall_proto::budget::{Amount, Budget, Reservation};
use carryall_proto::{BoxError, CallSource, Caller};
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{sleep, timeout};
use tower_service::Service;

/// The head of a request, and the buffer for the rest of it, are bounded by this.
const MAX_HEAD: usize = 64 * 1024;
/// How long to wait when the process has run out of something that accepting needs.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);
/// How long to wait for more of the first bytes before looking again, at first and at most.
const FIRST_LOOK: Duration = Duration::from_millis(10);
const LAST_LOOK: Duration = Duration::from_secs(2);
/// How often an HTTP/2 client is asked whether it is still there, and how long it may take to
/// answer.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// Streams that the client has reset before they were looked at: further ones end the connection.
const MAX_RESET_STREAMS: usize = 20;

#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) connections: u32,
    pub(super) per_address: Option<u32>,
    pub(super) head: Duration,
    pub(super) idle: Duration,
    pub(super) stalled: Duration,
    pub(super) drain: Duration,
}

impl Default for Limits {
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

/// How far the end of the server has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    Draining,
    Closed,
}

/// What a connection needs to know about its server.
pub(super) struct Connection {
    phase: watch::Receiver<Phase>,
    patience: Patience,
    stalled: Duration,
    /// Where its calls come from.
    pub(super) source: CallSource,
}

/// Accepts connections until `shutdown`, then waits for those that are open.
pub(super) async fn accept_until<F>(
    listener: TcpListener,
    limits: Limits,
    shutdown: impl Future<Output = ()>,
    handle: impl Fn(TcpStream, Connection) -> F + Clone + Send + 'static,
) -> io::Result<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    let patience = Patience::new(limits.head, limits.idle, limits.stalled);
    let (phase, seen) = watch::channel(Phase::Open);
    let slots = Arc::new(Semaphore::new(limits.connections as usize));
    let share = limits
        .per_address
        .unwrap_or(limits.connections.div_ceil(4) * 3) as usize;
    let addresses = Budget::new(Amount::new(usize::MAX, 0), Amount::new(share, 0));
    let mut shutdown = pin!(shutdown);
    loop {
        let (stream, address, slot) = tokio::select! {
            biased;
            () = shutdown.as_mut() => break,
            accepted = accept(&listener, &slots) => accepted,
        };
        let Ok(share) = addresses.reserve(&Caller::from(address.ip()), 0) else {
            tracing::debug!(%address, "connection refused: the address has its share of connections");
            continue;
        };
        let connection = Connection {
            phase: seen.clone(),
            patience,
            stalled: limits.stalled,
            source: new_source(Some(address.ip())),
        };
        let handle = handle.clone();
        tokio::spawn(until_closed(
            move || handle(stream, connection),
            seen.clone(),
            (slot, share),
        ));
    }
    drop(listener);
    phase.send_replace(Phase::Draining);
    if timeout(limits.drain, slots.acquire_many(limits.connections))
        .await
        .is_err()
    {
        tracing::warn!("cutting off calls that outlast the drain time");
        phase.send_replace(Phase::Closed);
        // They only have to be dropped now.
        let _ = timeout(
            Duration::from_secs(1),
            slots.acquire_many(limits.connections),
        )
        .await;
    }
    Ok(())
}

/// Serves a connection until it ends, or the server cuts it off.
///
/// The future is made in here: as an argument it would have a second place in the connection's
/// task.
async fn until_closed<F: Future<Output = ()>>(
    serve: impl FnOnce() -> F,
    mut phase: watch::Receiver<Phase>,
    _held: (OwnedSemaphorePermit, Reservation),
) {
    let seen = phase.clone();
    let mut served = pin!(serve());
    let mut closed = pin!(phase.wait_for(|phase| *phase == Phase::Closed));
    let mut armed = false;
    poll_fn(|cx| {
        if served.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        // This is polled for each request; the other has to be once, to set its waker, and when a
        // look at an atomic shows that there is something to hear.
        if (!armed || seen.has_changed().unwrap_or(true)) && closed.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        armed = true;
        Poll::Pending
    })
    .await;
}

/// The next connection, once there is room for it. Running out of descriptors passes; it must not
/// end the server.
async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> (TcpStream, SocketAddr, OwnedSemaphorePermit) {
    loop {
        let Ok(slot) = Arc::clone(slots).acquire_owned().await else {
            continue;
        };
        match listener.accept().await {
            Ok((stream, address)) => {
                // An answer whose last piece is a second write would wait for a delayed
                // acknowledgement.
                let _ = stream.set_nodelay(true);
                return (stream, address, slot);
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections");
                sleep(ACCEPT_BACKOFF).await;
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    )
}

/// Looks at the first bytes without taking them. `None` when none came in time.
pub(super) async fn speaks_http2(stream: &TcpStream, limit: Duration) -> Option<bool> {
    let look = async {
        let (mut start, mut pause) = ([0; 3], FIRST_LOOK);
        loop {
            match stream.peek(&mut start).await.ok()? {
                0 => return None,
                3 => return Some(start == *b"PRI"),
                count if start[..count] != b"PRI"[..count] => return Some(false),
                // `peek` returns what it has seen before at once. Whoever sends a single byte on
                // each of ten thousand connections must not keep the server looking.
                _ => sleep(pause).await,
            }
            pause = (pause * 2).min(LAST_LOOK);
        }
    };
    timeout(limit, look).await.ok().flatten()
}

/// Serves the requests of one connection until either side ends it.
pub(super) async fn serve<I, S, B>(io: I, http2: bool, service: S, connection: Connection)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    let activity = Arc::new(Activity::default());
    let io = TokioIo::new(Watched::new(io, &activity));
    let service = Adapter::new(service, &activity);
    let ended = if http2 {
        // HTTP/2 is the exception; its state is larger and lives on the heap.
        Box::pin(serve_http2(io, service, connection, &activity)).await
    } else {
        serve_http1(io, service, connection, &activity).await
    };
    if let Err(error) = ended {
        tracing::debug!(error = %carryall_proto::PrintableFmt(&error), "connection ended");
    }
}

async fn serve_http1<I, S, B>(
    io: TokioIo<Watched<I>>,
    service: Adapter<S>,
    connection: Connection,
    activity: &Activity,
) -> hyper::Result<()>
where
    I: AsyncRead + AsyncWrite + Unpin + 'static,
    S: Service<Request<Incoming>, Response = Response<B>> + Clone,
    S::Error: Into<BoxError>,
    B: Body + 'static,
    B::Error: Into<BoxError>,
{
    let mut http1 = hyper::server::conn::http1::Builder::new();
    http1
        .max_buf_size(MAX_HEAD)
        .max_header_size(MAX_HEAD)
        .header_read_timeout(None);
    let mut connected = pin!(http1.serve_connection(io, service));
    watched(
        connected.as_mut(),
        |served| served.graceful_shutdown(),
        connection,
        activity,
    )
    .await
}

async fn serve_http2<I, S, B>(
    io: TokioIo<Watched<I>>,
    service: Adapter<S>,
    mut connection: Connection,
    activity: &Activity,
) -> hyper::Result<()>
where
    I: AsyncRead + AsyncWrite + Unpin + 'static,
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    connection.patience = connection.patience.multiplexed();
    let connected = hyper::server::conn::http2::Builder::new(StreamExecutor {
        stalled: connection.stalled,
    })
    .timer(TokioTimer::new())
    .keep_alive_interval(PING_INTERVAL)
    .keep_alive_timeout(PING_TIMEOUT)
    .max_concurrent_streams(MAX_STREAMS)
    .max_pending_accept_reset_streams(MAX_RESET_STREAMS)
    .max_send_buf_size(SEND_BUFFER)
    .max_header_list_size(MAX_HEAD as u32)
    .serve_connection(io, Multiplexed(service));
    let mut connected = pin!(connected);
    watched(
        connected.as_mut(),
        |served| served.graceful_shutdown(),
        connection,
        activity,
    )
    .await
}

/// Drives a connection, and ends it when the server drains or the watchdog says so.
async fn watched<C>(
    mut connected: Pin<&mut C>,
    retire: impl Fn(Pin<&mut C>),
    mut connection: Connection,
    activity: &Activity,
) -> hyper::Result<()>
where
    C: Future<Output = hyper::Result<()>>,
{
    let mut watchdog = Watchdog::new(connection.patience);
    let every = connection.patience.tick;
    let mut tick = pin!(sleep(every));
    let phase = connection.phase.clone();
    let mut drain = pin!(connection.phase.changed());
    let mut draining = false;
    let mut armed = false;
    loop {
        // The connection is polled for each request, and the other two seldom have anything to say.
        // They are polled when their wakers have to be set, or when a look at an atomic shows that
        // they have fired.
        let event = poll_fn(|cx| {
            if let Poll::Ready(ended) = connected.as_mut().poll(cx) {
                return Poll::Ready(Event::Ended(ended));
            }
            if !draining
                && (!armed || phase.has_changed().unwrap_or(true))
                && drain.as_mut().poll(cx).is_ready()
            {
                return Poll::Ready(Event::Drain);
            }
            if (!armed || tick.is_elapsed()) && tick.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Event::Tick);
            }
            armed = true;
            Poll::Pending
        })
        .await;
        match event {
            Event::Ended(ended) => return ended,
            Event::Drain => {
                draining = true;
                retire(connected.as_mut());
            }
            Event::Tick => {
                tick.as_mut().reset(tokio::time::Instant::now() + every);
                match watchdog.tick(activity) {
                    Verdict::Keep => {}
                    Verdict::Retire => retire(connected.as_mut()),
                    Verdict::Close => return Ok(()),
                }
            }
        }
        armed = false;
    }
}

enum Event {
    Ended(hyper::Result<()>),
    Drain,
    Tick,
}
