//! Asks the service for its name and capabilities.

use super::exchange::RequestContext;
use super::negotiated::{Negotiated, modern_call};
use carryall_proto::{Message, Outcome, ParamsWriter, PrintableFmt, Reply, SharedService};
use carryall_types::{DiscoverResult, ErrorObject, JsonObject, Method, RequestId, code};
use futures_util::StreamExt as _;

/// Calls `server/discover`.
pub(crate) async fn discover(
    service: &SharedService,
    negotiated: &Negotiated,
    context: &RequestContext,
) -> Result<DiscoverResult, ErrorObject> {
    let call = modern_call(
        RequestId::from(0),
        Method::ServerDiscover,
        &ParamsWriter::new().finish(),
        negotiated.meta(None, None, &JsonObject::new()),
        context,
    );
    let outcome = match service.answer(call).await {
        Ok(Reply::Once(response)) => Some(response.outcome),
        Ok(Reply::Stream(mut messages)) => loop {
            match messages.next().await {
                Some(Ok(Message::Response(response))) => break Some(response.outcome),
                Some(Ok(Message::Notification(_))) => {}
                Some(Err(_)) | None => break None,
            }
        },
        Err(error) => {
            tracing::error!(%error, "server/discover failed");
            None
        }
    };
    match outcome {
        Some(Outcome::Result(result)) => result.decode().map_err(|error| {
            tracing::error!(error = %PrintableFmt(&error), "invalid server/discover result");
            ErrorObject::internal()
        }),
        Some(Outcome::Error(error)) => Err(error),
        None => Err(ErrorObject::new(
            code::INTERNAL_ERROR,
            "The server behind this endpoint does not answer",
        )),
    }
}
