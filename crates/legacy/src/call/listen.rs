//! `subscriptions/listen` on a legacy session.

use super::session::LegacySession;
use crate::generate;
use carryall_proto::budget::Reservation;
use carryall_proto::listen::{Change, acknowledged, honoured, matches};
use carryall_proto::sync::Mutex;
use carryall_proto::{
    Call, CallError, Caller, CallerId, Message, Notification, Outcome, Params, Reply,
};
use carryall_types::{ErrorObject, SubscriptionFilter, notification};
use serde_json::json;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, MutexGuard};
use tokio::sync::mpsc;

/// How many changes may wait for a listener. One that is further behind has missed some, and has to
/// listen anew.
const MAX_CHANGES: usize = 256;
/// How many resources one listener may subscribe to.
const MAX_RESOURCES: usize = 1000;
/// Resources with longer URIs, in bytes, are neither subscribed to nor told of.
const MAX_URI_BYTES: usize = 8 * 1024;
/// What a listener and each of its resources count as besides the bytes of their URIs.
const OVERHEAD: usize = 256;

/// ClientIdentity listens to a session, and what its server was asked to tell.
#[derive(Default)]
pub(crate) struct SessionSubscriptions {
    all: Mutex<Vec<SubscriptionEntry>>,
    /// How many listeners want each resource.
    subscribed: Mutex<HashMap<String, usize>>,
    /// How often the list of tools has changed.
    tools: AtomicU64,
}

struct SubscriptionEntry {
    filter: SubscriptionFilter,
    changes: mpsc::Sender<Change>,
    caller: CallerId,
}

impl SessionSubscriptions {
    /// Hands a change on to whom it concerns.
    pub(crate) fn tell(&self, notification: &Notification) {
        let Some(change) = change_of(notification) else {
            return tracing::debug!(method = %carryall_proto::Printable(&notification.method), "a notification for nobody");
        };
        if change == Change::Tools {
            self.tools.fetch_add(1, Ordering::Relaxed);
        }
        // A listener that is too far behind is let go: it finds its stream ended, and listens anew.
        self.lock().retain(|listener| {
            !matches(&listener.filter, &change) || listener.changes.try_send(change.clone()).is_ok()
        });
    }

    /// How often the list of tools has changed.
    pub(crate) fn tools_changed(&self) -> u64 {
        self.tools.load(Ordering::Relaxed)
    }

    /// ProcessPipes all streams.
    pub(crate) fn close(&self) {
        self.lock().clear();
    }

    /// ClientIdentity listens.
    pub(crate) fn callers(&self) -> Vec<CallerId> {
        let all = self.lock();
        all.iter()
            .filter(|listener| !listener.changes.is_closed())
            .map(|listener| listener.caller.clone())
            .collect()
    }

    fn add(&self, filter: SubscriptionFilter, caller: CallerId) -> mpsc::Receiver<Change> {
        let (changes, receiver) = mpsc::channel(MAX_CHANGES);
        let mut all = self.lock();
        all.retain(|listener| !listener.changes.is_closed());
        all.push(SubscriptionEntry {
            filter,
            changes,
            caller,
        });
        receiver
    }

    fn lock(&self) -> MutexGuard<'_, Vec<SubscriptionEntry>> {
        self.all.lock()
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.subscribed.lock()
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

/// Opens a stream of changes.
pub(crate) async fn open(session: &Arc<LegacySession>, call: &Call) -> Result<Reply, CallError> {
    let wanted = call
        .params()
        .get("notifications")
        .map_or(Ok(SubscriptionFilter::default()), |wanted| wanted.decode());
    let wanted = match wanted {
        Ok(wanted) => wanted,
        Err(error) => {
            let error =
                ErrorObject::invalid_params(format!("Invalid params: notifications: {error}"));
            return Ok(Reply::Once(carryall_proto::Response::error(
                call.id().clone(),
                error,
            )));
        }
    };
    let mut filter = honoured(&wanted, session.capabilities(), MAX_RESOURCES);
    let uris = filter.resource_subscriptions.take().map(|mut uris| {
        uris.retain(|uri| uri.len() <= MAX_URI_BYTES);
        uris
    });
    let bytes = OVERHEAD
        + uris
            .iter()
            .flatten()
            .map(|uri| uri.len() + OVERHEAD)
            .sum::<usize>();
    let room = session
        .parked
        .quotas
        .subscriptions
        .reserve(&Caller::accountable(call), bytes)
        .map_err(|exceeded| {
            tracing::debug!(bytes, %exceeded, "a subscription was refused");
            CallError::Busy(format!(
                "no further subscription with this server: {exceeded}; end others first"
            ))
        })?;
    session.hear();
    let mut subscribed = ResourceSubscriptions {
        session: Arc::clone(session),
        uris: Vec::new(),
        _room: room,
    };
    if let Some(uris) = uris {
        for uri in uris {
            // A server that did not answer once is not waited for again and again.
            if !subscribed.add(uri).await {
                break;
            }
        }
        filter.resource_subscriptions = Some(subscribed.uris.clone());
    }
    let mut changes = session.listeners.add(filter.clone(), CallerId::of(call));
    let id = call.id().clone();
    Ok(Reply::Stream(generate::stream(move |out| async move {
        let subscribed = subscribed;
        out.emit(Ok(Message::Notification(acknowledged(&id, &filter))))
            .await;
        while let Some(change) = changes.recv().await {
            out.emit(Ok(Message::Notification(change.notification(&id))))
                .await;
        }
        let lost = subscribed
            .session
            .lost()
            .unwrap_or_else(|| CallError::broken("the stream of changes has ended"));
        out.emit(Err(lost)).await;
    })))
}

/// The resources that one listener has the server tell of.
struct ResourceSubscriptions {
    session: Arc<LegacySession>,
    uris: Vec<String>,
    _room: Reservation,
}

impl ResourceSubscriptions {
    /// Subscribes to a resource. `false` if the server has not answered.
    async fn add(&mut self, uri: String) -> bool {
        let first = {
            let mut counts = self.session.listeners.counts();
            let count = counts.entry(uri.clone()).or_default();
            *count += 1;
            *count == 1
        };
        self.uris.push(uri.clone());
        if !first {
            return true;
        }
        match self
            .session
            .ask("resources/subscribe", &json!({"uri": uri}))
            .await
        {
            Ok(Outcome::Result(_)) => true,
            refused => {
                tracing::debug!(uri = %carryall_proto::Printable(&uri), refused = ?carryall_proto::PrintableFmt(&refused), "the server does not tell of this resource");
                self.uris.pop();
                release(&self.session, &uri);
                refused.is_ok()
            }
        }
    }
}

/// Whether nobody wants the resource any more.
fn release(session: &LegacySession, uri: &str) -> bool {
    let mut counts = session.listeners.counts();
    let Some(count) = counts.get_mut(uri) else {
        return false;
    };
    *count -= 1;
    *count == 0 && counts.remove(uri).is_some()
}

impl Drop for ResourceSubscriptions {
    fn drop(&mut self) {
        let unwanted: Vec<String> = self
            .uris
            .drain(..)
            .filter(|uri| release(&self.session, uri))
            .collect();
        let (Ok(runtime), None) = (tokio::runtime::Handle::try_current(), self.session.lost())
        else {
            return;
        };
        let session = Arc::clone(&self.session);
        runtime.spawn(async move {
            for uri in unwanted {
                if session
                    .ask("resources/unsubscribe", &json!({"uri": uri}))
                    .await
                    .is_err()
                {
                    return;
                }
            }
        });
    }
}
