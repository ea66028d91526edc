//! What the calls of a channel and its reading task share.

use super::ChannelOptions;
use super::mailbox::ReplyMailbox;
use crate::lines::io::OutputBuffer;
use bytes::Bytes;
use carryall_proto::decode::{ServerMessage, decode_server_message};
use carryall_proto::frame::{LineTooLong, response_ids};
use carryall_proto::mux::{
    Delivery, NewRequest, NotificationTarget, PendingRequests, StartError, TokenChoice,
};
use carryall_proto::{Call, CallError, CallerId, Notification, Printable, listen};
use carryall_types::{Method, ProgressToken, RawJson, RequestId};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use tokio::io::AsyncWrite;
use tokio::sync::Notify;

pub(super) struct ChannelState {
    pending: PendingRequests<Arc<ReplyMailbox>>,
    /// `None` once the output is closed.
    writer: Option<Pin<Box<dyn AsyncWrite + Send>>>,
    output: OutputBuffer,
    /// Wakes the reading task, which also writes what a call could not write at once.
    reader: Option<Waker>,
    failure: Option<CallError>,
    /// Number of progress tokens made.
    tokens: u64,
    changed: Arc<Notify>,
}

impl ChannelState {
    pub(super) fn new(
        writer: Pin<Box<dyn AsyncWrite + Send>>,
        options: &ChannelOptions,
        changed: Arc<Notify>,
    ) -> Self {
        let max_per_caller = options
            .max_in_flight_per_caller
            .unwrap_or(options.max_in_flight / 2)
            .max(1);
        Self {
            pending: PendingRequests::new(options.max_in_flight, max_per_caller),
            writer: Some(writer),
            output: OutputBuffer::new(),
            reader: None,
            failure: None,
            tokens: 0,
            changed,
        }
    }

    pub(super) fn failure(&self) -> Option<&CallError> {
        self.failure.as_ref()
    }

    pub(super) fn is_full(&self) -> bool {
        self.output.is_full()
    }

    /// Registers a call under an id of this channel and writes it.
    pub(super) fn start(
        &mut self,
        mut call: Call,
        mailbox: &Arc<ReplyMailbox>,
    ) -> Result<RequestId, CallError> {
        if let Some(failure) = &self.failure {
            return Err(CallError::unreachable(format!(
                "the channel is closed: {failure}"
            )));
        }
        let mut request = NewRequest {
            listen: *call.method() == Method::SubscriptionsListen,
            logs: call.meta().log_level().is_some(),
            token: call
                .meta()
                .progress_token()
                .cloned()
                .map_or(TokenChoice::None, TokenChoice::Given),
            caller: CallerId::of(&call),
        };
        let mut started = self.pending.start(request.clone(), Arc::clone(mailbox));
        // Independent callers may choose the same progress token, which has to be unique on the
        // channel (`basic/patterns/progress#progress-flow`).
        if let Err(StartError::TokenInUse) = started {
            self.tokens += 1;
            let token = ProgressToken::from(format!("carryall-{}", self.tokens));
            mailbox.set_original_token(call.meta().progress_token().cloned());
            call.set_meta(call.meta().with_progress_token(token.clone()));
            request.token = TokenChoice::Given(token);
            started = self.pending.start(request, Arc::clone(mailbox));
        }
        let id = started.map_err(|error| CallError::Busy(format!("{error} on this channel")))?;
        call.replace_id(id.clone());
        self.send(&call.encode().into_bytes());
        Ok(id)
    }

    /// Tells the server that the caller no longer waits, unless the call has ended.
    pub(super) fn cancel(&mut self, id: &RequestId) {
        if self.pending.cancel(id).is_none() || self.failure.is_some() {
            return;
        }
        let params = serde_json::json!({"requestId": id, "reason": "The caller no longer waits"});
        let notification = Notification::new("notifications/cancelled", RawJson::from(&params));
        self.send(&notification.encode().into_bytes());
    }

    /// Fails the channel and all calls in flight.
    pub(super) fn fail(&mut self, error: CallError) {
        if self.failure.is_none() {
            self.failure = Some(error.clone());
        }
        self.writer = None;
        self.output.clear();
        for (_, _, mailbox) in self.pending.drain() {
            mailbox.finish(Err(error.clone()));
        }
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
        self.changed.notify_waiters();
    }

