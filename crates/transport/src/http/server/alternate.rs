//! Another protocol behind the same door, such as the earlier revisions of this one.

use super::ReplyBody;
use bytes::Bytes;
use carryall_proto::BoxFuture;
use carryall_proto::headers::MCP_PROTOCOL_VERSION;
use carryall_types::ProtocolVersion;
use http::{HeaderMap, Request, Response};
use std::fmt;

/// What answers requests that are not of this revision. The host, the origin and the size of the body have been checked;
/// on POST the media type too.
pub trait Alternate: fmt::Debug + Send + Sync {
    /// Whether this path belongs to it, besides that of the endpoint. GET, DELETE and undecided POSTs on the endpoint's
    /// path come to it without being asked.
    fn owns(&self, _path: &str) -> bool {
        false
    }

    /// Whether it takes a POST to the endpoint whose headers name no modern version and whose body does not either.
    fn takes(&self, headers: &HeaderMap, body: &Bytes) -> bool;

    /// Answers. Dropping the future, or the body of the response, means that the client is gone.
    fn answer(&self, request: Request<Bytes>) -> BoxFuture<Response<ReplyBody>>;
}

/// Whether the head alone says that a POST is of this era: it names a version, and not one with a handshake. What names an
/// unknown version is of this era too, and learns there which ones are known (`basic/versioning`).
pub(super) fn is_modern(headers: &HeaderMap) -> bool {
    let version = headers.get(&MCP_PROTOCOL_VERSION).and_then(|value| value.to_str().ok());
    version.is_some_and(|version| version.parse::<ProtocolVersion>().map_or(true, ProtocolVersion::is_modern))
}
