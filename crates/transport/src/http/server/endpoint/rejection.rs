//! Responses to requests that are rejected before they are decoded.

use super::ReplyBody;
use super::response::JSON;
use carryall_proto::encode_error;
use carryall_types::{ErrorObject, code};
use http::header::{ACCEPT_ENCODING, ALLOW, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Method, Response, StatusCode};

/// Why a request is rejected.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct HttpRejection {
    status: StatusCode,
    message: String,
    /// A header of the response that says what would be accepted.
    header: Option<(HeaderName, HeaderValue)>,
}

impl HttpRejection {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            header: None,
        }
    }

    /// GET opened a stream and DELETE ended a session in earlier revisions; this one has neither
    /// (`basic/transports/streamable-http#earlier-streamable-http-revisions`).
    pub(super) fn method_not_allowed(method: &Method) -> Self {
        let message = format!("{method} is not supported here: POST one JSON-RPC message");
        let header = Some((ALLOW, HeaderValue::from_static("POST, OPTIONS")));
        Self {
            header,
            ..Self::new(StatusCode::METHOD_NOT_ALLOWED, message)
        }
    }

    /// Bodies are not decompressed (RFC 9110, section 15.5.16).
    pub(super) fn unsupported_encoding() -> Self {
        let message = "Content-Encoding is not supported: send the body as it is";
        let header = Some((ACCEPT_ENCODING, HeaderValue::from_static("identity")));
        Self {
            header,
            ..Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message)
        }
    }

    pub(super) fn body_too_large(max: usize) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("The body is larger than {max} bytes"),
        )
    }

    /// Returns a JSON-RPC error without id, which the specification allows for each of these
    /// (`basic/transports/streamable-http#sending-messages`).
    pub(super) fn into_response(self) -> Response<ReplyBody> {
        let error = ErrorObject::new(code::INVALID_REQUEST, self.message);
        let mut response = Response::new(ReplyBody::once(encode_error(None, &error)));
        *response.status_mut() = self.status;
        response.headers_mut().insert(CONTENT_TYPE, JSON);
        if let Some((name, value)) = self.header {
            response.headers_mut().insert(name, value);
        }
        response
    }
}
