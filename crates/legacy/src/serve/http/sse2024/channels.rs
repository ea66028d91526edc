//! The open HTTP+SSE streams of this process, and the messages that are queued for them.

use bytes::Bytes;
use carryall_proto::Caller;
use carryall_proto::budget::{Budget, Reservation};
use carryall_proto::sync::Mutex;
use carryall_types::RawJson;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Maximum number of messages queued for one stream.
const MAX_QUEUED: usize = 64;

/// The inboxes of the open streams, by stream name.
#[derive(Default)]
pub(crate) struct SseChannels {
    inboxes: Mutex<HashMap<Arc<str>, Inbox>>,
}

/// Queues messages for one stream.
#[derive(Clone)]
pub(super) struct Inbox {
    messages: Sender<QueuedMessage>,
    caller: Caller,
    budget: Budget,
}

/// A message, with its reservation until it is handled.
pub(super) struct QueuedMessage {
    pub(super) text: Bytes,
    _reservation: Reservation,
}

/// Why a message was not queued.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum InboxError {
    Full,
    Closed,
}

impl Inbox {
    pub(super) fn send(&self, text: Bytes) -> Result<(), InboxError> {
        let reservation = self
            .budget
            .reserve(&self.caller, text.len())
            .map_err(|_| InboxError::Full)?;
        let message = QueuedMessage {
            text,
            _reservation: reservation,
        };
        self.messages
            .try_send(message)
            .map_err(|error| match error {
                TrySendError::Full(_) => InboxError::Full,
                TrySendError::Closed(_) => InboxError::Closed,
            })
    }
}

impl SseChannels {
    /// Adds a stream and returns its messages. They count against `budget`.
    pub(super) fn insert(
        &self,
        name: &Arc<str>,
        caller: Caller,
        budget: &Budget,
    ) -> Receiver<QueuedMessage> {
        let (messages, receiver) = channel(MAX_QUEUED);
        let inbox = Inbox {
            messages,
            caller,
            budget: budget.clone(),
        };
        self.inboxes.lock().insert(Arc::clone(name), inbox);
        receiver
    }

    pub(super) fn find(&self, name: &str) -> Option<Inbox> {
        self.inboxes.lock().get(name).cloned()
    }

    pub(super) fn remove(&self, name: &str) {
        self.inboxes.lock().remove(name);
    }

    /// Delivers a message that was POSTed to another replica.
    pub(crate) fn deliver(&self, name: &str, message: RawJson) {
        if let Some(inbox) = self.find(name)
            && inbox.send(message.into_bytes()).is_err()
        {
            tracing::warn!("a message for a busy HTTP+SSE stream was dropped");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use carryall_proto::budget::Amount;

    #[test]
    fn queued_messages_are_bounded_in_number_and_bytes() {
        let budget = Budget::new(Amount::new(1_000, 1_000), Amount::new(1_000, 100));
        let channels = SseChannels::default();
        let open = |name: &str, address: u8| {
            let caller = Caller::Address([10, 0, 0, address].into());
            let receiver = channels.insert(&name.into(), caller, &budget);
            (channels.find(name).unwrap(), receiver)
        };
        let (first, mut receiver) = open("first", 1);
        let (second, _receiver) = open("second", 1);
        let (other, closed) = open("other", 2);
        let text = |bytes: usize| Bytes::from(vec![b' '; bytes]);
        assert_eq!(first.send(text(60)), Ok(()));
        assert_eq!(
            second.send(text(60)),
            Err(InboxError::Full),
            "streams of one caller share its quota"
        );
        assert_eq!(other.send(text(60)), Ok(()));
        drop(receiver.try_recv().unwrap());
        assert_eq!(second.send(text(60)), Ok(()));
        for _ in 0..MAX_QUEUED {
            assert_eq!(first.send(Bytes::new()), Ok(()));
        }
        assert_eq!(first.send(Bytes::new()), Err(InboxError::Full));
        drop(closed);
        assert_eq!(other.send(Bytes::new()), Err(InboxError::Closed));
    }
}
