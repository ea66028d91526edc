//! Calls that become tasks, and `carryall tasks`.

mod common;

use common::{Demo, Finished, Say, canned, carryall, demo, run};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

fn tasks(demo: &Demo, action: &str, args: &[&str]) -> Finished {
    run(&[&["tasks", action, demo.url.as_str()], args].concat())
}

/// Starts to bake and returns the ID of the task.
fn start(demo: &Demo) -> String {
    let started = run(&[
        "call",
        &demo.url,
        "bake",
        "loaves=1",
        "pause_ms=10",
        "--no-wait",
    ])
    .ok();
    assert_eq!(started["resultType"], json!("task"));
    assert_eq!(started["status"], json!("working"));
    assert!(
        started["ttlMs"].is_u64() && started["pollIntervalMs"].is_u64(),
        "{started}"
    );
    started["taskId"].as_str().unwrap().to_owned()
}

/// Polls the task until it has this status.
#[track_caller]
fn until(demo: &Demo, id: &str, status: &str) -> Value {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let task = tasks(demo, "get", &[id]).ok();
        if task["status"] == json!(status) {
            return task;
        }
        assert!(Instant::now() < end, "{task}");
    }
}

fn first_text(result: &Value) -> &Value {
    &result["content"][0]["text"]
}

#[test]
fn call_waits_for_the_task_that_it_becomes() {
    let demo = demo(&[]);
    let baked = run(&[
        "call",
        &demo.url,
        "bake",
        "loaves=2",
        "pause_ms=20",
        "--answer",
        "seeds=poppy",
        "--verbose",
    ]);
    assert_eq!(
        first_text(&baked.ok()),
        &json!("2 loaves of bread with poppy seeds.")
    );
    for part in [
        "bake is running as task ",
        "Ctrl-C cancels it",
        "[task] kneading loaf",
        "[task] completed",
    ] {
        assert!(baked.stderr.contains(part), "{part:?} is not in {baked:?}");
    }
    assert!(
        baked
            .stderr
            .contains(&format!("carryall tasks wait {} ", demo.url)),
        "{baked:?}"
    );
    let declined = run(&["call", &demo.url, "bake", "pause_ms=0", "--decline"]);
    assert_eq!(
        first_text(&declined.ok()),
        &json!("Nothing was baked: the dough is in the fridge.")
    );
    assert_eq!(declined.stderr, "", "not a terminal");
}

#[test]
fn a_task_outlives_the_call_that_started_it() {
    let demo = demo(&[]);
    let id = start(&demo);
    let asking = until(&demo, &id, "input_required");
    assert_eq!(
        asking["inputRequests"]["crust"]["method"],
        json!("elicitation/create")
    );
    let human = tasks(&demo, "get", &[&id, "--format", "human"]).stdout;
    for part in [
        "waiting for input",
        "for at least 1h",
        "The dough has risen",
        "none|poppy|sesame",
        "required",
    ] {
        assert!(human.contains(part), "{part:?} is not in {human}");
    }
    // Waiting without an answer fails and leaves the task as it is.
    let refused = tasks(&demo, "wait", &[&id]);
    refused.fails(
        6,
        &[
            "asks for input",
            "carryall tasks wait http://",
            "--answer seeds=...",
            "--decline",
        ],
    );
    assert_eq!(refused.json()["taskId"], json!(id));
    tasks(&demo, "update", &[&id]).fails(6, &["asks for input", "carryall tasks update"]);
    tasks(&demo, "update", &[&id, "--answer", "seeds=gravel"]).fails(2, &["does not fit the form"]);
    let updated = tasks(
        &demo,
        "update",
        &[
            &id,
            "--answer",
            "crust.seeds=sesame",
            "--answer",
            "sliced=true",
        ],
    )
    .ok();
    assert_eq!(updated["taskId"], json!(id));
    let baked = tasks(&demo, "wait", &[&id]).ok();
    assert_eq!(
        first_text(&baked),
        &json!("1 loaf of bread with sesame, sliced.")
    );
    assert_eq!(
        tasks(&demo, "get", &[&id]).ok()["result"]["content"],
        baked["content"]
    );
    let human = tasks(&demo, "get", &[&id, "--format", "human"]).stdout;
    assert!(
        human.contains("completed")
            && human.ends_with("Result\n1 loaf of bread with sesame, sliced.\n"),
        "{human}"
    );
    tasks(&demo, "update", &[&id, "--answer", "seeds=none"])
        .fails(2, &["the task does not ask for input (completed"]);
}

