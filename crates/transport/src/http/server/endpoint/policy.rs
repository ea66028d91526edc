//! Which hosts a server answers to, and the pages of which origins may call it.

use std::net::{Ipv4Addr, Ipv6Addr};

/// The names that a server answers to. Loopback names are always among them.
///
/// ```
/// use carryall_transport::http::HostPolicy;
///
/// let policy = HostPolicy::loopback().allow("mcp.example.com").allow("*.internal.example.com");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostPolicy {
    any: bool,
    names: Vec<Box<str>>,
}

impl HostPolicy {
    /// Allows `localhost`, `127.0.0.0/8` and `[::1]`, on any port.
    #[must_use]
    pub const fn loopback() -> Self {
        Self {
            any: false,
            names: Vec::new(),
        }
    }

    /// Allows every name. An attacker can then point a name of their own at this server, so a page
    /// of the same host as in `Host` proves nothing: only pages from loopback and from origins that
    /// are allowed by name may call.
    #[must_use]
    pub fn any() -> Self {
        Self {
            any: true,
            names: Vec::new(),
        }
    }

    /// Allows one more name, such as `mcp.example.com`, on any port unless it includes one.
    /// `*.example.com` stands for all names below `example.com`, and `*` for every name, as
    /// [`any`](Self::any). Names are compared as they appear in `Host`: they have neither scheme
    /// nor path.
    #[must_use]
    pub fn allow(mut self, host: &str) -> Self {
        self.any |= host == "*";
        self.names.push(host.to_ascii_lowercase().into());
        self
    }

    pub(super) fn allows_any(&self) -> bool {
        self.any
    }

    /// Returns whether `host` is a loopback name or allowed by name.
    pub(super) fn names(&self, host: &str) -> bool {
        if is_plain_loopback(host) {
            return true;
        }
        // In `localhost:1@evil.com` the name comes last. Clients do not put credentials there.
        if host.contains('@') {
            return false;
        }
        let name = without_port(host);
        is_loopback(name)
            || self
                .names
                .iter()
                .any(|allowed| matches_name(allowed, host) || matches_name(allowed, name))
    }
}

/// The origins whose web pages may call. Requests without `Origin` are not sent by a page, and are
/// always allowed.
///
/// ```
/// use carryall_transport::http::OriginPolicy;
///
/// let policy = OriginPolicy::local().allow("https://app.example.com");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OriginPolicy {
    any: bool,
    origins: Vec<Box<str>>,
}

impl OriginPolicy {
    /// Allows pages from loopback, and pages from a host that this server answers to.
    #[must_use]
    pub fn local() -> Self {
        Self::default()
    }

    /// Allows every page. Only for servers that authorize each call.
    #[must_use]
    pub fn any() -> Self {
        Self {
            any: true,
            origins: Vec::new(),
        }
    }

    /// Allows pages of one more origin, such as `https://app.example.com` or
    /// `https://app.example.com:8443`. `https://*.example.com` stands for all names below
    /// `example.com`, and `*` for every page, as [`any`](Self::any).
    #[must_use]
    pub fn allow(mut self, origin: &str) -> Self {
        self.any |= origin == "*";
        self.origins
            .push(origin.trim_end_matches('/').to_ascii_lowercase().into());
        self
    }

    /// Returns whether pages of `origin` may call a server that was addressed as `host`.
    pub(super) fn allows(&self, origin: &str, host: Option<&str>) -> bool {
        let mut allowed = self.origins.iter();
        if self.any || allowed.any(|allowed| matches_origin(allowed, origin)) {
            return true;
        }
        let Some((scheme, authority)) = origin.split_once("://") else {
            return false;
        };
        if !matches!(scheme, "http" | "https") || !authority.bytes().all(is_authority_byte) {
            return false;
        }
        let name = without_port(authority);
        is_loopback(name) || host.is_some_and(|host| without_port(host).eq_ignore_ascii_case(name))
    }
}

/// Returns whether `pattern`, which may begin with `*.`, matches `name`.
fn matches_name(pattern: &str, name: &str) -> bool {
    match pattern.strip_prefix('*') {
        Some(suffix) if suffix.starts_with('.') => name
            .len()
            .checked_sub(suffix.len())
            .filter(|at| *at > 0 && name.is_char_boundary(*at))
            .is_some_and(|at| {
                name[at..].eq_ignore_ascii_case(suffix) && name[..at].bytes().all(is_authority_byte)
            }),
        _ => pattern.eq_ignore_ascii_case(name),
    }
}

fn matches_origin(pattern: &str, origin: &str) -> bool {
    if pattern.eq_ignore_ascii_case(origin) {
        return true;
    }
    let (Some((pattern_scheme, name)), Some((scheme, authority))) =
        (pattern.split_once("://"), origin.split_once("://"))
    else {
        return false;
    };
    name.starts_with("*.")
        && pattern_scheme.eq_ignore_ascii_case(scheme)
        && authority.bytes().all(is_authority_byte)
        && matches_name(name, authority)
}

fn without_port(host: &str) -> &str {
    let after_bracket = host.rfind(']').map_or(0, |at| at + 1);
    host[after_bracket..]
        .find(':')
        .map_or(host, |colon| &host[..after_bracket + colon])
}

/// Recognizes the two most common spellings quickly, with or without a port.
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
    let is_loopback_v4 = |address: Ipv4Addr| address.is_loopback();
    let is_loopback_v6 = |address: Ipv6Addr| address.is_loopback();
    name.eq_ignore_ascii_case("localhost")
        || name.parse().is_ok_and(is_loopback_v4)
        || name
            .strip_prefix('[')
            .and_then(|name| name.strip_suffix(']'))
            .is_some_and(|name| name.parse().is_ok_and(is_loopback_v6))
}

fn is_authority_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_split_off_names_and_addresses() {
        assert_eq!(without_port("localhost:80"), "localhost");
        assert_eq!(without_port("localhost"), "localhost");
        assert_eq!(without_port("[::1]:80"), "[::1]");
        assert_eq!(without_port("[::1]"), "[::1]");
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
            assert!(policy.allows(origin, Some("mcp.example.com")), "{origin}");
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
            assert!(!policy.allows(origin, Some("mcp.example.com")), "{origin}");
        }
        assert!(!policy.allows("https://mcp.example.com", None));
        let below = OriginPolicy::local().allow("https://*.example.com");
        assert!(below.allows("https://App.example.com", None));
        for origin in [
            "http://app.example.com",
            "https://example.com",
            "https://app.example.com:1",
            "https://evil.com/.example.com",
            "https://evil.com@app.example.com",
            "https://appexample.com",
        ] {
            assert!(!below.allows(origin, None), "{origin}");
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
            assert!(policy.names(host), "{host}");
        }
        let below = HostPolicy::loopback().allow("*.Example.com");
        for (host, named) in [
            ("mcp.example.com", true),
            ("a.b.EXAMPLE.com:81", true),
            ("example.com", false),
            (".example.com", false),
            ("mcpexample.com", false),
            ("mcp.example.com.evil.com", false),
            ("evil.com/.example.com", false),
        ] {
            assert_eq!(below.names(host), named, "{host}");
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
            assert!(!policy.names(host), "{host}");
        }
    }
}
