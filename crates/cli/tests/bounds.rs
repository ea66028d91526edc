//! Servers that send too much, and commands that are interrupted while they are blocked.

mod common;

use common::{Say, canned, carryall, run};
use serde_json::{Value, json};
use std::io::Write as _;

fn page(tools: &Value, next: Option<&str>) -> Say {
    let mut page = json!({"tools": tools, "ttlMs": 0, "cacheScope": "private"});
    if let Some(next) = next {
        page["nextCursor"] = next.into();
    }
    Say::Result(page)
}

#[test]
fn an_endless_description_is_clipped() {
    let long = "lorem ipsum ".repeat(400_000 / 12);
    let introducers = "\u{1b}]".repeat(200_000);
    let server = canned(move |_, _| {
        let schema =
            json!({"type": "object", "properties": {"a": {"type": "string", "description": long}}});
        page(
            &json!([
                {"name": "t", "description": long, "inputSchema": schema},
                {"name": "u", "description": introducers, "inputSchema": schema}
            ]),
            None,
        )
    });
    let listed = run(&["tools", &server.url, "--format", "human"]);
    assert_eq!(listed.code, 0);
    assert!(
        listed.stdout.contains("lorem ipsum") && listed.stdout.len() < 100_000,
        "{}",
        listed.stdout.len()
    );
    let shown = run(&["tools", &server.url, "t", "--format", "human"]);
    assert!(
        shown.code == 0 && shown.stdout.contains("lorem ipsum"),
        "{}",
        shown.stdout.len()
    );
    // JSON output has all of it.
    assert_eq!(
        run(&["tools", &server.url]).ok()["tools"][0]["description"]
            .as_str()
            .unwrap()
            .len(),
        399_996
    );
}

#[test]
fn a_schema_that_multiplies_is_followed_to_a_bound() {
    let branches = vec![json!({"$ref": "#/properties/a"}); 12];
    let server = canned(move |_, _| {
        let schema = json!({"type": "object", "properties": {"a": {"anyOf": branches}}});
        page(&json!([{"name": "t", "inputSchema": schema}]), None)
    });
    assert_eq!(run(&["tools", &server.url, "--format", "human"]).code, 0);
    assert_eq!(
        run(&["tools", &server.url, "t", "--format", "human"]).code,
        0
    );
}

#[test]
fn an_endless_list_is_refused() {
    let long = "x".repeat(4 * 1024 * 1024);
    let server = canned(move |_, params| {
        let next = params["cursor"]
            .as_str()
            .and_then(|cursor| cursor.parse::<u32>().ok())
            .unwrap_or_default()
            + 1;
        let tool = json!({"name": format!("t{next}"), "description": long, "inputSchema": {"type": "object"}});
        page(&json!([tool]), Some(&next.to_string()))
    });
    let listed = run(&["tools", &server.url]);
    listed.fails(4, &["too long", "more than 33554432 bytes"]);
    assert_eq!(listed.stdout, "");
    assert!(server.requests.lock().unwrap().len() <= 9);
}

#[cfg(unix)]
#[test]
fn an_interrupt_ends_a_command_that_is_blocked() {
    let server = canned(|_, _| {
        page(
            &json!([{"name": "t", "inputSchema": {"type": "object"}}]),
            None,
        )
    });
    let mut call = carryall(&["call", &server.url, "t", "-"]).start();
    // More than the buffer of a pipe: once it is written, the command is reading its standard
    // input, which does not end.
    let mut stdin = call.child.stdin.take().unwrap();
    stdin.write_all(&vec![b' '; 512 * 1024]).unwrap();
    call.signal("INT");
    assert_eq!(call.wait(), Some(130));
    drop(stdin);
}

#[cfg(unix)]
#[test]
fn an_interrupt_ends_a_command_that_still_connects() {
    let server = canned(|_, _| Say::Nothing);
    for args in [
        vec![server.url.as_str()],
        vec!["--timeout", "25s", "--", "sleep", "25"],
    ] {
        let mut command = carryall(&[&["tools", "--verbose"], &args[..]].concat()).start();
        command.err.next().expect("a line");
        command.signal("INT");
        let code = command.wait();
        let lines: Vec<String> = std::iter::from_fn(|| command.err.next()).collect();
        assert_eq!(code, Some(130), "{args:?}: {lines:?}");
    }
}
