//! What one upstream tells a subscription, across breaks.

use super::{Opened, open};
use crate::upstream::Upstream;
use carryall_proto::backoff::Backoff;
use carryall_proto::listen::{Change, TaskChange, matches};
use carryall_proto::{Call, Message, MessageStream, Notification};
use carryall_types::{
    JsonObject, JsonValue, RawJson, SubscriptionFilter, notification, task_method,
};
use futures_core::Stream;
use futures_util::StreamExt as _;
use futures_util::stream::unfold;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

const BACKOFF: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30));
/// A subscription that has lasted this long is no failed attempt.
const LASTED: Duration = Duration::from_secs(5);

pub(super) struct UpstreamFeed {
    upstream: Upstream,
    call: Call,
    requested: SubscriptionFilter,
    /// What the client was promised.
    filter: Arc<SubscriptionFilter>,
    patience: Duration,
    stream: Option<MessageStream>,
    since: Instant,
    /// Breaks in a row.
    breaks: u32,
    /// What may have happened while nobody listened.
    missed: VecDeque<Notification>,
}

impl UpstreamFeed {
    pub(super) fn new(
        upstream: Upstream,
        call: Call,
        filter: Arc<SubscriptionFilter>,
        patience: Duration,
        stream: Option<MessageStream>,
    ) -> Self {
        let (breaks, requested) = (u32::from(stream.is_none()), requested(&call));
        Self {
            upstream,
            call,
            requested,
            filter,
            patience,
            stream,
            since: Instant::now(),
            breaks,
            missed: VecDeque::new(),
        }
    }

    /// What the client is to be told. Never ends.
    pub(super) fn into_stream(self) -> impl Stream<Item = Notification> + Send {
        unfold(
            self,
            |mut feed| async move { Some((feed.next().await, feed)) },
        )
    }

    async fn next(&mut self) -> Notification {
        loop {
            if let Some(missed) = self.missed.pop_front() {
                return missed;
            }
            let Some(stream) = &mut self.stream else {
                self.listen_again().await;
                continue;
            };
            match stream.next().await {
                Some(Ok(Message::Notification(notification))) if self.is_wanted(&notification) => {
                    return notification;
                }
                Some(Ok(Message::Notification(_))) => {}
                // Closed in good order or not: the client's subscription goes on.
                Some(Ok(Message::Response(_)) | Err(_)) | None => self.broke(),
            }
        }
    }

    fn broke(&mut self) {
        tracing::info!(
            upstream = self.upstream.name(),
            "the subscription ended; listening again"
        );
        self.stream = None;
        self.breaks = if self.since.elapsed() >= LASTED {
            0
        } else {
            self.breaks.saturating_add(1)
        };
    }

    async fn listen_again(&mut self) {
        // After the first break another replica may be there at once.
        if let Some(attempt) = self.breaks.checked_sub(1) {
            sleep(BACKOFF.delay(attempt, crate::random::bits())).await;
        }
        self.since = Instant::now();
        match open(&self.upstream, self.call.clone(), self.patience).await {
            Opened::Listens(_, stream) => {
                self.stream = Some(stream);
                self.missed = self.all_changes();
            }
            Opened::Refuses(error) | Opened::Fails(error) | Opened::Late(error) => {
                tracing::debug!(upstream = self.upstream.name(), %error, "cannot listen");
                self.breaks = self.breaks.saturating_add(1);
            }
        }
    }

    /// Nobody knows what changed in the meantime. To look again is cheap; to miss a change is not.
    fn all_changes(&self) -> VecDeque<Notification> {
        let lists = [
            (self.filter.wants_tools(), Change::Tools),
            (self.filter.wants_prompts(), Change::Prompts),
            (self.filter.wants_resources(), Change::Resources),
        ];
        let lists = lists
            .into_iter()
            .filter_map(|(wanted, change)| wanted.then_some(change));
        let resources = self
            .filter
            .resource_uris()
            .iter()
            .map(|uri| Change::Resource(uri.as_str().into()));
        let wanted = lists
            .chain(resources)
            .filter(|change| matches(&self.requested, change));
        wanted
            .map(|change| change.notification(self.call.id()))
            .collect()
    }

    /// The client gets what it asked for and was promised; the upstream may have joined after the
    /// acknowledgement, or be one that sends more than it should. Of methods that are not known
    /// here only those pass that the filter names, as extensions do.
    fn is_wanted(&self, notification: &Notification) -> bool {
        let change = match &*notification.method {
            notification::TOOLS_LIST_CHANGED => Change::Tools,
            notification::PROMPTS_LIST_CHANGED => Change::Prompts,
            notification::RESOURCES_LIST_CHANGED => Change::Resources,
            notification::RESOURCE_UPDATED => match member_of(notification, "uri") {
                Some(uri) => Change::Resource(uri.into()),
                None => return false,
            },
            task_method::CHANGED => match member_of(notification, "taskId") {
                Some(id) => Change::Task(TaskChange {
                    id: id.into(),
                    task: RawJson::NULL,
                }),
                None => return false,
            },
            method => {
                return [&self.requested, &*self.filter]
                    .iter()
                    .all(|filter| filter.extra.contains_key(method));
            }
        };
        matches(&self.requested, &change) && matches(&self.filter, &change)
    }
}

fn member_of(notification: &Notification, member: &str) -> Option<String> {
    let params: JsonObject = notification.params.as_ref()?.decode().ok()?;
    params
        .get(member)
        .and_then(JsonValue::as_str)
        .map(str::to_owned)
}

/// What the client asked for.
fn requested(call: &Call) -> SubscriptionFilter {
    call.params()
        .get("notifications")
        .and_then(|filter| filter.decode().ok())
        .unwrap_or_default()
}
