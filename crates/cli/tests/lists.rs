//! Empty lists, and untrusted text in lists.

mod common;

use common::{Say, canned, run};
use serde_json::{Value, json};

fn discovered(capabilities: Value) -> Say {
    Say::Result(json!({
        "supportedVersions": ["2026-07-28"], "capabilities": capabilities, "ttlMs": 0, "cacheScope": "private"
    }))
}

fn tools(tools: Value) -> Say {
    Say::Result(json!({"tools": tools, "ttlMs": 0, "cacheScope": "private"}))
}

#[test]
fn an_empty_list_is_explained_by_a_missing_capability() {
    let server = canned(|method, _| match method {
        "server/discover" => discovered(json!({"prompts": {}})),
        _ => Say::Error(-32601, "Method not found"),
    });
    let listed = run(&["tools", &server.url]);
    assert_eq!(listed.ok(), json!({"tools": []}));
    assert!(
        listed
            .stderr
            .contains("no tools: the server does not offer tools; it offers prompts"),
        "{listed:?}"
    );
    let human = run(&["tools", &server.url, "--format", "human"]);
    assert_eq!((human.code, human.stdout.as_str()), (0, ""));
    assert!(human.stderr.contains("does not offer tools"), "{human:?}");
}

#[test]
fn an_empty_list_is_explained_by_credentials() {
    let server = canned(|method, _| match method {
        "server/discover" => discovered(json!({"tools": {}})),
        _ => tools(json!([])),
    });
    let listed = run(&["tools", &server.url]);
    assert_eq!(listed.ok(), json!({"tools": []}));
    assert!(
        listed.stderr.contains("the list is empty") && listed.stderr.contains("credentials"),
        "{listed:?}"
    );
}

// spec: http-headers-22
#[test]
fn an_empty_list_is_explained_by_excluded_tools() {
    let broken = json!({"type": "object", "properties": {"a": {"type": "string", "x-mcp-header": "not a token"}}});
    let server = canned(move |method, _| match method {
        "server/discover" => discovered(json!({"tools": {}})),
        _ => tools(json!([{"name": "broken_tool", "inputSchema": broken}])),
    });
    let listed = run(&["tools", &server.url]);
    assert_eq!(listed.ok(), json!({"tools": []}));
    assert!(
        listed.stderr.contains("all 1 were excluded") && listed.stderr.contains("broken_tool"),
        "{listed:?}"
    );
    run(&["call", &server.url, "broken_tool"])
        .fails(2, &["no tool \"broken_tool\"", "definition is invalid"]);
}

// spec: http-headers-22, http-headers-23
#[test]
fn an_invalid_tool_does_not_affect_the_others() {
    let broken =
        json!({"type": "object", "properties": {"a": {"type": "string", "x-mcp-header": ""}}});
    let server = canned(move |_, _| {
        tools(
            json!([{"name": "bad", "inputSchema": broken}, {"name": "good", "inputSchema": {"type": "object"}}]),
        )
    });
    let listed = run(&["tools", &server.url]);
    let all = listed.ok();
    assert_eq!(
        (
            all["tools"].as_array().unwrap().len(),
            &all["tools"][0]["name"]
        ),
        (1, &json!("good"))
    );
    assert!(
        listed.stderr.contains("warning:") && listed.stderr.contains("bad"),
        "{listed:?}"
    );
}

#[test]
fn other_empty_lists_are_explained() {
    let server = canned(|method, _| match method {
        "server/discover" => discovered(json!({"tools": {}})),
        _ => Say::Error(-32601, "Method not found"),
    });
    for (command, member) in [
        ("prompts", "prompts"),
        ("resources", "resources"),
        ("templates", "resourceTemplates"),
    ] {
        let listed = run(&[command, &server.url]);
        assert_eq!(listed.ok(), json!({member: []}));
        assert!(listed.stderr.contains("does not offer"), "{listed:?}");
    }
}

#[test]
fn control_and_invisible_characters_are_escaped() {
    let evil = "\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}31mplain\u{202e}\u{e0069}\u{200b}";
    let server = canned(move |method, _| match method {
        "tools/list" => {
            tools(json!([{"name": "t", "description": evil, "inputSchema": {"type": "object"}}]))
        }
        _ => Say::Result(
            json!({"content": [{"type": "text", "text": evil}], "structuredContent": {"a": evil}}),
        ),
    });
    let bad = |text: &str| {
        text.chars()
            .any(|c| c != '\n' && !carryall::proto::is_printable(c))
    };
    for args in [
        vec!["tools", &server.url],
        vec!["tools", &server.url, "t"],
        vec!["call", &server.url, "t"],
    ] {
        for format in ["human", "json"] {
            let ran = run(&[&args[..], &["--format", format]].concat());
            assert!(ran.code == 0 && ran.stdout.contains("plain"), "{ran:?}");
            assert!(!bad(&ran.stdout) && !bad(&ran.stderr), "{ran:?}");
            // Invisible characters are visible as escapes.
            let tag = if format == "json" {
                r"\udb40\udc69"
            } else {
                r"\u{e0069}"
            };
            assert!(ran.stdout.contains(tag), "{ran:?}");
        }
    }
    // The JSON means the same.
    assert_eq!(
        run(&["call", &server.url, "t"]).json()["structuredContent"]["a"],
        json!(evil)
    );
}

#[test]
fn headers_and_meta_are_sent_with_every_request() {
    let server = canned(|_, _| tools(json!([])));
    run(&[
        "tools",
        &server.url,
        "-H",
        "Authorization: Bearer t0ken",
        "--header",
        "X-Two: 2",
        "--meta",
        "com.example/run=7",
    ]);
    let requests = server.requests.lock().unwrap();
    assert!(requests.len() >= 2, "the list and discovery");
    for (head, request) in requests.iter() {
        let head = head.to_lowercase();
        assert!(
            head.contains("authorization: bearer t0ken\r\n") && head.contains("x-two: 2\r\n"),
            "{head}"
        );
        assert_eq!(request["params"]["_meta"]["com.example/run"], json!(7));
    }
}
