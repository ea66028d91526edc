//! Who may call at all: `Host` and `Origin`, the defence against DNS rebinding
//! (`basic/transports/streamable-http#security--endpoint`).

use super::Options;
use super::refusal_log::RefusalLog;
use super::refuse::{Refusal, encoded, method_not_allowed};
use carryall_proto::Printable;
use carryall_proto::headers::MCP_PROTOCOL_VERSION;
use carryall_types::ProtocolVersion;
use http::header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE, HOST, ORIGIN};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use std::net::{Ipv4Addr, Ipv6Addr};

/// Which names a server answers to. Loopback names always belong to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostPolicy {
    any: bool,
    names: Vec<Box<str>>,
}

impl HostPolicy {
    /// `localhost`, `127.0.0.0/8` and `[::1]`, on any port.
    #[must_use]
    pub fn loopback() -> Self {
        Self::default()
    }

    /// Every name. A page whose name an attacker points at this server then looks like one of the
    /// server's own, so pages are accepted only from origins that are allowed by name, or from
    /// loopback.
    #[must_use]
    pub fn any() -> Self {
        Self {
            any: true,
            names: Vec::new(),
        }
    }

    /// One more name, such as `mcp.example.com`, on any port unless it names one. `*.example.com`
    /// stands for all names below `example.com`, and `*` for every name, as [`any`](Self::any).
    /// Names are compared as they come in `Host`: a scheme or a path is not part of them.
    #[must_use]
    pub fn allow(mut self, host: &str) -> Self {
        self.any |= host == "*";
        self.names.push(host.to_ascii_lowercase().into());
        self
    }

    fn knows(&self, host: &str) -> bool {
        if is_plain_loopback(host) {
            return true;
        }
        // In `localhost:1@evil.com` the name comes last; no honest client writes credentials there.
        if host.contains('@') {
            return false;
        }
        let name = name_of(host);
        is_loopback(name)
            || self
                .names
                .iter()
                .any(|known| is_name(known, host) || is_name(known, name))
    }
}

/// Which web pages may call. Requests without `Origin` do not come from a page and pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OriginPolicy {
    any: bool,
    origins: Vec<Box<str>>,
}

impl OriginPolicy {
    /// Pages from loopback, and pages from a host that this server answers to.
    #[must_use]
    pub fn local() -> Self {
        Self::default()
    }

    /// Every page. Only for servers where each call is authorized.
    #[must_use]
    pub fn any() -> Self {
        Self {
            any: true,
            origins: Vec::new(),
        }
    }

    /// Pages of one more origin, such as `https://app.example.com` or
    /// `https://app.example.com:8443`. `https://*.example.com` stands for all names below
    /// `example.com`, and `*` for every page, as [`any`](Self::any).
    #[must_use]
    pub fn allow(mut self, origin: &str) -> Self {
        self.any |= origin == "*";
        self.origins
            .push(origin.trim_end_matches('/').to_ascii_lowercase().into());
        self
    }

    fn admits(&self, origin: &str, host: Option<&str>) -> bool {
        if self.any
            || self
                .origins
                .iter()
                .any(|allowed| is_origin(allowed, origin))
        {
            return true;
        }
        let Some((scheme, authority)) = origin.split_once("://") else {
            return false;
        };
        if !matches!(scheme, "http" | "https") || !authority.bytes().all(is_authority_byte) {
            return false;
        }
        let name = name_of(authority);
        is_loopback(name) || host.is_some_and(|host| name_of(host).eq_ignore_ascii_case(name))
    }
}

/// Whether `known`, which may begin with `*.`, stands for `name`.
fn is_name(known: &str, name: &str) -> bool {
    match known.strip_prefix('*') {
        Some(suffix) if suffix.starts_with('.') => name
            .len()
            .checked_sub(suffix.len())
            .filter(|at| *at > 0 && name.is_char_boundary(*at))
            .is_some_and(|at| {
                name[at..].eq_ignore_ascii_case(suffix) && name[..at].bytes().all(is_authority_byte)
            }),
        _ => known.eq_ignore_ascii_case(name),
    }
}

