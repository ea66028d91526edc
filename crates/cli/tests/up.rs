//! `carryall up` as a process.
#![cfg(unix)]

mod up_support;

use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use up_support::{
    Carryall, ask, command, event_with, eventually, exchange, exists, recording_server, request,
    send, send_signal, try_send, whoami,
};

const ANY_PORT: [&str; 3] = ["up", "--listen", "127.0.0.1:0"];

fn up(args: &[&str]) -> Carryall {
    let carryall = Carryall::start(&[&ANY_PORT, args].concat(), "carryall ");
    assert!(
        carryall.printed.contains("MCP endpoint: http://127.0.0.1:"),
        "{}",
        carryall.printed
    );
    carryall
}

/// Parses URL, headers and body of the printed `curl` command.
fn curl_line(printed: &str) -> (String, Vec<(String, String)>, String) {
    let line = printed
        .lines()
        .find_map(|line| line.trim().strip_prefix("curl -sS "))
        .expect("a curl line");
    let (url, rest) = line.split_once(' ').unwrap();
    let (mut headers, mut body) = (Vec::new(), String::new());
    for option in rest
        .split("' ")
        .flat_map(|part| part.split_once(" '").into_iter())
    {
        let value = option.1.trim_end_matches('\'');
        match option.0 {
            "-H" => headers.push(
                value
                    .split_once(": ")
                    .map(|(name, value)| (name.to_owned(), value.to_owned()))
                    .unwrap(),
            ),
            "-d" => body = value.to_owned(),
            other => panic!("what is {other}?"),
        }
    }
    (url.to_owned(), headers, body)
}

