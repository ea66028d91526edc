//! The response to a call that its service did not answer.

use carryall_proto::{CallError, Response};
use carryall_types::{ErrorObject, RequestId};

/// Returns an internal error. The cause is logged and not sent.
pub(crate) fn internal_error(id: RequestId, error: &CallError) -> Response {
    tracing::error!(%id, %error, "the service did not answer");
    Response::error(id, ErrorObject::internal())
}