fn is_origin(known: &str, origin: &str) -> bool {
    if known.eq_ignore_ascii_case(origin) {
        return true;
    }
    let (Some((scheme, name)), Some((its_scheme, authority))) =
        (known.split_once("://"), origin.split_once("://"))
    else {
        return false;
    };
    name.starts_with("*.")
        && scheme.eq_ignore_ascii_case(its_scheme)
        && authority.bytes().all(is_authority_byte)
        && is_name(name, authority)
}

/// What the door looks at. One pass over the few headers of a request is cheaper than a look-up for
/// each.
#[derive(Default)]
pub(super) struct CheckedHeaders<'a> {
    host: Once<'a>,
    origin: Once<'a>,
    content_type: Once<'a>,
    accept: Once<'a>,
    encoding: Once<'a>,
    version: Once<'a>,
}

/// A header that should come once.
#[derive(Clone, Copy, Default)]
enum Once<'a> {
    #[default]
    Missing,
    Single(&'a HeaderValue),
    Repeated,
}

impl<'a> CheckedHeaders<'a> {
    pub(super) fn of(headers: &'a HeaderMap) -> Self {
        let mut heads = Self::default();
        for (name, value) in headers {
            let slot = if *name == HOST {
                &mut heads.host
            } else if *name == ACCEPT {
                &mut heads.accept
            } else if *name == CONTENT_TYPE {
                &mut heads.content_type
            } else if *name == ORIGIN {
                &mut heads.origin
            } else if *name == CONTENT_ENCODING {
                &mut heads.encoding
            } else if *name == MCP_PROTOCOL_VERSION {
                &mut heads.version
            } else {
                continue;
            };
            *slot = match slot {
                Once::Missing => Once::Single(value),
                Once::Single(_) | Once::Repeated => Once::Repeated,
            };
        }
        heads
    }

    /// Whether the head alone says that a POST is of this era: it names a version, and not one with
    /// a handshake. What names an unknown version is of this era too, and learns there which ones
    /// are known (`basic/versioning`).
    pub(super) fn is_modern(&self) -> bool {
        let Once::Single(version) = self.version else {
            return false;
        };
        let version = version.to_str().ok();
        version.is_some_and(|version| {
            version
                .parse::<ProtocolVersion>()
                .map_or(true, ProtocolVersion::is_modern)
        })
    }
}

impl<'a> Once<'a> {
    fn get(self) -> Result<Option<&'a HeaderValue>, ()> {
        match self {
            Self::Missing => Ok(None),
            Self::Single(value) => Ok(Some(value)),
            Self::Repeated => Err(()),
        }
    }

    fn is(self, text: &str) -> bool {
        matches!(self, Self::Single(value) if value == text)
    }
}

/// How many characters of a refused header are repeated to the client.
const SHOWN: usize = 200;

/// Host and origin. Returns the origin to name in the response, if there is one.
pub(super) fn admit_caller(
    options: &Options,
    parts: &Parts,
    heads: &CheckedHeaders<'_>,
    log: &RefusalLog,
) -> Result<Option<HeaderValue>, Refusal> {
    let forbidden = |why: String| Err(Refusal::new(StatusCode::FORBIDDEN, why));
    let Ok(host) = host(parts, heads) else {
        return Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            "Exactly one Host header is required",
        ));
    };
    let hosts = options.hosts.as_ref().unwrap_or(
        const {
            &HostPolicy {
                any: false,
                names: Vec::new(),
            }
        },
    );
    let known = host.is_some_and(|host| hosts.knows(host));
    if !known && !hosts.any {
        let host = host.unwrap_or_default();
        log.refused(
            "Host",
            host,
            "allow it with `--allow-host` or `Endpoint::allow_host`",
        );
        return forbidden(format!(
            "The Host header \"{}\" is not a name of this server; credentials do not matter here. Whoever runs the server \
             can allow the name with `--allow-host` or `Endpoint::allow_host`",
            Printable(host).clipped(SHOWN)
        ));
    }
    let Ok(origin) = heads.origin.get() else {
        return forbidden("More than one Origin header".into());
    };
    let Some(origin) = origin else {
        return Ok(None);
    };
    // A name that was not checked proves nothing about the page that used it.
    let own_host = host.filter(|_| known);
    match origin.to_str() {
        Ok(text) if options.origins.admits(text, own_host) => Ok(Some(origin.clone())),
        _ => {
            let origin = String::from_utf8_lossy(origin.as_bytes());
            log.refused(
                "Origin",
                &origin,
                "allow its pages with `--allow-origin` or `Endpoint::allow_origin`",
            );
            forbidden(format!(
                "Pages of the origin in the Origin header, \"{}\", may not call this server; credentials do not matter \
                 here. Whoever runs the server can allow them with `--allow-origin` or `Endpoint::allow_origin`",
                Printable(&origin).clipped(SHOWN)
            ))
        }
    }
}

