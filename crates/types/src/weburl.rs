//! The parts of an `http` or `https` URL that identify the server.
//!
//! Deliberately stricter than a browser, and therefore not the `url` crate, which implements the
//! lenient WHATWG rules. Whatever parsers disagree about (backslashes, spaces, control characters,
//! credentials, hosts outside ASCII, escapes in the host) is rejected, so that every other parser
//! finds the host that is checked here.

use std::fmt;

/// The maximum length of a URL in bytes.
const MAX_LEN: usize = 8 * 1024;

/// The scheme, host and port of an `http` or `https` URL. Equality is equality of origins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WebUrl {
    /// Whether the scheme is `https`.
    pub(crate) secure: bool,
    /// The host in lower case; an IPv6 address is in brackets.
    pub(crate) host: String,
    /// The port, or the default port of the scheme.
    pub(crate) port: u16,
}

/// Why a text is not a [`WebUrl`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WebUrlError {
    TooLong,
    Characters,
    Scheme,
    Credentials,
    Host,
    Port,
}

impl fmt::Display for WebUrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "longer than 8 KiB",
            Self::Characters => "contains a character that must be percent-encoded",
            Self::Scheme => "does not start with http:// or https://",
            Self::Credentials => "contains a user name or password",
            Self::Host => "the host is missing or malformed",
            Self::Port => "the port is malformed",
        })
    }
}

impl WebUrl {
    /// Parses a URL.
    pub(crate) fn parse(url: &str) -> Result<Self, WebUrlError> {
        if url.len() > MAX_LEN {
            return Err(WebUrlError::TooLong);
        }
        if url
            .bytes()
            .any(|byte| !byte.is_ascii_graphic() || matches!(byte, b'\\' | b'"' | b'<' | b'>'))
        {
            return Err(WebUrlError::Characters);
        }
        let (scheme, rest) = url.split_once("://").ok_or(WebUrlError::Scheme)?;
        let secure = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return Err(WebUrlError::Scheme),
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if authority.contains('@') {
            return Err(WebUrlError::Credentials);
        }
        let (host, port) = split_port(authority)?;
        if !is_host(host) {
            return Err(WebUrlError::Host);
        }
        let default = if secure { 443 } else { 80 };
        let port = match port {
            None | Some("") => default,
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().map_err(|_| WebUrlError::Port)?
            }
            Some(_) => return Err(WebUrlError::Port),
        };
        Ok(Self {
            secure,
            host: host.to_ascii_lowercase(),
            port,
        })
    }

    /// Returns whether the host is a loopback name or address.
    pub(crate) fn is_loopback(&self) -> bool {
        self.host == "localhost"
            || self.host == "[::1]"
            || self
                .host
                .parse::<std::net::Ipv4Addr>()
                .is_ok_and(|address| address.is_loopback())
    }
}

/// Splits an authority into host and port. An IPv6 address is in brackets, colons included.
fn split_port(authority: &str) -> Result<(&str, Option<&str>), WebUrlError> {
    if authority.starts_with('[') {
        let end = authority.find(']').ok_or(WebUrlError::Host)? + 1;
        return match &authority[end..] {
            "" => Ok((authority, None)),
            rest => rest
                .strip_prefix(':')
                .map(|port| (&authority[..end], Some(port)))
                .ok_or(WebUrlError::Host),
        };
    }
    Ok(match authority.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    })
}

/// Returns whether the text is a host name, an IPv4 address, or an IPv6 address in brackets.
fn is_host(host: &str) -> bool {
    if let Some(address) = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
    {
        return address.parse::<std::net::Ipv6Addr>().is_ok();
    }
    !host.is_empty()
        && host.len() <= 253
        && !host.starts_with('.')
        && !host.contains("..")
        && host
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let same = [
            "https://Example.com",
            "HTTPS://example.com:443/a?b#c",
            "https://example.com:/x",
            "https://example.com?q",
        ];
        for url in same {
            assert_eq!(
                WebUrl::parse(url),
                WebUrl::parse("https://example.com/"),
                "{url}"
            );
        }
        for url in [
            "http://example.com/",
            "https://example.com:444/",
            "https://example.com./",
            "https://a.example.com/",
        ] {
            assert_ne!(
                WebUrl::parse(url),
                WebUrl::parse("https://example.com/"),
                "{url}"
            );
        }
        assert_eq!(
            WebUrl::parse("http://[::1]:8080/").map(|url| (url.host, url.port)),
            Ok(("[::1]".into(), 8080))
        );
    }

    #[test]
    fn urls_that_parsers_read_differently_are_rejected() {
        let cases = [
            (
                "https://good.example\\@evil.example/",
                WebUrlError::Characters,
            ),
            ("https://good.example/\n", WebUrlError::Characters),
            ("https://b\u{fc}cher.example/", WebUrlError::Characters),
            ("https://user@evil.example/", WebUrlError::Credentials),
            ("https://a:b@evil.example/", WebUrlError::Credentials),
            ("https:evil.example", WebUrlError::Scheme),
            ("javascript://x/%0aalert(1)", WebUrlError::Scheme),
            ("https:///path", WebUrlError::Host),
            ("https://%65vil.example/", WebUrlError::Host),
            ("https://[::1", WebUrlError::Host),
            ("https://[evil]/", WebUrlError::Host),
            ("https://[::1]x/", WebUrlError::Host),
            ("https://a..b/", WebUrlError::Host),
            ("https://a:+80/", WebUrlError::Port),
            ("https://a:65536/", WebUrlError::Port),
        ];
        for (url, problem) in cases {
            assert_eq!(WebUrl::parse(url), Err(problem), "{url}");
        }
        assert_eq!(
            WebUrl::parse(&format!("https://a/{}", "x".repeat(MAX_LEN))),
            Err(WebUrlError::TooLong)
        );
    }
}
