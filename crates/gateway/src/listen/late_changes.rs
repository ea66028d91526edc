//! List changes that the gateway announces itself: an upstream that was left out of a merged list
//! has answered.

use carryall_proto::Notification;
use carryall_proto::listen::{Change, matches};
use carryall_types::{Method, RequestId, SubscriptionFilter};
use futures_core::Stream;
use futures_util::stream::unfold;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// A client lists first and subscribes then. A change this recent may have happened in between and
/// is announced to a new subscription.
const RECENT: Duration = Duration::from_secs(60);

/// Counts the changes of each list. Cheap to clone; clones share the counts.
#[derive(Clone)]
pub(crate) struct LateListChanges(Arc<watch::Sender<ChangeCounts>>);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct ChangeCounts {
    tools: u64,
    prompts: u64,
    resources: u64,
    last: Option<Instant>,
}

impl Default for LateListChanges {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(ChangeCounts::default())))
    }
}

impl LateListChanges {
    /// Announces that an upstream left out of the answer to `method` has answered.
    pub(crate) fn publish(&self, method: &Method) {
        self.0.send_modify(|counts| {
            let all = *method == Method::ServerDiscover;
            counts.tools += u64::from(all || *method == Method::ToolsList);
            counts.prompts += u64::from(all || *method == Method::PromptsList);
            let resources = matches!(
                method,
                Method::ResourcesList | Method::ResourcesTemplatesList
            );
            counts.resources += u64::from(all || resources);
            counts.last = Some(Instant::now());
        });
    }

    /// Returns the notifications for subscription `id` from now on. Never ends.
    pub(super) fn notifications(
        &self,
        id: RequestId,
        filter: Arc<SubscriptionFilter>,
    ) -> impl Stream<Item = Notification> + Send + use<> {
        let mut counts = self.0.subscribe();
        let mut seen = *counts.borrow_and_update();
        if seen.last.is_some_and(|last| last.elapsed() < RECENT) {
            seen = ChangeCounts::default();
            counts.mark_changed();
        }
        let subscriber = LateChangeSubscriber {
            id,
            filter,
            counts,
            seen,
            unread: VecDeque::new(),
        };
        unfold(subscriber, |mut subscriber| async move {
            Some((subscriber.next().await, subscriber))
        })
    }
}

/// One subscription to the changes.
struct LateChangeSubscriber {
    id: RequestId,
    filter: Arc<SubscriptionFilter>,
    counts: watch::Receiver<ChangeCounts>,
    seen: ChangeCounts,
    unread: VecDeque<Change>,
}

impl LateChangeSubscriber {
    async fn next(&mut self) -> Notification {
        loop {
            if let Some(change) = self.unread.pop_front() {
                return change.notification(&self.id);
            }
            if self.counts.changed().await.is_err() {
                // The gateway was dropped without closing; the subscription goes on.
                return std::future::pending().await;
            }
            let now = *self.counts.borrow_and_update();
            let changes = [
                (now.tools != self.seen.tools, Change::Tools),
                (now.prompts != self.seen.prompts, Change::Prompts),
                (now.resources != self.seen.resources, Change::Resources),
            ];
            let changes = changes
                .into_iter()
                .filter_map(|(changed, change)| changed.then_some(change));
            let filter = &self.filter;
            self.unread
                .extend(changes.filter(|change| matches(filter, change)));
            self.seen = now;
        }
    }
}