/// Everything else that can be refused on the head of a request.
pub(super) fn admit_message(
    options: &Options,
    parts: &Parts,
    heads: &CheckedHeaders<'_>,
    body: &http_body::SizeHint,
) -> Result<(), Refusal> {
    if parts.method != Method::POST {
        return Err(method_not_allowed(&parts.method));
    }
    let is_json = || {
        parts
            .headers
            .get(CONTENT_TYPE)
            .is_some_and(|value| is_type(value.as_bytes(), b"application/json"))
    };
    if !heads.content_type.is("application/json") && !is_json() {
        return Err(Refusal::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "Content-Type must be application/json",
        ));
    }
    if !matches!(heads.encoding, Once::Missing) && !is_identity(&parts.headers) {
        return Err(encoded());
    }
    if !heads.accept.is("application/json, text/event-stream") && !accepts_an_answer(&parts.headers)
    {
        let why = "Accept must list application/json and text/event-stream";
        return Err(Refusal::new(StatusCode::NOT_ACCEPTABLE, why));
    }
    if body.lower() > options.max_body as u64 {
        return Err(too_large(options.max_body));
    }
    Ok(())
}

pub(super) fn too_large(max: usize) -> Refusal {
    Refusal::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        format!("The body is larger than {max} bytes"),
    )
}

/// The authority that the client believes it talks to: HTTP/2 has it in the URI, HTTP/1 in `Host`.
fn host<'a>(parts: &'a Parts, heads: &CheckedHeaders<'a>) -> Result<Option<&'a str>, ()> {
    let header = heads.host.get()?;
    match (parts.uri.authority(), header) {
        (Some(authority), _) => Ok(Some(authority.as_str())),
        (None, Some(header)) => header.to_str().map(Some).map_err(|_| ()),
        (None, None) => Ok(None),
    }
}

/// A client lists both types; one that can read at least one of them is served
/// (`#sending-messages`).
fn accepts_an_answer(headers: &HeaderMap) -> bool {
    let mut any = false;
    for value in headers.get_all(ACCEPT) {
        for item in value.as_bytes().split(|&byte| byte == b',') {
            any = true;
            if [
                &b"application/json"[..],
                b"text/event-stream",
                b"*/*",
                b"application/*",
                b"text/*",
            ]
            .iter()
            .any(|wanted| is_type(item, wanted))
            {
                return true;
            }
        }
    }
    !any
}

/// Whether the body comes as it is: every coding named is `identity`.
fn is_identity(headers: &HeaderMap) -> bool {
    let values = headers.get_all(CONTENT_ENCODING);
    values
        .iter()
        .flat_map(|value| value.as_bytes().split(|&byte| byte == b','))
        .all(|coding| {
            matches!(coding.trim_ascii(), b"")
                || coding.trim_ascii().eq_ignore_ascii_case(b"identity")
        })
}

/// Whether a media type, parameters aside, is `wanted`.
fn is_type(value: &[u8], wanted: &[u8]) -> bool {
    let essence = value.split(|&byte| byte == b';').next().unwrap_or_default();
    essence.trim_ascii().eq_ignore_ascii_case(wanted)
}

/// A host without its port.
fn name_of(host: &str) -> &str {
    let after_bracket = host.rfind(']').map_or(0, |at| at + 1);
    host[after_bracket..]
        .find(':')
        .map_or(host, |colon| &host[..after_bracket + colon])
}

