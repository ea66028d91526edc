//! Whatever the other side says, each event that it causes in the log is one short printable line.

use carryall::proto::is_printable;
use carryall::transport::http::{HttpClient, HttpServer};
use carryall::transport::lines::{LineOptions, serve_lines_with};
use carryall::{Client, LegacyOptions, Server, legacy_channels, service_endpoint};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::future::pending;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// A forged line, colours, and characters that hide or turn text.
const FORGED: &str =
    "x\n2026-01-01T00:00:00Z ERROR forged\r\u{1b}[31m\u{9b}2J\u{202e}\u{200b}\u{e0041}";
/// The longest event, in bytes, with fields of which each may hold text that is escaped throughout.
const LONGEST: usize = 12 * 1024;

/// Text with all of that, of so many bytes and more.
fn hostile(length: usize) -> String {
    FORGED.to_owned() + &"\u{1b}\u{202e}".repeat(length / 4)
}

/// Collects the events that this project logs on this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

struct Fields(String);

impl tracing::field::Visit for Fields {
    fn record_str(&mut self, field: &tracing::field::Field, value: &str) {
        write!(self.0, "{}={value} ", field.name()).unwrap();
    }

    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        write!(self.0, "{}={value:?} ", field.name()).unwrap();
    }
}

impl tracing::Subscriber for Log {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target().starts_with("carryall")
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        let mut fields = Fields(format!("{} ", event.metadata().target()));
        event.record(&mut fields);
        self.0.lock().unwrap().push(fields.0);
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

impl Log {
    /// Everything logged so far is short and printable, and among it is something with each of
    /// `expected`.
    fn check(&self, expected: &[&str]) {
        let events = std::mem::take(&mut *self.0.lock().unwrap());
        for event in &events {
            let start: String = event.chars().take(600).collect();
            assert!(event.len() <= LONGEST, "{} bytes: {start}", event.len());
            assert!(event.chars().all(is_printable), "{start:?}");
        }
        for text in expected {
            assert!(
                events.iter().any(|event| event.contains(text)),
                "no event has {text:?}: {events:#?}"
            );
        }
    }
}

async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(60), future)
        .await
        .expect("it hangs")
}

const META: &str = r#"{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;

fn meta() -> Value {
    serde_json::from_str(META).unwrap()
}

/// Messages of a client that means it ill, of both eras.
fn messages() -> Vec<Value> {
    let (long, short) = (hostile(400_000), hostile(100));
    let text = |text: &str| json!(text);
    let mut all = Vec::new();
    for name in [&long, &short] {
        all.push(
            json!({"jsonrpc": "2.0", "id": name, "method": "tools/call", "params": {"name": name, "_meta": meta()}}),
        );
        all.push(json!({"jsonrpc": "2.0", "id": 1, "method": name, "params": {"_meta": meta()}}));
        all.push(json!({"jsonrpc": "2.0", "method": name, "params": {"_meta": meta()}}));
        all.push(json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": name, "reason": name}}));
        all.push(json!({"jsonrpc": "2.0", "id": null, "error": {"code": -32700, "message": name}}));
        all.push(
            json!({"jsonrpc": "2.0", "error": {"code": -32700, "message": name, "data": name}}),
        );
        all.push(json!({"jsonrpc": "2.0", "id": name, "result": {name: name}}));
        all.push(
            json!({"jsonrpc": "2.0", "id": name, "method": "tools/call", "params": {"name": name}}),
        );
        all.push(json!({"jsonrpc": "2.0", "method": name}));
        all.push(
            json!({"jsonrpc": "2.0", "id": 2, "method": "resources/read", "params": {"uri": name, "_meta": meta()}}),
        );
        all.push(text(name));
    }
    all
}

fn initialize() -> Value {
    let info = json!({"name": hostile(100), "version": hostile(100)});
    let params = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": info});
    json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params})
}

