//! A call as an HTTP request.

use super::Shared;
use super::target::{InvalidTarget, Target};
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

/// Trace context belongs to the call, not to the hop.
const TRACE: [&str; 3] = ["traceparent", "tracestate", "baggage"];

/// The body of a request, which is always there at once.
#[derive(Debug)]
pub(super) struct Text(Bytes);

impl Body for Text {
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

/// What is the same on each request to a target.
pub(super) fn base_headers(
    target: &Target,
    own: Vec<(HeaderName, HeaderValue)>,
) -> Result<HeaderMap, InvalidTarget> {
    let mut headers = HeaderMap::with_capacity(16);
    for (name, value) in own {
        if is_ours(&name) {
            return Err(InvalidTarget(format!(
                "the header {name} is not for the caller to set"
            )));
        }
        headers.append(name, value);
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(
        ACCEPT,
        HeaderValue::from_static("application/json, text/event-stream"),
    );
    // Without it a server may answer in any coding (RFC 9110, section 12.5.3), and nothing is
    // decoded here.
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    if !headers.contains_key(USER_AGENT) {
        headers.insert(
            USER_AGENT,
            HeaderValue::from_static(concat!("carryall/", env!("CARGO_PKG_VERSION"))),
        );
    }
    let host = HeaderValue::try_from(&*target.authority);
    headers.insert(
        HOST,
        host.map_err(|_| {
            InvalidTarget("the host has characters that a header cannot carry".into())
        })?,
    );
    // What each request fills in itself has its place here already: then the copy that it makes
    // need not grow.
    for own in [
        &MCP_PROTOCOL_VERSION,
        &MCP_METHOD,
        &MCP_NAME,
        &CONTENT_LENGTH,
    ] {
        headers.insert(own, HeaderValue::from_static(""));
    }
    Ok(headers)
}

fn is_ours(name: &HeaderName) -> bool {
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

/// The request for `call`, to be sent to `path` over HTTP/1.1; [`for_http2`] changes it for the
/// other.
pub(super) fn request(shared: &Shared, uri: Uri, call: &Call) -> Result<Request<Text>, CallError> {
    let text = call.encode().into_bytes();
    let length = HeaderValue::from(text.len());
    let mut request = Request::new(Text(text));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri;
    let mut headers = shared.headers.read().clone();
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

/// A request of any kind: what it does not say about itself is what all requests to this target
/// say.
pub(super) fn raw_request(
    shared: &Shared,
    request: Request<Bytes>,
) -> Result<Request<Text>, CallError> {
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
        .map_err(|_| CallError::Refused(format!("{path:?} is no path that a request can carry")))?;
    let own = std::mem::take(&mut parts.headers);
    let mut headers = shared.headers.read().clone();
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
    let mut request = Request::new(Text(body));
    *request.method_mut() = parts.method;
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    Ok(request)
}

/// The value of `Mcp-Name`. It shares the buffer of the parameters where it needs no encoding.
fn name(call: &Call) -> Result<Option<HeaderValue>, CallError> {
    let (Some(name), Some(shared)) = (call.name(), call.name_bytes()) else {
        return Ok(None);
    };
    match encode_value(name) {
        Cow::Borrowed(_) => HeaderValue::from_maybe_shared(shared)
            .map(Some)
            .map_err(|_| CallError::Refused("a header cannot carry the name".into())),
        Cow::Owned(encoded) => mirrored("name", &encoded).map(Some),
    }
}

fn mirrored(what: &str, value: &str) -> Result<HeaderValue, CallError> {
    HeaderValue::try_from(value)
        .map_err(|_| CallError::Refused(format!("a header cannot carry the {what} {value:?}")))
}

fn belongs_to_call(name: &HeaderName) -> bool {
    name.as_str().starts_with(MCP_PARAM_PREFIX) || TRACE.contains(&name.as_str())
}

/// HTTP/2 names scheme and authority in the URI instead of `Host`.
pub(super) fn for_http2(target: &Target, request: &mut Request<Text>) {
    let uri = Uri::builder()
        .scheme(target.scheme())
        .authority(&*target.authority)
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
