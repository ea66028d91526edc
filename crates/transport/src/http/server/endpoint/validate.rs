//! Checks a request by its head, before its body is read.

use super::EndpointOptions;
use super::policy::HostPolicy;
use super::rejection::HttpRejection;
use super::rejection_log::RejectionLog;
use carryall_proto::Printable;
use carryall_proto::headers::MCP_PROTOCOL_VERSION;
use carryall_types::ProtocolVersion;
use http::header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE, HOST, ORIGIN};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode};

/// How many characters of a rejected header are repeated to the client.
const MAX_SHOWN: usize = 200;

/// The headers that are checked, found in one pass: a request has few headers, and a pass over them
/// is cheaper than a lookup for each.
#[derive(Default)]
pub(super) struct CheckedHeaders<'a> {
    host: SingleHeader<'a>,
    origin: SingleHeader<'a>,
    content_type: SingleHeader<'a>,
    accept: SingleHeader<'a>,
    content_encoding: SingleHeader<'a>,
    version: SingleHeader<'a>,
}

/// A header that must not be repeated.
#[derive(Clone, Copy, Default)]
enum SingleHeader<'a> {
    #[default]
    Missing,
    Present(&'a HeaderValue),
    Repeated,
}

impl<'a> CheckedHeaders<'a> {
    pub(super) fn of(headers: &'a HeaderMap) -> Self {
        let mut checked = Self::default();
        for (name, value) in headers {
            let header = if *name == HOST {
                &mut checked.host
            } else if *name == ACCEPT {
                &mut checked.accept
            } else if *name == CONTENT_TYPE {
                &mut checked.content_type
            } else if *name == ORIGIN {
                &mut checked.origin
            } else if *name == CONTENT_ENCODING {
                &mut checked.content_encoding
            } else if *name == MCP_PROTOCOL_VERSION {
                &mut checked.version
            } else {
                continue;
            };
            *header = match header {
                SingleHeader::Missing => SingleHeader::Present(value),
                SingleHeader::Present(_) | SingleHeader::Repeated => SingleHeader::Repeated,
            };
        }
        checked
    }

    /// Returns whether the head alone decides that a POST is of this era: it names a version, and
    /// not one with a handshake. A request that names an unknown version is of this era too, and is
    /// told which versions are supported (`basic/versioning`).
    pub(super) fn is_modern(&self) -> bool {
        let SingleHeader::Present(version) = self.version else {
            return false;
        };
        version.to_str().is_ok_and(|version| {
            version
                .parse::<ProtocolVersion>()
                .map_or(true, ProtocolVersion::is_modern)
        })
    }

    /// Returns the authority that the client addresses: HTTP/2 has it in the URI, HTTP/1.1 in
    /// `Host`.
    fn authority(&self, parts: &'a Parts) -> Result<Option<&'a str>, HttpRejection> {
        let invalid = || {
            HttpRejection::new(
                StatusCode::BAD_REQUEST,
                "Exactly one Host header is required",
            )
        };
        let header = self.host.get().map_err(|_| invalid())?;
        match (parts.uri.authority(), header) {
            (Some(authority), _) => Ok(Some(authority.as_str())),
            (None, Some(header)) => header.to_str().map(Some).map_err(|_| invalid()),
            (None, None) => Ok(None),
        }
    }
}

struct RepeatedHeader;

impl<'a> SingleHeader<'a> {
    fn get(self) -> Result<Option<&'a HeaderValue>, RepeatedHeader> {
        match self {
            Self::Missing => Ok(None),
            Self::Present(value) => Ok(Some(value)),
            Self::Repeated => Err(RepeatedHeader),
        }
    }

    fn is(self, text: &str) -> bool {
        matches!(self, Self::Present(value) if value == text)
    }
}

