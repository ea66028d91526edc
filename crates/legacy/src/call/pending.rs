//! Requests awaiting their response on a multiplexed transport: the pipes of a child process, or
//! the one stream of HTTP+SSE.

mod unattributed;

use super::transport::{IncomingStream, MessageSink};
use crate::message::{Incoming, MalformedMessage, ParsedBody, parse};
use bytes::Bytes;
use carryall_proto::frame::{LineTooLong, response_ids};
use carryall_proto::sync::Mutex;
use carryall_proto::{CallError, Printable, Response};
use carryall_types::{ErrorObject, RequestId};
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use tokio::sync::oneshot;
use unattributed::UnattributedErrors;

/// Hands each message of the server to the request that it answers, or to the session. Shared by
/// the task that reads and those that wait.
#[derive(Default)]
pub(crate) struct PendingResponses {
    state: Mutex<PendingState>,
    sink: OnceLock<MessageSink>,
}

#[derive(Default)]
struct PendingState {
    waiting: HashMap<RequestId, ResponseWaiter>,
    failure: Option<CallError>,
    /// Only on transports where the server reads messages in the order in which they are sent.
    unattributed: Option<UnattributedErrors>,
}

struct ResponseWaiter {
    response: oneshot::Sender<Result<Incoming, CallError>>,
    /// The position of the request among the messages sent.
    number: u64,
}

impl PendingResponses {
    /// For a transport that may deliver messages to the server out of order.
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// For a transport that delivers messages in order. It has to call
    /// [`count_one_way`](Self::count_one_way).
    pub(crate) fn in_order() -> Arc<Self> {
        let state = PendingState {
            unattributed: Some(UnattributedErrors::default()),
            ..PendingState::default()
        };
        Arc::new(Self {
            state: Mutex::new(state),
            sink: OnceLock::new(),
        })
    }

    /// Notes that a message without a response was sent.
    pub(crate) fn count_one_way(&self) {
        if let Some(unattributed) = &mut self.state.lock().unattributed {
            unattributed.count_one_way();
        }
    }

    /// Registers the request `id`. To be called before it is sent.
    ///
    /// # Errors
    /// When the transport has failed.
    pub(crate) fn register(self: &Arc<Self>, id: RequestId) -> Result<ExpectedResponse, CallError> {
        let mut state = self.state.lock();
        if let Some(failure) = &state.failure {
            return Err(failure.clone());
        }
        let (response, receiver) = oneshot::channel();
        let number = state
            .unattributed
            .as_mut()
            .map_or(0, UnattributedErrors::count_request);
        state
            .waiting
            .insert(id.clone(), ResponseWaiter { response, number });
        Ok(ExpectedResponse {
            pending: Arc::clone(self),
            id,
            receiver,
        })
    }

    /// Sets the receiver of messages that belong to no request.
    pub(crate) fn on_unsolicited(&self, sink: MessageSink) {
        if let Some(failure) = self.failure() {
            sink(Err(failure));
        }
        let _ = self.sink.set(sink);
    }

    /// Dispatches one line or event.
    pub(crate) fn receive(&self, text: &Bytes) {
        let items = match parse(text) {
            Ok(ParsedBody::One(incoming)) => vec![Ok(incoming)],
            Ok(ParsedBody::Batch(items)) => items,
            Err(malformed) => {
                // It may still name the requests that it was meant to answer, for example a batch
                // with too many messages.
                for id in response_ids(text) {
                    let error = CallError::Malformed(malformed.error.message.clone());
                    self.fail_request(id, error);
                }
                return log_malformed(&malformed);
            }
        };
        for item in items {
            match item {
                Ok(Incoming::Response(response)) => self.receive_response(response),
                Ok(Incoming::ErrorWithoutId(error)) => {
                    {
                        let PendingState {
                            waiting,
                            unattributed,
                            ..
                        } = &mut *self.state.lock();
                        if let Some(unattributed) = unattributed {
                            unattributed.insert(&error, waiting.keys());
                        }
                    }
                    self.deliver_attributed();
                    self.pass_on(Incoming::ErrorWithoutId(error));
                }
                Ok(other) => self.pass_on(other),
                Err(MalformedMessage {
                    id: Some(id),
                    error,
                    is_response: true,
                }) => self.fail_request(id, CallError::Malformed(error.message)),
                // Some servers print text that is not a message when they start.
                Err(malformed) => log_malformed(&malformed),
            }
        }
    }

