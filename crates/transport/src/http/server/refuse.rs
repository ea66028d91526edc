//! Responses to what never becomes a call.

use super::ReplyBody;
use carryall_proto::encode_error;
use carryall_types::{ErrorObject, code};
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Response, StatusCode};

pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Why a request is refused before its body is looked at.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    status: StatusCode,
    why: String,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, why: impl Into<String>) -> Self {
        Self { status, why: why.into() }
    }

    /// A JSON-RPC error without id, which the specification allows for each of these
    /// (`basic/transports/streamable-http#sending-messages`).
    pub(super) fn response(self) -> Response<ReplyBody> {
        let error = ErrorObject::new(code::INVALID_REQUEST, self.why);
        let mut response = Response::new(ReplyBody::once(encode_error(None, &error)));
        *response.status_mut() = self.status;
        response.headers_mut().insert(CONTENT_TYPE, JSON);
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST, OPTIONS"));
        }
        response
    }
}

/// GET opened a stream and DELETE ended a session in earlier revisions; neither exists any more
/// (`basic/transports/streamable-http#earlier-streamable-http-revisions`).
pub(super) fn method_not_allowed(method: &Method) -> Refusal {
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, format!("{method} is not supported here: POST one JSON-RPC message"))
}

pub(super) fn not_found(path: &str, endpoint: &str) -> Response<ReplyBody> {
    let text = format!("There is nothing at {path}. The MCP endpoint of this server is {endpoint}\n");
    let mut response = Response::new(ReplyBody::once(text.into_bytes().into()));
    *response.status_mut() = StatusCode::NOT_FOUND;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
