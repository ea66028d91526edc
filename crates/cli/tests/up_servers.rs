//! `carryall up` with various upstreams: unreachable, with credentials, legacy.
#![cfg(unix)]

mod up_support;

use serde_json::{Value, json};
use std::io::{BufRead as _, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use up_support::{
    Carryall, always, ask, command, eventually, exchange, plain, recording_server, request, send,
    whoami,
};

const ANY_PORT: [&str; 3] = ["up", "--listen", "127.0.0.1:0"];

fn up(args: &[&str]) -> Carryall {
    Carryall::start(&[&ANY_PORT, args].concat(), "Try it")
}

fn logged(carryall: &Carryall, text: &str) {
    eventually(&format!("the log says {text:?}"), || {
        carryall.log.lock().unwrap().contains(text).then_some(())
    });
}

fn tool_names(url: &str) -> Vec<String> {
    let answer = ask(url, "tools/list", json!({}));
    let tools = answer["result"]["tools"]
        .as_array()
        .unwrap_or_else(|| panic!("{answer}"));
    tools
        .iter()
        .map(|tool| tool["name"].as_str().unwrap().to_owned())
        .collect()
}

/// A temporary directory, removed on drop.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("carryall-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Installs a program that is the demo server on standard streams.
fn install(path: &str, replica: &str) {
    let script = format!(
        "#!/bin/sh\nexec '{}' demo --stdio --replica {replica}\n",
        env!("CARGO_BIN_EXE_carryall")
    );
    // Renamed into place, so that it is never started half written.
    let fresh = format!("{path}.new");
    std::fs::write(&fresh, script).unwrap();
    std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::rename(fresh, path).unwrap();
}

#[test]
fn a_command_that_does_not_start_is_retried_without_affecting_others() {
    let scratch = Scratch::new("late");
    let program = scratch.file("server");
    let demo = Carryall::demo("first");
    let mut carryall = up(&[
        "--stdio",
        &format!("late={program}"),
        "--http",
        &format!("a={}", demo.url()),
    ]);
    let url = carryall.url();
    assert_eq!(whoami(&url, "a__whoami"), "replica first");
    logged(&carryall, "late does not start");
    assert!(tool_names(&url).iter().all(|name| name.starts_with("a__")));
    let error = ask(&url, "tools/call", json!({"name": "late__whoami"}));
    assert_eq!(error["error"]["code"], -31010, "{error}");

    install(&program, "late");
    eventually("the program is started", || {
        let answer = ask(&url, "tools/call", json!({"name": "late__whoami"}));
        (answer["result"]["content"][0]["text"] == "replica late").then_some(())
    });
    assert!(tool_names(&url).contains(&"late__whoami".to_owned()));
    carryall.signal("TERM");
    assert!(carryall.ended().success());
}

#[test]
fn the_endpoint_does_not_wait_for_its_servers_but_the_first_call_does() {
    let scratch = Scratch::new("slow");
    let program = scratch.file("server");
    install(&program, "slow");
    let slow = |name: &str| format!("{name}=/bin/sh -c 'sleep 1; exec {program}'");
    let names = ["s1", "s2", "s3", "s4"];
    let mut args = Vec::new();
    let specs: Vec<String> = names.iter().map(|name| slow(name)).collect();
    specs.iter().for_each(|spec| args.extend(["--stdio", spec]));
    let mut carryall = up(&args);
    assert!(
        !carryall.log.lock().unwrap().contains("speaks"),
        "none can have started yet"
    );
    for name in names {
        assert_eq!(
            whoami(&carryall.url(), &format!("{name}__whoami")),
            "replica slow"
        );
    }
    carryall.signal("TERM");
    assert!(carryall.ended().success());
}

#[test]
fn calls_to_a_single_command_that_does_not_start_fail() {
    let mut carryall = up(&["--stdio", "/no/such/program"]);
    logged(&carryall, "program does not start");
    let error = ask(&carryall.url(), "tools/list", json!({}));
    assert_eq!(error["error"]["code"], -31010, "{error}");
    carryall.signal("TERM");
    assert!(carryall.ended().success());
}

// spec: auth-security-19
#[test]
fn upstream_headers_are_sent_and_not_logged() {
    let (upstream, heads) = recording_server();
    let mut command = command(&ANY_PORT);
    command.args([
        "--verbose",
        "--http",
        &upstream,
        "--header",
        "Authorization: Bearer ${UP_TEST_TOKEN}",
    ]);
    command.env("UP_TEST_TOKEN", "s3cret");
    let carryall = Carryall::start_command(command, "Try it");
    let (mut headers, body) = request("tools/call", json!({"name": "x"}));
    headers.push(("Authorization".into(), "Bearer of-the-client".into()));
    assert_eq!(exchange(&carryall.url(), &headers, &body).0, 200);
    let head = eventually("the call arrives", || {
        heads
            .lock()
            .unwrap()
            .iter()
            .find(|head| head.contains("tools/call"))
            .cloned()
    });
    assert!(
        head.contains("authorization: Bearer s3cret\r\n") && !head.contains("of-the-client"),
        "{head}"
    );
    assert!(
        !carryall.printed.contains("s3cret") && !carryall.log.lock().unwrap().contains("s3cret")
    );
}

const UNAUTHORIZED: &str = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer resource_metadata=\"https://up.example\"\r\n\
    Content-Type: application/json\r\nContent-Length: 81\r\nConnection: close\r\n\r\n\
    {\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32001,\"message\":\"get a token first\"}}";
const FORBIDDEN: &str =
    "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno";

#[test]
fn a_missing_credential_is_logged_and_reported_to_clients() {
    for (response, status, code, says) in [
        (UNAUTHORIZED, 401, -31015, "=Authorization: Bearer"),
        (FORBIDDEN, 403, -31016, "denies access"),
    ] {
        let carryall = up(&["--http", &always(response)]);
        logged(&carryall, says);
        let (headers, body) = request("tools/list", json!({}));
        let (modern, answer) = exchange(&carryall.url(), &headers, &body);
        assert_eq!(
            (modern, &answer["error"]["code"]),
            (status, &json!(code)),
            "{answer}"
        );
        let mut raw = String::new();
        send(&carryall.url(), &headers, &body)
            .read_to_string(&mut raw)
            .unwrap();
        assert!(
            !raw.to_lowercase().contains("www-authenticate") && !raw.contains("up.example"),
            "{raw}"
        );
        let (legacy, answer) = exchange(&carryall.url(), &legacy_headers(None), &initialize());
        assert_eq!(
            (legacy, &answer["error"]["code"]),
            (status, &json!(code)),
            "{answer}"
        );
    }
}

fn legacy_headers(session: Option<&str>) -> Vec<(String, String)> {
    let mut headers = vec![
        ("Content-Type".to_owned(), "application/json".to_owned()),
        (
            "Accept".to_owned(),
            "application/json, text/event-stream".to_owned(),
        ),
    ];
    headers.extend(session.map(|session| ("Mcp-Session-Id".to_owned(), session.to_owned())));
    headers
}

fn initialize() -> String {
    let params = json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
    json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}).to_string()
}