    /// Handles a message that was skipped because of its size.
    pub(crate) fn receive_too_long(&self, line: &LineTooLong) {
        match &line.id {
            Some(id) if line.is_response => {
                self.fail_request(id.clone(), CallError::TooLarge(line.max_line));
            }
            _ => tracing::warn!(error = %line, "skipped a message of the server"),
        }
    }

    fn receive_response(&self, mut response: Response) {
        response.id = own_id(response.id);
        match self.take_waiter(&response.id) {
            Some(waiter) => _ = waiter.send(Ok(Incoming::Response(response))),
            // The session keeps track of the calls that were given up.
            None => self.pass_on(Incoming::Response(response)),
        }
        self.deliver_attributed();
    }

    fn pass_on(&self, incoming: Incoming) {
        match self.sink.get() {
            Some(sink) => sink(Ok(incoming)),
            None => tracing::debug!("a message arrived before the handshake was complete"),
        }
    }

    /// Fails the request `id`: its response arrived, but cannot be used.
    fn fail_request(&self, id: RequestId, error: CallError) {
        let id = own_id(id);
        match self.take_waiter(&id) {
            Some(waiter) => _ = waiter.send(Err(error)),
            None => self.pass_on(Incoming::Response(Response::error(
                id,
                ErrorObject::internal(),
            ))),
        }
        self.deliver_attributed();
    }

    fn take_waiter(&self, id: &RequestId) -> Option<oneshot::Sender<Result<Incoming, CallError>>> {
        let mut state = self.state.lock();
        let ResponseWaiter { response, number } = state.waiting.remove(id)?;
        if let Some(unattributed) = &mut state.unattributed {
            unattributed.answered(id, number);
        }
        Some(response)
    }

    /// Delivers the errors without an id whose request is known by now.
    fn deliver_attributed(&self) {
        loop {
            let mut state = self.state.lock();
            let attributed = state
                .unattributed
                .as_mut()
                .map(UnattributedErrors::take_attributed)
                .unwrap_or_default();
            if attributed.is_empty() {
                return;
            }
            for (id, error) in attributed {
                let Some(waiter) = state.waiting.remove(&id) else {
                    continue;
                };
                let _ = waiter.response.send(Ok(Incoming::ErrorWithoutId(error)));
            }
        }
    }

    /// Fails all requests, present and future.
    pub(crate) fn fail(&self, error: CallError) {
        let mut state = self.state.lock();
        state.failure.get_or_insert_with(|| error.clone());
        for (_, waiter) in state.waiting.drain() {
            let _ = waiter.response.send(Err(error.clone()));
        }
        drop(state);
        if let Some(sink) = self.sink.get() {
            sink(Err(error));
        }
    }

    /// Why the transport has failed, if it has.
    pub(crate) fn failure(&self) -> Option<CallError> {
        self.state.lock().failure.clone()
    }
}

fn log_malformed(malformed: &MalformedMessage) {
    tracing::debug!(error = %Printable(&malformed.error.message), "the server sent something that is not a message");
}

/// The id as it was sent. Ours are numbers, which some servers return as strings.
fn own_id(id: RequestId) -> RequestId {
    match &id {
        RequestId::String(text) => text.parse().map_or(id, RequestId::Number),
        RequestId::Number(_) => id,
    }
}

/// A response that has not arrived yet. Dropping it stops waiting.
pub(crate) struct ExpectedResponse {
    pending: Arc<PendingResponses>,
    id: RequestId,
    receiver: oneshot::Receiver<Result<Incoming, CallError>>,
}

impl ExpectedResponse {
    /// The response as a stream of one message.
    pub(crate) fn into_stream(mut self) -> IncomingStream {
        Box::pin(futures_util::stream::once(async move {
            let closed = || Err(CallError::broken("the connection to the server is closed"));
            (&mut self.receiver).await.unwrap_or_else(|_| closed())
        }))
    }
}

impl Drop for ExpectedResponse {
    fn drop(&mut self) {
        let mut state = self.pending.state.lock();
        if let (Some(_), Some(unattributed)) =
            (state.waiting.remove(&self.id), &mut state.unattributed)
        {
            unattributed.abandoned(&self.id);
        }
    }
}
