//! Under which names a server of this program is called, and which web pages may call it.

use carryall::transport::http::{Endpoint, HostPolicy};

/// Options of `up` and `demo` that say whom the endpoint answers.
#[derive(clap::Args, Clone, Debug, Default)]
#[command(next_help_heading = "Names and web pages")]
pub(crate) struct AllowOptions {
    /// Answer to this name in Host as well, as a proxy may send it (repeatable); on any port unless
    /// it names one
    #[arg(long = "allow-host", value_name = "NAME[:PORT]", value_parser = host)]
    hosts: Vec<String>,
    /// Let web pages of this origin call, for example https://app.example.com (repeatable)
    #[arg(long = "allow-origin", value_name = "ORIGIN", value_parser = origin)]
    origins: Vec<String>,
}

impl AllowOptions {
    /// Sets the names of the endpoint. Unless any is given, a server on loopback (`local`) answers
    /// to loopback names alone, and one on any other address to every name.
    pub(crate) fn apply(&self, endpoint: Endpoint, local: bool) -> Endpoint {
        let known = if local || !self.hosts.is_empty() {
            HostPolicy::loopback()
        } else {
            HostPolicy::any()
        };
        let endpoint = endpoint.hosts(
            self.hosts
                .iter()
                .fold(known, |policy, host| policy.allow(host)),
        );
        self.origins
            .iter()
            .fold(endpoint, |endpoint, origin| endpoint.allow_origin(origin))
    }
}

fn host(text: &str) -> Result<String, String> {
    let authority: http::uri::Authority = text.parse().map_err(|_| {
        "write the name alone, as it stands in a URL between // and the path".to_owned()
    })?;
    if text.contains('@') || authority.host().is_empty() || authority.host() == "*" {
        return Err(
            "write the name alone, for example mcp.example.com; there is no wildcard".into(),
        );
    }
    Ok(text.to_owned())
}

fn origin(text: &str) -> Result<String, String> {
    let hint = || {
        "an origin has a scheme and a name and no path, for example https://app.example.com"
            .to_owned()
    };
    let (scheme, authority) = text
        .trim_end_matches('/')
        .split_once("://")
        .ok_or_else(hint)?;
    if scheme.is_empty() || authority.contains('/') || host(authority).is_err() {
        return Err(hint());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_origins_are_told_from_what_is_neither() {
        for good in [
            "mcp.example.com",
            "mcp.example.com:8443",
            "[::1]:80",
            "10.0.0.1",
        ] {
            assert!(host(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "https://mcp.example.com",
            "mcp.example.com/mcp",
            "a@b",
            "*",
            "a b",
        ] {
            assert!(host(bad).is_err(), "{bad}");
        }
        for good in [
            "https://app.example.com",
            "http://localhost:3000/",
            "vscode-webview://abc",
        ] {
            assert!(origin(good).is_ok(), "{good}");
        }
        for bad in ["app.example.com", "https://", "https://a/b", "null", "*"] {
            assert!(origin(bad).is_err(), "{bad}");
        }
    }
}
