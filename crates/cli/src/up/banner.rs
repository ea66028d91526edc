//! What is printed once the endpoint is up.

use super::edge::ENDPOINT;
use super::start::Running;
use crate::fail::{Exit, Fail};
use carryall::transport::http::HttpServer;
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};

pub(super) struct Banner {
    url: String,
    exposed: bool,
    behind: String,
    /// The endpoint is in front of the demo server, whose tools are known.
    demo: bool,
    /// Where clients of HTTP+SSE connect.
    sse: Option<String>,
}

impl Banner {
    pub(super) fn new(
        listener: &HttpServer,
        running: &Running,
        replicas: usize,
        sse: bool,
    ) -> Result<Self, Fail> {
        let address = listener.local_addr();
        let address = address.map_err(|error| {
            Fail::new(Exit::Local, format!("the endpoint has no address: {error}"))
        })?;
        let demo = replicas > 0;
        let behind = if demo {
            let replicas = if replicas == 1 {
                "1 replica".into()
            } else {
                format!("{replicas} replicas")
            };
            format!("{replicas} of the demo server; each request goes to the next one")
        } else {
            running.shown.join(", ")
        };
        let url = format!("http://{}{ENDPOINT}", reachable(address));
        let sse = sse.then(|| format!("http://{}/sse", reachable(address)));
        Ok(Self {
            url,
            exposed: !address.ip().is_loopback(),
            behind,
            demo,
            sse,
        })
    }

    pub(super) fn show(&self, quiet: bool) -> Result<(), Fail> {
        let mut out = std::io::stdout().lock();
        let text = if quiet {
            format!("{}\n", self.url)
        } else {
            self.text()
        };
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            // The endpoint is there for others, whoever started it stopped reading.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            written => written.map_err(Fail::output),
        }
    }

    fn text(&self) -> String {
        let Self { url, behind, .. } = self;
        let warning = if self.exposed {
            "Anybody who can reach this machine can call it: there is no authorization here.\n"
        } else {
            ""
        };
        let command = if self.demo {
            format!("carryall call {url} whoami")
        } else {
            format!("carryall tools {url}")
        };
        let sse = self.sse.as_ref().map_or_else(String::new, |sse| {
            format!("HTTP+SSE for older clients: {sse}\n")
        });
        format!(
            "MCP endpoint: {url}\n{sse}Behind it: {behind}. Ctrl-C stops everything.\n{warning}\nTry it:\n  {}\n  {command}\n",
            self.curl()
        )
    }

    /// A request that works as printed: every header and `_meta` member that the revision asks for.
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

/// The address as one types it on this machine.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::from([127, 0, 0, 1]),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::from(std::net::Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}