/// Returns the ID in `carryall tasks wait ...`, for the demo server.
fn suggested_id(demo: &Demo, stderr: &str) -> String {
    let (_, rest) = stderr
        .split_once(&format!("carryall tasks wait {} ", demo.url))
        .expect(stderr);
    rest.split_whitespace().next().unwrap().to_owned()
}

#[test]
fn an_invalid_answer_leaves_the_task_and_suggests_how_to_wait() {
    let demo = demo(&[]);
    let call = [
        "call",
        &demo.url,
        "bake",
        "pause_ms=10",
        "-H",
        "X-Key: s3cret",
        "--meta",
        "com.example/run=7",
    ];
    let wrong = run(&[&call[..], &["--answer", "seeds=gravel"]].concat());
    wrong.fails(
        2,
        &[
            "\"gravel\" is not one of: none, poppy, sesame",
            "is waiting for an answer: carryall tasks wait ",
        ],
    );
    assert!(
        wrong
            .stderr
            .contains(" --header 'X-Key: ...' --meta 'com.example/run=7' --answer FIELD=VALUE"),
        "{wrong:?}"
    );
    assert!(!wrong.stderr.contains("s3cret"), "{wrong:?}");
    let id = suggested_id(&demo, &wrong.stderr);
    assert_eq!(
        tasks(&demo, "get", &[&id]).ok()["status"],
        json!("input_required")
    );
    tasks(&demo, "update", &[&id, "--answer", "seeds=gravel"])
        .fails(2, &["is not one of", "nothing was sent", &id]);
    let baked = tasks(&demo, "wait", &[&id, "--answer", "seeds=poppy"]).ok();
    assert_eq!(
        first_text(&baked),
        &json!("1 loaf of bread with poppy seeds.")
    );

    let misspelt = run(&[&call[..], &["--answer", "sedes=poppy"]].concat());
    misspelt.fails(
        6,
        &[
            "there is no field \"sedes\": did you mean \"seeds\"?",
            "--answer seeds=...",
        ],
    );
    let id = suggested_id(&demo, &misspelt.stderr);
    assert_eq!(misspelt.json()["taskId"], json!(id));
    tasks(&demo, "cancel", &[&id]).ok();
}

#[test]
fn answers_are_validated_first_and_unused_ones_are_warned_of() {
    let server = canned(|_, _| Say::Result(json!({"content": []})));
    for word in [
        "seeds",
        "=x",
        "seeds:=[",
        "@/no/such/file",
        "-",
        "seeds=@/no/such/file",
    ] {
        let refused = run(&["call", &server.url, "t", "--answer", word]);
        refused.fails(
            2,
            &[&format!("--answer {word}"), "write --answer FIELD=VALUE"],
        );
    }
    assert!(
        server.requests.lock().unwrap().is_empty(),
        "nothing was sent"
    );
    let called = run(&["call", &server.url, "t", "--answer", "prioriy=high"]);
    assert_eq!(called.code, 0);
    assert!(
        called
            .stderr
            .contains("warning: no form asked for --answer prioriy=high"),
        "{called:?}"
    );
}

#[test]
fn a_task_of_a_server_that_has_ended_is_mentioned() {
    let call = [
        "call",
        "bake",
        "pause_ms=0",
        "--answer",
        "seeds=gravel",
        "--",
        common::BINARY,
        "demo",
        "--stdio",
    ];
    let wrong = run(&call);
    wrong.fails(
        2,
        &[
            "carryall tasks wait ",
            "--answer FIELD=VALUE -- ",
            "has ended with it",
        ],
    );
}

#[test]
fn a_cancelled_task_has_no_result() {
    let demo = demo(&[]);
    let id = start(&demo);
    let cancelled = tasks(&demo, "cancel", &[&id]).ok();
    assert_eq!(cancelled["status"], json!("cancelled"));
    tasks(&demo, "wait", &[&id]).fails(4, &["was cancelled"]);
}

