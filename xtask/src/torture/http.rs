//! A minimal HTTP/1.1 client that sends arbitrary headers and bodies from a chosen loopback address.

use crate::CommandResult;
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// Time limit for one answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// A client with a loopback address.
#[derive(Clone, Copy)]
pub(super) struct TortureClient {
    port: u16,
    address: Ipv4Addr,
}

/// A complete answer.
pub(super) struct HttpAnswer {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    /// The JSON-RPC messages in the body.
    pub(super) messages: Vec<Value>,
}

impl TortureClient {
    /// Returns a client with the address 127.0.0.`host`.
    pub(super) fn new(port: u16, host: u8) -> Self {
        Self {
            port,
            address: Ipv4Addr::new(127, 0, 0, host),
        }
    }

    pub(super) fn connect(&self) -> CommandResult<TcpStream> {
        let fail = |error: std::io::Error| format!("cannot connect: {error}");
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).map_err(fail)?;
        socket
            .bind(&SocketAddr::from((self.address, 0)).into())
            .map_err(fail)?;
        socket
            .connect(&SocketAddr::from(([127, 0, 0, 1], self.port)).into())
            .map_err(fail)?;
        let stream = TcpStream::from(socket);
        stream
            .set_read_timeout(Some(ANSWER_TIMEOUT))
            .map_err(fail)?;
        stream
            .set_write_timeout(Some(ANSWER_TIMEOUT))
            .map_err(fail)?;
        Ok(stream)
    }

    /// Sends a request and returns the connection without reading the answer.
    pub(super) fn open(
        &self,
        method: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> CommandResult<TcpStream> {
        let mut stream = self.connect()?;
        let mut text = format!(
            "{method} /mcp HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nConnection: close\r\n",
            self.port
        );
        for (name, value) in headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
        let sent = stream
            .write_all(text.as_bytes())
            .and_then(|()| stream.write_all(body.as_bytes()));
        sent.map_err(|error| format!("cannot send: {error}"))?;
        Ok(stream)
    }

    /// Sends a request of revision 2026-07-28 without reading the answer.
    pub(super) fn open_modern(&self, request: &ModernRequest<'_>) -> CommandResult<TcpStream> {
        let body = request.body();
        let mut headers = vec![
            ("Content-Type", "application/json"),
            ("Accept", "application/json, text/event-stream"),
            ("MCP-Protocol-Version", "2026-07-28"),
            ("Mcp-Method", request.method),
        ];
        if let Some(name) = request.name {
            headers.push(("Mcp-Name", name));
        }
        self.open("POST", &headers, &body.to_string())
    }

    /// Sends a request of revision 2026-07-28 and returns the answer.
    pub(super) fn modern(&self, request: &ModernRequest<'_>) -> CommandResult<HttpAnswer> {
        read(self.open_modern(request)?)
    }

    /// Calls a tool with revision 2026-07-28 and returns the answer.
    pub(super) fn call(&self, tool: &str, arguments: Value) -> CommandResult<HttpAnswer> {
        self.modern(&ModernRequest::tool(tool, arguments))
    }

    /// Sends a message of a legacy client and returns the answer.
    pub(super) fn legacy(
        &self,
        session: Option<&str>,
        message: &Value,
    ) -> CommandResult<HttpAnswer> {
        let mut headers = vec![
            ("Content-Type", "application/json"),
            ("Accept", "application/json, text/event-stream"),
        ];
        if let Some(session) = session {
            headers.extend([
                ("Mcp-Session-Id", session),
                ("MCP-Protocol-Version", "2025-11-25"),
            ]);
        }
        read(self.open("POST", &headers, &message.to_string())?)
    }

    /// Opens a legacy session and returns its id.
    pub(super) fn handshake(&self, capabilities: Value) -> CommandResult<String> {
        let params = json!({
            "protocolVersion": "2025-11-25", "capabilities": capabilities,
            "clientInfo": {"name": "torture", "version": "1"},
        });
        let answer = self.legacy(
            None,
            &json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}),
        )?;
        let id = answer
            .header("mcp-session-id")
            .ok_or_else(|| format!("no session: {:?}", answer.messages))?;
        self.legacy(
            Some(&id),
            &json!({"jsonrpc": "2.0", "method": "notifications/initialized"}),
        )?;
        Ok(id)
    }
}

