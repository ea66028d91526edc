//! Where messages of a shared way wait for whoever they are for: a channel of lines, or the one stream of HTTP+SSE.

use super::wire::{Incomings, Sink};
use crate::message::{Incoming, Malformed, Parsed, parse};
use bytes::Bytes;
use carryall_proto::frame::LineTooLong;
use carryall_proto::{CallError, Printable, Response};
use carryall_types::{ErrorObject, RequestId};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use tokio::sync::oneshot;

/// Shared by the way's reader and by those who wait.
#[derive(Default)]
pub(crate) struct Mailbox {
    state: Mutex<State>,
    sink: OnceLock<Sink>,
}

#[derive(Default)]
struct State {
    waiting: HashMap<RequestId, oneshot::Sender<Result<Incoming, CallError>>>,
    lost: Option<CallError>,
}

impl Mailbox {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Waits for the response to `id`, from now on; send the request after this.
    pub(crate) fn expect(self: &Arc<Self>, id: RequestId) -> Result<Expected, CallError> {
        let mut state = self.lock();
        if let Some(lost) = &state.lost {
            return Err(lost.clone());
        }
        let (sender, receiver) = oneshot::channel();
        state.waiting.insert(id.clone(), sender);
        Ok(Expected { mailbox: Arc::clone(self), id, receiver })
    }

    /// Where what belongs to no request goes from now on.
    pub(crate) fn hear(&self, sink: Sink) {
        if let Some(lost) = self.lost() {
            sink(Err(lost));
        }
        let _ = self.sink.set(sink);
    }

    /// Takes one line or event in.
    pub(crate) fn put(&self, text: &Bytes) {
        let items = match parse(text) {
            Ok(Parsed::One(incoming)) => vec![Ok(incoming)],
            Ok(Parsed::Batch(items)) => items,
            Err(malformed) => vec![Err(malformed)],
        };
        for item in items {
            match item {
                Ok(Incoming::Response(mut response)) => {
                    response.id = own_id(response.id);
                    let waiting = self.lock().waiting.remove(&response.id);
                    match waiting {
                        Some(waiting) => _ = waiting.send(Ok(Incoming::Response(response))),
                        // The session counts the calls that nobody waits for any more.
                        None => self.pass_on(Incoming::Response(response)),
                    }
                }
                Ok(other) => self.pass_on(other),
                Err(Malformed { id: Some(id), error, is_response: true }) => {
                    self.fail(id, CallError::Malformed(error.message));
                }
                // Many a server prints something at its start that is no message.
                Err(malformed) => tracing::debug!(error = %Printable(&malformed.error.message), "not a message"),
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
            Some(id) if line.is_response => self.fail(id.clone(), CallError::TooLarge(line.max_line)),
            _ => tracing::warn!(error = %line, "a message was skipped"),
        }
    }

    /// The response to `id` has come and cannot be used; there will be no other.
    fn fail(&self, id: RequestId, error: CallError) {
        let id = own_id(id);
        let waiting = self.lock().waiting.remove(&id);
        match waiting {
            Some(waiting) => _ = waiting.send(Err(error)),
            None => self.pass_on(Incoming::Response(Response::error(id, ErrorObject::internal()))),
        }
    }

    /// Nothing comes any more.
    pub(crate) fn lose(&self, error: CallError) {
        let mut state = self.lock();
        state.lost.get_or_insert_with(|| error.clone());
        for (_, waiting) in state.waiting.drain() {
            let _ = waiting.send(Err(error.clone()));
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
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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
pub(crate) struct Expected {
    mailbox: Arc<Mailbox>,
    id: RequestId,
    receiver: oneshot::Receiver<Result<Incoming, CallError>>,
}

impl Expected {
    /// The response, as a stream of one message.
    pub(crate) fn into_stream(mut self) -> Incomings {
        Box::pin(futures_util::stream::once(async move {
            let closed = || Err(CallError::broken("the way to the server is closed"));
            (&mut self.receiver).await.unwrap_or_else(|_| closed())
        }))
    }
}

impl Drop for Expected {
    fn drop(&mut self) {
        self.mailbox.lock().waiting.remove(&self.id);
    }
}
