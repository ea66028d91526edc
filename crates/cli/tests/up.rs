//! `carryall up`, from the outside.
#![cfg(unix)]

mod up_support;

use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use up_support::{
    Carryall, ask, command, event_with, eventually, exchange, exists, overheard, request, send,
    send_signal, try_send, whoami,
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

/// Headers and body as the shell would understand the printed line.
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
fn the_printed_line_works_and_requests_go_round() {
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
    assert_eq!(answers[..3], answers[3..], "in turn, whoever asks");
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

/// Kills a replica and makes one call. That one may have reached it in its last moment; then it is
/// not repeated, and the error says so. No later call has that excuse.
fn kill(replica: u32, url: &str) {
    send_signal(replica, "KILL");
    let answer = ask(url, "tools/call", json!({"name": "whoami"}));
    assert!(
        answer["error"]["code"] == -31012 || answer.get("result").is_some(),
        "{answer}"
    );
    eventually("it is reaped", || (!exists(replica)).then_some(()));
}

#[test]
fn calls_and_subscriptions_outlive_a_killed_replica_and_ctrl_c_leaves_nothing() {
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
    // Whichever of the two carries the subscription: both are killed, one after the other.
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
fn a_call_waits_for_the_only_replica_to_be_started_again() {
    let carryall = up(&["--replicas", "1"]);
    let url = carryall.url();
    for _ in 0..2 {
        kill(carryall.children()[0], &url);
        assert_eq!(whoami(&url, "whoami"), "replica demo-1");
    }
}

/// Sends `tools/call` of `whoami` with headers changed.
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
fn the_edge_decodes_and_checks_the_headers_itself() {
    let carryall = up(&["--replicas", "1"]);
    let url = carryall.url();
    let name =
        |value: &'static str| with_headers(&url, |headers| set(headers, "Mcp-Name", Some(value)));
    let (status, answer) = name("=?base64?d2hvYW1p?=");
    assert_eq!(
        (status, &answer["result"]["content"][0]["text"]),
        (200, &json!("replica demo-1")),
        "decoded before compared"
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
    // The edge may close while the rest is still on its way.
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
fn upstream_gets_the_calls_own_headers_with_the_name_mirrored_anew() {
    let (upstream, heard) = overheard();
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
        (status, &answer["result"]["heard"]),
        (200, &json!(true)),
        "{answer}"
    );
    let head = eventually("the call is heard", || {
        heard
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
fn replicas_go_with_a_parent_that_is_killed() {
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
fn what_is_in_work_is_finished_before_the_end() {
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
fn asked_twice_it_does_not_wait_and_still_leaves_nothing() {
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
fn several_servers_are_one_and_a_dead_one_takes_only_its_own_with_it() {
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
fn urls_of_one_name_are_replicas_of_one_server() {
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
fn a_server_on_standard_streams_is_started_once_and_again_when_it_dies() {
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
fn a_server_that_is_not_there_yet_is_named_and_answers_say_so() {
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
fn unless_told_otherwise_it_is_for_this_machine_alone_and_takes_a_port_that_is_free() {
    let start = || Carryall::start(&["up", "--replicas", "1"], "carryall ");
    let (one, two) = (start(), start());
    assert!(
        one.url().starts_with("http://127.0.0.1:") && two.url().starts_with("http://127.0.0.1:")
    );
    assert_ne!(one.url(), two.url());
    let told = |carryall: &Carryall| {
        carryall.url().contains(":8080/")
            || carryall.log.lock().unwrap().contains("port 8080 is taken")
    };
    eventually("both say which port they took", || {
        (told(&one) && told(&two)).then_some(())
    });
    assert_eq!(whoami(&two.url(), "whoami"), "replica demo-1");
}

#[test]
fn a_port_that_is_taken_is_an_error_that_says_what_to_do() {
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
fn what_cannot_work_is_refused_at_once() {
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
fn quiet_prints_the_url_alone() {
    let mut carryall = Carryall::start(&[&ANY_PORT[..], &["--quiet"]].concat(), "/mcp");
    assert_eq!(carryall.printed, format!("{}\n", carryall.url()));
    carryall.signal("INT");
    assert!(carryall.ended().success());
    assert_eq!(*carryall.log.lock().unwrap(), "");
}