/// Checks `Host` and `Origin`, the defence against DNS rebinding
/// (`basic/transports/streamable-http#security--endpoint`). Returns the origin to name in the
/// response, if there is one.
pub(super) fn check_caller(
    options: &EndpointOptions,
    parts: &Parts,
    headers: &CheckedHeaders<'_>,
    log: &RejectionLog,
) -> Result<Option<HeaderValue>, HttpRejection> {
    const LOOPBACK: &HostPolicy = &HostPolicy::loopback();
    let forbidden = |message: String| Err(HttpRejection::new(StatusCode::FORBIDDEN, message));
    let host = headers.authority(parts)?;
    let hosts = options.hosts.as_ref().unwrap_or(LOOPBACK);
    let is_known = host.is_some_and(|host| hosts.names(host));
    if !is_known && !hosts.allows_any() {
        let host = host.unwrap_or_default();
        log.log(
            "Host",
            host,
            "allow it with `--allow-host` or `Endpoint::allow_host`",
        );
        return forbidden(format!(
            "The Host header \"{}\" is not a name of this server; credentials do not matter here. \
             The operator of the server can allow the name with `--allow-host` or \
             `Endpoint::allow_host`",
            Printable(host).clipped(MAX_SHOWN)
        ));
    }
    let origin = match headers.origin.get() {
        Ok(Some(origin)) => origin,
        Ok(None) => return Ok(None),
        Err(RepeatedHeader) => return forbidden("More than one Origin header".into()),
    };
    // With `HostPolicy::any`, a host that is not known by name proves nothing about the page.
    let own_host = host.filter(|_| is_known);
    match origin.to_str() {
        Ok(text) if options.origins.allows(text, own_host) => Ok(Some(origin.clone())),
        _ => {
            let origin = String::from_utf8_lossy(origin.as_bytes());
            log.log(
                "Origin",
                &origin,
                "allow its pages with `--allow-origin` or `Endpoint::allow_origin`",
            );
            forbidden(format!(
                "Pages of the origin in the Origin header, \"{}\", may not call this server; \
                 credentials do not matter here. The operator of the server can allow them with \
                 `--allow-origin` or `Endpoint::allow_origin`",
                Printable(&origin).clipped(MAX_SHOWN)
            ))
        }
    }
}

/// Checks method, media types, coding and length.
pub(super) fn check_message(
    options: &EndpointOptions,
    parts: &Parts,
    headers: &CheckedHeaders<'_>,
    body: &http_body::SizeHint,
) -> Result<(), HttpRejection> {
    if parts.method != Method::POST {
        return Err(HttpRejection::method_not_allowed(&parts.method));
    }
    let is_json = || {
        parts
            .headers
            .get(CONTENT_TYPE)
            .is_some_and(|value| is_type(value.as_bytes(), b"application/json"))
    };
    if !headers.content_type.is("application/json") && !is_json() {
        return Err(HttpRejection::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "Content-Type must be application/json",
        ));
    }
    let is_encoded = !matches!(headers.content_encoding, SingleHeader::Missing);
    if is_encoded && !is_identity(&parts.headers) {
        return Err(HttpRejection::unsupported_encoding());
    }
    let accepts = headers.accept.is("application/json, text/event-stream")
        || accepts_a_response(&parts.headers);
    if !accepts {
        return Err(HttpRejection::new(
            StatusCode::NOT_ACCEPTABLE,
            "Accept must list application/json and text/event-stream",
        ));
    }
    if body.lower() > options.max_body as u64 {
        return Err(HttpRejection::body_too_large(options.max_body));
    }
    Ok(())
}

/// Returns whether the client reads at least one of the two types. A conforming client lists both
/// (`#sending-messages`).
fn accepts_a_response(headers: &HeaderMap) -> bool {
    const READABLE: [&[u8]; 5] = [
        b"application/json",
        b"text/event-stream",
        b"*/*",
        b"application/*",
        b"text/*",
    ];
    let mut any = false;
    for value in headers.get_all(ACCEPT) {
        for item in value.as_bytes().split(|&byte| byte == b',') {
            any = true;
            if READABLE.iter().any(|readable| is_type(item, readable)) {
                return true;
            }
        }
    }
    !any
}

/// Returns whether each coding listed is `identity`.
fn is_identity(headers: &HeaderMap) -> bool {
    let values = headers.get_all(CONTENT_ENCODING);
    values
        .iter()
        .flat_map(|value| value.as_bytes().split(|&byte| byte == b','))
        .map(|coding| coding.trim_ascii())
        .all(|coding| coding.is_empty() || coding.eq_ignore_ascii_case(b"identity"))
}

/// Returns whether a media type, apart from its parameters, is `expected`.
fn is_type(value: &[u8], expected: &[u8]) -> bool {
    let essence = value.split(|&byte| byte == b';').next().unwrap_or_default();
    essence.trim_ascii().eq_ignore_ascii_case(expected)
}