/// Does the handshake of a legacy client and returns the session id.
fn session(url: &str) -> String {
    let mut answer = send(url, &legacy_headers(None), &initialize());
    let mut line = String::new();
    loop {
        line.clear();
        assert!(
            answer.read_line(&mut line).unwrap() > 0,
            "there is no session id"
        );
        let (name, value) = line.split_once(": ").unwrap_or_default();
        if name.eq_ignore_ascii_case("mcp-session-id") {
            return value.trim().to_owned();
        }
    }
}

#[test]
fn a_tool_that_mirrors_arguments_works_for_legacy_clients() {
    let demo = Carryall::demo("first");
    for servers in [
        vec![demo.url()],
        vec![format!("a={}", demo.url()), format!("b={}", demo.url())],
    ] {
        let prefix = if servers.len() > 1 { "b__" } else { "" };
        // With a detected era, calls of a legacy client would use the legacy side of the demo,
        // which has no mirrored headers.
        let servers = servers.iter().flat_map(|server| ["--http", server]);
        let carryall = up(&["--era", "modern"]
            .into_iter()
            .chain(servers)
            .collect::<Vec<_>>());
        let session = session(&carryall.url());
        let params = json!({"name": format!("{prefix}query"), "arguments": {"region": "eu-west-1", "text": "x"}});
        let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})
            .to_string();
        let (_, answer) = exchange(&carryall.url(), &legacy_headers(Some(&session)), &call);
        let text = answer["result"]["content"][0]["text"]
            .as_str()
            .unwrap_or_else(|| panic!("{answer}"));
        assert!(text.contains("said \"eu-west-1\""), "{text}");
    }
}

#[test]
fn a_forced_era_is_used_from_the_first_request() {
    let (upstream, heads) = recording_server();
    let _carryall = up(&["--http", &format!("old={upstream}"), "--era", "old=legacy"]);
    let first = eventually("a request arrives", || {
        heads.lock().unwrap().first().cloned()
    });
    assert!(!first.to_lowercase().contains("mcp-method"), "{first}");
}

