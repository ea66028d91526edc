//! `carryall listen`, and the demo server as a process.

mod common;

use common::{BINARY, carryall, demo, demo_with_shared_board, run};
use serde_json::json;
use std::io::Write as _;

fn ready(running: &common::Running) {
    let first = running.lines.json();
    assert_eq!(
        first["method"],
        json!("notifications/subscriptions/acknowledged")
    );
}

#[test]
fn changes_are_lines_of_json() {
    let demo = demo(&[]);
    let mut listening = carryall(&[
        "listen",
        &demo.url,
        "--tools",
        "demo://notice",
        "--count",
        "2",
    ])
    .start();
    ready(&listening);
    assert_eq!(run(&["call", &demo.url, "surprise", "show=true"]).code, 0);
    assert_eq!(
        listening.lines.json(),
        json!({"method": "notifications/tools/list_changed"})
    );
    assert_eq!(
        run(&["call", &demo.url, "surprise_party", "--format", "human"]).stdout,
        "Surprise!\n"
    );
    assert_eq!(
        run(&["call", &demo.url, "post_notice", "text=closed"]).code,
        0
    );
    let updated =
        json!({"method": "notifications/resources/updated", "params": {"uri": "demo://notice"}});
    assert_eq!(listening.lines.json(), updated);
    assert_eq!(listening.wait(), Some(0), "after two changes");
    assert_eq!(
        run(&["read", &demo.url, "demo://notice", "--format", "human"]).stdout,
        "closed\n"
    );
}

#[test]
fn changes_are_sentences_for_people() {
    let demo = demo(&[]);
    let mut listening =
        carryall(&["listen", &demo.url, "--format", "human", "--count", "1"]).start();
    let note = listening.err.next().unwrap();
    assert!(
        note.starts_with(&format!(
            "Listening to {} for changes of: the list of tools",
            demo.url
        )),
        "{note}"
    );
    assert_eq!(run(&["call", &demo.url, "surprise", "show=true"]).code, 0);
    assert_eq!(
        listening.lines.next().unwrap(),
        "The list of tools has changed"
    );
    assert_eq!(listening.wait(), Some(0));
}

#[test]
fn listen_succeeds_after_ctrl_c_and_after_its_time() {
    let demo = demo(&[]);
    let mut listening = carryall(&["listen", &demo.url]).start();
    ready(&listening);
    listening.signal("INT");
    assert_eq!(listening.wait(), Some(0));
    assert_eq!(run(&["listen", &demo.url, "--for", "200ms"]).code, 0);
}

#[test]
fn listen_ends_when_the_server_ends_the_subscription() {
    let mut demo = demo(&[]);
    let mut listening = carryall(&["listen", &demo.url]).start();
    ready(&listening);
    drop(demo.running.child.stdin.take());
    assert_eq!(listening.wait(), Some(0));
    assert_eq!(
        listening.err.next().unwrap(),
        "The server ended the subscription."
    );
}

#[test]
fn listen_works_over_stdio() {
    let mut listening =
        carryall(&["listen", "--for", "20s", "--", BINARY, "demo", "--stdio"]).start();
    ready(&listening);
    listening.signal("INT");
    assert_eq!(listening.wait(), Some(0));
}

#[test]
fn ctrl_c_ends_a_call_with_130() {
    let demo = demo(&[]);
    let mut calling = carryall(&["call", &demo.url, "nap", "seconds=60", "--verbose"]).start();
    let mut line = calling.err.next();
    while line.as_ref().is_some_and(|line| line != "calling nap") {
        line = calling.err.next();
    }
    assert!(line.is_some(), "no line `calling nap`");
    calling.signal("INT");
    assert_eq!(calling.wait(), Some(130));
}

#[test]
fn a_supervised_demo_ends_with_its_standard_input_and_not_with_ctrl_c() {
    let mut demo = demo(&["--replica", "a"]);
    assert!(
        demo.url.starts_with("http://127.0.0.1:") && demo.url.ends_with("/mcp"),
        "{}",
        demo.url
    );
    demo.running.signal("INT");
    let mut stdin = demo.running.child.stdin.take().unwrap();
    stdin.write_all(b"anything\n").unwrap();
    assert_eq!(
        run(&["call", &demo.url, "whoami", "--format", "human"]).stdout,
        "replica a\n"
    );
    drop(stdin);
    assert_eq!(demo.running.wait(), Some(0));
}

#[test]
fn a_demo_prints_its_url_and_ends_with_a_signal() {
    for signal in ["INT", "TERM"] {
        let mut running = carryall(&["demo", "--listen", "127.0.0.1:0"]).start();
        let line = running.err.next().unwrap();
        let url = line
            .split_whitespace()
            .find(|word| word.starts_with("http://"))
            .unwrap()
            .to_owned();
        assert_eq!(
            run(&["call", &url, "whoami", "--format", "human"]).stdout,
            "replica demo\n"
        );
        running.signal(signal);
        assert_eq!(running.wait(), Some(0), "{signal}");
    }
}

#[test]
fn supervised_replicas_share_their_board() {
    // Both are children of this process, as the replicas of one supervisor are.
    let one = demo_with_shared_board(&["--replica", "1"]);
    let other = demo_with_shared_board(&["--replica", "2"]);
    let listening = carryall(&["listen", &other.url, "demo://notice", "--count", "1"]).start();
    ready(&listening);
    let text = format!("text=from {}", std::process::id());
    assert_eq!(run(&["call", &one.url, "post_notice", &text]).code, 0);
    assert_eq!(
        listening.lines.json()["params"]["uri"],
        json!("demo://notice")
    );
    let read = run(&["read", &other.url, "demo://notice", "--format", "human"]).stdout;
    assert_eq!(format!("text={}", read.trim_end()), text);
}
