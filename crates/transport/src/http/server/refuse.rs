//! Responses to what never becomes a call.

use super::ReplyBody;
use carryall_proto::encode_error;
use carryall_types::{ErrorObject, code};
use http::header::{ACCEPT_ENCODING, ALLOW, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Method, Response, StatusCode};

pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Why a request is refused before its body is looked at.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    status: StatusCode,
    why: String,
    /// What the response says besides.
    header: Option<(HeaderName, HeaderValue)>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, why: impl Into<String>) -> Self {
        Self {
            status,
            why: why.into(),
            header: None,
        }
    }

    /// A JSON-RPC error without id, which the specification allows for each of these
    /// (`basic/transports/streamable-http#sending-messages`).
    pub(super) fn response(self) -> Response<ReplyBody> {
        let error = ErrorObject::new(code::INVALID_REQUEST, self.why);
        let mut response = Response::new(ReplyBody::once(encode_error(None, &error)));
        *response.status_mut() = self.status;
        response.headers_mut().insert(CONTENT_TYPE, JSON);
        if let Some((name, value)) = self.header {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

/// GET opened a stream and DELETE ended a session in earlier revisions; neither exists any more
/// (`basic/transports/streamable-http#earlier-streamable-http-revisions`).
pub(super) fn method_not_allowed(method: &Method) -> Refusal {
    let why = format!("{method} is not supported here: POST one JSON-RPC message");
    let header = Some((ALLOW, HeaderValue::from_static("POST, OPTIONS")));
    Refusal {
        header,
        ..Refusal::new(StatusCode::METHOD_NOT_ALLOWED, why)
    }
}

/// Nothing is decoded here, and a body that is taken for what it is not would be answered as
/// something else (RFC 9110, section 15.5.16).
pub(super) fn encoded() -> Refusal {
    let why = "Content-Encoding is not supported: send the body as it is";
    let header = Some((ACCEPT_ENCODING, HeaderValue::from_static("identity")));
    Refusal {
        header,
        ..Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, why)
    }
}

pub(super) fn not_found(path: &str, endpoint: &str) -> Response<ReplyBody> {
    let text =
        format!("There is nothing at {path}. The MCP endpoint of this server is {endpoint}\n");
    let mut response = Response::new(ReplyBody::once(text.into_bytes().into()));
    *response.status_mut() = StatusCode::NOT_FOUND;
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}
