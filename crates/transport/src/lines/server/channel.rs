//! Serves one channel. A single future reads lines, polls the calls in flight and writes their
//! messages, without a task or a queue per request.

use super::call::{InFlightCall, InFlightEvent};
use super::monitor::{ChannelMonitor, MonitorVerdict};
use super::options::LineOptions;
use crate::internal_error::internal_error;
use crate::lines::fallback::FallbackChannel;
use crate::lines::io::{OutputBuffer, poll_read};
use bytes::Bytes;
use carryall_proto::decode::{ClientMessage, decode_frame_cached};
use carryall_proto::frame::LineDecoder;
use carryall_proto::mux::{InFlightRequests, NotificationTarget, Ticket};
use carryall_proto::{
    Call, CallSource, Encoded, Message, MetaCache, Notification, Outcome, Printable, SharedService,
    encode_error,
};
use carryall_types::{ErrorObject, Method, code};
use futures_core::Stream as _;
use futures_util::future::AbortHandle;
use futures_util::stream::{Abortable, SelectAll};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep};

/// Maximum number of messages of calls in flight that are written before input is read again.
const MAX_EVENTS_PER_POLL: usize = 64;

pub(super) struct ServerChannel {
    service: SharedService,
    source: CallSource,
    fallback: Option<Box<dyn FallbackChannel>>,
    options: LineOptions,
    decoder: LineDecoder,
    meta_cache: MetaCache,
    /// The requests in flight, with the handle to abort each. The handle is `None` until the first
    /// poll of the call has returned pending.
    in_flight: InFlightRequests<Option<AbortHandle>>,
    /// The calls that were pending after their first poll.
    calls: SelectAll<Abortable<InFlightCall>>,
    output: OutputBuffer,
    /// Number of lines received, except lines over the limit.
    received: u64,
    monitor: Option<ChannelMonitor>,
    /// Set when the channel stops reading.
    closing: Option<Closing>,
}

/// The state of a channel that reads no more input, and ends once its output is written.
struct Closing {
    /// Runs for [`LineOptions::grace`] while calls may finish, then for [`LineOptions::stalled`] at
    /// a time while the client reads the rest of the output.
    timer: Pin<Box<Sleep>>,
    /// Number of bytes written when the timer last fired; `None` during the grace time.
    written: Option<u64>,
}

impl ServerChannel {
    pub(super) fn new(
        service: SharedService,
        options: LineOptions,
        fallback: Option<Box<dyn FallbackChannel>>,
        source: CallSource,
    ) -> Self {
        Self {
            service,
            source,
            fallback,
            options,
            decoder: LineDecoder::new(options.max_line),
            meta_cache: MetaCache::default(),
            in_flight: InFlightRequests::new(options.max_in_flight),
            calls: SelectAll::new(),
            output: OutputBuffer::new(),
            received: 0,
            monitor: ChannelMonitor::new(&options),
            closing: None,
        }
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.is_some()
    }

    /// Stops reading, and ends the subscriptions, which would otherwise last as long as the channel
    /// (`basic/transports/stdio#shutdown`).
    pub(super) fn close(&mut self) {
        self.decoder = LineDecoder::new(self.options.max_line);
        for ended in self.in_flight.end_all_subscriptions() {
            ended.value.iter().for_each(AbortHandle::abort);
            self.write(ended.cancelled.encode());
            self.write(ended.response.encode());
        }
        if let Some(fallback) = &mut self.fallback {
            fallback.close();
        }
        self.closing = Some(Closing {
            timer: Box::pin(tokio::time::sleep(self.options.grace)),
            written: None,
        });
    }

