//! Asks the service for its name and capabilities.

use super::exchange::RequestContext;
use super::negotiated::modern_call;
use carryall_proto::{Meta, Outcome, Params, PrintableFmt, SharedService};
use carryall_types::{DiscoverResult, ErrorObject, Method, RequestId, code};

/// Calls `server/discover`.
pub(crate) async fn discover(
    service: &SharedService,
    meta: Meta,
    context: &RequestContext,
) -> Result<DiscoverResult, ErrorObject> {
    let id = RequestId::from(0);
    let call = modern_call(id, Method::ServerDiscover, Params::empty(), meta, context);
    let response = async { service.answer(call).await?.into_response().await };
    let outcome = response.await.map_err(|error| {
        tracing::error!(%error, "server/discover failed");
        ErrorObject::new(
            code::INTERNAL_ERROR,
            "The server behind this endpoint does not answer",
        )
    });
    match outcome?.outcome {
        Outcome::Result(result) => result.decode().map_err(|error| {
            tracing::error!(error = %PrintableFmt(&error), "invalid server/discover result");
            ErrorObject::internal()
        }),
        Outcome::Error(error) => Err(error),
    }
}