#[test]
fn the_printed_command_works_and_replicas_take_turns() {
    let carryall = up(&["--replicas", "3"]);
    let (url, headers, body) = curl_line(&carryall.printed);
    let answers: Vec<String> = (0..6)
        .map(|_| {
            let (status, answer) = exchange(&url, &headers, &body);
            assert_eq!(status, 200, "{answer}");
            answer["result"]["content"][0]["text"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    assert_eq!(answers[..3], answers[3..], "in turn");
    let different: BTreeSet<&str> = answers.iter().map(String::as_str).collect();
    assert_eq!(
        different,
        BTreeSet::from(["replica demo-1", "replica demo-2", "replica demo-3"])
    );
    assert!(
        carryall
            .printed
            .contains(&format!("carryall call {url} whoami"))
    );
    let output = command(&["call", &url, "whoami", "--format", "json"])
        .output()
        .unwrap();
    assert!(
        String::from_utf8_lossy(&output.stdout).contains("replica demo-"),
        "{output:?}"
    );
}

/// Kills a replica and makes one call. Only this call may fail, if it has reached the replica
/// before.
fn kill(replica: u32, url: &str) {
    send_signal(replica, "KILL");
    let answer = ask(url, "tools/call", json!({"name": "whoami"}));
    assert!(
        answer["error"]["code"] == -31012 || answer.get("result").is_some(),
        "{answer}"
    );
    eventually("the process is reaped", || (!exists(replica)).then_some(()));
}

#[test]
fn calls_and_subscriptions_survive_killed_replicas_and_ctrl_c_stops_all() {
    let mut carryall = up(&[]);
    let url = carryall.url();
    let (headers, body) = request(
        "subscriptions/listen",
        json!({"notifications": {"toolsListChanged": true}}),
    );
    let mut listening = send(&url, &headers, &body);
    event_with(&mut listening, "notifications/subscriptions/acknowledged");

    let replicas = carryall.children();
    assert_eq!(replicas.len(), 2);
    // Both are killed, one after the other, since either may carry the subscription.
    for victim in replicas {
        kill(victim, &url);
        for _ in 0..20 {
            assert!(whoami(&url, "whoami").starts_with("replica demo-"));
        }
        eventually("both replicas answer again", || {
            let names: BTreeSet<String> = (0..4).map(|_| whoami(&url, "whoami")).collect();
            (names.len() == 2).then_some(())
        });
    }
    let changed = event_with(&mut listening, "notifications/tools/list_changed");
    assert_eq!(
        changed["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"],
        1
    );

    let replicas = carryall.children();
    assert_eq!(replicas.len(), 2);
    let start = Instant::now();
    carryall.signal("INT");
    let closing = event_with(&mut listening, "\"result\"");
    assert_eq!(
        (&closing["id"], &closing["result"]["resultType"]),
        (&json!(1), &json!("complete"))
    );
    assert!(carryall.ended().success());
    assert!(
        start.elapsed() < Duration::from_secs(10),
        "{:?}",
        start.elapsed()
    );
    for replica in replicas {
        assert!(!exists(replica), "replica {replica} is left");
    }
}

#[test]
fn a_call_waits_for_the_only_replica_to_restart() {
    let carryall = up(&["--replicas", "1"]);
    let url = carryall.url();
    for _ in 0..2 {
        kill(carryall.children()[0], &url);
        assert_eq!(whoami(&url, "whoami"), "replica demo-1");
    }
}

/// Calls `whoami` with changed headers.
fn with_headers(url: &str, change: impl Fn(&mut Vec<(String, String)>)) -> (u16, Value) {
    let (mut headers, body) = request("tools/call", json!({"name": "whoami"}));
    change(&mut headers);
    exchange(url, &headers, &body)
}

fn set(headers: &mut Vec<(String, String)>, name: &str, value: Option<&str>) {
    headers.retain(|(other, _)| other != name);
    headers.extend(value.map(|value| (name.to_owned(), value.to_owned())));
}

// spec: http-headers-30, http-headers-44, http-headers-45
#[test]
fn the_gateway_decodes_and_checks_headers() {
    let carryall = up(&["--replicas", "1"]);
    let url = carryall.url();
    let name =
        |value: &'static str| with_headers(&url, |headers| set(headers, "Mcp-Name", Some(value)));
    let (status, answer) = name("=?base64?d2hvYW1p?=");
    assert_eq!(
        (status, &answer["result"]["content"][0]["text"]),
        (200, &json!("replica demo-1")),
        "decoded before the comparison"
    );
    for (status, answer) in [
        name("=?base64?eA==?="),
        name("add"),
        with_headers(&url, |headers| set(headers, "Mcp-Name", None)),
        with_headers(&url, |headers| set(headers, "MCP-Protocol-Version", None)),
        with_headers(&url, |headers| {
            set(headers, "MCP-Protocol-Version", Some("2025-11-25"))
        }),
    ] {
        assert_eq!(
            (status, &answer["error"]["code"]),
            (400, &json!(-32020)),
            "{answer}"
        );
    }
}

// spec: http-headers-edge-12
#[test]
fn too_many_header_bytes_are_refused_and_others_are_answered() {
    let carryall = up(&["--replicas", "1"]);
    let url = carryall.url();
    let (mut headers, body) = request("tools/call", json!({"name": "whoami"}));
    headers.push((
        "Mcp-Param-X".into(),
        format!("=?base64?{}?=", "A".repeat(1024 * 1024)),
    ));
    // The connection may be closed before all is sent.
    if let Some(answer) = try_send(&url, &headers, &body) {
        assert!(
            answer.starts_with("HTTP/1.1 431") || answer.starts_with("HTTP/1.1 400"),
            "{answer}"
        );
        assert!(!answer.contains("replica demo"));
    }
    assert_eq!(whoami(&url, "whoami"), "replica demo-1");
}

// spec: http-headers-33, gateway-derived-08, auth-security-19
#[test]
fn an_upstream_receives_the_headers_of_the_call_with_its_own_name() {
    let (upstream, heads) = recording_server();
    let demo = Carryall::demo("other");
    let carryall = up(&[
        "--http",
        &format!("a={upstream}"),
        "--http",
        &format!("b={}", demo.url()),
    ]);
    let (mut headers, body) = request("tools/call", json!({"name": "a__caf\u{e9}"}));
    let encoded = "=?base64?YV9fY2Fmw6k=?=";
    set(&mut headers, "Mcp-Name", Some(encoded));
    for (name, value) in [
        ("Mcp-Param-Unheard-Of", "=?base64?w6k=?="),
        ("Authorization", "Bearer secret"),
    ] {
        headers.push((name.into(), value.into()));
    }
    let (status, answer) = exchange(&carryall.url(), &headers, &body);
    assert_eq!(
        (status, &answer["result"]["recorded"]),
        (200, &json!(true)),
        "{answer}"
    );
    let head = eventually("the call arrives", || {
        heads
            .lock()
            .unwrap()
            .iter()
            .find(|head| head.contains("tools/call"))
            .cloned()
    });
    assert!(head.contains("mcp-name: =?base64?Y2Fmw6k=?=\r\n"), "{head}");
    assert!(
        head.contains("mcp-param-unheard-of: =?base64?w6k=?=\r\n"),
        "{head}"
    );
    assert!(
        head.contains("mcp-protocol-version: 2026-07-28\r\n") && !head.contains("secret"),
        "{head}"
    );
}

#[test]
fn replicas_exit_if_their_parent_is_killed() {
    let mut carryall = up(&[]);
    let replicas = carryall.children();
    assert_eq!(replicas.len(), 2);
    carryall.signal("KILL");
    carryall.ended();
    for replica in replicas {
        eventually("the replica is gone", || (!exists(replica)).then_some(()));
    }
}

#[test]
fn requests_in_flight_are_finished_before_the_end() {
    let mut carryall = up(&[]);
    let (headers, body) = request(
        "tools/call",
        json!({"name": "countdown", "arguments": {"from": 3}}),
    );
    let url = carryall.url();
    let calling = std::thread::spawn(move || {
        let mut answer = String::new();
        std::io::Read::read_to_string(&mut send(&url, &headers, &body), &mut answer).unwrap();
        answer
    });
    std::thread::sleep(Duration::from_millis(300));
    carryall.signal("TERM");
    let answer = calling.join().unwrap();
    assert!(answer.contains("\"resultType\":\"complete\""), "{answer}");
    assert!(carryall.ended().success());
}

#[test]
fn a_second_signal_stops_at_once_and_leaves_no_process() {
    let mut carryall = up(&[]);
    let (headers, body) = request(
        "tools/call",
        json!({"name": "nap", "arguments": {"seconds": 60}}),
    );
    let _napping = send(&carryall.url(), &headers, &body);
    std::thread::sleep(Duration::from_millis(300));
    let replicas = carryall.children();
    assert_eq!(replicas.len(), 2);
    let start = Instant::now();
    carryall.signal("INT");
    std::thread::sleep(Duration::from_millis(300));
    carryall.signal("INT");
    assert_eq!(carryall.ended().code(), Some(130));
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );
    for replica in replicas {
        eventually("the replica is gone", || (!exists(replica)).then_some(()));
    }
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

// spec: tools-15
#[test]
fn several_servers_are_merged_and_an_unreachable_one_does_not_affect_others() {
    let (one, two) = (Carryall::demo("first"), Carryall::demo("second"));
    let (a, b) = (format!("a={}", one.url()), format!("b={}", two.url()));
    let carryall = up(&["--http", &a, "--http", &b]);
    let url = carryall.url();
    assert_eq!(
        (whoami(&url, "a__whoami"), whoami(&url, "b__whoami")),
        ("replica first".into(), "replica second".into())
    );
    let names = tool_names(&url);
    assert!(
        names.contains(&"a__whoami".into()) && names.contains(&"b__whoami".into()),
        "{names:?}"
    );
    drop(two);
    let names = tool_names(&url);
    assert!(
        names.contains(&"a__whoami".into()) && !names.contains(&"b__whoami".into()),
        "{names:?}"
    );
    let error = ask(&url, "tools/call", json!({"name": "b__whoami"}));
    assert_eq!(error["error"]["code"], -31010, "{error}");
    let message = error["error"]["message"].as_str().unwrap();
    assert!(
        message.contains("\"b\"") && !message.contains("127.0.0.1"),
        "{message}"
    );
}

#[test]
fn urls_with_the_same_name_are_replicas() {
    let (one, two) = (Carryall::demo("first"), Carryall::demo("second"));
    let carryall = up(&[
        "--http",
        &format!("d={}", one.url()),
        "--http",
        &format!("d={}", two.url()),
    ]);
    let url = carryall.url();
    let names: BTreeSet<String> = (0..4).map(|_| whoami(&url, "whoami")).collect();
    assert_eq!(
        names,
        BTreeSet::from(["replica first".into(), "replica second".into()])
    );
    drop(one);
    for _ in 0..4 {
        assert_eq!(whoami(&url, "whoami"), "replica second");
    }
}

#[test]
fn a_stdio_server_is_started_once_and_restarted_if_it_exits() {
    let program = env!("CARGO_BIN_EXE_carryall");
    let mut carryall = up(&[
        "--stdio",
        &format!("'{program}' demo --stdio --replica child"),
    ]);
    let url = carryall.url();
    for _ in 0..3 {
        assert_eq!(whoami(&url, "whoami"), "replica child");
    }
    let children = carryall.children();
    assert_eq!(children.len(), 1, "one process for all requests");
    send_signal(children[0], "KILL");
    eventually("it answers again", || {
        let answer: Value = ask(&url, "tools/call", json!({"name": "whoami"}));
        (answer["result"]["content"][0]["text"] == "replica child").then_some(())
    });
    let children = carryall.children();
    carryall.signal("TERM");
    assert!(carryall.ended().success());
    assert!(children.len() == 1 && !exists(children[0]));
}

#[test]
fn an_unreachable_server_is_logged_and_calls_to_it_fail() {
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let absent = format!("http://{free}/mcp");
    let carryall = up(&["--http", &absent]);
    let error = ask(&carryall.url(), "tools/list", json!({}));
    assert_eq!(error["error"]["code"], -31010, "{error}");
    eventually("the log names it", || {
        carryall
            .log
            .lock()
            .unwrap()
            .contains(&format!("{absent} does not answer yet"))
            .then_some(())
    });
}

// spec: http-security-05
#[test]
fn the_default_address_is_loopback_on_a_free_port() {
    let start = || Carryall::start(&["up", "--replicas", "1"], "carryall ");
    let (one, two) = (start(), start());
    assert!(
        one.url().starts_with("http://127.0.0.1:") && two.url().starts_with("http://127.0.0.1:")
    );
    assert_ne!(one.url(), two.url());
    let logged = |carryall: &Carryall| {
        carryall.url().contains(":8080/")
            || carryall.log.lock().unwrap().contains("port 8080 is in use")
    };
    eventually("both say which port they took", || {
        (logged(&one) && logged(&two)).then_some(())
    });
    assert_eq!(whoami(&two.url(), "whoami"), "replica demo-1");
}

#[test]
fn a_port_in_use_is_an_error_with_a_hint() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = command(&["up", "--listen", &address]).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(7));
    assert!(
        errors.contains(&address) && errors.contains("in use") && errors.contains("--listen"),
        "{errors}"
    );
    assert!(output.stdout.is_empty());
}

#[test]
fn invalid_options_are_refused() {
    for args in [
        ["up", "--http", "ftp://x/"],
        ["up", "--config", "/no/such/mcp.json"],
        ["up", "--allow-host", "https://x/"],
        ["up", "--era", "ancient"],
        ["up", "--replicas", "0"],
        ["up", "--stdio", "'unclosed"],
    ] {
        let output = command(&args).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {output:?}");
        assert!(
            String::from_utf8_lossy(&output.stderr).contains(args[2]),
            "{output:?}"
        );
    }
}

#[test]
fn quiet_prints_only_the_url() {
    let mut carryall = Carryall::start(&[&ANY_PORT[..], &["--quiet"]].concat(), "/mcp");
    assert_eq!(carryall.printed, format!("{}\n", carryall.url()));
    carryall.signal("INT");
    assert!(carryall.ended().success());
    assert_eq!(*carryall.log.lock().unwrap(), "");
}
