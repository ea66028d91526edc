//! Every command against the demo server over HTTP.

mod common;

use common::{Demo, Dir, carryall, demo, run};
use serde_json::{Value, json};

fn names(list: &Value, member: &str) -> Vec<String> {
    let all = list.as_array().expect("a list");
    all.iter()
        .map(|one| one[member].as_str().unwrap().to_owned())
        .collect()
}

fn with(demo: &Demo, args: &[&str]) -> common::Finished {
    let (command, rest) = args.split_first().unwrap();
    run(&[&[*command, demo.url.as_str()], rest].concat())
}

#[test]
fn discover_shows_the_server() {
    let demo = demo(&[]);
    let found = with(&demo, &["discover"]).ok();
    assert_eq!(found["supportedVersions"], json!(["2026-07-28"]));
    assert_eq!(found["capabilities"]["tools"], json!({"listChanged": true}));
    assert_eq!(
        found["_meta"]["io.modelcontextprotocol/serverInfo"]["name"],
        json!("carryall-demo")
    );
    let human = with(&demo, &["discover", "--format", "human"]);
    for part in [
        "carryall-demo",
        "2026-07-28",
        "tools (notifies of changes)",
        "Begin with `whoami`",
    ] {
        assert!(human.stdout.contains(part), "{human:?}");
    }
}

// spec: pagination-01, pagination-03
#[test]
fn lists_have_all_pages() {
    let demo = demo(&["--page-size", "2"]);
    let tools = with(&demo, &["tools"]).ok();
    let tools = names(&tools["tools"], "name");
    assert!(
        tools.len() > 10 && tools.contains(&"whoami".to_owned()),
        "{tools:?}"
    );
    let prompts = with(&demo, &["prompts"]).ok();
    assert_eq!(
        names(&prompts["prompts"], "name"),
        ["explain_demo", "greet"]
    );
    let resources = with(&demo, &["resources"]).ok();
    assert_eq!(
        names(&resources["resources"], "uri"),
        [
            "demo://logo",
            "demo://naps",
            "demo://notice",
            "demo://readme"
        ]
    );
    let templates = with(&demo, &["templates"]).ok();
    assert_eq!(
        names(&templates["resourceTemplates"], "uriTemplate"),
        ["demo://capitals/{country}"]
    );
}

#[test]
fn one_tool_is_shown_in_detail() {
    let demo = demo(&[]);
    let tools = with(&demo, &["tools", "add"]).ok();
    assert_eq!(names(&tools["tools"], "name"), ["add"]);
    assert_eq!(
        tools["tools"][0]["inputSchema"]["required"],
        json!(["a", "b"])
    );
    let human = with(&demo, &["tools", "echo", "--format", "human"]).stdout;
    assert!(
        human.contains("times     integer  default 1  How often to repeat it"),
        "{human}"
    );
    with(&demo, &["tools", "ecco"])
        .fails(2, &["there is no tool \"ecco\"", "did you mean \"echo\"?"]);
}

#[test]
fn lists_are_tables_for_people_and_json_for_pipes() {
    let demo = demo(&[]);
    let human = with(&demo, &["tools", "--format", "human"]).stdout;
    let line = human
        .lines()
        .find(|line| line.starts_with("add "))
        .unwrap_or_else(|| panic!("{human}"));
    assert!(
        line.contains("a=integer b=integer") && line.ends_with("Adds two whole numbers"),
        "{line}"
    );
    assert!(human.lines().next().unwrap().starts_with("TOOL"), "{human}");
    assert!(!human.contains('\x1b'), "no colour without a terminal");
    let coloured = with(&demo, &["tools", "--format", "human", "--color", "always"]).stdout;
    assert!(coloured.contains("\x1b["), "{coloured}");
}

#[test]
fn arguments_are_converted_to_the_types_of_the_tool() {
    let demo = demo(&["--replica", "seven"]);
    let whoami = with(&demo, &["call", "whoami"]).ok();
    assert_eq!(
        whoami["content"],
        json!([{"type": "text", "text": "replica seven"}])
    );
    assert_eq!(
        with(&demo, &["call", "whoami", "--format", "human"]).stdout,
        "replica seven\n"
    );
    assert_eq!(
        with(&demo, &["call", "add", "a=2", "b=-3"]).ok()["structuredContent"],
        json!({"sum": -1})
    );
    assert_eq!(
        with(&demo, &["call", "add", "a:=2", "b=40"]).ok()["structuredContent"],
        json!({"sum": 42})
    );
    // Digits are a string if the schema says so.
    assert_eq!(
        with(&demo, &["call", "echo", "text=5", "times=2"]).ok()["content"][0]["text"],
        json!("55")
    );
}

