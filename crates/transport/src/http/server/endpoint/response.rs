//! HTTP responses to calls and other messages.

use super::ReplyBody;
use super::sse_body::SseBody;
use carryall_proto::validate::Rejection;
use carryall_proto::{Outcome, Response, wire};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, StatusCode};

pub(super) type EndpointResponse = http::Response<ReplyBody>;

pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json");
const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream");
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// A reply that consists of the response alone.
pub(super) fn single(reply: &Response) -> EndpointResponse {
    let status = match &reply.outcome {
        Outcome::Error(error) => wire::http_status(error.code),
        Outcome::Result(_) => StatusCode::OK,
    };
    with_type(ReplyBody::once(reply.encode()), status, JSON)
}

/// The error for a message that was not decoded.
pub(super) fn rejected(rejection: &Rejection) -> EndpointResponse {
    with_type(ReplyBody::once(rejection.encode()), rejection.status, JSON)
}

/// A reply that is a stream.
pub(super) fn event_stream(events: SseBody) -> EndpointResponse {
    let mut response = with_type(ReplyBody::events(events), StatusCode::OK, EVENT_STREAM);
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // Keeps proxies from holding events back until their buffers are full (`#receiving-messages`).
    headers.insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
    response
}

/// The response to a notification.
pub(super) fn accepted() -> EndpointResponse {
    let mut response = EndpointResponse::new(ReplyBody::empty());
    *response.status_mut() = StatusCode::ACCEPTED;
    response
}

/// The response for any path but that of the endpoint.
pub(super) fn not_found(path: &str, endpoint: &str) -> EndpointResponse {
    let text =
        format!("There is nothing at {path}. The MCP endpoint of this server is {endpoint}\n");
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    with_type(ReplyBody::full(text), StatusCode::NOT_FOUND, plain)
}

fn with_type(body: ReplyBody, status: StatusCode, content_type: HeaderValue) -> EndpointResponse {
    let mut response = EndpointResponse::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}
