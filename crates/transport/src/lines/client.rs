//! The calling end: many calls on one channel.
//!
//! A call writes its own line, and one task per channel reads answers and hands them to the calls
//! that wait. Nothing here connects or reconnects; a channel that is lost stays lost.

mod slot;

use bytes::{Buf as _, Bytes, BytesMut};
use carryall_proto::decode::{ServerMessage, decode_server_message};
use carryall_proto::frame::{LineDecoder, LineTooLong, encode_line, response_ids};
use carryall_proto::mux::{Delivery, NewRequest, NotificationTarget, PendingRequests, TokenChoice};
use carryall_proto::sync::Mutex;
use carryall_proto::{Call, CallError, CallerId, Notification, Printable, Reply, listen};
use carryall_types::{Method, ProgressToken, RawJson, RequestId};
use slot::{Offer, Slot, Waiting};
use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, MutexGuard};
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::sync::Notify;

/// Beyond this much unwritten output calls wait before they add to it.
const HIGH_WATER: usize = 1024 * 1024;
const READ: usize = 16 * 1024;

/// Bounds of one channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChannelOptions {
    /// The longest message accepted, in bytes. 16 MiB unless set.
    pub max_message: usize,
    /// How many calls may wait for answers; more are refused with [`CallError::Busy`]. 4,096 unless
    /// set.
    pub max_waiting: usize,
    /// How many of these may be of one caller
    /// ([`Caller::accountable`](carryall_proto::Caller::accountable)). Unless set half of
    /// `max_waiting`, and for calls made in process all of it.
    pub max_in_flight_per_caller: Option<usize>,
}

impl Default for ChannelOptions {
    fn default() -> Self {
        Self {
            max_message: 16 * 1024 * 1024,
            max_waiting: 4096,
            max_in_flight_per_caller: None,
        }
    }
}

impl ChannelOptions {
    fn max_in_flight_per_caller(&self) -> usize {
        self.max_in_flight_per_caller
            .unwrap_or(self.max_waiting / 2)
            .max(1)
    }
}

/// One connection to a server. Cheap to clone.
#[derive(Clone)]
pub struct Channel {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    /// Room for output again, or no channel any more.
    room: Arc<Notify>,
}

struct State {
    pending: PendingRequests<Arc<Slot>>,
    /// `None` once the channel is closed.
    writer: Option<Pin<Box<dyn AsyncWrite + Send>>>,
    out: BytesMut,
    /// Of the reading task, which also writes on what a call could not write at once.
    reader: Option<Waker>,
    lost: Option<CallError>,
    tokens: u64,
    room: Arc<Notify>,
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel")
            .field("lost", &self.shared.lock().lost)
            .finish_non_exhaustive()
    }
}

impl Channel {
    /// Calls a server that reads lines from `writer` and writes lines to `reader`. Spawns the task
    /// that reads.
    pub fn open<R, W>(reader: R, writer: W, options: ChannelOptions) -> Self
    where
        R: AsyncRead + Send + 'static,
        W: AsyncWrite + Send + 'static,
    {
        let room = Arc::new(Notify::new());
        let state = State {
            pending: PendingRequests::new(options.max_waiting, options.max_in_flight_per_caller()),
            writer: Some(Box::pin(writer)),
            out: BytesMut::new(),
            reader: None,
            lost: None,
            tokens: 0,
            room: Arc::clone(&room),
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            room,
        });
        tokio::spawn(read(Arc::clone(&shared), reader, options.max_message));
        Self { shared }
    }

    /// Sends a call and waits for the first thing that comes back. Dropping the future, or the
    /// reply's stream, sends `notifications/cancelled`.
    ///
    /// # Errors
    /// [`CallError::Unreachable`] when the channel was lost before, [`CallError::Broken`] when it
    /// is lost meanwhile, [`CallError::Busy`] when as many calls wait as may.
    pub async fn call(&self, call: Call) -> Result<Reply, CallError> {
        self.room().await;
        let slot = Arc::new(Slot::new(&call));
        let id = self.shared.lock().start(call, Arc::clone(&slot))?;
        Waiting::new(Arc::clone(&self.shared), id, slot)
            .first()
            .await
    }

    /// Why the channel is lost, if it is.
    #[must_use]
    pub fn lost(&self) -> Option<CallError> {
        self.shared.lock().lost.clone()
    }

    /// Closes the way to the server, once everything written so far is out. A server on stdio exits
    /// then.
    pub async fn close(&self) {
        poll_fn(|cx| {
            let mut state = self.shared.lock();
            std::task::ready!(state.pump(cx));
            if let Some(writer) = &mut state.writer {
                // It is closed either way.
                let _ = std::task::ready!(writer.as_mut().poll_shutdown(cx));
            }
            state.writer = None;
            Poll::Ready(())
        })
        .await;
    }

    /// Gives up the channel because of `error`, which every waiting call gets.
    pub fn fail(&self, error: CallError) {
        self.shared.lock().lose(error);
    }

    /// Waits until the channel is lost.
    pub async fn until_lost(&self) -> CallError {
        self.shared.until(|state| state.lost.clone()).await
    }

    async fn room(&self) {
        self.shared
            .until(|state| (state.out.len() < HIGH_WATER).then_some(()))
            .await;
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    async fn until<T>(&self, so: impl Fn(&State) -> Option<T>) -> T {
        loop {
            if let Some(value) = so(&self.lock()) {
                return value;
            }
            let mut changed = pin!(self.room.notified());
            // From here on no change is missed, so it is time to look again before waiting.
            changed.as_mut().enable();
            if let Some(value) = so(&self.lock()) {
                return value;
            }
            changed.await;
        }
    }
}