    /// Writes a line as far as that is possible now. The reading task writes the rest.
    fn send(&mut self, line: &[u8]) {
        self.output.push(line);
        if let Some(waker) = self.reader.clone() {
            let _ = self.poll_flush(&mut Context::from_waker(&waker));
        }
    }

    /// Called by the reading task: writes, and makes calls wake the task from now on. Ready when
    /// the channel has failed.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<CallError> {
        if let Some(failure) = &self.failure {
            return Poll::Ready(failure.clone());
        }
        // Set before writing, because a call that writes later relies on it.
        let waker = cx.waker();
        if !self.reader.as_ref().is_some_and(|own| own.will_wake(waker)) {
            self.reader = Some(waker.clone());
        }
        let _ = self.poll_flush(cx);
        Poll::Pending
    }

    /// Closes the output once it is written.
    pub(super) fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        ready!(self.poll_flush(cx));
        if let Some(writer) = &mut self.writer {
            // The output is closed whatever the result.
            let _ = ready!(writer.as_mut().poll_shutdown(cx));
        }
        self.writer = None;
        Poll::Ready(())
    }

    /// Ready when everything is written, or the channel has failed.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(writer) = &mut self.writer else {
            return Poll::Ready(());
        };
        let was_full = self.output.is_full();
        let flushed = self.output.poll_flush(cx, writer.as_mut());
        if was_full && !self.output.is_full() {
            self.changed.notify_waiters();
        }
        flushed.map(|result| {
            if let Err(error) = result {
                self.fail(CallError::broken(error));
            }
        })
    }

    pub(super) fn on_line(&mut self, line: &Bytes) {
        match decode_server_message(line) {
            Ok(ServerMessage::Response(response)) => {
                match self.pending.response(&numeric_id(&response.id)) {
                    Some(mailbox) => mailbox.finish(Ok(response)),
                    None => tracing::debug!(id = %response.id, "response to no call in flight"),
                }
            }
            Ok(ServerMessage::Notification(notification)) => self.on_notification(notification),
            Ok(ServerMessage::ErrorWithoutId(error)) => {
                tracing::warn!(%error, "the server could not read a message");
            }
            Err(reason) => {
                tracing::warn!(reason = %Printable(&reason), "received a line that is not an MCP message");
                for id in response_ids(line) {
                    self.fail_call(&id, CallError::Malformed(reason.clone()));
                }
            }
        }
    }

    /// Handles a line that was too long to be kept.
    pub(super) fn on_long_line(&mut self, line: LineTooLong) {
        tracing::warn!(error = %line, "message skipped");
        if line.is_response
            && let Some(id) = &line.id
        {
            self.fail_call(id, CallError::TooLarge(line.max_line));
        }
    }

    /// Fails a call whose response cannot be used.
    fn fail_call(&mut self, id: &RequestId, error: CallError) {
        if let Some(mailbox) = self.pending.response(&numeric_id(id)) {
            mailbox.finish(Err(error));
        }
    }

    fn on_notification(&mut self, notification: Notification) {
        let target = NotificationTarget::of(&notification);
        match self.pending.route(&target) {
            Delivery::To(mailbox) => {
                let mailbox = Arc::clone(mailbox);
                let delivered = mailbox.deliver(notification);
                // A subscriber that does not keep up has missed changes, and must know.
                if !delivered && let NotificationTarget::Subscription(id) = &target {
                    self.cancel(id);
                    mailbox.finish(Err(CallError::broken(
                        "the subscriber did not keep up with its notifications",
                    )));
                }
            }
            Delivery::ToAll(mailboxes) => {
                for mailbox in mailboxes {
                    mailbox.deliver(notification.clone());
                }
            }
            Delivery::Ended(id, mailbox) => mailbox.finish(Ok(listen::closing_response(&id))),
            Delivery::Ignored => {
                let method = Printable(&notification.method);
                tracing::debug!(%method, "notification for no call in flight");
            }
        }
    }
}

/// Returns the id as it was sent: ids of this channel are numbers, and some servers return them as
/// strings.
fn numeric_id(id: &RequestId) -> RequestId {
    match id {
        RequestId::String(text) => text.parse().map_or_else(|_| id.clone(), RequestId::Number),
        RequestId::Number(_) => id.clone(),
    }
}
