//! Where messages of a shared way wait for whoever they are for: a channel of lines, or the one
//! stream of HTTP+SSE.

use super::unattributed::UnattributedErrors;
use super::wire::{IncomingStream, MessageSink};
use crate::message::{Incoming, Malformed, ParsedBody, parse};
use bytes::Bytes;
use carryall_proto::frame::{LineTooLong, response_ids};
use carryall_proto::sync::Mutex;
use carryall_proto::{CallError, Printable, Response};
use carryall_types::{ErrorObject, RequestId};
use std::collections::HashMap;
use std::sync::{Arc, MutexGuard, OnceLock};
use tokio::sync::oneshot;

/// Shared by the way's reader and by those who wait.
#[derive(Default)]
pub(crate) struct PendingResponses {
    state: Mutex<State>,
    sink: OnceLock<MessageSink>,
}

#[derive(Default)]
struct State {
    waiting: HashMap<RequestId, ResponseWaiter>,
    lost: Option<CallError>,
    /// Where the server reads messages in the order in which they are sent.
    unattributed: Option<UnattributedErrors>,
}

struct ResponseWaiter {
    response: oneshot::Sender<Result<Incoming, CallError>>,
    /// Which of the messages sent it is.
    number: u64,
}

impl PendingResponses {
    /// For a way whose messages may be sent at the same time.
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// For a way whose messages are sent one after the other. [`sent`](Self::sent) has to be
    /// called.
    pub(crate) fn in_order() -> Arc<Self> {
        let state = State {
            unattributed: Some(UnattributedErrors::default()),
            ..State::default()
        };
        Arc::new(Self {
            state: Mutex::new(state),
            sink: OnceLock::new(),
        })
    }

    /// A message that gets no response was sent.
    pub(crate) fn sent(&self) {
        if let Some(unattributed) = &mut self.lock().unattributed {
            unattributed.other();
        }
    }

    /// Waits for the response to `id`, from now on; send the request after this.
    pub(crate) fn expect(self: &Arc<Self>, id: RequestId) -> Result<ExpectedResponse, CallError> {
        let mut state = self.lock();
        if let Some(lost) = &state.lost {
            return Err(lost.clone());
        }
        let (response, receiver) = oneshot::channel();
        let number = state
            .unattributed
            .as_mut()
            .map_or(0, UnattributedErrors::request);
        state
            .waiting
            .insert(id.clone(), ResponseWaiter { response, number });
        Ok(ExpectedResponse {
            mailbox: Arc::clone(self),
            id,
            receiver,
        })
    }

    /// Where what belongs to no request goes from now on.
    pub(crate) fn hear(&self, sink: MessageSink) {
        if let Some(lost) = self.lost() {
            sink(Err(lost));
        }
        let _ = self.sink.set(sink);
    }

    /// Takes one line or event in.
    pub(crate) fn put(&self, text: &Bytes) {
        let items = match parse(text) {
            Ok(ParsedBody::One(incoming)) => vec![Ok(incoming)],
            Ok(ParsedBody::Batch(items)) => items,
            Err(malformed) => {
                // An array with too many messages, or that is no JSON, answers all the same.
                let ids = response_ids(text);
                ids.into_iter().for_each(|id| {
                    self.fail(id, CallError::Malformed(malformed.error.message.clone()))
                });
                return tracing::debug!(error = %Printable(&malformed.error.message), "not a message");
            }
        };
        for item in items {
            match item {
                Ok(Incoming::Response(mut response)) => {
                    response.id = own_id(response.id);
                    match self.answered(&response.id) {
                        Some(waiting) => _ = waiting.send(Ok(Incoming::Response(response))),
                        // The session counts the calls that nobody waits for any more.
                        None => self.pass_on(Incoming::Response(response)),
                    }
                    self.attribute();
                }
                Ok(Incoming::ErrorWithoutId(error)) => {
                    {
                        let State {
                            waiting,
                            unattributed,
                            ..
                        } = &mut *self.lock();
                        unattributed
                            .iter_mut()
                            .for_each(|known| known.error(&error, waiting.keys()));
                    }
                    self.attribute();
                    self.pass_on(Incoming::ErrorWithoutId(error));
                }
                Ok(other) => self.pass_on(other),
                Err(Malformed {
                    id: Some(id),
                    error,
                    is_response: true,
                }) => {
                    self.fail(id, CallError::Malformed(error.message));
                }
                // Many a server prints something at its start that is no message.
                Err(malformed) => {
                    tracing::debug!(error = %Printable(&malformed.error.message), "not a message")
                }
            }
        }
    }

