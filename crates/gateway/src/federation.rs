//! Several upstreams as one server.

mod discover;
mod extensions;
mod fan_out;
mod late_answers;
mod lists;
mod malformed;
mod refresh;
mod resource_index;
mod route;
mod subscribe;

use crate::listen::LateListChanges;
use crate::upstream::Upstream;
use carryall_proto::{Call, Reply, Response};
use carryall_types::{ErrorObject, Implementation, Method};
use late_answers::LateAnswers;
use resource_index::ResourceIndex;
use std::time::Duration;

/// Several upstreams as one server.
pub(crate) struct Federation {
    upstreams: Vec<Upstream>,
    info: Implementation,
    /// How long each upstream may take for its part of an answer.
    timeout: Duration,
    resources: ResourceIndex,
    late_answers: LateAnswers,
}

impl Federation {
    pub(crate) fn new(upstreams: Vec<Upstream>, info: Implementation, timeout: Duration) -> Self {
        let resources = ResourceIndex::new(upstreams.len());
        Self {
            upstreams,
            info,
            timeout,
            resources,
            late_answers: LateAnswers::default(),
        }
    }

    /// Answers any call except `subscriptions/listen`.
    pub(crate) async fn answer(&self, mut call: Call) -> Result<Reply, ErrorObject> {
        extensions::remove_unroutable(&mut call);
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
            // Nothing says which upstream an extension's method is for, so none is advertised.
            Method::SubscriptionsListen | Method::Other(_) => {
                return Err(ErrorObject::method_not_found(call.method().as_str()));
            }
        };
        result.map(|result| Reply::Once(Response::result(id, result)))
    }

    /// Awaits the answers of upstreams that were left out. Never completes.
    pub(crate) async fn follow_late_answers(&self) {
        self.late_answers.follow().await;
    }

    /// Returns the list changes caused by late answers.
    pub(crate) fn late_changes(&self) -> &LateListChanges {
        self.late_answers.changes()
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
