//! `subscriptions/listen` on a legacy session.

use super::session::{LegacySession, MAX_URI_BYTES};
use crate::generate;
use carryall_proto::budget::Reservation;
use carryall_proto::listen::{acknowledged, honoured};
use carryall_proto::{
    Call, CallError, Caller, CallerId, Message, Outcome, Printable, PrintableFmt, Reply, Response,
};
use carryall_types::{ErrorObject, SubscriptionFilter};
use serde_json::json;
use std::sync::Arc;

/// Maximum number of resources that one call subscribes to.
const MAX_RESOURCES: usize = 1000;
/// What a subscription and each of its resources count as, besides the bytes of the URIs.
const OVERHEAD_BYTES: usize = 256;

/// Opens a stream of changes.
///
/// # Errors
/// [`CallError::Busy`] when the caller, or all callers together, have too many subscriptions.
pub(crate) async fn open(session: &Arc<LegacySession>, call: &Call) -> Result<Reply, CallError> {
    let wanted = call
        .params()
        .get("notifications")
        .map_or(Ok(SubscriptionFilter::default()), |wanted| wanted.decode());
    let wanted = match wanted {
        Ok(wanted) => wanted,
        Err(error) => {
            let why = format!("Invalid params: notifications: {error}");
            let response = Response::error(call.id().clone(), ErrorObject::invalid_params(why));
            return Ok(Reply::Once(response));
        }
    };
    let mut filter = honoured(&wanted, session.capabilities(), MAX_RESOURCES);
    let uris = filter.resource_subscriptions.take().map(|mut uris| {
        uris.retain(|uri| uri.len() <= MAX_URI_BYTES);
        uris
    });
    let bytes = OVERHEAD_BYTES
        + uris
            .iter()
            .flatten()
            .map(|uri| uri.len() + OVERHEAD_BYTES)
            .sum::<usize>();
    let reservation = session
        .budgets()
        .subscriptions
        .reserve(&Caller::accountable(call), bytes)
        .map_err(|exceeded| {
            tracing::debug!(bytes, %exceeded, "refused a subscription");
            CallError::Busy(format!(
                "no further subscription with this server: {exceeded}; end others first"
            ))
        })?;
    session.listen();
    let mut resources = ResourceSubscriptions {
        session: Arc::clone(session),
        uris: Vec::new(),
        _reservation: reservation,
    };
    if let Some(uris) = uris {
        for uri in uris {
            // A server that does not respond is not waited for again and again.
            if resources.add(uri).await.is_err() {
                break;
            }
        }
        filter.resource_subscriptions = Some(resources.uris.clone());
    }
    let caller = CallerId::of(call);
    let mut changes = session.subscriptions().insert(filter.clone(), caller);
    let id = call.id().clone();
    Ok(Reply::Stream(generate::stream(move |out| async move {
        out.emit(Ok(Message::Notification(acknowledged(&id, &filter))))
            .await;
        while let Some(change) = changes.recv().await {
            out.emit(Ok(Message::Notification(change.notification(&id))))
                .await;
        }
        let failure = resources
            .session
            .failure()
            .unwrap_or_else(|| CallError::broken("the stream of changes has ended"));
        out.emit(Err(failure)).await;
    })))
}

/// The resources that one call is subscribed to. Dropping it unsubscribes.
struct ResourceSubscriptions {
    session: Arc<LegacySession>,
    uris: Vec<String>,
    _reservation: Reservation,
}

/// The server did not respond.
struct Unresponsive;

impl ResourceSubscriptions {
    /// Subscribes to a resource. It is left out if the server refuses.
    async fn add(&mut self, uri: String) -> Result<(), Unresponsive> {
        let is_first = self.session.subscriptions().add_resource(&uri);
        self.uris.push(uri.clone());
        if !is_first {
            return Ok(());
        }
        let params = json!({"uri": uri});
        let requests = self.session.requests();
        match requests.call("resources/subscribe", &params).await {
            Ok(Outcome::Result(_)) => Ok(()),
            refused => {
                tracing::debug!(uri = %Printable(&uri), refused = ?PrintableFmt(&refused), "the server refused a subscription to a resource");
                self.uris.pop();
                self.session.subscriptions().remove_resource(&uri);
                refused.map(|_| ()).map_err(|_| Unresponsive)
            }
        }
    }
}

impl Drop for ResourceSubscriptions {
    fn drop(&mut self) {
        let unused: Vec<String> = self
            .uris
            .drain(..)
            .filter(|uri| self.session.subscriptions().remove_resource(uri))
            .collect();
        if unused.is_empty() || self.session.failure().is_some() {
            return;
        }
        let requests = self.session.requests().clone();
        let bytes = unused.iter().map(String::len).sum();
        self.session.spawn(bytes, async move {
            for uri in unused {
                let params = json!({"uri": uri});
                if requests
                    .call("resources/unsubscribe", &params)
                    .await
                    .is_err()
                {
                    return;
                }
            }
        });
    }
}
