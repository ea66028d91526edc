//! CORS: what browsers ask before a call, and need to see in its response.
//!
//! Written by hand instead of with `tower_http::cors`, because the decision by origin is made with
//! that on `Host`, and a preflight carries no credentials: no authorization layer may answer it.

use super::ReplyBody;
use carryall_proto::headers::{CORS_REQUEST_HEADERS, MCP_PARAM_PREFIX};
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS, ALLOW,
    VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};

/// Headers of earlier revisions that clients of both eras still send. They are ignored, but a
/// preflight that names them must succeed.
const IGNORED: [&str; 2] = ["mcp-session-id", "last-event-id"];
/// Response headers that pages may read. `mcp-session-id` is for clients of earlier revisions.
const EXPOSED: &str = "www-authenticate, retry-after, mcp-session-id, mcp-protocol-version";
/// Limit on `Mcp-Param-*` names allowed by one preflight.
const MAX_REQUESTED: usize = 64;

/// Returns the response to `OPTIONS`.
pub(super) fn preflight(
    request: &HeaderMap,
    origin: Option<HeaderValue>,
    has_fallback: bool,
) -> Response<ReplyBody> {
    let methods = HeaderValue::from_static(if has_fallback {
        "GET, POST, DELETE, OPTIONS"
    } else {
        "POST, OPTIONS"
    });
    let mut response = Response::new(ReplyBody::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(ALLOW, methods.clone());
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("7200"));
    if let Ok(allowed) = HeaderValue::try_from(allowed_headers(request)) {
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, allowed);
    }
    if let Some(origin) = origin {
        allow_origin(headers, origin);
    }
    response
}

/// Lets pages of `origin` read a response.
pub(super) fn allow_origin(headers: &mut HeaderMap, origin: HeaderValue) {
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(
        ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static(EXPOSED),
    );
    headers.insert(VARY, HeaderValue::from_static("origin"));
}

/// CORS has no wildcard for prefixes, so the `Mcp-Param-*` names that the page asks for are
/// repeated.
fn allowed_headers(request: &HeaderMap) -> String {
    let mut allowed = CORS_REQUEST_HEADERS.join(", ");
    let mut add = |name: &str| {
        allowed.push_str(", ");
        allowed.push_str(name);
    };
    IGNORED.into_iter().for_each(&mut add);
    let requested = request.get_all(ACCESS_CONTROL_REQUEST_HEADERS);
    let requested = requested
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    requested
        .map(|name| name.trim().to_ascii_lowercase())
        .filter(|name| {
            name.starts_with(MCP_PARAM_PREFIX) && HeaderName::from_bytes(name.as_bytes()).is_ok()
        })
        .take(MAX_REQUESTED)
        .for_each(|name| add(&name));
    allowed
}
