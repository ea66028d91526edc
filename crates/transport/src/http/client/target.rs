//! The URL of an endpoint.

use http::Uri;
use std::fmt;

/// The error for a URL that is not that of an HTTP endpoint, and for options that cannot be used
/// with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidTarget(pub(super) String);

impl fmt::Display for InvalidTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for InvalidTarget {}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EndpointUrl {
    pub(super) tls: bool,
    /// The name or address, without brackets.
    pub(super) host: Box<str>,
    pub(super) port: u16,
    /// The host, and the port unless it is the default, as in `Host` and `:authority`.
    pub(super) authority: Box<str>,
    /// The path and query.
    pub(super) path: Box<str>,
    /// The path and query, parsed.
    pub(super) uri: Uri,
}

impl EndpointUrl {
    pub(super) fn parse(url: &str) -> Result<Self, InvalidTarget> {
        let invalid = |why: &str| InvalidTarget(format!("{url:?} {why}"));
        // A fragment is never sent.
        let uri: Uri = url
            .split('#')
            .next()
            .unwrap_or_default()
            .parse()
            .map_err(|_| invalid("is not a URL"))?;
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") if cfg!(feature = "tls") => true,
            Some("https") => {
                return Err(invalid(
                    "needs HTTPS, which this build lacks (feature `tls`)",
                ));
            }
            _ => return Err(invalid("does not begin with http:// or https://")),
        };
        let authority = uri.authority().ok_or_else(|| invalid("has no host"))?;
        if authority.as_str().contains('@') {
            return Err(invalid(
                "contains credentials; set them as a header instead",
            ));
        }
        let host = authority.host();
        if host.is_empty() {
            return Err(invalid("has no host"));
        }
        let default_port = if tls { 443 } else { 80 };
        let port = authority.port_u16().unwrap_or(default_port);
        let shown = if port == default_port {
            host.to_owned()
        } else {
            format!("{host}:{port}")
        };
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        Ok(Self {
            tls,
            host: host.trim_start_matches('[').trim_end_matches(']').into(),
            port,
            authority: shown.into(),
            path: path.into(),
            uri: path.parse().map_err(|_| invalid("has an invalid path"))?,
        })
    }

    pub(super) fn scheme(&self) -> &'static str {
        if self.tls { "https" } else { "http" }
    }

    /// Returns path and query of `location`, a URL or an absolute path, if it is on this origin.
    pub(super) fn path_on_origin(&self, location: &str) -> Option<Box<str>> {
        if location.starts_with('/') && !location.starts_with("//") {
            return Some(location.split('#').next().unwrap_or_default().into());
        }
        let other = Self::parse(location).ok()?;
        let same = other.tls == self.tls && other.authority.eq_ignore_ascii_case(&self.authority);
        same.then_some(other.path)
    }
}

impl fmt::Display for EndpointUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme(), self.authority, self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_parsed() {
        let url = EndpointUrl::parse("http://[::1]:8080/mcp?x=1#frag").unwrap();
        assert_eq!(
            (&*url.host, url.port, &*url.authority),
            ("::1", 8080, "[::1]:8080")
        );
        assert_eq!((&*url.path, url.tls), ("/mcp?x=1", false));
        let url = EndpointUrl::parse("http://example.com:80").unwrap();
        assert_eq!((&*url.authority, &*url.path), ("example.com", "/"));
        assert_eq!(url.to_string(), "http://example.com/");
    }

    #[test]
    fn an_invalid_url_is_rejected_with_the_reason() {
        for url in [
            "",
            "localhost:8080",
            "ftp://x/",
            "http://",
            "http:///mcp",
            "http://user:pw@x/",
            "http://a b/",
            "/mcp",
        ] {
            let error = EndpointUrl::parse(url).unwrap_err();
            assert!(error.to_string().contains(url), "{error}");
        }
    }

    #[test]
    fn only_locations_on_the_origin_have_a_path() {
        let url = EndpointUrl::parse("http://example.com:8080/mcp").unwrap();
        assert_eq!(url.path_on_origin("/mcp/").as_deref(), Some("/mcp/"));
        assert_eq!(
            url.path_on_origin("http://EXAMPLE.com:8080/new?x#y")
                .as_deref(),
            Some("/new?x")
        );
        for location in [
            "http://example.com/mcp",
            "https://example.com:8080/mcp",
            "//evil.com/",
            "http://evil.com:8080/",
            "mcp/",
            "",
        ] {
            assert_eq!(url.path_on_origin(location), None, "{location}");
        }
    }
}
