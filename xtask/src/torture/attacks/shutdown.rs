//! Streams that stay open during shutdown, and streams that end immediately.

use super::super::http::{ModernRequest, TortureClient, read_request};
use super::super::target::TortureTarget;
use super::super::{AttackEnv, AttackOutcome};
use crate::CommandResult;
use serde_json::json;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// A legacy client keeps its GET stream open until the server exits.
pub(super) fn open_stream(env: &AttackEnv) -> CommandResult<AttackOutcome> {
    let mut times = Vec::new();
    for (name, target) in [
        ("demo", TortureTarget::demo(env, "open-stream-demo")?),
        ("up", TortureTarget::edge(env, "open-stream-up", &[])?),
    ] {
        let client = TortureClient::new(target.port, 1);
        let session = client.handshake(json!({}))?;
        let headers = [
            ("Accept", "text/event-stream"),
            ("Mcp-Session-Id", &*session),
            ("MCP-Protocol-Version", "2025-11-25"),
        ];
        let stream = client.open("GET", &headers, "")?;
        thread::sleep(Duration::from_millis(300));
        times.push((name, target.terminate(Duration::from_secs(30))));
        drop(stream);
    }
    let holds = times
        .iter()
        .all(|(_, time)| time.is_some_and(|time| time < Duration::from_secs(5)));
    let shown = times.iter().map(|(name, time)| match time {
        Some(time) => format!("{name} after {:.1} s", time.as_secs_f64()),
        None => format!("{name} never"),
    });
    Ok(AttackOutcome::new(
        holds,
        shown.collect::<Vec<_>>().join(", "),
    ))
}

/// A legacy HTTP server ends each stream immediately, with `retry: 0`.
pub(super) fn retry_now(env: &AttackEnv) -> CommandResult<AttackOutcome> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
    let port = listener
        .local_addr()
        .map_err(|error| error.to_string())?
        .port();
    let streams = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&streams);
    thread::spawn(move || {
        for stream in listener.incoming().take(100_000) {
            let Ok(stream) = stream else { return };
            let counted = Arc::clone(&counted);
            thread::spawn(move || legacy_server(stream, &counted));
        }
    });
    let url = format!("http://127.0.0.1:{port}/mcp");
    let target = TortureTarget::start(env, "retry-now", &["up", "--http", &url], "warn")?;
    let client = TortureClient::new(target.port, 1);
    // A listener makes the edge open the GET stream of the upstream; a call makes it resume the
    // stream of that call.
    let listen = ModernRequest::new(
        "subscriptions/listen",
        json!({"notifications": {"toolsListChanged": true}}),
    );
    let held = [
        client.open_modern(&listen.capabilities(json!({"elicitation": {"form": {}}})))?,
        client.open_modern(&ModernRequest::tool("anything", json!({})))?,
    ];
    thread::sleep(Duration::from_secs(1));
    let before = streams.load(Ordering::Relaxed);
    thread::sleep(Duration::from_secs(5));
    let after = streams.load(Ordering::Relaxed) - before;
    drop(held);
    Ok(AttackOutcome::new(
        before > 0 && after <= 40,
        format!("{after} streams in 5 s, {before} in the second before"),
    ))
}

fn legacy_server(mut out: TcpStream, streams: &AtomicUsize) {
    let _ = out.set_read_timeout(Some(Duration::from_secs(5)));
    let Some((method, request)) = read_request(&out) else {
        return;
    };
    let start = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";
    let ended = format!("{start}id: 1\nretry: 0\ndata:\n\n");
    if method == "GET" {
        streams.fetch_add(1, Ordering::Relaxed);
        let _ = out.write_all(ended.as_bytes());
        return;
    }
    let (status, text) = match request["method"].as_str() {
        Some("initialize") => {
            let result = json!({
                "protocolVersion": "2025-11-25", "capabilities": {"tools": {"listChanged": true}},
                "serverInfo": {"name": "hasty", "version": "1"},
            });
            (
                "200 OK",
                json!({"jsonrpc": "2.0", "id": request["id"], "result": result}).to_string(),
            )
        }
        Some("notifications/initialized") => ("202 Accepted", String::new()),
        Some("tools/call") => {
            let _ = out.write_all(ended.as_bytes());
            return;
        }
        _ => ("400 Bad Request", "not here".to_owned()),
    };
    let headers = "Content-Type: application/json\r\nMcp-Session-Id: one\r\nConnection: close\r\nContent-Length";
    let _ = write!(
        out,
        "HTTP/1.1 {status}\r\n{headers}: {}\r\n\r\n{text}",
        text.len()
    );
}