/// A request of revision 2026-07-28.
pub(super) struct ModernRequest<'a> {
    pub(super) method: &'a str,
    pub(super) name: Option<&'a str>,
    pub(super) params: Value,
    pub(super) capabilities: Value,
    /// Additional members of `_meta`.
    pub(super) meta: Value,
}

impl<'a> ModernRequest<'a> {
    pub(super) fn new(method: &'a str, params: Value) -> Self {
        Self {
            method,
            name: None,
            params,
            capabilities: json!({}),
            meta: json!({}),
        }
    }

    pub(super) fn tool(name: &'a str, arguments: Value) -> Self {
        Self {
            name: Some(name),
            ..Self::new("tools/call", json!({"name": name, "arguments": arguments}))
        }
    }

    pub(super) fn capabilities(mut self, capabilities: Value) -> Self {
        self.capabilities = capabilities;
        self
    }

    pub(super) fn meta(mut self, meta: Value) -> Self {
        self.meta = meta;
        self
    }

    pub(super) fn body(&self) -> Value {
        let mut params = self.params.clone();
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": {"name": "torture", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": self.capabilities,
        });
        for (key, value) in self.meta.as_object().into_iter().flatten() {
            params["_meta"][key] = value.clone();
        }
        json!({"jsonrpc": "2.0", "id": 1, "method": self.method, "params": params})
    }
}

impl HttpAnswer {
    pub(super) fn header(&self, name: &str) -> Option<String> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.clone())
    }

    /// Returns the last message, which is the response.
    pub(super) fn response(&self) -> &Value {
        self.messages.last().unwrap_or(&Value::Null)
    }

    /// Returns all messages as text, to search for content that must not occur.
    pub(super) fn text(&self) -> String {
        self.messages
            .iter()
            .map(Value::to_string)
            .collect::<Vec<_>>()
            .join("\n")
    }
}

/// Reads a complete answer: JSON, an event stream, or nothing.
pub(super) fn read(stream: TcpStream) -> CommandResult<HttpAnswer> {
    let fail = |error: std::io::Error| format!("no answer: {error}");
    let mut reader = BufReader::new(stream);
    let (mut status, mut headers, mut line) = (0, Vec::new(), String::new());
    loop {
        line.clear();
        if reader.read_line(&mut line).map_err(fail)? == 0 || line == "\r\n" {
            break;
        }
        match line.trim_end().split_once(": ") {
            Some((name, value)) => headers.push((name.to_ascii_lowercase(), value.to_owned())),
            None => {
                status = line
                    .split(' ')
                    .nth(1)
                    .and_then(|word| word.parse().ok())
                    .unwrap_or(0)
            }
        }
    }
    let mut body = Vec::new();
    reader.read_to_end(&mut body).map_err(fail)?;
    let text = String::from_utf8_lossy(&body);
    // Chunk sizes are on separate lines, which are not JSON objects.
    let lines = text
        .lines()
        .map(|line| line.strip_prefix("data:").unwrap_or(line).trim());
    let messages = lines
        .filter(|line| line.starts_with('{'))
        .filter_map(|line| serde_json::from_str(line).ok());
    Ok(HttpAnswer {
        status,
        headers,
        messages: messages.collect(),
    })
}

/// Reads a request as a server: the HTTP method and the JSON body, `null` if there is none. Returns
/// `None` if the request is incomplete.
pub(super) fn read_request(stream: &TcpStream) -> Option<(String, Value)> {
    let mut reader = BufReader::new(stream);
    let (mut method, mut length, mut line) = (None, 0, String::new());
    while reader.read_line(&mut line).is_ok_and(|count| count > 2) {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        method.get_or_insert_with(|| line.split(' ').next().unwrap_or_default().to_owned());
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((method?, serde_json::from_slice(&body).unwrap_or_default()))
}
