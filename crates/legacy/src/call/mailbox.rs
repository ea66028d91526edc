//! Where messages of a shared way wait for whoever they are for: a channel of lines, or the one stream of HTTP+SSE.

use super::wire::{Incomings, Sink};
use crate::message::{Incoming, Parsed, parse};
use bytes::Bytes;
use carryall_proto::CallError;
use carryall_types::RequestId;
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
            // Many a server prints something at its start that is no message.
            Err(malformed) => return tracing::debug!(error = %malformed.error, "not a message"),
        };
        for item in items {
            match item {
                Ok(Incoming::Response(response)) => {
                    let waiting = self.lock().waiting.remove(&response.id);
                    match waiting {
                        Some(waiting) => _ = waiting.send(Ok(Incoming::Response(response))),
                        // The session counts the calls that nobody waits for any more.
                        None => self.pass_on(Incoming::Response(response)),
                    }
                }
                Ok(other) => self.pass_on(other),
                Err(malformed) => tracing::debug!(error = %malformed.error, "not a message"),
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
