//! HTTP responses of the legacy bindings.

use bytes::Bytes;
use carryall_proto::{Outcome, Response, encode_error, wire};
use carryall_transport::http::ReplyBody;
use carryall_types::{ErrorObject, RequestId, code};
use futures_core::Stream;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, StatusCode};

pub(crate) type LegacyResponse = http::Response<ReplyBody>;

static X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream");

/// Refuses an HTTP request with a JSON-RPC error that has no id.
pub(crate) fn refuse(status: StatusCode, why: impl Into<String>) -> LegacyResponse {
    refuse_request(status, None, why)
}

/// Refuses the JSON-RPC request `id`.
pub(crate) fn refuse_request(
    status: StatusCode,
    id: Option<&RequestId>,
    why: impl Into<String>,
) -> LegacyResponse {
    let error = ErrorObject::new(code::INVALID_REQUEST, why.into());
    let mut response = json(encode_error(id, &error).into_bytes());
    *response.status_mut() = status;
    let header = match status {
        StatusCode::METHOD_NOT_ALLOWED => (ALLOW, "GET, POST, DELETE, OPTIONS"),
        StatusCode::SERVICE_UNAVAILABLE => (RETRY_AFTER, "1"),
        _ => return response,
    };
    response
        .headers_mut()
        .insert(header.0, HeaderValue::from_static(header.1));
    response
}

/// Refuses a request for lack of room.
pub(crate) fn busy() -> LegacyResponse {
    refuse(
        StatusCode::SERVICE_UNAVAILABLE,
        "Too many requests are in flight here: try again soon",
    )
}

/// Refuses a session id. Expired, ended, foreign and forged ids are not told apart, so that nothing
/// is disclosed.
pub(crate) fn unknown_session() -> LegacyResponse {
    refuse(
        StatusCode::NOT_FOUND,
        "There is no such session: send initialize to open a new one",
    )
}

pub(crate) fn json(text: Bytes) -> LegacyResponse {
    let mut response = LegacyResponse::new(ReplyBody::full(text));
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

/// Returns the answer to one request. Errors have status 200 on this binding, except those about
/// access, whose status clients act upon.
pub(crate) fn rpc_response(answer: &Response) -> LegacyResponse {
    let mut response = json(answer.encode().into_bytes());
    if let Outcome::Error(error) = &answer.outcome
        && let Some(status) = wire::access_status(error.code)
    {
        *response.status_mut() = status;
    }
    response
}

pub(crate) fn empty(status: StatusCode) -> LegacyResponse {
    let mut response = LegacyResponse::new(ReplyBody::full(Bytes::new()));
    *response.status_mut() = status;
    response
}

pub(crate) fn event_stream(text: impl Stream<Item = Bytes> + Send + 'static) -> LegacyResponse {
    let mut response = LegacyResponse::new(ReplyBody::stream(text));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, EVENT_STREAM);
    headers.insert(
        CACHE_CONTROL,
        HeaderValue::from_static("no-cache, no-transform"),
    );
    // Without this a proxy may hold events back until its buffer is full.
    headers.insert(&X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
    response
}
