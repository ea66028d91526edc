//! A client's handlers, for adapters to servers that ask on their own instead of in rounds.

use crate::handlers::Handlers;
use carryall_proto::BoxFuture;
use carryall_types::{
    ClientCapabilities, ElicitRequestParams, ErrorObject, Implementation, InputRequest, RawJson,
    code,
};

/// Answers questions with the handlers of one client; see
/// [`ClientBuilder::input_responder`](crate::ClientBuilder::input_responder).
#[derive(Clone, Debug)]
pub struct InputResponder {
    handlers: Handlers,
    capabilities: ClientCapabilities,
    info: Implementation,
}

impl InputResponder {
    pub(crate) fn new(
        handlers: Handlers,
        mut capabilities: ClientCapabilities,
        info: Option<Implementation>,
    ) -> Self {
        handlers.declare(&mut capabilities);
        let info = info.unwrap_or_else(|| Implementation::new("unnamed", "0"));
        Self {
            handlers,
            capabilities,
            info,
        }
    }

    /// Who the client says it is.
    #[must_use]
    pub fn info(&self) -> &Implementation {
        &self.info
    }

    /// What the client declares.
    #[must_use]
    pub fn capabilities(&self) -> &ClientCapabilities {
        &self.capabilities
    }

    /// The answer to a question, as it goes to the server; `None` when no handler is there for it.
    /// An error is what the server is told: that there is no answer, not why. Dropping the future
    /// withdraws the question.
    #[must_use]
    pub fn answer(
        &self,
        question: InputRequest,
    ) -> Option<BoxFuture<Result<RawJson, ErrorObject>>> {
        if !self.has_handler(&question) {
            return None;
        }
        let handlers = self.handlers.clone();
        Some(Box::pin(async move {
            handlers.provide("question", question).await.map_err(|error| {
                tracing::warn!(error = %carryall_proto::PrintableFmt(&error), "a question of the server's has no answer");
                ErrorObject::new(code::INTERNAL_ERROR, "The client could not answer")
            })
        }))
    }

    fn has_handler(&self, question: &InputRequest) -> bool {
        let handlers = &self.handlers;
        match question {
            InputRequest::Elicit(ElicitRequestParams::Form(_)) => handlers.form.is_some(),
            InputRequest::Elicit(ElicitRequestParams::Url(_)) => handlers.url.is_some(),
            InputRequest::CreateMessage(params) => {
                handlers.sample.is_some() && (handlers.sample_with_tools || !params.uses_tools())
            }
            InputRequest::ListRoots(_) => handlers.roots.is_some(),
        }
    }
}