#[test]
fn the_sharing_of_sessions_is_logged_at_the_start() {
    for (scope, says) in [
        (None, "all of them share its sessions"),
        (
            Some("old=per-client"),
            "each client (session or connection) has its own",
        ),
        (Some("shared"), "all callers share them"),
    ] {
        let program = format!("old='{}' demo --stdio", env!("CARGO_BIN_EXE_carryall"));
        let mut args = vec!["--stdio", &program, "--era", "legacy"];
        args.extend(scope.into_iter().flat_map(|scope| ["--sessions", scope]));
        let carryall = up(&args);
        logged(&carryall, "which has sessions");
        logged(&carryall, says);
    }
}

fn status(answer: &str) -> u16 {
    answer
        .split_whitespace()
        .nth(1)
        .and_then(|status| status.parse().ok())
        .expect("a status")
}

#[test]
fn only_allowed_hosts_and_origins_are_accepted() {
    let demo = |args: &[&str]| {
        let start = ["demo", "--listen", "127.0.0.1:0", "--announce", "json"];
        Carryall::start(&[&start, args].concat(), "listening")
    };
    let allowed = [
        "--allow-host",
        "mcp.example.com",
        "--allow-origin",
        "https://app.example.com",
    ];
    let plain_edge = up(&["--replicas", "1"]);
    let edge = up(&[&["--replicas", "1"][..], &allowed[..]].concat());
    for (url, known) in [
        (demo(&[]), false),
        (demo(&allowed), true),
        (plain_edge, false),
        (edge, true),
    ]
    .map(|(c, known)| (c, known))
    {
        let expected = |yes: bool| if yes { 200 } else { 403 };
        let ask = |changes: &[(&str, &str)]| {
            let (mut headers, body) = request("tools/list", json!({}));
            headers.extend(
                changes
                    .iter()
                    .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
            );
            with_host(&url.url(), &headers, &body)
        };
        assert_eq!(ask(&[("Host", "mcp.example.com")]), expected(known));
        assert_eq!(ask(&[("Host", "mcp.example.com:8443")]), expected(known));
        assert_eq!(ask(&[("Host", "evil.example.com")]), 403);
        assert_eq!(
            ask(&[("Origin", "https://app.example.com")]),
            expected(known)
        );
        assert_eq!(ask(&[("Origin", "https://evil.example.com")]), 403);
        assert_eq!(ask(&[]), 200);
    }
}

const WRONG_HOST: &str = "HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\nContent-Length: 107\r\n\
    Connection: close\r\n\r\n{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32600,\
    \"message\":\"Host \\\"mcp.example.com\\\" is not a name of this server\"}}";

#[test]
fn a_refused_host_is_not_reported_as_missing_credentials() {
    let (_, body) = WRONG_HOST.split_once("\r\n\r\n").unwrap();
    assert!(
        WRONG_HOST.contains(&format!("Content-Length: {}\r\n", body.len())),
        "{}",
        body.len()
    );
    let output = command(&["tools", &always(WRONG_HOST)]).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        errors.contains("mcp.example.com") && errors.contains("--allow-host"),
        "{errors}"
    );
    assert!(!errors.contains("Authorization"), "{errors}");
}

