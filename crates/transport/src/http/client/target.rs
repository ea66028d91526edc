//! Where the endpoint is.

use http::Uri;
use std::fmt;

/// Text that is not the URL of an HTTP endpoint, or options that cannot be used with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidTarget(pub(super) String);

impl fmt::Display for InvalidTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for InvalidTarget {}

/// A parsed URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) tls: bool,
    /// Name or address, without brackets.
    pub(super) host: Box<str>,
    pub(super) port: u16,
    /// Host, and the port unless it is the scheme's own, as `Host` and `:authority` have it.
    pub(super) authority: Box<str>,
    /// Path and query.
    pub(super) path: Box<str>,
    /// The same, as requests carry it.
    pub(super) uri: Uri,
}

impl Target {
    pub(super) fn parse(url: &str) -> Result<Self, InvalidTarget> {
        let invalid = |why: &str| InvalidTarget(format!("{url:?} {why}"));
        // A fragment is the business of whoever wrote the URL; it is never sent.
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
                    "needs HTTPS, which this build leaves out (feature `tls`)",
                ));
            }
            _ => return Err(invalid("does not begin with http:// or https://")),
        };
        let authority = uri.authority().ok_or_else(|| invalid("has no host"))?;
        if authority.as_str().contains('@') {
            return Err(invalid(
                "has credentials in it; set them as a header instead",
            ));
        }
        let host = authority.host();
        if host.is_empty() {
            return Err(invalid("has no host"));
        }
        let own_port = if tls { 443 } else { 80 };
        let port = authority.port_u16().unwrap_or(own_port);
        let shown = if port == own_port {
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
            uri: path
                .parse()
                .map_err(|_| invalid("has no path that a request can carry"))?,
        })
    }

    pub(super) fn scheme(&self) -> &'static str {
        if self.tls { "https" } else { "http" }
    }

    /// Where `location` leads, if it stays on this origin.
    pub(super) fn follow(&self, location: &str) -> Option<Box<str>> {
        if location.starts_with('/') && !location.starts_with("//") {
            return Some(location.split('#').next().unwrap_or_default().into());
        }
        let other = Self::parse(location).ok()?;
        let same = other.tls == self.tls && other.authority.eq_ignore_ascii_case(&self.authority);
        same.then_some(other.path)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme(), self.authority, self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        let target = Target::parse("http://[::1]:8080/mcp?x=1#frag").unwrap();
        assert_eq!(
            (&*target.host, target.port, &*target.authority),
            ("::1", 8080, "[::1]:8080")
        );
        assert_eq!((&*target.path, target.tls), ("/mcp?x=1", false));
        let target = Target::parse("http://example.com:80").unwrap();
        assert_eq!((&*target.authority, &*target.path), ("example.com", "/"));
        assert_eq!(target.to_string(), "http://example.com/");
    }

    #[test]
    fn what_is_no_endpoint_is_refused_with_the_reason() {
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
            let error = Target::parse(url).unwrap_err();
            assert!(error.to_string().contains(url), "{error}");
        }
    }

    #[test]
    fn redirects_are_followed_within_the_origin_alone() {
        let target = Target::parse("http://example.com:8080/mcp").unwrap();
        assert_eq!(target.follow("/mcp/").as_deref(), Some("/mcp/"));
        assert_eq!(
            target.follow("http://EXAMPLE.com:8080/new?x#y").as_deref(),
            Some("/new?x")
        );
        for elsewhere in [
            "http://example.com/mcp",
            "https://example.com:8080/mcp",
            "//evil.com/",
            "http://evil.com:8080/",
            "mcp/",
            "",
        ] {
            assert_eq!(target.follow(elsewhere), None, "{elsewhere}");
        }
    }
}