impl State {
    /// Registers a call under an id of this channel and writes it.
    fn start(&mut self, mut call: Call, slot: Arc<Slot>) -> Result<RequestId, CallError> {
        if let Some(lost) = &self.lost {
            return Err(CallError::unreachable(format!(
                "the channel is closed: {lost}"
            )));
        }
        let mut start = NewRequest {
            listen: *call.method() == Method::SubscriptionsListen,
            logs: call.meta().log_level().is_some(),
            token: call
                .meta()
                .progress_token()
                .cloned()
                .map_or(TokenChoice::None, TokenChoice::Given),
            caller: CallerId::of(&call),
        };
        let taken = |pending: &mut PendingRequests<_>, start: &NewRequest| {
            pending.start(start.clone(), Arc::clone(&slot))
        };
        let id = match taken(&mut self.pending, &start) {
            // Callers that know nothing of each other may choose the same token; it has to be
            // unique here (`basic/patterns/progress#progress-flow`).
            Err(carryall_proto::mux::StartError::TokenInUse) => {
                self.tokens += 1;
                let token = ProgressToken::from(format!("carryall-{}", self.tokens));
                slot.translate_token(call.meta().progress_token().cloned());
                call.set_meta(call.meta().with_progress_token(token.clone()));
                start.token = TokenChoice::Given(token);
                taken(&mut self.pending, &start)
            }
            started => started,
        }
        .map_err(|error| CallError::Busy(format!("{error} on this channel")))?;
        call.replace_id(id.clone());
        self.send(&call.encode().into_bytes());
        Ok(id)
    }

    /// Tells the server that nobody waits any more, if somebody did.
    fn cancel(&mut self, id: &RequestId) {
        if self.pending.cancel(id).is_none() || self.lost.is_some() {
            return;
        }
        let params = serde_json::json!({"requestId": id, "reason": "The caller no longer waits"});
        self.send(
            &Notification::new("notifications/cancelled", RawJson::from(&params))
                .encode()
                .into_bytes(),
        );
    }

    /// Writes as much as goes out now. The reading task does the rest.
    fn send(&mut self, text: &[u8]) {
        encode_line(text, &mut self.out);
        let Some(waker) = self.reader.clone() else {
            return;
        };
        let _ = self.pump(&mut Context::from_waker(&waker));
    }

    /// Ready when there is nothing left to write.
    fn pump(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let was_full = self.out.len() >= HIGH_WATER;
        let pumped = self.pump_all(cx);
        if was_full && self.out.len() < HIGH_WATER {
            self.room.notify_waiters();
        }
        pumped
    }

    fn pump_all(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(writer) = &mut self.writer else {
            return Poll::Ready(());
        };
        while !self.out.is_empty() {
            match writer.as_mut().poll_write(cx, &self.out) {
                Poll::Ready(Ok(count)) if count > 0 => self.out.advance(count),
                Poll::Ready(Ok(_)) => {
                    self.lose(CallError::broken("the server takes nothing any more"));
                    return Poll::Ready(());
                }
                Poll::Ready(Err(error)) => {
                    self.lose(CallError::broken(error));
                    return Poll::Ready(());
                }
                Poll::Pending => return Poll::Pending,
            }
        }
        match writer.as_mut().poll_flush(cx) {
            Poll::Ready(Err(error)) => {
                self.lose(CallError::broken(error));
                Poll::Ready(())
            }
            Poll::Ready(Ok(())) => Poll::Ready(()),
            Poll::Pending => Poll::Pending,
        }
    }

    fn lose(&mut self, error: CallError) {
        if self.lost.is_none() {
            self.lost = Some(error.clone());
        }
        self.writer = None;
        self.out = BytesMut::new();
        for (_, _, slot) in self.pending.drain() {
            slot.finish(Err(error.clone()));
        }
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
        self.room.notify_waiters();
    }

