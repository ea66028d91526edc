//! Writes a call as an HTTP request.

use super::HttpClientInner;
use super::target::{EndpointUrl, InvalidTarget};
use bytes::Bytes;
use carryall_proto::headers::{
    MCP_METHOD, MCP_NAME, MCP_PARAM_PREFIX, MCP_PROTOCOL_VERSION, encode_value,
};
use carryall_proto::{Call, CallError};
use http::header::{
    ACCEPT, ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, TRANSFER_ENCODING,
    USER_AGENT,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version};
use http_body::{Body, Frame, SizeHint};
use std::borrow::Cow;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Trace context belongs to the call, so it is passed on.
const TRACE_HEADERS: [&str; 3] = ["traceparent", "tracestate", "baggage"];

/// The body of a request, in one piece.
#[derive(Debug)]
pub(super) struct RequestBody(Bytes);

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let text = std::mem::take(&mut self.0);
        Poll::Ready((!text.is_empty()).then(|| Ok(Frame::data(text))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.len() as u64)
    }
}

/// Returns the headers that each request of a client has.
pub(super) fn base_headers(
    url: &EndpointUrl,
    own: Vec<(HeaderName, HeaderValue)>,
) -> Result<HeaderMap, InvalidTarget> {
    let mut headers = HeaderMap::with_capacity(16);
    for (name, value) in own {
        if is_reserved(&name) {
            return Err(InvalidTarget(format!(
                "the header {name} is set by the transport"
            )));
        }
        headers.append(name, value);
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(
        ACCEPT,
        HeaderValue::from_static("application/json, text/event-stream"),
    );
    // Without it a server may compress its response (RFC 9110, section 12.5.3), and nothing is
    // decompressed here.
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    if !headers.contains_key(USER_AGENT) {
        headers.insert(
            USER_AGENT,
            HeaderValue::from_static(concat!("carryall/", env!("CARGO_PKG_VERSION"))),
        );
    }
    let host = HeaderValue::try_from(&*url.authority);
    headers.insert(
        HOST,
        host.map_err(|_| {
            InvalidTarget("the host contains characters that are not allowed in a header".into())
        })?,
    );
    // Placeholders for the headers that each request sets, so that its copy of the map need not
    // grow.
    for placeholder in [
        &MCP_PROTOCOL_VERSION,
        &MCP_METHOD,
        &MCP_NAME,
        &CONTENT_LENGTH,
    ] {
        headers.insert(placeholder, HeaderValue::from_static(""));
    }
    Ok(headers)
}

/// Returns whether the transport itself sets this header.
fn is_reserved(name: &HeaderName) -> bool {
    [
        CONTENT_TYPE,
        CONTENT_LENGTH,
        ACCEPT,
        ACCEPT_ENCODING,
        HOST,
        CONNECTION,
        TRANSFER_ENCODING,
    ]
    .contains(name)
        || [&MCP_METHOD, &MCP_NAME, &MCP_PROTOCOL_VERSION].contains(&name)
}

/// Returns the request for `call` in the form of HTTP/1.1; see [`into_http2`].
pub(super) fn request(
    client: &HttpClientInner,
    uri: Uri,
    call: &Call,
) -> Result<Request<RequestBody>, CallError> {
    let text = call.encode().into_bytes();
    let length = HeaderValue::from(text.len());
    let mut request = Request::new(RequestBody(text));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri;
    let mut headers = client.headers.read().clone();
    // Each request mirrors its own body (`basic/transports/streamable-http#request-metadata`).
    headers.insert(
        &MCP_PROTOCOL_VERSION,
        HeaderValue::from_static(call.meta().version().as_str()),
    );
    let method = match call.method().known() {
        Some(known) => HeaderValue::from_static(known),
        None => mirrored("method", call.method().as_str())?,
    };
    headers.insert(&MCP_METHOD, method);
    match name(call)? {
        Some(name) => drop(headers.insert(&MCP_NAME, name)),
        None => drop(headers.remove(&MCP_NAME)),
    }
    headers.insert(CONTENT_LENGTH, length);
    if let Some(own) = call.headers() {
        for (name, value) in own.iter().filter(|(name, _)| belongs_to_call(name)) {
            headers.append(name, value.clone());
        }
    }
    *request.headers_mut() = headers;
    Ok(request)
}

/// Adds the base headers to a request of the caller's own making. Its own headers take precedence,
/// except `Host`.
pub(super) fn raw_request(
    client: &HttpClientInner,
    request: Request<Bytes>,
) -> Result<Request<RequestBody>, CallError> {
    let (mut parts, body) = request.into_parts();
    if parts.uri.authority().is_some() {
        return Err(CallError::Refused(format!(
            "{} is not a path on the origin of this client",
            parts.uri
        )));
    }
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let uri: Uri = path
        .parse()
        .map_err(|_| CallError::Refused(format!("{path:?} is not a valid path")))?;
    let own = std::mem::take(&mut parts.headers);
    let mut headers = client.headers.read().clone();
    for placeholder in [&MCP_PROTOCOL_VERSION, &MCP_METHOD, &MCP_NAME] {
        headers.remove(placeholder);
    }
    if body.is_empty() {
        headers.remove(CONTENT_TYPE);
    }
    for name in own.keys().filter(|name| **name != HOST) {
        headers.remove(name);
        for value in own.get_all(name) {
            headers.append(name, value.clone());
        }
    }
    if body.is_empty() && parts.method != Method::POST {
        headers.remove(CONTENT_LENGTH);
    } else {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    }
    let mut request = Request::new(RequestBody(body));
    *request.method_mut() = parts.method;
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    Ok(request)
}

/// Returns the value of `Mcp-Name`. Where it needs no encoding, it is a range of the parameters.
fn name(call: &Call) -> Result<Option<HeaderValue>, CallError> {
    let (Some(name), Some(bytes)) = (call.name(), call.name_bytes()) else {
        return Ok(None);
    };
    match encode_value(name) {
        Cow::Borrowed(_) => HeaderValue::from_maybe_shared(bytes)
            .map(Some)
            .map_err(|_| CallError::Refused("the name is not valid in a header".into())),
        Cow::Owned(encoded) => mirrored("name", &encoded).map(Some),
    }
}

/// Returns the value of a header that mirrors a part of the call.
fn mirrored(what: &str, value: &str) -> Result<HeaderValue, CallError> {
    HeaderValue::try_from(value)
        .map_err(|_| CallError::Refused(format!("the {what} {value:?} is not valid in a header")))
}

/// Returns whether a header of a call is passed on. Others, such as credentials, are for one hop.
fn belongs_to_call(name: &HeaderName) -> bool {
    name.as_str().starts_with(MCP_PARAM_PREFIX) || TRACE_HEADERS.contains(&name.as_str())
}

/// Moves the authority from `Host` into the URI, where HTTP/2 has it.
pub(super) fn into_http2(url: &EndpointUrl, request: &mut Request<RequestBody>) {
    let uri = Uri::builder()
        .scheme(url.scheme())
        .authority(&*url.authority)
        .path_and_query(
            request
                .uri()
                .path_and_query()
                .map_or("/", |path| path.as_str()),
        )
        .build();
    if let Ok(uri) = uri {
        *request.uri_mut() = uri;
    }
    request.headers_mut().remove(HOST);
    *request.version_mut() = Version::HTTP_2;
}
