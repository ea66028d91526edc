//! Several upstreams as one server.

mod discover;
mod extensions;
mod fan_out;
mod faults;
mod late;
mod lists;
mod refresh;
mod resource_index;
mod route;
mod subscribe;

use crate::listen::LateListChanges;
use crate::upstream::Upstream;
use carryall_proto::{Call, Reply, Response};
use carryall_types::{ErrorObject, Implementation, Method};
use late::Late;
use resource_index::ResourceIndex;
use std::time::Duration;

/// The upstreams as one server.
pub(crate) struct Federation {
    upstreams: Vec<Upstream>,
    info: Implementation,
    /// For each upstream's part of an answer.
    patience: Duration,
    resources: ResourceIndex,
    late: Late,
}

impl Federation {
    pub(crate) fn new(upstreams: Vec<Upstream>, info: Implementation, patience: Duration) -> Self {
        let resources = ResourceIndex::new(upstreams.len());
        Self {
            upstreams,
            info,
            patience,
            resources,
            late: Late::default(),
        }
    }

    /// Answers any call but `subscriptions/listen`.
    pub(crate) async fn answer(&self, mut call: Call) -> Result<Reply, ErrorObject> {
        extensions::limit(&mut call);
        let id = call.id().clone();
        let result = match call.method() {
            Method::ServerDiscover => self.discover(&call).await,
            Method::ToolsList
            | Method::PromptsList
            | Method::ResourcesList
            | Method::ResourcesTemplatesList => self.list(&call).await,
            Method::ToolsCall | Method::PromptsGet => return self.by_name(call).await,
            Method::ResourcesRead => return self.read(call).await,
            Method::CompletionComplete => return self.complete(call).await,
            // Which of several upstreams an extension's method is for, nothing says. None is
            // advertised.
            Method::SubscriptionsListen | Method::Other(_) => {
                return Err(ErrorObject::method_not_found(call.method().as_str()));
            }
        };
        result.map(|result| Reply::Once(Response::result(id, result)))
    }

    /// Follows upstreams that were left out of an answer until they have one. For as long as it is
    /// polled; never completes.
    pub(crate) async fn follow_late(&self) {
        self.late.follow().await;
    }

    /// What has joined the lists that was missing, for listeners.
    pub(crate) fn joined(&self) -> &LateListChanges {
        self.late.joined()
    }

    fn upstream(&self, name: &str) -> Option<&Upstream> {
        self.upstreams
            .iter()
            .find(|upstream| upstream.name() == name)
    }

    fn position(&self, upstream: &Upstream) -> usize {
        self.upstreams
            .iter()
            .position(|known| known.name() == upstream.name())
            .unwrap_or(usize::MAX)
    }
}