#[test]
fn an_unknown_task_is_4() {
    let demo = demo(&[]);
    for action in ["get", "wait", "update", "cancel"] {
        let failed = tasks(&demo, action, &["no-such-task"]);
        failed.fails(
            4,
            &[
                "Unknown task",
                "as long as the server keeps it",
                "carryall call --no-wait",
            ],
        );
    }
    tasks(&demo, "get", &[]).fails(2, &["no ID was given"]);
    tasks(&demo, "get", &["a", "b"]).fails(2, &["unexpected argument \"b\""]);
    run(&["tasks"]).fails(2, &["carryall tasks"]);
    let without = canned(|_, _| Say::Error(-32601, "Method not found"));
    run(&["tasks", "get", &without.url, "x"]).fails(4, &["the server does not support tasks"]);
}

#[cfg(unix)]
#[test]
fn an_interrupted_call_cancels_its_task() {
    let demo = demo(&[]);
    let call = [
        "call",
        &demo.url,
        "bake",
        "loaves=1",
        "pause_ms=10000",
        "--answer",
        "seeds=none",
        "--verbose",
    ];
    let mut call = carryall(&call).start();
    let id = loop {
        let line = call.err.next().expect("a line");
        if let Some((_, rest)) = line.split_once("is running as task ") {
            break rest.split(';').next().unwrap().to_owned();
        }
    };
    call.signal("INT");
    assert_eq!(call.wait(), Some(130));
    let lines: Vec<String> = std::iter::from_fn(|| call.err.next()).collect();
    assert!(
        lines
            .iter()
            .any(|line| *line == format!("Cancelled task {id}.")),
        "{lines:?}"
    );
    assert_eq!(
        tasks(&demo, "get", &[&id]).ok()["status"],
        json!("cancelled")
    );
}

#[cfg(unix)]
#[test]
fn an_interrupted_wait_does_not_cancel_the_task() {
    let demo = demo(&[]);
    let id = start(&demo);
    until(&demo, &id, "input_required");
    // This task asks for input only after a long time.
    let started = run(&["call", &demo.url, "bake", "pause_ms=10000", "--no-wait"]).ok();
    let slow = started["taskId"].as_str().unwrap();
    let mut waiting = carryall(&["tasks", "wait", &demo.url, slow, "--verbose"]).start();
    while !waiting
        .err
        .next()
        .expect("a line")
        .starts_with("[task] kneading")
    {}
    waiting.signal("INT");
    assert_eq!(waiting.wait(), Some(130));
    assert_eq!(
        tasks(&demo, "get", &[slow]).ok()["status"],
        json!("working")
    );
    tasks(&demo, "cancel", &[slow]).ok();
}

#[test]
fn tasks_work_with_a_server_command() {
    let call = run(&[
        "call",
        "bake",
        "pause_ms=0",
        "--answer",
        "seeds=poppy",
        "--",
        common::BINARY,
        "demo",
        "--stdio",
    ]);
    assert_eq!(
        first_text(&call.ok()),
        &json!("1 loaf of bread with poppy seeds.")
    );
    let started = run(&[
        "call",
        "bake",
        "--no-wait",
        "--",
        common::BINARY,
        "demo",
        "--stdio",
    ]);
    assert_eq!(started.ok()["resultType"], json!("task"));
    assert!(
        started
            .stderr
            .contains("warning: the server was started for this call"),
        "{started:?}"
    );
    run(&["tasks", "get", "x", "--", common::BINARY, "demo", "--stdio"])
        .fails(4, &["Unknown task"]);
}

#[test]
fn replicas_without_shared_tasks_have_none() {
    let keyring = format!("1 {}", "ab".repeat(32));
    let demo = carryall(&["demo", "--listen", "127.0.0.1:0", "--announce", "json"])
        .env("CARRYALL_KEYRING", &keyring)
        .start();
    let url = demo.lines.json()["listening"].as_str().unwrap().to_owned();
    // The tool answers in rounds instead.
    let baked = run(&[
        "call",
        &url,
        "bake",
        "pause_ms=10",
        "--answer",
        "seeds=none",
        "--no-wait",
    ])
    .ok();
    assert_eq!(first_text(&baked), &json!("1 loaf of bread."));
    run(&["tasks", "get", &url, "x"]).fails(4, &["the server does not support tasks"]);
}

