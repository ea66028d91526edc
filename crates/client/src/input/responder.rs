//! Answers server-initiated requests with a client's handlers.

use super::handlers::InputHandlers;
use carryall_proto::BoxFuture;
use carryall_types::{
    ClientCapabilities, ErrorObject, Implementation, InputRequest, RawJson, code,
};

/// Answers input requests with the handlers of one client, for adapters to servers of earlier
/// revisions, which send such requests on their own. See
/// [`ClientBuilder::input_responder`](crate::ClientBuilder::input_responder).
#[derive(Clone, Debug)]
pub struct InputResponder {
    handlers: InputHandlers,
    capabilities: ClientCapabilities,
    info: Implementation,
}

impl InputResponder {
    pub(crate) fn new(
        handlers: InputHandlers,
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

    /// Returns the name and version of the client.
    #[must_use]
    pub fn info(&self) -> &Implementation {
        &self.info
    }

    /// Returns the capabilities of the client, those of its handlers included.
    #[must_use]
    pub fn capabilities(&self) -> &ClientCapabilities {
        &self.capabilities
    }

    /// Answers an input request: the future resolves to the result or the error to send to the
    /// server. `None` if no handler is set for it. The error sent does not say why; the cause is
    /// logged. Dropping the future drops the handler's.
    #[must_use]
    pub fn answer(&self, request: InputRequest) -> Option<BoxFuture<Result<RawJson, ErrorObject>>> {
        if !self.handlers.can_handle(&request) {
            return None;
        }
        let handlers = self.handlers.clone();
        Some(Box::pin(async move {
            handlers.provide("request", request).await.map_err(|error| {
                tracing::warn!(error = %carryall_proto::PrintableFmt(&error), "a request of the server could not be answered");
                ErrorObject::new(code::INTERNAL_ERROR, "The client could not answer")
            })
        }))
    }
}