#[test]
fn a_call_without_arguments_is_one_request() {
    let server = common::canned(|_, _| common::Say::Result(json!({"content": []})));
    run(&["call", &server.url, "t"]).ok();
    let methods: Vec<Value> = server
        .requests
        .lock()
        .unwrap()
        .iter()
        .map(|(_, body)| body["method"].clone())
        .collect();
    assert_eq!(methods, [json!("tools/call")]);
}

#[test]
fn arguments_come_from_files_and_standard_input() {
    let (demo, dir) = (demo(&[]), Dir::new());
    let file = dir.write("args.json", r#"{"a": 20, "b": 22}"#);
    let text = dir.write("text.txt", "from a file");
    assert_eq!(
        with(&demo, &["call", "add", &format!("@{file}")]).ok()["structuredContent"]["sum"],
        json!(42)
    );
    assert_eq!(
        with(&demo, &["call", "echo", &format!("text=@{text}")]).ok()["content"][0]["text"],
        json!("from a file")
    );
    let piped = carryall(&["call", &demo.url, "add", "-"])
        .input(r#"{"a": 1, "b": 2}"#)
        .run();
    assert_eq!(piped.ok()["structuredContent"]["sum"], json!(3));
    carryall(&["call", &demo.url, "add", "-"])
        .input("[1]")
        .run()
        .fails(2, &["standard input", "JSON object"]);
}

#[test]
fn content_and_structured_content_are_shown_once() {
    let demo = demo(&[]);
    let human = with(
        &demo,
        &["call", "forecast", "city=Oslo", "--format", "human"],
    )
    .stdout;
    assert_eq!(human.matches("\"city\"").count(), 1, "{human}");
    let postcard = with(&demo, &["call", "postcard"]).ok();
    let kinds = names(&postcard["content"], "type");
    assert_eq!(
        kinds,
        ["text", "image", "audio", "resource_link", "resource"]
    );
    let human = with(&demo, &["call", "postcard", "--format", "human"]).stdout;
    for part in [
        "[image image/png, 162 B]",
        "[audio audio/wav",
        "[link] demo://readme About this demo (text/markdown)",
    ] {
        assert!(human.contains(part), "{human}");
    }
}

// spec: http-headers-12, http-headers-31
#[test]
fn annotated_arguments_are_sent_in_headers() {
    let demo = demo(&[]);
    let called = with(&demo, &["call", "query", "region=eu-west-1", "text=load"]).ok();
    let text = called["content"][0]["text"].as_str().unwrap().to_owned();
    assert_eq!(
        text,
        "load asked in eu-west-1 (the header Mcp-Param-Region said \"eu-west-1\")"
    );
}

#[test]
fn log_messages_of_the_requested_level_go_to_standard_error() {
    let demo = demo(&[]);
    let called = with(&demo, &["call", "chatter"]);
    called.ok();
    assert!(
        called.stderr.contains("[info] chatter: this is") && !called.stderr.contains("[debug]"),
        "{called:?}"
    );
    let called = with(&demo, &["call", "chatter", "--log-level", "error"]);
    assert!(
        called.stderr.contains("[error]") && !called.stderr.contains("[warning]"),
        "{called:?}"
    );
    assert_eq!(
        with(&demo, &["call", "chatter", "--log-level", "off"]).stderr,
        ""
    );
}

#[test]
fn progress_is_shown() {
    let demo = demo(&[]);
    let counted = with(
        &demo,
        &["call", "countdown", "from=3", "pause_ms=20", "--verbose"],
    );
    counted.ok();
    assert!(
        counted.stderr.contains("[progress] 1/3 2 to go")
            && counted.stderr.contains("3/3 lift-off"),
        "{counted:?}"
    );
    // Progress resets the timeout.
    with(
        &demo,
        &[
            "call",
            "countdown",
            "from=8",
            "pause_ms=150",
            "--timeout",
            "600ms",
        ],
    )
    .ok();
}

#[test]
fn prompts_are_filled_in() {
    let demo = demo(&[]);
    let prompt = with(&demo, &["prompt", "greet", "name=Ann", "tone=terse"]).ok();
    assert_eq!(prompt["messages"][0]["role"], json!("user"));
    assert_eq!(
        prompt["messages"][0]["content"]["text"],
        json!("Write a terse greeting to Ann, in English. One sentence.")
    );
    let human = with(&demo, &["prompt", "explain_demo", "--format", "human"]).stdout;
    assert!(
        human.contains("user:\n[resource] demo://readme\n# The carryall demo"),
        "{human}"
    );
    with(&demo, &["prompt", "greet"]).fails(2, &["required", "name", "Whom to greet"]);
    with(&demo, &["prompt", "great"]).fails(2, &["no prompt \"great\"", "did you mean \"greet\"?"]);
    let misspelt = with(&demo, &["prompt", "greet", "name=Ann", "langage=French"]);
    misspelt.fails(4, &["no such argument", "did you mean \"language\"?"]);
}

#[test]
fn resources_are_read() {
    let (demo, dir) = (demo(&[]), Dir::new());
    let read = with(&demo, &["read", "demo://readme"]).ok();
    assert_eq!(read["contents"][0]["mimeType"], json!("text/markdown"));
    assert!(
        with(&demo, &["read", "demo://readme", "--format", "human"])
            .stdout
            .starts_with("# The carryall demo\n")
    );
    assert_eq!(
        with(
            &demo,
            &["read", "demo://capitals/norway", "--format", "human"]
        )
        .stdout,
        "Oslo\n"
    );
    let file = dir.0.join("logo.png");
    let written = with(
        &demo,
        &["read", "demo://logo", "--output", file.to_str().unwrap()],
    );
    assert_eq!(
        (written.code, written.stdout.as_str()),
        (0, ""),
        "{written:?}"
    );
    assert!(std::fs::read(&file).unwrap().starts_with(b"\x89PNG"));
    with(&demo, &["read", "demo://nothing"])
        .fails(4, &["Resource not found", "carryall resources"]);
}

#[test]
fn only_files_below_the_root_are_resources() {
    let dir = Dir::new();
    dir.write("inside/a.txt", "hello");
    dir.write("secret.txt", "secret");
    let demo = demo(&["--files", dir.0.join("inside").to_str().unwrap()]);
    assert_eq!(
        with(&demo, &["read", "file:///a.txt"]).ok()["contents"][0]["text"],
        json!("hello")
    );
    for outside in [
        "file:///../secret.txt",
        "file:///%2e%2e/secret.txt",
        "file:////etc/passwd",
    ] {
        let read = with(&demo, &["read", outside]);
        read.fails(4, &[]);
        assert!(!read.stdout.contains("secret"), "{read:?}");
    }
}

#[test]
fn completions_are_shown() {
    let demo = demo(&[]);
    let complete = |args: &[&str]| {
        with(&demo, &[&["complete"], args].concat()).ok()["completion"]["values"].clone()
    };
    assert_eq!(
        complete(&["greet", "language=f"]),
        json!(["Finnish", "French"])
    );
    assert_eq!(
        complete(&["demo://capitals/{country}", "country=fi"]),
        json!(["finland"])
    );
    assert_eq!(
        complete(&["greet", "tone="]),
        json!(["formal", "friendly", "terse"])
    );
    assert_eq!(
        complete(&["prompt:greet", "tone=", "language=Italian"]),
        json!(["formal", "friendly"])
    );
    assert_eq!(
        with(
            &demo,
            &["complete", "greet", "language=fr", "--format", "human"]
        )
        .stdout,
        "French\n"
    );
    with(&demo, &["complete", "greet"]).fails(2, &["ARGUMENT=TYPED"]);
}

#[test]
fn shell_completions_are_printed() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run(&["completions", shell]);
        assert!(
            script.code == 0 && script.stdout.contains("carryall") && script.stdout.len() > 1000,
            "{shell}"
        );
    }
    run(&["completions", "tcsh"]).fails(2, &["tcsh"]);
}

