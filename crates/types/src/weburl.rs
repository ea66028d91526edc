//! The few parts of a web address that decide whom one talks to.
//!
//! Stricter than a browser on purpose. What parsers disagree about (backslashes, spaces, control
//! characters, credentials, hosts outside ASCII, escapes in the host) is refused, so that the host
//! which is checked here is the host that is asked later, whatever library does it.

use std::fmt;

/// Longer addresses than this are refused.
const MAX_LEN: usize = 8 * 1024;

/// The scheme, host and port of an `http` or `https` URL. Two of them are equal when the origins
/// are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WebUrl {
    /// Whether the scheme is `https`.
    pub(crate) secure: bool,
    /// The host in lower case; an IPv6 address keeps its brackets.
    pub(crate) host: String,
    /// The port, the default one of the scheme included.
    pub(crate) port: u16,
}

/// Why an address is not a [`WebUrl`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Malformed {
    TooLong,
    Characters,
    Scheme,
    Credentials,
    Host,
    Port,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "longer than 8 KiB",
            Self::Characters => "contains a character that has to be escaped",
            Self::Scheme => "neither http:// nor https://",
            Self::Credentials => "contains a user name or password",
            Self::Host => "the host is missing or malformed",
            Self::Port => "the port is malformed",
        })
    }
}

impl WebUrl {
    /// Takes `url` apart.
    pub(crate) fn parse(url: &str) -> Result<Self, Malformed> {
        if url.len() > MAX_LEN {
            return Err(Malformed::TooLong);
        }
        if url
            .bytes()
            .any(|byte| !byte.is_ascii_graphic() || matches!(byte, b'\\' | b'"' | b'<' | b'>'))
        {
            return Err(Malformed::Characters);
        }
        let (scheme, rest) = url.split_once("://").ok_or(Malformed::Scheme)?;
        let secure = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return Err(Malformed::Scheme),
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if authority.contains('@') {
            return Err(Malformed::Credentials);
        }
        let (host, port) = split_port(authority)?;
        if !is_host(host) {
            return Err(Malformed::Host);
        }
        let default = if secure { 443 } else { 80 };
        let port = match port {
            None | Some("") => default,
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().map_err(|_| Malformed::Port)?
            }
            Some(_) => return Err(Malformed::Port),
        };
        Ok(Self {
            secure,
            host: host.to_ascii_lowercase(),
            port,
        })
    }

    /// Whether the host is this machine.
    pub(crate) fn is_loopback(&self) -> bool {
        self.host == "localhost"
            || self.host == "[::1]"
            || self
                .host
                .parse::<std::net::Ipv4Addr>()
                .is_ok_and(|address| address.is_loopback())
    }
}

/// Splits the port off; the colons of an IPv6 address are inside its brackets.
fn split_port(authority: &str) -> Result<(&str, Option<&str>), Malformed> {
    if authority.starts_with('[') {
        let end = authority.find(']').ok_or(Malformed::Host)? + 1;
        return match &authority[end..] {
            "" => Ok((authority, None)),
            rest => rest
                .strip_prefix(':')
                .map(|port| (&authority[..end], Some(port)))
                .ok_or(Malformed::Host),
        };
    }
    Ok(match authority.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    })
}

/// A host name, an IPv4 address or an IPv6 address in brackets.
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
    fn what_parsers_disagree_about_is_refused() {
        let cases = [
            (
                "https://good.example\\@evil.example/",
                Malformed::Characters,
            ),
            ("https://good.example/\n", Malformed::Characters),
            ("https://b\u{fc}cher.example/", Malformed::Characters),
            ("https://user@evil.example/", Malformed::Credentials),
            ("https://a:b@evil.example/", Malformed::Credentials),
            ("https:evil.example", Malformed::Scheme),
            ("javascript://x/%0aalert(1)", Malformed::Scheme),
            ("https:///path", Malformed::Host),
            ("https://%65vil.example/", Malformed::Host),
            ("https://[::1", Malformed::Host),
            ("https://[evil]/", Malformed::Host),
            ("https://[::1]x/", Malformed::Host),
            ("https://a..b/", Malformed::Host),
            ("https://a:+80/", Malformed::Port),
            ("https://a:65536/", Malformed::Port),
        ];
        for (url, problem) in cases {
            assert_eq!(WebUrl::parse(url), Err(problem), "{url}");
        }
        assert_eq!(
            WebUrl::parse(&format!("https://a/{}", "x".repeat(MAX_LEN))),
            Err(Malformed::TooLong)
        );
    }
}
