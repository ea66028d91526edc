//! Who is subscribed to changes of the server, and to which resources the session is.

use carryall_proto::listen::{Change, matches};
use carryall_proto::sync::Mutex;
use carryall_proto::{CallerId, Notification, Params, Printable};
use carryall_types::{SubscriptionFilter, notification};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::mpsc;

/// How many changes a subscriber may be behind before its stream ends.
const MAX_PENDING_CHANGES: usize = 256;
/// Maximum length of a resource URI, in bytes. Longer ones are neither subscribed to nor reported.
pub(crate) const MAX_URI_BYTES: usize = 8 * 1024;

/// The subscriptions of one session.
#[derive(Default)]
pub(crate) struct SessionSubscriptions {
    subscribers: Mutex<Vec<SubscriptionEntry>>,
    /// How many subscribers each resource has. The server is subscribed to as long as there is one.
    resources: Mutex<HashMap<String, usize>>,
    /// How often the list of tools has changed.
    tool_changes: AtomicU64,
}

struct SubscriptionEntry {
    filter: SubscriptionFilter,
    changes: mpsc::Sender<Change>,
    caller: CallerId,
}

impl SessionSubscriptions {
    /// Sends a change to the subscribers that it concerns. Other notifications are ignored.
    pub(crate) fn publish(&self, notification: &Notification) {
        let Some(change) = change_of(notification) else {
            return tracing::debug!(method = %Printable(&notification.method), "ignored a notification");
        };
        if change == Change::Tools {
            self.tool_changes.fetch_add(1, Ordering::Relaxed);
        }
        // A subscriber that has missed a change is removed: its stream ends, so that it knows.
        self.subscribers.lock().retain(|entry| {
            !matches(&entry.filter, &change) || entry.changes.try_send(change.clone()).is_ok()
        });
    }

    /// How often the list of tools has changed.
    pub(crate) fn tool_changes(&self) -> u64 {
        self.tool_changes.load(Ordering::Relaxed)
    }

    /// Ends all streams.
    pub(crate) fn close(&self) {
        self.subscribers.lock().clear();
    }

    /// The callers that are subscribed.
    pub(crate) fn callers(&self) -> Vec<CallerId> {
        self.subscribers
            .lock()
            .iter()
            .filter(|entry| !entry.changes.is_closed())
            .map(|entry| entry.caller.clone())
            .collect()
    }

    /// Adds a subscriber, until the receiver is dropped.
    pub(crate) fn insert(
        &self,
        filter: SubscriptionFilter,
        caller: CallerId,
    ) -> mpsc::Receiver<Change> {
        let (changes, receiver) = mpsc::channel(MAX_PENDING_CHANGES);
        let mut subscribers = self.subscribers.lock();
        subscribers.retain(|entry| !entry.changes.is_closed());
        subscribers.push(SubscriptionEntry {
            filter,
            changes,
            caller,
        });
        receiver
    }

    /// Adds a subscriber of a resource. Returns whether it is the first.
    pub(crate) fn add_resource(&self, uri: &str) -> bool {
        let mut resources = self.resources.lock();
        let count = resources.entry(uri.to_owned()).or_default();
        *count += 1;
        *count == 1
    }

    /// Removes a subscriber of a resource. Returns whether it was the last.
    pub(crate) fn remove_resource(&self, uri: &str) -> bool {
        let mut resources = self.resources.lock();
        let Some(count) = resources.get_mut(uri) else {
            return false;
        };
        *count -= 1;
        *count == 0 && resources.remove(uri).is_some()
    }
}

fn change_of(notification: &Notification) -> Option<Change> {
    match &*notification.method {
        notification::TOOLS_LIST_CHANGED => Some(Change::Tools),
        notification::PROMPTS_LIST_CHANGED => Some(Change::Prompts),
        notification::RESOURCES_LIST_CHANGED => Some(Change::Resources),
        notification::RESOURCE_UPDATED => {
            let params = Params::parse(notification.params.clone()?).ok()?;
            params
                .string("uri")
                .filter(|uri| uri.len() <= MAX_URI_BYTES)
                .map(|uri| Change::Resource(uri.as_ref().into()))
        }
        _ => None,
    }
}