/// Like `send`, with an optional `Host` header. Returns the status.
fn with_host(url: &str, headers: &[(String, String)], body: &str) -> u16 {
    use std::io::Write as _;
    let authority = url
        .strip_prefix("http://")
        .unwrap()
        .split_once('/')
        .unwrap()
        .0;
    let mut stream = std::net::TcpStream::connect(authority).unwrap();
    stream.set_read_timeout(Some(up_support::TIMEOUT)).unwrap();
    let host = if headers.iter().any(|(name, _)| name == "Host") {
        String::new()
    } else {
        format!("Host: {authority}\r\n")
    };
    let mut head = format!(
        "POST /mcp HTTP/1.1\r\n{host}Content-Length: {}\r\nConnection: close\r\n",
        body.len()
    );
    headers
        .iter()
        .for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
    stream.write_all((head + "\r\n" + body).as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    status(&answer)
}

#[test]
fn probes_ignore_the_host_and_readiness_follows_the_upstreams() {
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let carryall = up(&["--http", &format!("http://{free}/mcp")]);
    let probe = |method: &str, path: &str| {
        plain(
            method,
            &carryall.url(),
            path,
            &[
                ("Host", "10.1.2.3:8080"),
                ("Origin", "https://elsewhere.example"),
            ],
        )
    };
    assert!(probe("GET", "/health").ends_with("\r\n\r\nok\n"));
    assert_eq!(status(&probe("HEAD", "/health")), 200);
    assert_eq!(status(&probe("GET", "/ready")), 503, "no upstream answers");
    assert_eq!(status(&probe("POST", "/ready")), 404);
    assert_eq!(status(&probe("GET", "/healthy")), 404);
    let _server = Carryall::start(
        &["demo", "--listen", &free.to_string(), "--announce", "json"],
        "listening",
    );
    eventually("the endpoint is ready", || {
        (status(&probe("GET", "/ready")) == 200).then_some(())
    });
    logged(&carryall, "now answers");
}

#[test]
fn a_trailing_slash_is_ignored() {
    let carryall = up(&["--replicas", "1"]);
    assert_eq!(
        whoami(&format!("{}/", carryall.url()), "whoami"),
        "replica demo-1"
    );
    let session = session(&format!("{}/", carryall.url()));
    let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}).to_string();
    let (_, answer) = exchange(
        &format!("{}/", carryall.url()),
        &legacy_headers(Some(&session)),
        &list,
    );
    assert!(answer["result"]["tools"].is_array(), "{answer}");
}

#[test]
fn http_sse_is_served_if_enabled() {
    let headers = [("Accept", "text/event-stream")];
    let without = up(&["--replicas", "1"]);
    assert_eq!(status(&plain("GET", &without.url(), "/sse", &headers)), 404);
    let with = up(&["--replicas", "1", "--sse"]);
    assert!(with.printed.contains("/sse"), "{}", with.printed);
    let authority = with
        .url()
        .strip_prefix("http://")
        .unwrap()
        .split_once('/')
        .unwrap()
        .0
        .to_owned();
    let mut stream = std::net::TcpStream::connect(&authority).unwrap();
    stream.set_read_timeout(Some(up_support::TIMEOUT)).unwrap();
    std::io::Write::write_all(
        &mut stream,
        format!("GET /sse HTTP/1.1\r\nHost: {authority}\r\nAccept: text/event-stream\r\n\r\n")
            .as_bytes(),
    )
    .unwrap();
    let mut lines = std::io::BufReader::new(stream).lines();
    assert!(lines.next().unwrap().unwrap().contains("200"));
    assert!(
        lines
            .map_while(Result::ok)
            .take(20)
            .any(|line| line.contains("endpoint"))
    );
}

#[test]
fn a_configuration_sets_variables_directories_and_headers() {
    let scratch = Scratch::new("config");
    let program = scratch.file("server");
    std::fs::write(
        &program,
        format!(
            "#!/bin/sh\nexec '{}' demo --stdio --replica \"$NAME-$(basename \"$PWD\")\"\n",
            env!("CARGO_BIN_EXE_carryall")
        ),
    )
    .unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let (upstream, heads) = recording_server();
    let directory = scratch.file("here");
    std::fs::create_dir_all(&directory).unwrap();
    let config = scratch.file("mcp.json");
    let servers = json!({"mcpServers": {
        "local": {"command": program, "env": {"NAME": "given"}, "cwd": directory},
        "remote": {"url": upstream, "headers": {"X-Key": "${UP_TEST_KEY}"}},
        "off": {"command": "/no/such/program", "disabled": true},
    }});
    std::fs::write(&config, servers.to_string()).unwrap();
    let mut command = command(&ANY_PORT);
    command
        .args(["--config", &config])
        .env("UP_TEST_KEY", "k3y");
    let carryall = Carryall::start_command(command, "Try it");
    assert_eq!(
        whoami(&carryall.url(), "local__whoami"),
        "replica given-here"
    );
    eventually("the header is sent", || {
        heads
            .lock()
            .unwrap()
            .iter()
            .any(|head| head.contains("x-key: k3y\r\n"))
            .then_some(())
    });
    assert!(!carryall.printed.contains("off"), "{}", carryall.printed);
}

#[test]
fn the_fan_out_timeout_can_be_set() {
    let demo = Carryall::demo("first");
    let carryall = up(&[
        "--http",
        &format!("a={}", demo.url()),
        "--stdio",
        "silent=sleep 600",
        "--call-timeout",
        "4s",
        "--fan-out-timeout",
        "300ms",
    ]);
    let names: Vec<Value> = tool_names(&carryall.url())
        .into_iter()
        .map(Value::from)
        .collect();
    assert!(
        !names.is_empty(),
        "with 5 s the whole call would have taken too long"
    );
}
