//! `--allow-host` and `--allow-origin`.

use carryall::transport::http::{Endpoint, HostPolicy};

/// The `Host` and `Origin` values that the endpoint accepts.
#[derive(clap::Args, Clone, Debug, Default)]
#[command(next_help_heading = "Allowed hosts and origins")]
pub(crate) struct AllowOptions {
    /// Also accept this name in Host, for example that of a proxy, on any port unless one is given
    /// (repeatable)
    #[arg(long = "allow-host", value_name = "NAME[:PORT]", value_parser = host)]
    hosts: Vec<String>,
    /// Accept requests of web pages with this origin, for example https://app.example.com
    /// (repeatable)
    #[arg(long = "allow-origin", value_name = "ORIGIN", value_parser = origin)]
    origins: Vec<String>,
}

impl AllowOptions {
    /// Applies the options. By default an endpoint on a loopback address accepts only loopback
    /// names, and one on any other address every name.
    pub(crate) fn apply(&self, endpoint: Endpoint, loopback: bool) -> Endpoint {
        let default = if loopback || !self.hosts.is_empty() {
            HostPolicy::loopback()
        } else {
            HostPolicy::any()
        };
        let endpoint = endpoint.hosts(
            self.hosts
                .iter()
                .fold(default, |policy, host| policy.allow(host)),
        );
        self.origins
            .iter()
            .fold(endpoint, |endpoint, origin| endpoint.allow_origin(origin))
    }
}

fn host(text: &str) -> Result<String, String> {
    let authority: http::uri::Authority = text.parse().map_err(|_| {
        "write only the name, as it stands in a URL between // and the path".to_owned()
    })?;
    if text.contains('@') || authority.host().is_empty() || authority.host() == "*" {
        return Err(
            "write only the name, for example mcp.example.com; wildcards are not supported".into(),
        );
    }
    Ok(text.to_owned())
}

fn origin(text: &str) -> Result<String, String> {
    let hint = || {
        "an origin has a scheme, a name and no path, for example https://app.example.com".to_owned()
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
    fn hosts_and_origins_are_validated() {
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