async fn post(address: SocketAddr, headers: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /mcp HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Accept: application/json, text/event-stream\r\n{headers}Content-Length: {}\r\n\r\n",
        body.len()
    );
    let _ = stream.write_all(head.as_bytes()).await;
    let _ = stream.write_all(body.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = within(stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn clients_over_http_cannot_forge_the_log() {
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(log.clone());
    let listener = HttpServer::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = Server::new("s", "1").build().unwrap();
    tokio::spawn(listener.run_endpoint(
        service_endpoint(server, LegacyOptions::default()),
        pending(),
    ));

    let opened = post(address, "", &initialize().to_string()).await;
    let session = opened
        .lines()
        .find_map(|line| line.strip_prefix("mcp-session-id: "))
        .expect("a session")
        .to_owned();
    let modern =
        "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: a\r\n".to_owned();
    let legacy = format!("Mcp-Session-Id: {session}\r\nMCP-Protocol-Version: 2025-11-25\r\n");
    for message in messages() {
        let body = message.to_string();
        post(address, &modern, &body).await;
        post(address, &legacy, &body).await;
        // Headers that agree with a hostile body get it further in.
        if let Some(method) = message["method"]
            .as_str()
            .filter(|method| method.is_ascii() && !method.contains('\n'))
        {
            let name = carryall::proto::headers::encode_value(FORGED).into_owned();
            post(
                address,
                &format!("MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: {method}\r\nMcp-Name: {name}\r\n"),
                &body,
            )
            .await;
        }
    }
    post(address, "Origin: https://evil.example/\u{9b}31m\r\n", "{}").await;
    log.check(&["could not read a message", "forged"]);
}

#[tokio::test]
async fn clients_on_lines_cannot_forge_the_log() {
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(log.clone());
    for legacy in [false, true] {
        let server = Server::new("s", "1").build().unwrap();
        let (near, far) = tokio::io::duplex(64 * 1024);
        let (reader, writer) = tokio::io::split(far);
        let also = legacy_channels(server.clone(), LegacyOptions::default());
        let served = tokio::spawn(async move {
            serve_lines_with(
                reader,
                writer,
                server,
                LineOptions::default(),
                Some(&also),
                pending(),
            )
            .await
        });
        let (mut reader, mut writer) = tokio::io::split(near);
        let answers = tokio::spawn(async move {
            let mut all = Vec::new();
            reader.read_to_end(&mut all).await.map(|_| all.len())
        });
        let first = legacy.then(|| {
            vec![
                initialize(),
                json!({"jsonrpc": "2.0", "method": "notifications/initialized"}),
            ]
        });
        for message in first.into_iter().flatten().chain(messages()) {
            within(writer.write_all(format!("{message}\n").as_bytes()))
                .await
                .unwrap();
            tokio::task::yield_now().await;
        }
        within(writer.write_all(b"\x1b[31mno json\n"))
            .await
            .unwrap();
        writer.shutdown().await.unwrap();
        within(served).await.unwrap().unwrap();
        assert!(within(answers).await.unwrap().unwrap() > 0);
    }
    log.check(&[
        "could not read a message",
        "notification ignored",
        "notification of a legacy client",
        "forged",
    ]);
}

/// Answers each request with `answer`, in which `$ID` stands for its id.
async fn saying(status: &'static str, kind: &'static str, answer: String) -> Client {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 64 * 1024];
            let count = stream.read(&mut request).await.unwrap_or(0);
            let request = String::from_utf8_lossy(&request[..count]).into_owned();
            let body: Value = request
                .split_once("\r\n\r\n")
                .and_then(|(_, body)| serde_json::from_str(body).ok())
                .unwrap_or_default();
            let answer = answer.replace("$ID", &body["id"].to_string());
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
                answer.len()
            );
            let _ = stream.write_all(head.as_bytes()).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    let transport = HttpClient::builder(&url).unwrap().build().unwrap();
    Client::builder()
        .service(transport)
        .max_retries(1)
        .timeout(Duration::from_secs(20))
        .build()
        .unwrap()
}

#[tokio::test]
async fn servers_over_http_cannot_forge_the_log() {
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(log.clone());
    for text in [hostile(300_000), hostile(100)] {
        let error =
            json!({"jsonrpc": "2.0", "id": null, "error": {"code": -32603, "message": text}})
                .to_string();
        let notify = |method: &str, params: Value| {
            format!(
                "data: {}\n\n",
                json!({"jsonrpc": "2.0", "method": method, "params": params})
            )
        };
        let done = "data: {\"jsonrpc\":\"2.0\",\"id\":$ID,\"result\":{\"resultType\":\"complete\",\"content\":[]}}\n\n";
        let stream = notify(&text, json!({}))
            + &notify(
                "notifications/progress",
                json!({"progressToken": text, "progress": text}),
            )
            + &notify(
                "notifications/message",
                json!({"level": text, "data": text}),
            )
            + done;
        for (status, kind, answer) in [
            ("500 Oh", "text/html", text.clone()),
            ("503 Oh", "application/json", error.clone()),
            (
                "403 No",
                "text/plain",
                format!("Invalid Host header {text}"),
            ),
            ("200 OK", "application/json", error.clone()),
            ("200 OK", "application/json", text.clone()),
            ("200 OK", "text/event-stream", stream),
            (
                "200 OK",
                "text/event-stream",
                format!(
                    "event: {}\ndata: {error}\n\n",
                    FORGED.replace(['\n', '\r'], " ")
                ),
            ),
        ] {
            let client = saying(status, kind, answer).await;
            let failed = within(client.call("t", json!({})).into_future())
                .await
                .err()
                .map(|error| error.to_string());
            let _ = within(client.list_tools().into_future()).await;
            if let Some(failed) = failed {
                tracing::info!(target: "carryall_test", error = %failed, "what a program would log of its call");
            }
        }
    }
    log.check(&["malformed notification ignored", "forged"]);
}

#[cfg(unix)]
#[tokio::test]
async fn processes_cannot_forge_the_log() {
    use carryall::transport::ServerCommand;
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(log.clone());
    let escaped = |value: Value| value.to_string();
    let text = hostile(20_000);
    let lines = [
        "not json \u{1b}[31m".to_owned(),
        escaped(json!({"jsonrpc": "2.0", "id": null, "error": {"code": -32700, "message": text}})),
        escaped(json!({"jsonrpc": "2.0", "method": text, "params": {"text": text}})),
        escaped(json!({"jsonrpc": "2.0", "id": text, "result": {}})),
        escaped(json!({"jsonrpc": "2.0", "id": text, "method": text, "params": {}})),
    ];
    let file = std::env::temp_dir().join(format!("carryall-log-lines-{}", std::process::id()));
    std::fs::write(&file, lines.join("\n") + "\n").unwrap();
    // It says all of that, on both streams, and then nothing to any request.
    let script = format!("cat {0}; cat {0} >&2; cat > /dev/null", file.display());
    let command = ServerCommand::new("sh").arg("-c").arg(script);
    let connected = tokio::time::timeout(
        Duration::from_secs(5),
        carryall::connect(command).into_future(),
    );
    if let Ok(Err(error)) = connected.await {
        tracing::info!(target: "carryall_test", %error, "what a program would log of it");
    }
    std::fs::remove_file(file).unwrap();
    log.check(&["carryall::stderr", "forged"]);
}
