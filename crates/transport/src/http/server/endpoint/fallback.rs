//! Another protocol at the same endpoint, such as earlier revisions of MCP.

use super::ReplyBody;
use bytes::Bytes;
use carryall_proto::BoxFuture;
use http::{HeaderMap, Request, Response};
use std::fmt;

/// Answers the requests that are not of this revision. `Host`, `Origin` and the size of the body
/// have been checked by then, and for POST the media types too.
pub trait FallbackProtocol: fmt::Debug + Send + Sync {
    /// Returns whether requests for `path` go to this protocol, besides those for the endpoint's
    /// own path. GET, DELETE and POST requests of unknown revision for the endpoint's path are
    /// offered in any case. Default: no path.
    fn owns(&self, _path: &str) -> bool {
        false
    }

    /// Returns whether this protocol answers a POST to the endpoint that names no modern version,
    /// in neither headers nor body.
    fn takes(&self, headers: &HeaderMap, body: &Bytes) -> bool;

    /// Answers a request. Its extensions contain the [`CallSource`](carryall_proto::CallSource), if
    /// that is known. Dropping the future, or the body of the response, means that the client is
    /// gone.
    fn answer(&self, request: Request<Bytes>) -> BoxFuture<Response<ReplyBody>>;

    /// Called when the server shuts down: ends the streams that would otherwise last as long as
    /// their clients, and opens no new ones. Other requests are still answered. Default: does
    /// nothing.
    fn close(&self) {}
}