    /// Serves the channel. Ready when the channel has ended.
    pub(super) fn poll<R, W>(
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
            let mut progress = self.take_lines(cx);
            // `take_lines` stops at a full output, so the decoder may still hold whole lines.
            let may_have_lines = self.output.is_full();
            progress |= self.poll_calls(cx);
            progress |= self.poll_fallback(cx);
            let flushed = self.output.poll_flush(cx, writer.as_mut())?;
            let idle = self.is_idle();
            match self.poll_monitor(cx, idle) {
                MonitorVerdict::Idle if !self.is_closing() => {
                    tracing::debug!("idle channel closed");
                    self.close();
                    continue;
                }
                MonitorVerdict::Keep | MonitorVerdict::Idle => {}
                MonitorVerdict::Unread => {
                    return Poll::Ready(Err(io::Error::new(
                        io::ErrorKind::TimedOut,
                        "the client does not read its output",
                    )));
                }
            }
            if let Some(closing) = &mut self.closing {
                let fired = closing.timer.as_mut().poll(cx).is_ready();
                if flushed.is_ready() && (fired || idle) {
                    return Poll::Ready(Ok(()));
                }
                if fired {
                    // The grace time is over: cancel the calls, but keep writing their output for
                    // as long as the client reads it.
                    self.calls.clear();
                    self.in_flight.drain().for_each(drop);
                    self.fallback = None;
                    let written = Some(self.output.written());
                    if std::mem::replace(&mut closing.written, written) == written {
                        return Poll::Ready(Ok(()));
                    }
                    let deadline = Instant::now() + self.options.stalled;
                    closing.timer.as_mut().reset(deadline);
                    continue;
                }
            }
            if flushed.is_pending() && self.output.is_full() {
                return Poll::Pending;
            }
            // At the end of the input, whole lines that are still in the decoder would be lost.
            if may_have_lines {
                continue;
            }
            if !self.is_closing() {
                match poll_read(&mut self.decoder, cx, reader.as_mut())? {
                    Poll::Ready(0) => {
                        if let Some(line) = self.take_decoder().finish() {
                            self.on_line(line, cx);
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

    /// Handles the lines that the decoder holds. Returns whether there were any.
    fn take_lines(&mut self, cx: &mut Context<'_>) -> bool {
        let mut progress = false;
        while !self.output.is_full()
            && let Some(line) = self.decoder.next()
        {
            progress = true;
            match line {
                Ok(line) => self.on_line(line, cx),
                Err(error) => self.reject_line(&error.to_string()),
            }
        }
        progress
    }

    /// Writes messages of the calls in flight. Returns whether there were any.
    fn poll_calls(&mut self, cx: &mut Context<'_>) -> bool {
        let mut count = 0;
        while !self.output.is_full()
            && count < MAX_EVENTS_PER_POLL
            && let Poll::Ready(Some((ticket, event))) = Pin::new(&mut self.calls).poll_next(cx)
        {
            count += 1;
            self.on_event(&ticket, event);
        }
        count > 0
    }

    /// Writes messages of the fallback protocol. Returns whether there were any.
    fn poll_fallback(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(fallback) = &mut self.fallback else {
            return false;
        };
        let mut progress = false;
        while !self.output.is_full()
            && let Poll::Ready(message) = fallback.poll_message(cx)
        {
            self.output.push(&message);
            progress = true;
        }
        progress
    }

    fn poll_monitor(&mut self, cx: &mut Context<'_>, idle: bool) -> MonitorVerdict {
        let (written, has_output) = (self.output.written(), !self.output.is_empty());
        match &mut self.monitor {
            Some(monitor) => monitor.poll(cx, self.received, idle, written, has_output),
            None => MonitorVerdict::Keep,
        }
    }

    fn is_idle(&self) -> bool {
        let fallback = self.fallback.as_ref();
        self.in_flight.is_empty() && fallback.is_none_or(|fallback| fallback.is_idle())
    }

    fn take_decoder(&mut self) -> LineDecoder {
        std::mem::replace(&mut self.decoder, LineDecoder::new(self.options.max_line))
    }

    fn on_line(&mut self, line: Bytes, cx: &mut Context<'_>) {
        let is_refused = self.received == 0
            && self.options.close_on_non_json
            && line.trim_ascii_start().first() != Some(&b'{');
        let fallback_line = self.fallback.is_some().then(|| line.clone());
        match decode_frame_cached(line, &mut self.meta_cache) {
            Ok(ClientMessage::Call(call)) => self.on_call(call, cx),
            Ok(ClientMessage::Notification(notification)) => {
                // A cancellation may name a request of either protocol, so both receive it.
                self.offer(fallback_line);
                self.on_notification(&notification);
            }
            Err(rejection) => {
                if !self.offer(fallback_line) {
                    self.write(rejection.encode());
                }
            }
        }
        if is_refused {
            self.close();
        }
        self.received += 1;
    }

    /// Offers a line to the fallback protocol. Returns whether the fallback handled it.
    fn offer(&mut self, line: Option<Bytes>) -> bool {
        self.fallback
            .as_mut()
            .zip(line)
            .is_some_and(|(fallback, line)| fallback.take(&line))
    }

    fn reject_line(&mut self, reason: &str) {
        let message = format!("Invalid request: {reason}");
        let error = ErrorObject::new(code::INVALID_REQUEST, message);
        self.write(encode_error(None, &error));
    }

    fn on_call(&mut self, mut call: Call, cx: &mut Context<'_>) {
        call.set_source(self.source);
        let is_listen = *call.method() == Method::SubscriptionsListen;
        let ticket = match self.in_flight.admit(call.id().clone(), is_listen, None) {
            Ok(ticket) => ticket,
            Err(error) => return self.write(encode_error(Some(call.id()), &error.to_error())),
        };
        let mut call = InFlightCall::new(ticket.clone(), self.service.answer(call));
        // Most calls complete here, without the cost of an abort handle and an entry in `calls`.
        while !self.output.is_full() {
            match call.poll_event(cx) {
                Poll::Ready(Some(event)) => self.on_event(&ticket, event),
                Poll::Ready(None) => return,
                Poll::Pending => break,
            }
        }
        let (handle, registration) = AbortHandle::new_pair();
        if let Some(abort) = self.in_flight.get_mut(&ticket) {
            *abort = Some(handle);
            self.calls.push(Abortable::new(call, registration));
        }
    }

    fn on_event(&mut self, ticket: &Ticket, event: InFlightEvent) {
        match event {
            InFlightEvent::Message(Message::Notification(notification)) => {
                if self.in_flight.may_send(ticket) {
                    self.write(notification.encode());
                }
            }
            InFlightEvent::Message(Message::Response(response)) => {
                // When the server ends a subscription, this transport also requires a
                // `notifications/cancelled` (`basic/patterns/cancellation`).
                if matches!(response.outcome, Outcome::Result(_))
                    && let Some(ended) = self.in_flight.end_subscription(ticket)
                {
                    self.write(ended.cancelled.encode());
                    self.write(response.encode());
                } else if self.in_flight.complete(ticket).is_some() {
                    self.write(response.encode());
                }
            }
            InFlightEvent::Failed(error) => {
                let response = internal_error(ticket.id().clone(), &error);
                if let Some(ended) = self.in_flight.end_subscription(ticket) {
                    self.write(ended.cancelled.encode());
                } else if self.in_flight.complete(ticket).is_some() {
                    self.write(response.encode());
                }
            }
        }
    }

    fn on_notification(&mut self, notification: &Notification) {
        match NotificationTarget::of(notification) {
            NotificationTarget::Cancelled { id, reason } => {
                let Some(abort) = self.in_flight.cancel(&id) else {
                    return;
                };
                let reason = reason.as_deref().unwrap_or("none given");
                tracing::debug!(%id, reason = %Printable(reason), "request cancelled by the client");
                abort.iter().for_each(AbortHandle::abort);
            }
            _ => {
                let method = Printable(&notification.method);
                tracing::debug!(%method, "notification ignored");
            }
        }
    }

    fn write(&mut self, message: Encoded) {
        self.output.push(&message.into_bytes());
    }
}
