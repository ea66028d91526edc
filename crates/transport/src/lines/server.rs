//! The serving end. One future reads, answers and writes: no task and no channel per request.

use super::alternate::{FallbackChannel, FallbackChannels};
use super::monitor::{Monitor, Verdict};
use super::running::{Event, Running};
use crate::connection::new_source;
use crate::known;
use bytes::{Buf as _, Bytes, BytesMut};
use carryall_proto::decode::{ClientMessage, decode_frame_cached};
use carryall_proto::frame::{LineDecoder, encode_line};
use carryall_proto::mux::{InFlightRequests, NotificationTarget, Ticket};
use carryall_proto::{
    Call, CallError, CallSource, Encoded, Message, Notification, Outcome, Reply, Response,
    SharedService, encode_error,
};
use carryall_types::{ErrorObject, Method, code};
use futures_core::Stream as _;
use futures_util::future::AbortHandle;
use futures_util::stream::{Abortable, SelectAll};
use std::future::{pending, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::time::{Instant, Sleep};
use tower_service::Service;

/// Beyond this much unwritten output nothing more is read or worked on until the client has taken
/// some of it.
const HIGH_WATER: usize = 1024 * 1024;
/// How many messages of calls in work are taken before input is looked at again.
const BURST: usize = 64;
/// Least room for a read.
const READ: usize = 16 * 1024;
/// A buffer that a large message has grown is given back when it is empty.
const KEEP_BUFFER: usize = 256 * 1024;

/// Bounds of one channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LineOptions {
    /// The longest line accepted, in bytes; a longer one costs only itself. 4 MiB unless set.
    pub max_line: usize,
    /// How many calls may be in work; more are refused with an error. 1,024 unless set.
    pub max_in_flight: usize,
    /// How long calls may go on after the client has closed its end. 500 ms unless set.
    pub grace: Duration,
    /// How long the client, once it has closed its end, may take nothing of what is left for it. 10
    /// s unless set.
    pub stalled: Duration,
    /// How long the channel may be open without a call and without a message, and at most 30 s of
    /// that before the first message. 10 min for TCP, no bound unless set.
    pub idle_timeout: Option<Duration>,
    /// How long the client may leave waiting output unread: it has to take at least 16 KiB in this
    /// time. Beyond it the channel fails, which cancels its calls. 30 s for sockets, no bound
    /// unless set: a process on standard streams serves nobody but the client that started it.
    pub write_timeout: Option<Duration>,
    /// Hang up on a client whose first line is no JSON object, as that of a web page that was
    /// talked into sending a request here. On for TCP, else off unless set.
    pub close_on_non_json: bool,
}

impl Default for LineOptions {
    fn default() -> Self {
        Self {
            max_line: 4 * 1024 * 1024,
            max_in_flight: 1024,
            grace: Duration::from_millis(500),
            stalled: Duration::from_secs(10),
            idle_timeout: None,
            write_timeout: None,
            close_on_non_json: false,
        }
    }
}

/// Serves calls that come as lines on `reader`, and writes answers as lines to `writer`, until the
/// client closes its end. Dropping the future cancels the calls in work.
///
/// # Errors
/// When reading or writing fails. A client that has gone away is no error.
pub async fn serve_lines<R, W, S>(
    reader: R,
    writer: W,
    service: S,
    options: LineOptions,
) -> io::Result<()>
where
    R: AsyncRead,
    W: AsyncWrite,
    S: Service<Call, Response = Reply> + Clone + Send + Sync + 'static,
    S::Error: Into<CallError>,
    S::Future: Send,
{
    serve_lines_until(reader, writer, service, options, pending()).await
}