/// Returns a task for a canned server.
fn task(status: &str, more: &Value) -> Say {
    let mut task = json!({
        "taskId": "t 1", "status": status, "createdAt": "2026-07-28T00:00:00Z", "lastUpdatedAt": "2026-07-28T00:00:00Z",
        "ttlMs": null, "pollIntervalMs": 20
    });
    task.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    Say::Result(task)
}

#[test]
fn a_call_ends_as_its_task_does() {
    let ends = [
        (
            "failed",
            json!({"error": {"code": -32603, "message": "the oven\u{1b}[31m is broken"}}),
            4,
            r"the oven\u{1b}[31m is broken (-32603)",
        ),
        (
            "cancelled",
            json!({"statusMessage": "no flour"}),
            4,
            "was cancelled: no flour",
        ),
        (
            "completed",
            json!({"result": {"content": [], "isError": true}}),
            1,
            "failed (isError)",
        ),
    ];
    for (status, more, code, said) in ends {
        let polled = AtomicU32::new(0);
        let server = canned(move |method, _| match method {
            "tools/list" => Say::Result(json!({
                "tools": [{"name": "t", "inputSchema": {"type": "object"}}], "ttlMs": 0, "cacheScope": "private"
            })),
            "tools/call" => task("working", &json!({"resultType": "task"})),
            "tasks/get" if polled.fetch_add(1, Ordering::Relaxed) == 0 => {
                task("working", &json!({}))
            }
            "tasks/get" => task(status, &more),
            _ => Say::Error(-32601, "Method not found"),
        });
        run(&["call", &server.url, "t"]).fails(code, &[said]);
        run(&["tasks", "wait", &server.url, "t 1"]).fails(code, &[said]);
        let human = run(&["tasks", "get", &server.url, "t 1", "--format", "human"]);
        assert!(
            human.code == 0
                && human.stdout.contains("without limit")
                && !human.stdout.contains('\x1b'),
            "{human:?}"
        );
    }
}

// spec: ext-tasks-23, elicitation-07
#[test]
fn each_input_request_is_answered_once() {
    let polled = AtomicU32::new(0);
    let question = json!({"inputRequests": {"q": {"method": "elicitation/create", "params": {
        "message": "Sure?", "requestedSchema": {"type": "object", "properties": {"sure": {"type": "boolean"}}}
    }}}});
    let server = canned(move |method, _| {
        match (
            method,
            polled.fetch_add(u32::from(method == "tasks/get"), Ordering::Relaxed),
        ) {
            ("tools/call", _) => task("working", &json!({"resultType": "task"})),
            ("tasks/get", 0..4) => task("input_required", &question),
            ("tasks/get", _) => task(
                "completed",
                &json!({"result": {"content": [{"type": "text", "text": "done"}]}}),
            ),
            ("tasks/update", _) => Say::Result(json!({})),
            _ => Say::Error(-32601, "Method not found"),
        }
    });
    let done = run(&[
        "call",
        &server.url,
        "t",
        "--answer",
        "sure=true",
        "--meta",
        "com.example/run=7",
    ])
    .ok();
    assert_eq!(first_text(&done), &json!("done"));
    let requests = server.requests.lock().unwrap();
    let of = |wanted: &str| {
        requests
            .iter()
            .filter(|(_, request)| request["method"] == wanted)
            .map(|(_, request)| request)
            .collect::<Vec<_>>()
    };
    let updates = of("tasks/update");
    assert_eq!(updates.len(), 1, "{updates:?}");
    assert_eq!(
        updates[0]["params"]["inputResponses"],
        json!({"q": {"action": "accept", "content": {"sure": true}}})
    );
    assert_eq!(updates[0]["params"]["_meta"]["com.example/run"], json!(7));
    // Without a terminal no page can be opened, so URL elicitation is not declared.
    let declared =
        &of("tools/call")[0]["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"];
    assert_eq!(declared["elicitation"], json!({"form": {}}));
    assert_eq!(
        declared["extensions"],
        json!({"io.modelcontextprotocol/tasks": {}})
    );
}
