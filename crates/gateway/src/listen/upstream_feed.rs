//! The notifications of one upstream for a subscription, across interruptions.

use super::filter::requested;
use super::open::{OpenOutcome, open};
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
/// A subscription that lasted this long resets the count of failures.
const STABLE_AFTER: Duration = Duration::from_secs(5);

/// The subscription at one upstream, which is opened again when it ends.
pub(super) struct UpstreamFeed {
    upstream: Upstream,
    call: Call,
    /// What the upstream was asked for.
    requested: SubscriptionFilter,
    /// What the client was granted.
    granted: Arc<SubscriptionFilter>,
    open_timeout: Duration,
    /// `None` while the subscription is to be opened.
    stream: Option<MessageStream>,
    opened_at: Instant,
    /// Consecutive failures.
    failures: u32,
    /// Changes that may have been missed during an interruption.
    missed: VecDeque<Notification>,
}

impl UpstreamFeed {
    pub(super) fn new(
        upstream: Upstream,
        call: Call,
        granted: Arc<SubscriptionFilter>,
        open_timeout: Duration,
        stream: Option<MessageStream>,
    ) -> Self {
        Self {
            requested: requested(&call),
            upstream,
            call,
            granted,
            open_timeout,
            failures: u32::from(stream.is_none()),
            stream,
            opened_at: Instant::now(),
            missed: VecDeque::new(),
        }
    }

    /// Returns the notifications for the client. Never ends.
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
                self.reopen().await;
                continue;
            };
            match stream.next().await {
                Some(Ok(Message::Notification(notification))) if self.is_granted(&notification) => {
                    return notification;
                }
                Some(Ok(Message::Notification(_))) => {}
                // Closed gracefully or not: the client's subscription goes on.
                Some(Ok(Message::Response(_)) | Err(_)) | None => self.interrupted(),
            }
        }
    }

    fn interrupted(&mut self) {
        tracing::info!(
            upstream = self.upstream.name(),
            "the subscription ended; opening it again"
        );
        self.stream = None;
        self.failures = if self.opened_at.elapsed() >= STABLE_AFTER {
            0
        } else {
            self.failures.saturating_add(1)
        };
    }

    async fn reopen(&mut self) {
        // No delay after the first failure: another replica may be available.
        if let Some(attempt) = self.failures.checked_sub(1) {
            sleep(BACKOFF.delay(attempt, crate::random::bits())).await;
        }
        self.opened_at = Instant::now();
        match open(&self.upstream, self.call.clone(), self.open_timeout).await {
            OpenOutcome::Acknowledged(_, stream) => {
                self.stream = Some(stream);
                self.missed = self.all_changes();
            }
            OpenOutcome::Refused(error)
            | OpenOutcome::Failed(error)
            | OpenOutcome::TimedOut(error) => {
                tracing::debug!(upstream = self.upstream.name(), %error, "cannot open the subscription");
                self.failures = self.failures.saturating_add(1);
            }
        }
    }

    /// Returns notifications of all changes that may have been missed.
    fn all_changes(&self) -> VecDeque<Notification> {
        let lists = [
            (self.granted.wants_tools(), Change::Tools),
            (self.granted.wants_prompts(), Change::Prompts),
            (self.granted.wants_resources(), Change::Resources),
        ];
        let lists = lists
            .into_iter()
            .filter_map(|(granted, change)| granted.then_some(change));
        let resources = self
            .granted
            .resource_uris()
            .iter()
            .map(|uri| Change::Resource(uri.as_str().into()));
        let changes = lists
            .chain(resources)
            .filter(|change| matches(&self.requested, change));
        changes
            .map(|change| change.notification(self.call.id()))
            .collect()
    }

    /// Returns whether the client was granted a notification. The upstream may have been added
    /// after the acknowledgement, or send more than it was asked for. Methods unknown to the
    /// gateway pass if the filters name them, as extensions do.
    fn is_granted(&self, notification: &Notification) -> bool {
        let change = match &*notification.method {
            notification::TOOLS_LIST_CHANGED => Change::Tools,
            notification::PROMPTS_LIST_CHANGED => Change::Prompts,
            notification::RESOURCES_LIST_CHANGED => Change::Resources,
            notification::RESOURCE_UPDATED => match string_param(notification, "uri") {
                Some(uri) => Change::Resource(uri.into()),
                None => return false,
            },
            task_method::CHANGED => match string_param(notification, "taskId") {
                Some(id) => Change::Task(TaskChange {
                    id: id.into(),
                    task: RawJson::NULL,
                }),
                None => return false,
            },
            method => {
                return [&self.requested, &*self.granted]
                    .iter()
                    .all(|filter| filter.extra.contains_key(method));
            }
        };
        matches(&self.requested, &change) && matches(&self.granted, &change)
    }
}

fn string_param(notification: &Notification, member: &str) -> Option<String> {
    let params: JsonObject = notification.params.as_ref()?.decode().ok()?;
    params
        .get(member)
        .and_then(JsonValue::as_str)
        .map(str::to_owned)
}
