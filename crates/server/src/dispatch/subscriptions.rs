//! `subscriptions/listen`: agrees on a filter, and opens the subscription.

use super::handler_future::ServerFuture;
use super::{Dispatcher, params};
use crate::call::errors::missing_capabilities;
use crate::tasks;
use carryall_proto::Call;
use carryall_proto::listen::honoured;
use carryall_types::{ErrorObject, SubscriptionsListenRequestParams};
use std::sync::Arc;

/// The longest URI that can be subscribed to. The acknowledgement leaves out longer ones.
const MAX_SUBSCRIBED_URI_BYTES: usize = 8 * 1024;

impl Dispatcher {
    pub(super) fn listen(&self, call: Call) -> Result<ServerFuture, ErrorObject> {
        let params: SubscriptionsListenRequestParams = params::decode(&call)?;
        let limit = self.limits.max_resource_subscriptions;
        let capabilities = self.catalogue.capabilities();
        let mut filter = honoured(&params.notifications, &capabilities, limit);
        if let Some(uris) = &mut filter.resource_subscriptions {
            let catalogue = self.catalogue.current();
            uris.retain(|uri| {
                uri.len() <= MAX_SUBSCRIBED_URI_BYTES && catalogue.may_know(uri, call.principal())
            });
        }
        let subscriptions = Arc::clone(self.catalogue.subscriptions());
        let wants_tasks = !params.notifications.tasks().is_empty();
        let Some(tasks) = self.tasks.as_ref().filter(|_| wants_tasks) else {
            return Ok(ServerFuture::ready(subscriptions.open(&call, filter)));
        };
        if !tasks::is_declared(call.meta().client_capabilities()) {
            return Err(missing_capabilities(&[tasks::required()]));
        }
        let (tasks, id) = (Arc::clone(tasks), call.id().clone());
        let opened = async move {
            let requested = params.notifications.tasks();
            let ids = tasks.listenable(requested, call.principal(), limit).await;
            filter.task_ids = Some(ids.clone());
            let reply = subscriptions.open(&call, filter);
            // Tasks may have changed since the client last asked for them.
            tasks.publish(ids, true).await;
            Ok(reply)
        };
        Ok(ServerFuture::layered(Box::pin(opened), id))
    }
}
