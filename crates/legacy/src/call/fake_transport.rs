//! A [`SessionTransport`] for tests.

use super::transport::{
    IncomingStream, MessageSink, OneWayMessage, SessionError, SessionTransport,
};
use crate::message::{Incoming, LegacyRequest};
use carryall_proto::sync::Mutex;
use carryall_proto::{BoxFuture, CallError, Response};
use carryall_types::RawJson;
use futures_util::{FutureExt as _, StreamExt as _, future, stream};
use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

type Respond =
    Box<dyn Fn(LegacyRequest) -> BoxFuture<Result<IncomingStream, SessionError>> + Send + Sync>;

/// Answers requests with a function, and records what else it is sent.
pub(crate) struct FakeTransport {
    respond: Respond,
    is_multiplexed: bool,
    /// Accepts nothing after the handshake.
    is_stalled: bool,
    requests: AtomicUsize,
    sent: Mutex<Vec<String>>,
    sink: OnceLock<MessageSink>,
}

impl FakeTransport {
    pub(crate) fn new(
        respond: impl Fn(LegacyRequest) -> BoxFuture<Result<IncomingStream, SessionError>>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        Self {
            respond: Box::new(respond),
            is_multiplexed: true,
            is_stalled: false,
            requests: AtomicUsize::new(0),
            sent: Mutex::default(),
            sink: OnceLock::new(),
        }
    }

    /// Has a stream for each request.
    pub(crate) fn per_request(mut self) -> Self {
        self.is_multiplexed = false;
        self
    }

    /// Accepts nothing after the handshake.
    pub(crate) fn stalled(mut self) -> Self {
        self.is_stalled = true;
        self
    }

    /// How many requests it was sent.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }

    /// What it was sent except for requests, and forgets it.
    pub(crate) fn take_sent(&self) -> Vec<String> {
        std::mem::take(&mut *self.sent.lock())
    }

    /// Delivers a message that belongs to no request.
    pub(crate) fn deliver(&self, incoming: Incoming) {
        self.sink.get().expect("nobody listens")(Ok(incoming));
    }
}

/// An empty result.
pub(crate) fn empty_result(request: LegacyRequest) -> IncomingStream {
    let response = Response::result(request.id, RawJson::EMPTY_OBJECT);
    one(Incoming::Response(response))
}

/// A stream of one message.
pub(crate) fn one(incoming: Incoming) -> IncomingStream {
    stream::iter([Ok::<_, CallError>(incoming)]).boxed()
}

impl fmt::Debug for FakeTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FakeTransport")
    }
}

impl SessionTransport for FakeTransport {
    fn request(&self, request: LegacyRequest) -> BoxFuture<Result<IncomingStream, SessionError>> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        (self.respond)(request)
    }

    fn send(&self, message: OneWayMessage) -> BoxFuture<Result<(), SessionError>> {
        if matches!(&message, OneWayMessage::Notification(sent) if sent.method == "notifications/initialized")
        {
            return future::ready(Ok(())).boxed();
        }
        let text = String::from_utf8(message.encode().to_vec()).expect("UTF-8");
        self.sent.lock().push(text);
        if self.is_stalled {
            future::pending().boxed()
        } else {
            future::ready(Ok(())).boxed()
        }
    }

    fn on_unsolicited(&self, sink: MessageSink) {
        let _ = self.sink.set(sink);
    }

    fn is_multiplexed(&self) -> bool {
        self.is_multiplexed
    }

    fn close(&self) -> BoxFuture<()> {
        future::ready(()).boxed()
    }
}
