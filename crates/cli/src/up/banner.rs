//! The message that is printed once the endpoint is up.

use super::service::ENDPOINT_PATH;
use super::start::StartedUpstreams;
use crate::error::CliError;
use carryall::transport::http::HttpServer;
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};

pub(super) struct Banner {
    url: String,
    /// Whether the endpoint is reachable from other machines.
    exposed: bool,
    /// The upstreams in words.
    upstreams: String,
    /// Whether the upstream is the demo server, whose tools are known.
    demo: bool,
    /// The URL for clients of HTTP+SSE, if they are served.
    sse_url: Option<String>,
}

impl Banner {
    pub(super) fn new(
        listener: &HttpServer,
        started: &StartedUpstreams,
        replicas: usize,
        sse: bool,
    ) -> Result<Self, CliError> {
        let address = listener.local_addr();
        let address = address
            .map_err(|error| CliError::local(format!("the endpoint has no address: {error}")))?;
        let demo = replicas > 0;
        let upstreams = if demo {
            let replicas = if replicas == 1 {
                "1 replica".into()
            } else {
                format!("{replicas} replicas")
            };
            format!("{replicas} of the demo server, used in turn")
        } else {
            started.labels.join(", ")
        };
        let url = format!("http://{}{ENDPOINT_PATH}", reachable(address));
        let sse_url = sse.then(|| format!("http://{}/sse", reachable(address)));
        Ok(Self {
            url,
            exposed: !address.ip().is_loopback(),
            upstreams,
            demo,
            sse_url,
        })
    }

    pub(super) fn print(&self, quiet: bool) -> Result<(), CliError> {
        let mut out = std::io::stdout().lock();
        let text = if quiet {
            format!("{}\n", self.url)
        } else {
            self.text()
        };
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            // Serving goes on if the reader of standard output is gone.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            written => written.map_err(CliError::output),
        }
    }

    fn text(&self) -> String {
        let Self { url, upstreams, .. } = self;
        let warning = if self.exposed {
            "There is no authorization: anybody who can reach this machine can call it.\n"
        } else {
            ""
        };
        let command = if self.demo {
            format!("carryall call {url} whoami")
        } else {
            format!("carryall tools {url}")
        };
        let sse = self.sse_url.as_ref().map_or_else(String::new, |sse| {
            format!("HTTP+SSE for older clients: {sse}\n")
        });
        format!(
            "MCP endpoint: {url}\n{sse}Upstreams: {upstreams}. Ctrl-C stops everything.\n{warning}\nTry it:\n  {}\n  {command}\n",
            self.curl()
        )
    }

    /// Returns a request that works as printed, with all required headers and `_meta` members.
    fn curl(&self) -> String {
        let meta = serde_json::json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": {"name": "curl", "version": "8"},
            "io.modelcontextprotocol/clientCapabilities": {},
        });
        let (method, name, params) = if self.demo {
            (
                "tools/call",
                " -H 'Mcp-Name: whoami'",
                serde_json::json!({"name": "whoami", "_meta": meta}),
            )
        } else {
            ("tools/list", "", serde_json::json!({"_meta": meta}))
        };
        let body =
            serde_json::json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        format!(
            "curl -sS {} -H 'Content-Type: application/json' -H 'Accept: application/json, text/event-stream' \
             -H 'MCP-Protocol-Version: 2026-07-28' -H 'Mcp-Method: {method}'{name} -d '{body}'",
            self.url
        )
    }
}

/// Returns the address with which this machine reaches the endpoint.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::from([127, 0, 0, 1]),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::from(std::net::Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}
