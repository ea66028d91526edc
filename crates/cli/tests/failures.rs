//! Exit codes and error messages.

mod common;

use common::{Say, canned, demo, run};
use serde_json::json;
use std::net::TcpListener;

#[test]
fn a_failed_tool_is_1_and_its_content_is_printed() {
    let demo = demo(&[]);
    let failed = run(&["call", &demo.url, "fail", "reason=no paper"]);
    failed.fails(1, &["tool fail failed (isError)"]);
    assert_eq!(failed.json()["isError"], json!(true));
    assert_eq!(
        failed.json()["content"][0]["text"],
        json!("This tool failed: no paper")
    );
}

#[test]
fn a_wrong_command_line_is_2() {
    let demo = demo(&[]);
    let call = |args: &[&str]| run(&[&["call", demo.url.as_str()], args].concat());
    call(&["ad"]).fails(2, &["there is no tool \"ad\"", "did you mean \"add\"?"]);
    call(&["add", "a=1"]).fails(
        2,
        &["required argument is missing", "b  integer  Second addend"],
    );
    call(&["add"]).fails(
        2,
        &["required arguments are missing", "a  integer", "b  integer"],
    );
    call(&["add", "a=x", "b=1"]).fails(2, &["argument `a`: \"x\" is not an integer"]);
    call(&["add", "a:=[", "b=1"]).fails(2, &["not JSON"]);
    call(&["whoami", "x=1"]).fails(2, &["has no argument \"x\""]);
    call(&["echo", "txt=hi"]).fails(2, &["text", "txt: did you mean \"text\"?"]);
    call(&["add", "@/no/such/file"]).fails(2, &["cannot read"]);
    call(&[]).fails(2, &["no TOOL was given"]);
    call(&["whoami", "--meta", "novalue"]).fails(2, &["--meta KEY=VALUE"]);
    call(&[
        "whoami",
        "--meta",
        "io.modelcontextprotocol/protocolVersion=1",
    ])
    .fails(2, &["set by the client itself"]);
    call(&["whoami", "--header", "nocolon"]).fails(2, &["NAME: VALUE"]);
    call(&["whoami", "--header", "b@d: x"]).fails(2, &["b@d"]);
    call(&["whoami", "--env", "A=1"]).fails(2, &["--env"]);
    call(&["whoami", "--timeout", "soon"]).fails(2, &["soon"]);
    run(&["tools"]).fails(2, &["no TARGET"]);
    run(&["tools", "ftp://x/"]).fails(2, &["ftp://x/"]);
    run(&["tols", "x"]).fails(2, &["no command \"tols\"", "did you mean \"tools\"?"]);
    let wrong = run(&["tasks", "list", &demo.url]);
    wrong.fails(
        2,
        &[
            "`carryall tasks` has no command \"list\"; its commands are get, wait, update, cancel",
            "tasks --help",
        ],
    );
    assert!(!wrong.stderr.contains("did you mean"), "{wrong:?}");
    run(&["tasks", "cancl", &demo.url])
        .fails(2, &["no command \"cancl\"", "did you mean \"cancel\"?"]);
    run(&["cache", "list"]).fails(2, &["its commands are show, clear"]);
    run(&["http://localhost:1/mcp"]).fails(2, &["carryall tools http://localhost:1/mcp"]);
    run(&["prompts", &demo.url, "x"]).fails(2, &["unexpected argument"]);
}

#[test]
fn an_unreachable_server_is_3() {
    let port = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let ran = run(&["call", &format!("localhost:{port}"), "x"]);
    ran.fails(
        3,
        &["cannot reach the server", "Connection refused", "hint:"],
    );
    assert!(
        !ran.stderr.contains("os error") && !ran.stderr.contains("Os {"),
        "{ran:?}"
    );
    run(&["tools", "http://no-such-host.invalid/mcp"]).fails(3, &["no-such-host.invalid"]);
}

#[test]
fn an_error_of_the_server_is_4() {
    let demo = demo(&[]);
    run(&[
        "call",
        &demo.url,
        "fail",
        "kind=protocol",
        "reason=bad luck",
    ])
    .fails(4, &["bad luck", "-32602"]);
    let base = demo.url.trim_end_matches("/mcp");
    run(&["tools", &format!("{base}/elsewhere")]).fails(4, &["404", "/mcp"]);
}