#[test]
fn help_explains_targets_and_exit_codes() {
    let help = run(&["--help"]).stdout;
    for part in [
        "TARGET is one of",
        "--method tools/call",
        "Exit codes:",
        "mcp.json",
        "completions",
    ] {
        assert!(help.contains(part), "{help}");
    }
    let bare = run(&[]);
    assert!(
        bare.code == 2 && bare.stderr.contains("Usage: carryall <COMMAND>"),
        "{bare:?}"
    );
    assert!(run(&["call", "--help"]).stdout.contains("key:=json"));
}

#[test]
fn a_closed_pipe_is_not_an_error() {
    use std::process::{Command, Stdio};
    let demo = demo(&[]);
    let mut child = Command::new(common::BINARY)
        .args(["tools", &demo.url])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut stderr = String::new();
    std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut stderr).unwrap();
    assert_eq!(
        (child.wait().unwrap().code(), stderr.as_str()),
        (Some(0), "")
    );
}

#[test]
fn allowed_values_are_shown_and_others_are_not_sent() {
    let server = common::canned(|method, _| match method {
        "tools/list" => {
            common::Say::Result(json!({"tools": [{"name": "create_note", "inputSchema": {
            "type": "object",
            "properties": {
                "title": {"type": "string"},
                "priority": {"anyOf": [{"$ref": "#/$defs/Priority"}, {"type": "null"}]},
                "way": {"type": "array", "items": {"enum": ["rolling", "canary"]}}
            },
            "required": ["title", "way"],
            "$defs": {"Priority": {"oneOf": [
                {"const": "low", "title": "Whenever"}, {"const": "normal"}, {"const": "high", "title": "Right now"}
            ]}}
        }}], "ttlMs": 0, "cacheScope": "private"}))
        }
        "tools/call" => common::Say::Result(json!({"content": [{"type": "text", "text": "done"}]})),
        _ => common::Say::Error(-32601, "Method not found"),
    });
    let table = run(&["tools", &server.url, "--format", "human"]).stdout;
    assert!(
        table.contains("[priority=low|normal|high]")
            && table.contains("way=array of rolling|canary"),
        "{table}"
    );
    let details = run(&["tools", &server.url, "create_note", "--format", "human"]).stdout;
    assert!(
        details.contains("low = Whenever, high = Right now"),
        "{details}"
    );
    let call = |args: &[&str]| {
        run(&[
            &["call", server.url.as_str(), "create_note", "title=x"],
            args,
        ]
        .concat())
    };
    call(&["way:=[\"canary\"]", "priority=hihg"]).fails(
        2,
        &[
            "argument \"priority\": \"hihg\" is not one of: low, normal, high",
            "did you mean \"high\"?",
        ],
    );
    call(&["way:=[\"blue\"]"]).fails(2, &["\"blue\" is not one of: rolling, canary"]);
    call(&[]).fails(
        2,
        &["required argument is missing", "array of rolling|canary"],
    );
    let sent = |method: &str| {
        server
            .requests
            .lock()
            .unwrap()
            .iter()
            .filter(|(_, one)| one["method"] == method)
            .count()
    };
    assert_eq!(sent("tools/call"), 0);
    assert_eq!(call(&["way:=[\"canary\"]", "priority=high"]).code, 0);
}

#[test]
fn allowed_values_of_a_form_are_shown() {
    let server = common::canned(|_, params| match params.get("inputResponses") {
        Some(_) => common::Say::Result(json!({"content": []})),
        None => common::Say::Result(
            json!({"resultType": "input_required", "inputRequests": {"q": {
                "method": "elicitation/create",
                "params": {"message": "How?", "requestedSchema": {"type": "object", "properties": {
                    "way": {"type": "string", "oneOf": [
                        {"const": "rolling", "title": "One by one"}, {"const": "canary", "title": "A few first"}
                    ]},
                    "size": {"type": "string", "enum": ["s", "l"], "enumNames": ["Small", "Large"]}
                }, "required": ["way"]}}
            }}}),
        ),
    });
    run(&["call", &server.url, "deploy"]).fails(
        6,
        &["rolling|canary", "rolling = One by one", "s|l", "s = Small"],
    );
    run(&["call", &server.url, "deploy", "--answer", "way=canari"]).fails(
        2,
        &[
            "does not fit the form: way: \"canari\" is not one of: rolling, canary",
            "did you mean \"canary\"?",
        ],
    );
}