/// The two spellings that nearly everybody uses, with a port or without.
fn is_plain_loopback(host: &str) -> bool {
    let rest = host
        .strip_prefix("127.0.0.1")
        .or_else(|| host.strip_prefix("localhost"));
    rest.is_some_and(|rest| rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port))
}

fn is_port(text: &str) -> bool {
    (1..=5).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_loopback(name: &str) -> bool {
    name.eq_ignore_ascii_case("localhost")
        || name
            .parse::<Ipv4Addr>()
            .is_ok_and(|address| address.is_loopback())
        || name
            .strip_prefix('[')
            .and_then(|name| name.strip_suffix(']'))
            .is_some_and(|name| {
                name.parse::<Ipv6Addr>()
                    .is_ok_and(|address| address.is_loopback())
            })
}

fn is_authority_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_split_off_names_and_addresses() {
        assert_eq!(name_of("localhost:80"), "localhost");
        assert_eq!(name_of("localhost"), "localhost");
        assert_eq!(name_of("[::1]:80"), "[::1]");
        assert_eq!(name_of("[::1]"), "[::1]");
    }

    #[test]
    fn loopback_is_a_name_not_a_prefix() {
        for name in ["localhost", "LOCALHOST", "127.0.0.1", "127.8.8.8", "[::1]"] {
            assert!(is_loopback(name), "{name}");
        }
        for name in [
            "localhost.evil.com",
            "127.0.0.1.evil.com",
            "evil.com",
            "",
            "[::2]",
            "0.0.0.0",
            "localhost.",
        ] {
            assert!(!is_loopback(name), "{name}");
        }
    }

    // spec: http-security-02
    #[test]
    fn an_origin_is_loopback_own_host_or_named() {
        let policy = OriginPolicy::local().allow("https://App.example.com/");
        for origin in [
            "http://localhost:3000",
            "https://127.0.0.1",
            "http://[::1]:1",
            "https://mcp.example.com:8443",
            "https://app.example.com",
        ] {
            assert!(policy.admits(origin, Some("mcp.example.com")), "{origin}");
        }
        for origin in [
            "null",
            "",
            "http://evil.com",
            "http://localhost@evil.com",
            "http://localhost.evil.com",
            "https://app.example.com:1",
            "file://",
            "http://localhost/x",
        ] {
            assert!(!policy.admits(origin, Some("mcp.example.com")), "{origin}");
        }
        assert!(!policy.admits("https://mcp.example.com", None));
        let below = OriginPolicy::local().allow("https://*.example.com");
        assert!(below.admits("https://App.example.com", None));
        for origin in [
            "http://app.example.com",
            "https://example.com",
            "https://app.example.com:1",
            "https://evil.com/.example.com",
            "https://evil.com@app.example.com",
            "https://appexample.com",
        ] {
            assert!(!below.admits(origin, None), "{origin}");
        }
        assert!(OriginPolicy::local().allow("*").any);
    }

    #[test]
    fn a_host_is_loopback_or_named() {
        let policy = HostPolicy::loopback()
            .allow("MCP.example.com")
            .allow("a.example:81");
        for host in [
            "mcp.example.com",
            "mcp.EXAMPLE.com:99",
            "a.example:81",
            "localhost:1",
            "[::1]:1",
        ] {
            assert!(policy.knows(host), "{host}");
        }
        let below = HostPolicy::loopback().allow("*.Example.com");
        for (host, known) in [
            ("mcp.example.com", true),
            ("a.b.EXAMPLE.com:81", true),
            ("example.com", false),
            (".example.com", false),
            ("mcpexample.com", false),
            ("mcp.example.com.evil.com", false),
            ("evil.com/.example.com", false),
        ] {
            assert_eq!(below.knows(host), known, "{host}");
        }
        assert!(HostPolicy::loopback().allow("*").any);
        for host in [
            "a.example",
            "a.example:82",
            "evil.com",
            "mcp.example.com.evil.com",
            "localhost:1@evil.com",
            "",
        ] {
            assert!(!policy.knows(host), "{host}");
        }
    }
}