#[test]
fn an_answer_that_is_not_mcp_is_4() {
    let page = canned(|_, _| Say::Raw(200, "text/html", "<html>\x1b[31mhello</html>".into()));
    let ran = run(&["tools", &page.url]);
    ran.fails(4, &["not an MCP answer", "<html>"]);
    assert!(!ran.stderr.contains("\x1b[31m"), "{ran:?}");
    let login = canned(|_, _| Say::Raw(401, "text/plain", "who are you".into()));
    run(&["tools", &login.url]).fails(4, &["--header 'Authorization: Bearer TOKEN'"]);
    let host = canned(|_, _| {
        Say::Raw(
            403,
            "text/plain",
            "Host \"a.example\" is not a name of this server".into(),
        )
    });
    let refused = run(&["tools", &host.url]);
    refused.fails(4, &["does not answer to this host name", "--allow-host"]);
    assert!(!refused.stderr.contains("credentials"), "{refused:?}");
    let garbage = canned(|_, _| Say::Raw(200, "application/json", "{\"jsonrpc\":".into()));
    run(&["tools", &garbage.url]).fails(4, &[]);
    let shape = canned(|_, _| Say::Result(json!({"tools": 5})));
    run(&["tools", &shape.url]).fails(4, &["tools/list"]);
}

#[test]
fn a_timeout_is_5() {
    let demo = demo(&[]);
    run(&["call", &demo.url, "nap", "seconds=20", "--timeout", "300ms"])
        .fails(5, &["no answer within", "--timeout"]);
    let silent = canned(|_, _| Say::Nothing);
    run(&["tools", &silent.url, "--timeout", "300ms"]).fails(5, &["no answer within"]);
}

// spec: elicitation-03, elicitation-14, elicitation-26, elicitation-38
#[test]
fn unanswered_input_requests_are_6() {
    let demo = demo(&[]);
    let book = |args: &[&str]| {
        run(&[
            &["call", demo.url.as_str(), "book_table", "restaurant=Mira"],
            args,
        ]
        .concat())
    };
    let asked = book(&[]);
    asked.fails(
        6,
        &[
            &demo.url,
            "asks for input",
            "date",
            "integer",
            "--answer date=... --answer guests=...",
            "--decline",
        ],
    );
    let result = asked.json();
    assert_eq!(result["resultType"], json!("input_required"));
    assert_eq!(
        result["inputRequests"]["details"]["method"],
        json!("elicitation/create")
    );
    let booked = book(&[
        "--answer",
        "date=2026-12-24",
        "--answer",
        "guests=4",
        "--answer",
        "details.seat=outside",
    ]);
    assert_eq!(
        booked.ok()["content"][0]["text"],
        json!("A table for 4 at Mira on 2026-12-24, outside.")
    );
    // A required field takes its default.
    let booked = book(&["--answer", "date=2026-12-24"]);
    assert_eq!(
        booked.ok()["content"][0]["text"],
        json!("A table for 2 at Mira on 2026-12-24, inside.")
    );
    book(&["--answer", "guests=4"]).fails(6, &["--answer date=... is missing"]);
    book(&["--answer", "date=soon"]).fails(2, &["does not fit the form", "date"]);
    book(&["--answer", "date=2026-12-24", "--answer", "guests=many"])
        .fails(2, &["\"many\" is not an integer"]);
    let declined = book(&["--decline"]).ok();
    assert_eq!(
        declined["content"][0]["text"],
        json!("Nothing was booked: the user declined.")
    );
}

#[test]
fn endless_rounds_are_4() {
    let asking = canned(|method, _| match method {
        "tools/list" => Say::Result(
            json!({"tools": [{"name": "t", "inputSchema": {"type": "object"}}], "ttlMs": 0, "cacheScope": "private"}),
        ),
        _ => Say::Result(json!({"resultType": "input_required", "requestState": "again"})),
    });
    run(&["call", &asking.url, "t"]).fails(4, &["without a result"]);
}

#[test]
fn a_missing_client_capability_is_6() {
    let asking = canned(|method, _| match method {
        "tools/list" => Say::Result(
            json!({"tools": [{"name": "t", "inputSchema": {"type": "object"}}], "ttlMs": 0, "cacheScope": "private"}),
        ),
        _ => Say::Error(-32021, "needs sampling"),
    });
    run(&["call", &asking.url, "t"]).fails(6, &["needs sampling"]);
}

#[test]
fn an_address_in_use_is_7() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    run(&["demo", "--listen", &address]).fails(7, &["cannot listen on", &address]);
    run(&["demo", "--files", "/no/such/directory"]).fails(2, &["--files"]);
}

#[test]
fn a_url_elicitation_without_terminal_is_6() {
    let asking = canned(|method, _| match method {
        "tools/list" => Say::Result(
            json!({"tools": [{"name": "t", "inputSchema": {"type": "object"}}], "ttlMs": 0, "cacheScope": "private"}),
        ),
        _ => Say::Result(
            json!({"resultType": "input_required", "inputRequests": {"login": {
                "method": "elicitation/create",
                "params": {"mode": "url", "message": "Sign in", "url": "https://example.com/"}
            }}}),
        ),
    });
    run(&["call", &asking.url, "t"]).fails(6, &["elicitation.url", "at a terminal"]);
}