    fn line(&mut self, line: &Bytes) {
        match decode_server_message(line) {
            Ok(ServerMessage::Response(response)) => {
                let Some(slot) = self.pending.response(&own_id(&response.id)) else {
                    return tracing::debug!(id = %response.id, "a response that nobody waits for");
                };
                slot.finish(Ok(response));
            }
            Ok(ServerMessage::Notification(notification)) => self.notification(notification),
            Ok(ServerMessage::ErrorWithoutId(error)) => {
                tracing::warn!(%error, "the server could not read a message")
            }
            Err(why) => {
                tracing::warn!(why = %Printable(&why), "a line that is no MCP message");
                response_ids(line)
                    .into_iter()
                    .for_each(|id| self.fail_call(id, CallError::Malformed(why.clone())));
            }
        }
    }

    /// A line was too long to be kept.
    fn too_long(&mut self, line: LineTooLong) {
        tracing::warn!(error = %line, "a message was skipped");
        if let Some(id) = line.id.filter(|_| line.is_response) {
            self.fail_call(id, CallError::TooLarge(line.max_line));
        }
    }

    /// The answer to a call is there and cannot be used; no other will come.
    fn fail_call(&mut self, id: RequestId, error: CallError) {
        if let Some(slot) = self.pending.response(&own_id(&id)) {
            slot.finish(Err(error));
        }
    }

    fn notification(&mut self, notification: Notification) {
        let target = NotificationTarget::of(&notification);
        let mut overrun = None;
        match self.pending.route(&target) {
            Delivery::To(slot) => overrun = slot.offer(notification).then(|| Arc::clone(slot)),
            Delivery::ToAll(slots) => slots
                .into_iter()
                .for_each(|slot| _ = slot.offer(notification.clone())),
            Delivery::Ended(id, slot) => slot.finish(Ok(listen::closing_response(&id))),
            Delivery::Ignored => {
                tracing::debug!(method = %carryall_proto::Printable(&notification.method), "a notification for nobody")
            }
        }
        // A subscriber that does not keep up has missed changes, and must know.
        if let (Some(slot), NotificationTarget::Subscription(id)) = (overrun, &target) {
            self.cancel(id);
            slot.finish(Err(CallError::broken(
                "the subscriber did not keep up with its notifications",
            )));
        }
    }
}

/// The id as it was sent: ours are numbers, and some servers send them back as strings.
fn own_id(id: &RequestId) -> RequestId {
    match id {
        RequestId::String(text) => text.parse().map_or_else(|_| id.clone(), RequestId::Number),
        RequestId::Number(_) => id.clone(),
    }
}

/// Reads until the channel is lost.
async fn read<R: AsyncRead>(shared: Arc<Shared>, reader: R, max_message: usize) {
    // Whatever ends this task, nobody waits for answers that nobody reads.
    let _lost = LoseOnDrop(Arc::clone(&shared));
    let mut reader = pin!(reader);
    let mut decoder = LineDecoder::new(max_message);
    let lost = poll_fn(|cx| {
        {
            let mut state = shared.lock();
            if let Some(lost) = &state.lost {
                return Poll::Ready(lost.clone());
            }
            // Set before writing is tried: a call that comes later relies on it to be woken for.
            if !state
                .reader
                .as_ref()
                .is_some_and(|waker| waker.will_wake(cx.waker()))
            {
                state.reader = Some(cx.waker().clone());
            }
            let _ = state.pump(cx);
        }
        loop {
            let buffer = decoder.buffer();
            if buffer.capacity() - buffer.len() < READ {
                buffer.reserve(READ);
            }
            // The future holds nothing between polls.
            match std::task::ready!(pin!(reader.read_buf(buffer)).poll(cx)) {
                Ok(0) => return Poll::Ready(CallError::broken("the server closed the channel")),
                Ok(_) => {}
                Err(error) => return Poll::Ready(CallError::broken(error)),
            }
            let mut state = shared.lock();
            for line in decoder.by_ref() {
                match line {
                    Ok(line) => state.line(&line),
                    Err(too_long) => state.too_long(too_long),
                }
            }
        }
    })
    .await;
    shared.lock().lose(lost);
}

struct LoseOnDrop(Arc<Shared>);

impl Drop for LoseOnDrop {
    fn drop(&mut self) {
        self.0
            .lock()
            .lose(CallError::broken("the channel is no longer read"));
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if !self.slot.is_finished() {
            self.shared.lock().cancel(&self.id);
        }
    }
}

impl Waiting {
    async fn first(self) -> Result<Reply, CallError> {
        match poll_fn(|cx| self.slot.poll(cx)).await {
            Offer::Finished(outcome) => outcome.map(Reply::Once),
            Offer::Notification(first) => Ok(Reply::Stream(Box::pin(self.into_stream(first)))),
        }
    }
}