/// As [`serve_lines`], until `shutdown` completes. Then subscriptions are closed with their result,
/// and other calls have the grace time to finish.
///
/// # Errors
/// When reading or writing fails. A client that has gone away is no error.
pub async fn serve_lines_until<R, W, S>(
    reader: R,
    writer: W,
    service: S,
    options: LineOptions,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()>
where
    R: AsyncRead,
    W: AsyncWrite,
    S: Service<Call, Response = Reply> + Clone + Send + Sync + 'static,
    S::Error: Into<CallError>,
    S::Future: Send,
{
    serve_lines_with(reader, writer, service, options, None, shutdown).await
}

/// As [`serve_lines_until`], with another protocol on the same channel.
///
/// # Errors
/// When reading or writing fails. A client that has gone away is no error.
pub async fn serve_lines_with<R, W, S>(
    reader: R,
    writer: W,
    service: S,
    options: LineOptions,
    alternates: Option<&FallbackChannels>,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()>
where
    R: AsyncRead,
    W: AsyncWrite,
    S: Service<Call, Response = Reply> + Clone + Send + Sync + 'static,
    S::Error: Into<CallError>,
    S::Future: Send,
{
    serve_channel(
        reader,
        writer,
        SharedService::new(service),
        options,
        alternates,
        new_source(None),
        shutdown,
    )
    .await
}

/// As [`serve_lines_with`], for a channel whose calls come from `source`.
pub(crate) async fn serve_channel<R: AsyncRead, W: AsyncWrite>(
    reader: R,
    writer: W,
    service: SharedService,
    options: LineOptions,
    alternates: Option<&FallbackChannels>,
    source: CallSource,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let (mut reader, mut writer, mut shutdown) = (pin!(reader), pin!(writer), pin!(shutdown));
    let mut lines = Lines {
        service,
        source,
        alternate: alternates.map(|alternates| alternates.make(source)),
        options,
        decoder: LineDecoder::new(options.max_line),
        in_flight: InFlightRequests::new(options.max_in_flight),
        running: SelectAll::new(),
        out: BytesMut::new(),
        flushed: true,
        taken: false,
        written: 0,
        lines: 0,
        monitor: Monitor::new(&options),
        closing: None,
    };
    let served = poll_fn(|cx| {
        if lines.closing.is_none() && shutdown.as_mut().poll(cx).is_ready() {
            lines.close();
        }
        lines.poll(cx, reader.as_mut(), writer.as_mut())
    })
    .await;
    match served {
        Err(error) if is_departure(&error) => Ok(()),
        served => served,
    }
}

fn is_departure(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
    matches!(
        error.kind(),
        BrokenPipe | ConnectionReset | ConnectionAborted
    )
}

struct Lines {
    service: SharedService,
    source: CallSource,
    alternate: Option<Box<dyn FallbackChannel>>,
    options: LineOptions,
    decoder: LineDecoder,
    /// What stops a call; `None` while it is polled for the first time.
    in_flight: InFlightRequests<Option<AbortHandle>>,
    running: SelectAll<Abortable<Running>>,
    out: BytesMut,
    flushed: bool,
    /// The client has taken some output since this was last looked at.
    taken: bool,
    /// How many bytes the client has taken.
    written: u64,
    /// How many messages have come.
    lines: u64,
    monitor: Option<Monitor>,
    /// Nothing is read any more; when it fires, no call is waited for any more.
    closing: Option<Pin<Box<Sleep>>>,
}

impl Lines {
    fn poll<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        mut reader: Pin<&mut R>,
        mut writer: Pin<&mut W>,
    ) -> Poll<io::Result<()>>
    where
        R: AsyncRead,
        W: AsyncWrite,
    {
        loop {
            let mut progress = false;
            while self.out.len() < HIGH_WATER {
                let Some(line) = self.decoder.next() else {
                    break;
                };
                progress = true;
                match line {
                    Ok(line) => self.line(line, cx),
                    Err(error) => self.refuse_line(&error.to_string()),
                }
            }
            // There may be further lines.
            let is_full = self.out.len() >= HIGH_WATER;
            let mut burst = 0;
            while self.out.len() < HIGH_WATER && burst < BURST {
                let Poll::Ready(Some((ticket, event))) = Pin::new(&mut self.running).poll_next(cx)
                else {
                    break;
                };
                burst += 1;
                self.event(&ticket, event);
            }
            progress |= burst > 0;
            while self.out.len() < HIGH_WATER {
                let Some(Poll::Ready(message)) =
                    self.alternate.as_mut().map(|other| other.poll_message(cx))
                else {
                    break;
                };
                encode_line(&message, &mut self.out);
                progress = true;
            }
            let written = self.poll_write(cx, writer.as_mut())?;
            let idle = self.is_idle();
            if let Some(monitor) = &mut self.monitor {
                match monitor.poll(cx, self.lines, idle, self.written, !self.out.is_empty()) {
                    Verdict::Keep => {}
                    Verdict::Idle if self.closing.is_none() => {
                        tracing::debug!("an idle channel is closed");
                        self.close();
                        continue;
                    }
                    Verdict::Idle => {}
                    Verdict::Unread => {
                        return Poll::Ready(Err(io::Error::new(
                            io::ErrorKind::TimedOut,
                            "the client does not read",
                        )));
                    }
                }
            }
            if let Some(timer) = &mut self.closing {
                let fired = timer.as_mut().poll(cx).is_ready();
                if written.is_ready() && (fired || idle) {
                    return Poll::Ready(Ok(()));
                }
                if fired {
                    // Calls have had their time. What is answered is written for as long as the
                    // client takes of it.
                    self.running.clear();
                    self.in_flight.drain().for_each(drop);
                    self.alternate = None;
                    if !std::mem::take(&mut self.taken) {
                        return Poll::Ready(Ok(()));
                    }
                    timer.as_mut().reset(Instant::now() + self.options.stalled);
                    continue;
                }
            }
            if written.is_pending() && self.out.len() >= HIGH_WATER {
                return Poll::Pending;
            }
            // The end of the input must not be seen before all lines have been taken.
            if is_full {
                continue;
            }
            if self.closing.is_none() {
                match self.poll_read(cx, reader.as_mut())? {
                    Poll::Ready(0) => {
                        if let Some(line) = self.take_decoder().finish() {
                            self.line(line, cx);
                        }
                        self.close();
                        continue;
                    }
                    Poll::Ready(_) => continue,
                    Poll::Pending => {}
                }
            }
            if !progress {
                return Poll::Pending;
            }
        }
    }

    fn poll_read<R: AsyncRead>(
        &mut self,
        cx: &mut Context<'_>,
        mut reader: Pin<&mut R>,
    ) -> io::Result<Poll<usize>> {
        let buffer = self.decoder.buffer();
        if buffer.capacity() - buffer.len() < READ {
            buffer.reserve(READ);
        }
        // The future holds nothing between polls.
        match pin!(reader.read_buf(buffer)).poll(cx) {
            Poll::Ready(read) => read.map(Poll::Ready),
            Poll::Pending => Ok(Poll::Pending),
        }
    }

    fn poll_write<W: AsyncWrite>(
        &mut self,
        cx: &mut Context<'_>,
        mut writer: Pin<&mut W>,
    ) -> io::Result<Poll<()>> {
        while !self.out.is_empty() {
            match writer.as_mut().poll_write(cx, &self.out) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(count)) => {
                    self.out.advance(count);
                    self.written += count as u64;
                }
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => return Ok(Poll::Pending),
            }
            self.flushed = false;
            self.taken = true;
        }
        if self.out.capacity() > KEEP_BUFFER {
            self.out = BytesMut::new();
        }
        if !self.flushed {
            match writer.as_mut().poll_flush(cx) {
                Poll::Ready(flushed) => flushed?,
                Poll::Pending => return Ok(Poll::Pending),
            }
            self.flushed = true;
        }
        Ok(Poll::Ready(()))
    }

    fn is_idle(&self) -> bool {
        self.in_flight.is_empty() && self.alternate.as_ref().is_none_or(|other| other.is_idle())
    }

    fn take_decoder(&mut self) -> LineDecoder {
        std::mem::replace(&mut self.decoder, LineDecoder::new(self.options.max_line))
    }

    /// Nothing more comes, or is wanted. Subscriptions would go on for ever, so they end now
    /// (`#shutdown`).
    fn close(&mut self) {
        self.decoder = LineDecoder::new(self.options.max_line);
        for ended in self.in_flight.end_all_subscriptions() {
            ended.value.iter().for_each(AbortHandle::abort);
            self.write(&ended.cancelled.encode());
            self.write(&ended.response.encode());
        }
        if let Some(other) = &mut self.alternate {
            other.close();
        }
        self.taken = true;
        self.closing = Some(Box::pin(tokio::time::sleep(self.options.grace)));
    }

    fn line(&mut self, line: Bytes, cx: &mut Context<'_>) {
        let stranger = self.lines == 0
            && self.options.close_on_non_json
            && line.trim_ascii_start().first() != Some(&b'{');
        let again = self.alternate.is_some().then(|| line.clone());
        match known::decode_cached(|cache| decode_frame_cached(line, cache)) {
            Ok(ClientMessage::Call(call)) => self.call(call, cx),
            Ok(ClientMessage::Notification(notification)) => {
                // A cancellation may be meant for either; ids of requests in work are told apart by
                // whoever has them.
                self.offer(again);
                self.notification(&notification);
            }
            Err(rejection) => {
                if !self.offer(again) {
                    self.write(&rejection.encode());
                }
            }
        }
        if stranger {
            self.close();
        }
        self.lines += 1;
    }

    /// Whether the other protocol on this channel takes the line.
    fn offer(&mut self, line: Option<Bytes>) -> bool {
        self.alternate
            .as_mut()
            .zip(line)
            .is_some_and(|(other, line)| other.take(&line))
    }

    fn refuse_line(&mut self, why: &str) {
        let error = ErrorObject::new(code::INVALID_REQUEST, format!("Invalid request: {why}"));
        self.write(&encode_error(None, &error));
    }

    fn call(&mut self, mut call: Call, cx: &mut Context<'_>) {
        call.set_source(self.source);
        let listen = *call.method() == Method::SubscriptionsListen;
        let ticket = match self.in_flight.admit(call.id().clone(), listen, None) {
            Ok(ticket) => ticket,
            Err(refused) => return self.write(&encode_error(Some(call.id()), &refused.to_error())),
        };
        let mut running = Running::calling(ticket.clone(), self.service.answer(call));
        // Most calls are answered at once, and need nothing to be set up for them.
        while self.out.len() < HIGH_WATER {
            match running.poll_event(cx) {
                Poll::Ready(Some(event)) => self.event(&ticket, event),
                Poll::Ready(None) => return,
                Poll::Pending => break,
            }
        }
        let (handle, registration) = AbortHandle::new_pair();
        if let Some(stop) = self.in_flight.get_mut(&ticket) {
            *stop = Some(handle);
            self.running.push(Abortable::new(running, registration));
        }
    }

    fn event(&mut self, ticket: &Ticket, event: Event) {
        match event {
            Event::Message(Message::Notification(notification)) => {
                if self.in_flight.may_send(ticket) {
                    self.write(&notification.encode());
                }
            }
            Event::Message(Message::Response(response)) => {
                // A listen that the server ends is cancelled too on this binding
                // (`basic/patterns/cancellation`).
                if matches!(response.outcome, Outcome::Result(_))
                    && let Some(ended) = self.in_flight.end_subscription(ticket)
                {
                    self.write(&ended.cancelled.encode());
                    self.write(&response.encode());
                } else if self.in_flight.complete(ticket).is_some() {
                    self.write(&response.encode());
                }
            }
            Event::Failed(error) => {
                tracing::error!(id = %ticket.id(), %error, "no answer from the service");
                if let Some(ended) = self.in_flight.end_subscription(ticket) {
                    self.write(&ended.cancelled.encode());
                } else if self.in_flight.complete(ticket).is_some() {
                    self.write(
                        &Response::error(ticket.id().clone(), ErrorObject::internal()).encode(),
                    );
                }
            }
        }
    }

    fn notification(&mut self, notification: &Notification) {
        match NotificationTarget::of(notification) {
            NotificationTarget::Cancelled { id, reason } => {
                let Some(stop) = self.in_flight.cancel(&id) else {
                    return;
                };
                tracing::debug!(%id, reason = %carryall_proto::Printable(reason.as_deref().unwrap_or("none given")), "cancelled by the client");
                stop.iter().for_each(AbortHandle::abort);
            }
            _ => {
                tracing::debug!(method = %carryall_proto::Printable(&notification.method), "notification ignored")
            }
        }
    }

    fn write(&mut self, message: &Encoded) {
        encode_line(&message.clone().into_bytes(), &mut self.out);
    }
}
