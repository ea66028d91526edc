//! Attacks with untrusted text: forged log lines, and text that blocks a terminal.

use super::super::http::{ModernRequest, TortureClient, read_request};
use super::super::target::{TortureTarget, quiet, upstream_command};
use super::super::{AttackEnv, AttackOutcome};
use crate::CommandResult;
use crate::process::ChildGroup;
use serde_json::json;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

const FORGED: &str =
    "x\n2026-01-01T00:00:00Z  INFO all is well\u{1b}[2J\u{1b}]0;owned\u{7}\u{202e}";
/// Enough for our own text and a truncated piece of untrusted text in each of a few fields.
const LONGEST_LINE: usize = 8 * 1024;

/// Clients, a legacy stdio server and an HTTP server send line breaks and escape sequences wherever
/// they can.
pub(super) fn forged_log(env: &AttackEnv) -> CommandResult<AttackOutcome> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
    let port = listener
        .local_addr()
        .map_err(|error| error.to_string())?
        .port();
    thread::spawn(move || failing_server(&listener));
    let (stdio, http) = (
        upstream_command()?,
        format!("web=http://127.0.0.1:{port}/mcp"),
    );
    let level = "warn,carryall=trace";
    let target = TortureTarget::start(
        env,
        "forged-log",
        &["up", "--stdio", &stdio, "--http", &http, "-v"],
        level,
    )?;
    let client = TortureClient::new(target.port, 1);
    // Waits for the upstream; its answers do not matter here.
    for _ in 0..20 {
        if client
            .call("bad__forge_log", json!({}))?
            .text()
            .contains("forged")
        {
            break;
        }
        thread::sleep(Duration::from_millis(250));
    }
    let session = client.handshake(json!({}))?;
    let long = FORGED.repeat(20_000);
    for text in [FORGED, long.as_str()] {
        // A request may be rejected before it is read completely.
        let _ = client.modern(&ModernRequest {
            name: None,
            ..ModernRequest::tool(text, json!({}))
        });
        let _ = client.call("bad__whoami", json!({text: text}));
        let _ = client.modern(&ModernRequest::new("resources/read", json!({"uri": text})));
        let _ = client.modern(&ModernRequest::new("tools/list", json!({"cursor": text})));
        for session in [None, Some(&*session)] {
            let _ = client.legacy(
                session,
                &json!({"jsonrpc": "2.0", "id": text, "method": text, "params": {"a": text}}),
            );
            let _ = client.legacy(
                session,
                &json!({"jsonrpc": "2.0", "method": text, "params": {"requestId": text}}),
            );
            let _ = client.legacy(
                session,
                &json!({"jsonrpc": "2.0", "id": text, "error": {"code": 1, "message": text}}),
            );
            let _ = client.legacy(
                session,
                &json!({"jsonrpc": "2.0", "id": text, "result": {}}),
            );
        }
    }
    client.call("web__anything", json!({}))?;
    thread::sleep(Duration::from_millis(500));
    let log = std::fs::read(&target.log).map_err(|error| error.to_string())?;
    let log = String::from_utf8_lossy(&log);
    let longest = log.lines().map(str::len).max().unwrap_or_default();
    let is_unprintable =
        |c: char| c != '\n' && (c.is_control() || matches!(c, '\u{202a}'..='\u{202e}'));
    let unprintable = log.chars().filter(|c| is_unprintable(*c)).count();
    let forged = log
        .lines()
        .filter(|line| line.starts_with("2026-01-01T00:00:00Z"))
        .count();
    let observed = format!(
        "{} lines, longest {longest} bytes, {unprintable} control characters, {forged} forged",
        log.lines().count()
    );
    Ok(AttackOutcome::new(
        longest <= LONGEST_LINE && unprintable == 0 && forged == 0 && !log.is_empty(),
        observed,
    ))
}

/// Answers everything with an error status and a body with terminal escape sequences.
fn failing_server(listener: &TcpListener) {
    for stream in listener.incoming().take(1_000) {
        let Ok(mut stream) = stream else { return };
        let _ = stream.set_read_timeout(Some(Duration::from_secs(1)));
        let _ = stream.read(&mut [0; 16 * 1024]);
        let body = FORGED.repeat(1_000);
        let head =
            "HTTP/1.1 500 Oh no\r\nContent-Type: text/plain\r\nConnection: close\r\nContent-Length";
        let _ = write!(stream, "{head}: {}\r\n\r\n{body}", body.len());
    }
}

/// Serves a tool whose description would take hours to lay out in a table.
pub(super) fn endless_description(env: &AttackEnv) -> CommandResult<AttackOutcome> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
    let port = listener
        .local_addr()
        .map_err(|error| error.to_string())?
        .port();
    thread::spawn(move || describing_server(&listener));
    let mut command = Command::new(&env.binary);
    command.args([
        "tools",
        &format!("http://127.0.0.1:{port}/mcp"),
        "--format",
        "human",
    ]);
    let started = Instant::now();
    let mut group = ChildGroup::spawn(quiet(&mut command))?;
    if group.wait(Duration::from_secs(5)).is_none() {
        group.signal("INT");
    }
    let ended = group.wait(Duration::from_secs(5));
    let observed = match ended {
        Some(_) => format!("exited after {:.1} s", started.elapsed().as_secs_f64()),
        None => "neither exited nor reacted to Ctrl-C".to_owned(),
    };
    Ok(AttackOutcome::new(ended.is_some(), observed))
}

fn describing_server(listener: &TcpListener) {
    for stream in listener.incoming().take(100) {
        let Ok(mut stream) = stream else { return };
        let _ = stream.set_read_timeout(Some(Duration::from_secs(2)));
        let Some((_, request)) = read_request(&stream) else {
            continue;
        };
        let mut result = json!({"resultType": "complete", "ttlMs": 0, "cacheScope": "private"});
        if request["method"] == "server/discover" {
            result["supportedVersions"] = json!(["2026-07-28"]);
            result["capabilities"] = json!({"tools": {}});
            result["serverInfo"] = json!({"name": "wordy", "version": "1"});
        } else {
            let args = "word ".repeat(80_000);
            let schema = json!({"type": "object"});
            result["tools"] =
                json!([{"name": "wordy", "description": args, "inputSchema": schema}]);
        }
        let text = json!({"jsonrpc": "2.0", "id": request["id"], "result": result}).to_string();
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length";
        let _ = write!(stream, "{head}: {}\r\n\r\n{text}", text.len());
    }
}
