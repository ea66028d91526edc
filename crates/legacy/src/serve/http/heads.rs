//! The heads of requests and responses.

use bytes::Bytes;
use carryall_proto::headers::MCP_PROTOCOL_VERSION;
use carryall_proto::{Outcome, Response, encode_error, wire};
use carryall_transport::http::ReplyBody;
use carryall_types::{ErrorObject, ProtocolVersion, RequestId, code};
use futures_core::Stream;
use http::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

pub(super) type HttpResponse = http::Response<ReplyBody>;

pub(super) static MCP_SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
pub(super) static LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
static X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream");

/// An answer that carries no message: an error without id.
pub(super) fn refused(status: StatusCode, why: impl Into<String>) -> HttpResponse {
    refused_request(status, None, why)
}

/// As [`refused`], for a request whose id is known.
pub(super) fn refused_request(
    status: StatusCode,
    id: Option<&RequestId>,
    why: impl Into<String>,
) -> HttpResponse {
    let error = ErrorObject::new(code::INVALID_REQUEST, why.into());
    let mut response = json(encode_error(id, &error).into_bytes());
    *response.status_mut() = status;
    match status {
        StatusCode::METHOD_NOT_ALLOWED => {
            response.headers_mut().insert(
                ALLOW,
                HeaderValue::from_static("GET, POST, DELETE, OPTIONS"),
            );
        }
        StatusCode::SERVICE_UNAVAILABLE => {
            response
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        _ => {}
    }
    response
}

pub(super) fn json(text: Bytes) -> HttpResponse {
    let mut response = HttpResponse::new(ReplyBody::full(text));
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

/// The response to one request. Errors are 200 on this binding, but for those about access, whose
/// status is what clients act upon.
pub(super) fn answered(answer: &Response) -> HttpResponse {
    let mut response = json(answer.encode().into_bytes());
    if let Outcome::Error(error) = &answer.outcome
        && let Some(status) = wire::access_status(error.code)
    {
        *response.status_mut() = status;
    }
    response
}

pub(super) fn empty(status: StatusCode) -> HttpResponse {
    let mut response = HttpResponse::new(ReplyBody::full(Bytes::new()));
    *response.status_mut() = status;
    response
}

pub(super) fn event_stream(text: impl Stream<Item = Bytes> + Send + 'static) -> HttpResponse {
    let mut response = HttpResponse::new(ReplyBody::stream(text));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, EVENTS);
    headers.insert(
        CACHE_CONTROL,
        HeaderValue::from_static("no-cache, no-transform"),
    );
    // Without it a proxy may hold events back until its buffer is full.
    headers.insert(&X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
    response
}

/// Whether the client takes each of these types. One that says nothing takes everything.
pub(super) fn accepts(headers: &HeaderMap, wanted: &[&str]) -> bool {
    let values: Vec<_> = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .collect();
    let offered = || {
        values
            .iter()
            .flat_map(|value| value.split(','))
            .map(|item| item.split(';').next().unwrap_or(item).trim())
    };
    let takes = |wanted: &str| {
        let group = wanted.split('/').next().unwrap_or_default();
        offered().any(|offered| {
            offered == "*/*"
                || offered.eq_ignore_ascii_case(wanted)
                || offered
                    .strip_suffix("/*")
                    .is_some_and(|offered| offered.eq_ignore_ascii_case(group))
        })
    };
    values.is_empty() || wanted.iter().all(|wanted| takes(wanted))
}

/// What `MCP-Protocol-Version` says.
pub(super) enum Named {
    Nothing,
    Legacy(ProtocolVersion),
    Modern,
    /// No version that is known here.
    Unknown,
}

pub(super) fn named_version(headers: &HeaderMap) -> Named {
    match headers
        .get(&MCP_PROTOCOL_VERSION)
        .map(|value| value.to_str().ok().and_then(|text| text.parse().ok()))
    {
        None => Named::Nothing,
        Some(None) => Named::Unknown,
        Some(Some(version)) if ProtocolVersion::is_modern(version) => Named::Modern,
        Some(Some(version)) => Named::Legacy(version),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_has_to_accept_both_types() {
        let accept = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, value.parse().unwrap());
            accepts(&headers, &["application/json", "text/event-stream"])
        };
        for good in [
            "application/json, text/event-stream",
            "text/event-stream;q=0.5,APPLICATION/json; charset=utf-8",
            "*/*",
            "application/*, text/*",
            "text/html, */*;q=0.8",
        ] {
            assert!(accept(good), "{good}");
        }
        for bad in [
            "application/json",
            "text/event-stream",
            "application/*",
            "text/html",
            "application/jsonx, text/event-stream",
        ] {
            assert!(!accept(bad), "{bad}");
        }
        assert!(accepts(&HeaderMap::new(), &["text/event-stream"]));
    }
}
