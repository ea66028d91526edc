//! Merges the subscriptions of several upstreams into one.

mod acknowledgement;
mod filter;
mod late_changes;
mod open;
mod upstream_feed;

pub(crate) use late_changes::LateListChanges;

use crate::upstream::Upstream;
use acknowledgement::{merge_acknowledgements, requested_lists};
use carryall_proto::listen::closing_response;
use carryall_proto::{Call, Message, Notification, Reply};
use carryall_types::{ErrorObject, JsonObject};
use filter::granted_filter;
use futures_core::Stream;
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use futures_util::stream::{once, select_all};
use open::{OpenOutcome, open};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use upstream_feed::UpstreamFeed;

/// A subscription and what it is merged from.
pub(crate) struct SubscriptionPlan<'a> {
    pub(crate) parts: Vec<SubscriptionPart<'a>>,
    /// The error to answer with if there are no parts.
    pub(crate) failure: Option<ErrorObject>,
    /// How long an upstream may take to acknowledge before the subscription starts without it.
    pub(crate) open_timeout: Duration,
    /// The list changes that the gateway itself announces.
    pub(crate) late_changes: Option<&'a LateListChanges>,
}

/// The part of a subscription that one upstream is asked for.
pub(crate) struct SubscriptionPart<'a> {
    pub(crate) upstream: &'a Upstream,
    /// The client's call with the part of its filter that concerns the upstream.
    pub(crate) call: Call,
}

type NotificationStream = Pin<Box<dyn Stream<Item = Notification> + Send>>;

/// Opens the subscription at every upstream and merges their notifications. The client's stream
/// stays open when that of an upstream ends; it is opened again, on another replica if possible.
pub(crate) async fn listen(
    plan: SubscriptionPlan<'_>,
    mut closing: watch::Receiver<bool>,
    call: Call,
) -> Result<Reply, ErrorObject> {
    let id = call.id().clone();
    let opening = plan
        .parts
        .iter()
        .map(|part| open(part.upstream, part.call.clone(), plan.open_timeout));
    let opened = join_all(opening).await;
    let own_lists = if plan.late_changes.is_some() {
        requested_lists(&call)
    } else {
        JsonObject::new()
    };
    let acknowledged = match plan.failure {
        Some(failure) if opened.is_empty() => return Err(failure),
        _ => merge_acknowledgements(&call, &opened, own_lists)?,
    };
    let filter = Arc::new(granted_filter(&acknowledged));
    let feeds = opened.into_iter().zip(plan.parts).filter_map(
        |(outcome, SubscriptionPart { upstream, call })| {
            let stream = match outcome {
                OpenOutcome::Acknowledged(_, stream) => Some(stream),
                OpenOutcome::Failed(_) | OpenOutcome::TimedOut(_) => None,
                OpenOutcome::Refused(_) => return None,
            };
            let feed = UpstreamFeed::new(
                upstream.clone(),
                call,
                Arc::clone(&filter),
                plan.open_timeout,
                stream,
            );
            Some(Box::pin(feed.into_stream()) as NotificationStream)
        },
    );
    let late_changes = plan.late_changes.map(|changes| {
        Box::pin(changes.notifications(id.clone(), Arc::clone(&filter))) as NotificationStream
    });
    let notifications = select_all(feeds.chain(late_changes));
    let closed = async move {
        if closing.wait_for(|closing| *closing).await.is_err() {
            // The gateway was dropped without closing; the subscription goes on.
            std::future::pending().await
        }
    };
    let response = closing_response(&id);
    let messages = once(async { acknowledged })
        .chain(notifications.take_until(Box::pin(closed)))
        .map(|notification| Ok(Message::Notification(notification)))
        .chain(once(async { Ok(Message::Response(response)) }));
    Ok(Reply::Stream(Box::pin(messages)))
}
