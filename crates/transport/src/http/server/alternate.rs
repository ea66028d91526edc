//! Another protocol behind the same door, such as the earlier revisions of this one.

use super::ReplyBody;
use bytes::Bytes;
use carryall_proto::BoxFuture;
use http::{HeaderMap, Request, Response};
use std::fmt;

/// What answers requests that are not of this revision. The host, the origin and the size of the
/// body have been checked; on POST the media type too.
pub trait FallbackProtocol: fmt::Debug + Send + Sync {
    /// Whether this path belongs to it, besides that of the endpoint. GET, DELETE and undecided
    /// POSTs on the endpoint's path come to it without being asked.
    fn owns(&self, _path: &str) -> bool {
        false
    }

    /// Whether it takes a POST to the endpoint whose headers name no modern version and whose body
    /// does not either.
    fn takes(&self, headers: &HeaderMap, body: &Bytes) -> bool;

    /// Answers. The extensions of the request have the [`CallSource`](carryall_proto::CallSource),
    /// if it is known. Dropping the future, or the body of the response, means that the client is
    /// gone.
    fn answer(&self, request: Request<Bytes>) -> BoxFuture<Response<ReplyBody>>;

    /// The server is shutting down: ends the streams that would otherwise last until their clients
    /// leave, and opens no new ones. Other requests are still answered.
    fn close(&self) {}
}