    fn pass_on(&self, incoming: Incoming) {
        match self.sink.get() {
            Some(sink) => sink(Ok(incoming)),
            None => {
                tracing::debug!(incoming = ?carryall_proto::PrintableFmt(&incoming), "before the handshake is over")
            }
        }
    }

    /// A message was longer than is accepted, and was skipped.
    pub(crate) fn too_long(&self, line: &LineTooLong) {
        match &line.id {
            Some(id) if line.is_response => {
                self.fail(id.clone(), CallError::TooLarge(line.max_line))
            }
            _ => tracing::warn!(error = %line, "a message was skipped"),
        }
    }

    /// The response to `id` has come and cannot be used; there will be no other.
    fn fail(&self, id: RequestId, error: CallError) {
        let id = own_id(id);
        match self.answered(&id) {
            Some(waiting) => _ = waiting.send(Err(error)),
            None => self.pass_on(Incoming::Response(Response::error(
                id,
                ErrorObject::internal(),
            ))),
        }
        self.attribute();
    }

    /// Takes out who waits for the response to `id`, which has come.
    fn answered(&self, id: &RequestId) -> Option<oneshot::Sender<Result<Incoming, CallError>>> {
        let mut state = self.lock();
        let ResponseWaiter { response, number } = state.waiting.remove(id)?;
        if let Some(unattributed) = &mut state.unattributed {
            unattributed.answered(id, number);
        }
        Some(response)
    }

    /// Hands the errors without an id on to whom they are about, as far as that is known.
    fn attribute(&self) {
        loop {
            let mut state = self.lock();
            let found = state
                .unattributed
                .as_mut()
                .map(UnattributedErrors::attributed)
                .unwrap_or_default();
            if found.is_empty() {
                return;
            }
            for (id, error) in found {
                let Some(waiting) = state.waiting.remove(&id) else {
                    continue;
                };
                let _ = waiting.response.send(Ok(Incoming::ErrorWithoutId(error)));
            }
        }
    }

    /// Nothing comes any more.
    pub(crate) fn lose(&self, error: CallError) {
        let mut state = self.lock();
        state.lost.get_or_insert_with(|| error.clone());
        for (_, waiting) in state.waiting.drain() {
            let _ = waiting.response.send(Err(error.clone()));
        }
        drop(state);
        if let Some(sink) = self.sink.get() {
            sink(Err(error));
        }
    }

    pub(crate) fn lost(&self) -> Option<CallError> {
        self.lock().lost.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

/// The id as it was sent: ours are numbers, and some servers send them back as strings.
fn own_id(id: RequestId) -> RequestId {
    match &id {
        RequestId::String(text) => text.parse().map_or(id, RequestId::Number),
        RequestId::Number(_) => id,
    }
}

/// A response to come. Dropping it stops waiting.
pub(crate) struct ExpectedResponse {
    mailbox: Arc<PendingResponses>,
    id: RequestId,
    receiver: oneshot::Receiver<Result<Incoming, CallError>>,
}

impl ExpectedResponse {
    /// The response, as a stream of one message.
    pub(crate) fn into_stream(mut self) -> IncomingStream {
        Box::pin(futures_util::stream::once(async move {
            let closed = || Err(CallError::broken("the way to the server is closed"));
            (&mut self.receiver).await.unwrap_or_else(|_| closed())
        }))
    }
}

impl Drop for ExpectedResponse {
    fn drop(&mut self) {
        let mut state = self.mailbox.lock();
        if let (Some(_), Some(unattributed)) =
            (state.waiting.remove(&self.id), &mut state.unattributed)
        {
            unattributed.abandoned(&self.id);
        }
    }
}
