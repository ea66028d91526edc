//! Serves the requests of one connection with hyper.

use super::http2_streams::{Chunked, MAX_STREAMS, SEND_BUFFER, StreamExecutor};
use super::hyper_service::HyperService;
use super::watchdog::{Activity, TickLimits, Watchdog, WatchdogVerdict};
use super::watched_io::WatchedIo;
use carryall_proto::budget::Reservation;
use carryall_proto::{BoxError, CallSource, PrintableFmt};
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, sleep};
use tower_service::Service;

/// Limit on the size of a request's head, and on the read buffer.
const MAX_HEAD: usize = 64 * 1024;
/// Interval of HTTP/2 keep-alive pings, and time to answer one.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// Limit on streams that the client has reset before they were accepted; exceeding it ends the
/// connection (CVE-2023-44487, "rapid reset").
const MAX_RESET_STREAMS: usize = 20;

/// The shutdown phase of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ShutdownPhase {
    Open,
    /// Connections finish their requests.
    Draining,
    /// Connections are cut off.
    Closed,
}

/// What a connection needs of its server. The connection counts as open until this is dropped.
pub(super) struct ConnectionContext {
    /// Never marked as seen, so that `has_changed` stays a test of whether the shutdown has begun.
    pub(super) phase: watch::Receiver<ShutdownPhase>,
    pub(super) tick_limits: TickLimits,
    pub(super) stalled: Duration,
    /// The source of the connection's calls.
    pub(super) source: CallSource,
    pub(super) _permit: OwnedSemaphorePermit,
    pub(super) _share: Reservation,
}

/// A future that establishes a connection: its stream, and whether it speaks HTTP/2. `None` when
/// the connection failed.
///
/// Boxed, so that its memory is free again once the connection is established.
pub(super) type ConnectionHandshake<I> = Pin<Box<dyn Future<Output = Option<(I, bool)>> + Send>>;

/// Serves a connection until either side ends it.
pub(super) async fn serve<I, S, B>(
    handshake: ConnectionHandshake<I>,
    service: S,
    mut context: ConnectionContext,
) where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    let Some((io, http2)) = unless_closed(context.phase.clone(), handshake).await else {
        return;
    };
    let activity = Arc::new(Activity::default());
    let io = TokioIo::new(WatchedIo::new(io, &activity));
    let ended = if http2 {
        context.tick_limits = context.tick_limits.multiplexed();
        let service = HyperService::new(service, &activity, Chunked::new);
        let executor = StreamExecutor {
            stalled: context.stalled,
        };
        let connect = || {
            http2::Builder::new(executor)
                .timer(TokioTimer::new())
                .keep_alive_interval(PING_INTERVAL)
                .keep_alive_timeout(PING_TIMEOUT)
                .max_concurrent_streams(MAX_STREAMS)
                .max_pending_accept_reset_streams(MAX_RESET_STREAMS)
                .max_send_buf_size(SEND_BUFFER)
                .max_header_list_size(MAX_HEAD as u32)
                .serve_connection(io, service)
        };
        // Boxed: the state of an HTTP/2 connection is larger than that of an HTTP/1.1 connection,
        // and most connections are HTTP/1.1.
        let retire = http2::Connection::graceful_shutdown;
        Box::pin(drive(connect, retire, &context, &activity)).await
    } else {
        let service = HyperService::new(service, &activity, |body| body);
        let connect = || {
            http1::Builder::new()
                .max_buf_size(MAX_HEAD)
                .max_header_size(MAX_HEAD)
                // The watchdog does this without a timer per request.
                .header_read_timeout(None)
                .serve_connection(io, service)
        };
        let retire = http1::Connection::graceful_shutdown;
        drive(connect, retire, &context, &activity).await
    };
    if let Err(error) = ended {
        tracing::debug!(error = %PrintableFmt(&error), "connection ended");
    }
}

/// Drives a connection until it ends. Retires it when the server drains or the connection has been
/// idle for too long; drops it when it hangs or the server closes.
///
/// `connect` makes the connection in here, because as an argument it would take up its size in the
/// task a second time.
async fn drive<C>(
    connect: impl FnOnce() -> C,
    retire: impl Fn(Pin<&mut C>),
    context: &ConnectionContext,
    activity: &Activity,
) -> hyper::Result<()>
where
    C: Future<Output = hyper::Result<()>>,
{
    let mut connection = pin!(connect());
    let mut watchdog = Watchdog::new(context.tick_limits);
    let interval = context.tick_limits.tick;
    let mut tick = pin!(sleep(interval));
    let (mut drain, mut close) = (context.phase.clone(), context.phase.clone());
    let mut drain = pin!(drain.wait_for(|phase| *phase != ShutdownPhase::Open));
    let mut close = pin!(close.wait_for(|phase| *phase == ShutdownPhase::Closed));
    let mut draining = false;
    let mut armed = false;
    loop {
        // The connection is polled for each request, and the other futures seldom complete. They
        // are polled only to register their wakers, or when an atomic load shows that they are
        // about to complete.
        let event = poll_fn(|cx| {
            if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
                return Poll::Ready(ConnectionEvent::Ended(ended));
            }
            if !armed || context.phase.has_changed().unwrap_or(true) {
                if close.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(ConnectionEvent::Ended(Ok(())));
                }
                if !draining && drain.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(ConnectionEvent::Drain);
                }
            }
            if (!armed || tick.is_elapsed()) && tick.as_mut().poll(cx).is_ready() {
                return Poll::Ready(ConnectionEvent::Tick);
            }
            armed = true;
            Poll::Pending
        })
        .await;
        match event {
            ConnectionEvent::Ended(ended) => return ended,
            ConnectionEvent::Drain => {
                draining = true;
                retire(connection.as_mut());
            }
            ConnectionEvent::Tick => {
                tick.as_mut().reset(Instant::now() + interval);
                match watchdog.tick(activity) {
                    WatchdogVerdict::Keep => {}
                    WatchdogVerdict::Retire => retire(connection.as_mut()),
                    WatchdogVerdict::Close => return Ok(()),
                }
            }
        }
        armed = false;
    }
}

enum ConnectionEvent {
    Ended(hyper::Result<()>),
    Drain,
    Tick,
}

/// Waits for `handshake`, or gives it up when the server closes.
async fn unless_closed<T>(
    mut phase: watch::Receiver<ShutdownPhase>,
    handshake: impl Future<Output = Option<T>>,
) -> Option<T> {
    tokio::select! {
        biased;
        established = handshake => established,
        _ = phase.wait_for(|phase| *phase == ShutdownPhase::Closed) => None,
    }
}
