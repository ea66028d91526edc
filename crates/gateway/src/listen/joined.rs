//! Changes that no upstream tells of, because they are the gateway's: a list has got a part that
//! was missing.

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

/// How often each list has got a part that was missing. Cheap to clone; clones are the same.
#[derive(Clone)]
pub(crate) struct LateListChanges(Arc<watch::Sender<Counts>>);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    tools: u64,
    prompts: u64,
    resources: u64,
    last: Option<Instant>,
}

/// A client lists first and listens then. What has joined so shortly before it listens may have
/// joined in between.
const RECENT: Duration = Duration::from_secs(60);

impl Default for LateListChanges {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(Counts::default())))
    }
}

impl LateListChanges {
    /// An upstream that was left out of the answer to `method` has an answer now.
    pub(crate) fn tell(&self, method: &Method) {
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

    /// What the subscription `id` is to be told of that, from now on. Never ends.
    pub(super) fn changes(
        &self,
        id: RequestId,
        filter: Arc<SubscriptionFilter>,
    ) -> impl Stream<Item = Notification> + Send + use<> {
        let mut counts = self.0.subscribe();
        let mut seen = *counts.borrow_and_update();
        if seen.last.is_some_and(|last| last.elapsed() < RECENT) {
            seen = Counts::default();
            counts.mark_changed();
        }
        unfold(
            (counts, seen, VecDeque::new()),
            move |(mut counts, mut seen, mut changes)| {
                let (id, filter) = (id.clone(), Arc::clone(&filter));
                async move {
                    loop {
                        if let Some(change) = changes.pop_front() {
                            let notification = Change::notification(&change, &id);
                            return Some((notification, (counts, seen, changes)));
                        }
                        if counts.changed().await.is_err() {
                            // The gateway is gone without having said so; who holds the stream
                            // still listens.
                            return std::future::pending().await;
                        }
                        let now = *counts.borrow_and_update();
                        let changed = [
                            (now.tools != seen.tools, Change::Tools),
                            (now.prompts != seen.prompts, Change::Prompts),
                            (now.resources != seen.resources, Change::Resources),
                        ];
                        let changed = changed
                            .into_iter()
                            .filter_map(|(is, change)| is.then_some(change));
                        changes.extend(changed.filter(|change| matches(&filter, change)));
                        seen = now;
                    }
                }
            },
        )
    }
}
