//! Lines on standard input that are too long, too deep, too many, or no messages at all.

use crate::support::{PROMPT, Running, fixture, resident, text_of, tool_call};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

fn spawn() -> Running {
    let mut command = Command::new(fixture());
    Running(
        command
            .arg("--stdio")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the fixture starts"),
    )
}

/// The fixture on standard streams.
struct Server {
    process: Running,
    input: ChildStdin,
    lines: Receiver<Value>,
}

impl Server {
    fn start() -> Self {
        let mut process = spawn();
        let input = process.0.stdin.take().expect("piped");
        let output = BufReader::new(process.0.stdout.take().expect("piped"));
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let message =
                    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        Self {
            process,
            input,
            lines,
        }
    }

    fn send(&mut self, line: impl AsRef<[u8]>) {
        self.input
            .write_all(line.as_ref())
            .expect("the server reads");
        self.input.write_all(b"\n").expect("the server reads");
    }

    fn receive(&self) -> Value {
        self.lines.recv_timeout(PROMPT).expect("a line")
    }

    /// The next good line is answered, and nothing else came before.
    fn answers(&mut self) {
        self.send(tool_call("good", "echo", &json!({"text": "hello"})));
        let answer = self.receive();
        assert_eq!(answer["id"], "good", "{answer}");
        assert_eq!(text_of(&answer), "hello");
    }

    /// The code of the error for a line.
    fn code(&mut self, line: impl AsRef<[u8]>) -> Value {
        self.send(line);
        let answer = self.receive();
        assert!(answer.get("id").is_none(), "{answer}");
        answer["error"]["code"].clone()
    }
}

#[test]
fn a_line_that_is_too_long_costs_only_itself_and_no_memory() {
    let mut server = Server::start();
    server.answers();
    let before = resident(server.process.0.id());
    let piece = [b'x'; 1 << 20];
    for _ in 0..100 {
        server.input.write_all(&piece).unwrap();
    }
    assert_eq!(server.code(""), -32600);
    server.answers();
    let after = resident(server.process.0.id());
    if let (Some(before), Some(after)) = (before, after) {
        assert!(after < before + 24 * 1024, "from {before} to {after} KiB");
    }
}

#[test]
fn garbage_and_binary_lines_are_refused_one_by_one() {
    let mut server = Server::start();
    for line in [
        &b"garbage"[..],
        b"\0",
        b"\xff\xfe\xfd",
        b"{",
        b"}{",
        b"{\"a\":\"\\ud800\"}",
        b"\x1b[2J",
        b"\r\r \xc2",
    ] {
        assert_eq!(server.code(line), -32700, "{line:?}");
        server.answers();
    }
    for line in [
        "[]",
        "1",
        "null",
        "{}",
        "[{}]",
        "{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"ping\"}",
    ] {
        assert_eq!(server.code(line), -32600, "{line}");
        server.answers();
    }
    let binary: Vec<u8> = (0..=255_u8)
        .cycle()
        .take(100_000)
        .filter(|byte| *byte != b'\n')
        .collect();
    assert_eq!(server.code(binary), -32700);
    // Blank lines and notifications are not answered at all.
    for line in [
        "",
        "   ",
        "\r",
        "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/unheard-of\",\"params\":{}}",
    ] {
        server.send(line);
    }
    server.answers();
}

#[test]
fn deep_lines_are_refused() {
    let mut server = Server::start();
    let call = tool_call(1, "anything", &json!({"x": "HERE"}));
    for levels in [200, 10_000, 100_000] {
        let deep = "{\"a\":".repeat(levels) + "1" + &"}".repeat(levels);
        assert_eq!(server.code(call.replace("\"HERE\"", &deep)), -32700);
        assert_eq!(server.code("[".repeat(levels)), -32700);
        server.answers();
    }
}

#[test]
fn ten_thousand_calls_in_flight_are_bounded_and_all_accounted_for() {
    const ALL: usize = 10_000;
    let mut server = Server::start();
    let mut lines = String::new();
    for id in 0..ALL {
        lines += &tool_call(id as u64, "hang", &json!({}));
        lines.push('\n');
    }
    server.input.write_all(lines.as_bytes()).unwrap();
    // Those over the bound are refused by name; the others are in work.
    let mut refused = Vec::new();
    while refused.last() != Some(&(ALL as u64 - 1)) {
        let answer = server.receive();
        assert_eq!(answer["error"]["code"], -32603, "{answer}");
        refused.push(answer["id"].as_u64().expect("the id of the call"));
    }
    assert_eq!(refused.len(), ALL - 1024);
    // Full is full: also for a good call, until there is room.
    server.send(tool_call("one more", "echo", &json!({"text": "x"})));
    assert_eq!(server.receive()["error"]["code"], -32603);
    for id in 0..ALL {
        server.send(cancel(&json!(id)));
    }
    server.answers();
    server.send(tool_call("count", "running", &json!({})));
    assert_eq!(text_of(&server.receive()), "0");
}

fn cancel(id: &Value) -> String {
    json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": id}})
        .to_string()
}

#[test]
fn an_id_that_is_in_flight_is_refused_and_the_first_call_goes_on() {
    let mut server = Server::start();
    server.send(tool_call(7, "hang", &json!({})));
    for _ in 0..100 {
        server.send(tool_call(7, "echo", &json!({"text": "x"})));
        let answer = server.receive();
        assert_eq!(
            (&answer["id"], &answer["error"]["code"]),
            (&json!(7), &json!(-32600))
        );
    }
    server.send(tool_call("count", "running", &json!({})));
    assert_eq!(text_of(&server.receive()), "1");
    server.send(cancel(&json!(7)));
    server.send(tool_call(7, "echo", &json!({"text": "again"})));
    assert_eq!(text_of(&server.receive()), "again");
}

#[test]
fn cancelling_what_is_unknown_or_no_id_at_all_does_nothing() {
    let mut server = Server::start();
    for id in [
        json!(1),
        json!("x"),
        json!(null),
        json!(1.5),
        json!({}),
        json!([1]),
        json!("y".repeat(100_000)),
    ] {
        server.send(cancel(&id));
    }
    for line in [
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled"}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{}}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1,"requestId":2}}"#,
    ] {
        server.send(line);
    }
    server.answers();
}

#[test]
fn a_client_that_never_reads_costs_a_bounded_amount_and_is_not_waited_for() {
    let mut process = spawn();
    let mut input = process.0.stdin.take().expect("piped");
    let writer = std::thread::spawn(move || {
        let line = tool_call(1, "big", &json!({})) + "\n";
        // Two gigabytes of answers; the server stops reading long before.
        for _ in 0..2000 {
            if input.write_all(line.as_bytes()).is_err() {
                return;
            }
        }
    });
    std::thread::sleep(Duration::from_millis(1000));
    if let Some(memory) = resident(process.0.id()) {
        assert!(memory < 64 * 1024, "{memory} KiB");
    }
    // With its output gone, so is the server: nobody is left who could ask it for anything.
    drop(process.0.stdout.take());
    let deadline = Instant::now() + PROMPT;
    while process.0.try_wait().unwrap().is_none() {
        assert!(Instant::now() < deadline, "the server outlives its client");
        std::thread::sleep(Duration::from_millis(10));
    }
    writer.join().unwrap();
}
