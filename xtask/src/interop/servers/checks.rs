//! The checks of a server: a command of `carryall`, and its expected output.

use serde_json::{Value, json};

use super::{CommandOutput, same};
use crate::CommandResult;
use crate::interop::peers::Peer;
use crate::interop::routes::{ProtocolEra, Route};

/// A command, whether it must succeed, and a check of its output.
pub(super) struct ServerCheck {
    pub(super) what: &'static str,
    pub(super) command: &'static str,
    pub(super) args: &'static [&'static str],
    pub(super) success: bool,
    /// A command to run before, and one to run after, whose output is checked instead.
    pub(super) before: Option<(&'static str, &'static [&'static str])>,
    pub(super) after: Option<(&'static str, &'static [&'static str])>,
    /// Whether the check applies to this route.
    pub(super) applies: fn(Route) -> bool,
    /// Returns what was found, or what is wrong.
    pub(super) judge: fn(&CommandOutput, &Case<'_>) -> CommandResult<String>,
}

impl ServerCheck {
    /// Whether it is one of the few checks of servers that are slow to start.
    pub(super) fn is_basic(&self) -> bool {
        ["discover", "tools", "call", "call, elicitation"].contains(&self.what)
    }
}

/// The circumstances of a check.
pub(super) struct Case<'a> {
    pub(super) peer: &'a Peer,
    pub(super) era: ProtocolEra,
    pub(super) through_up: bool,
    /// The output of the command that was run before.
    pub(super) before: Value,
}

type JsonCheck = fn(&CommandOutput, &Case<'_>) -> CommandResult<String>;

/// Returns a check of a command that must succeed.
const fn succeeds(
    what: &'static str,
    command: &'static str,
    args: &'static [&'static str],
    judge: JsonCheck,
) -> ServerCheck {
    ServerCheck {
        what,
        command,
        args,
        success: true,
        before: None,
        after: None,
        applies: |_| true,
        judge,
    }
}

/// Returns a check of a command that must fail.
const fn fails(
    what: &'static str,
    command: &'static str,
    args: &'static [&'static str],
    judge: JsonCheck,
) -> ServerCheck {
    ServerCheck {
        what,
        command,
        args,
        success: false,
        before: None,
        after: None,
        applies: |_| true,
        judge,
    }
}

const TOOLS: [&str; 12] = [
    "add",
    "ask_model",
    "book_table",
    "chatter",
    "countdown",
    "echo",
    "fail",
    "nap",
    "post_notice",
    "show_roots",
    "surprise",
    "whoami",
];
const LEVELS: [&str; 8] = [
    "debug",
    "info",
    "notice",
    "warning",
    "error",
    "critical",
    "alert",
    "emergency",
];
const NAPS: (&str, &[&str]) = ("read", &["demo://naps"]);

pub(super) const CHECKS: [ServerCheck; 23] = [
    succeeds("discover", "discover", &[], discovered),
    succeeds("tools", "tools", &[], |found, _| {
        names(&found.value["tools"], &TOOLS)
    }),
    succeeds("tools, one in detail", "tools", &["add"], |found, _| {
        same(
            &found.value["tools"][0]["outputSchema"]["properties"]["sum"]["type"],
            "integer",
        )
    }),
    succeeds(
        "call",
        "call",
        &["echo", "text=grüß \"dich\""],
        |found, _| text(found, "grüß \"dich\""),
    ),
    succeeds(
        "call, structured output",
        "call",
        &["add", "a=2", "b=40"],
        |found, _| same(&found.value["structuredContent"], json!({"sum": 42})),
    ),
    succeeds(
        "call, progress",
        "call",
        &["--verbose", "countdown", "pause_ms=50"],
        progress,
    ),
    succeeds(
        "call, log messages",
        "call",
        &["--log-level", "notice", "chatter"],
        logged,
    ),
    fails(
        "call, tool's own error",
        "call",
        &["fail", "reason=on purpose"],
        |found, _| same(&found.value["isError"], true),
    ),
    succeeds(
        "call, elicitation",
        "call",
        &[
            "--answer",
            "date=2026-08-01",
            "--answer",
            "guests=4",
            "book_table",
            "restaurant=Noma",
        ],
        |found, _| text(found, "A table for 4 at Noma on 2026-08-01, inside."),
    ),
    succeeds(
        "call, elicitation declined",
        "call",
        &["--decline", "book_table", "restaurant=Noma"],
        |found, _| {
            let output = found.value["content"][0]["text"]
                .as_str()
                .unwrap_or_default()
                .to_lowercase();
            if output.starts_with("nothing was booked: decline") {
                Ok(output)
            } else {
                Err(found.value.to_string())
            }
        },
    ),
    succeeds(
        "call, sampling",
        "call",
        &[
            "--sample",
            "It is a colour.",
            "ask_model",
            "question=What is red?",
        ],
        |found, _| text(found, "The model says: It is a colour."),
    ),
    succeeds(
        "call, roots",
        "call",
        &[
            "--root",
            "file:///home/ada/one",
            "--root",
            "file:///home/ada/two",
            "show_roots",
        ],
        |found, _| text(found, "file:///home/ada/one, file:///home/ada/two"),
    ),
    ServerCheck {
        what: "call, cancelled after its time",
        command: "call",
        args: &["--timeout", "500ms", "nap", "seconds=30"],
        success: false,
        before: Some(NAPS),
        after: Some(NAPS),
        // A server that was started for the call exits with it and cannot be queried.
        applies: |route| route != Route::Stdio,
        judge: cancelled,
    },
    succeeds("prompts", "prompts", &[], |found, _| {
        names(&found.value["prompts"], &["explain_demo", "greet"])
    }),
    succeeds(
        "prompt",
        "prompt",
        &["greet", "name=Ada", "tone=formal"],
        |found, _| {
            let output = found.value["messages"][0]["content"]["text"]
                .as_str()
                .unwrap_or_default();
            if output.contains("formal greeting to Ada") {
                Ok(output.to_owned())
            } else {
                Err(found.value.to_string())
            }
        },
    ),
    fails(
        "prompt, unknown prompt",
        "prompt",
        &["no_such_prompt"],
        only_error,
    ),
    succeeds("resources", "resources", &[], |found, _| {
        names(&found.value["resources"], &["naps", "notice"])
    }),
    succeeds("templates", "templates", &[], |found, _| {
        same(
            &found.value["resourceTemplates"][0]["uriTemplate"],
            "demo://capitals/{country}",
        )
    }),
    succeeds("read", "read", &["demo://capitals/norway"], |found, _| {
        same(&found.value["contents"][0]["text"], "Oslo")
    }),
    fails(
        "read, unknown resource",
        "read",
        &["demo://no-such-thing"],
        only_error,
    ),
    succeeds(
        "complete",
        "complete",
        &["greet", "language=F"],
        |found, _| {
            same(
                &found.value["completion"]["values"],
                json!(["Finnish", "French"]),
            )
        },
    ),
    succeeds(
        "listen, list changed",
        "listen",
        &[
            "--timeout",
            "10s",
            "--for",
            "10s",
            "--tools",
            "--count",
            "2",
        ],
        |found, _| {
            listened(
                found,
                json!({"toolsListChanged": true}),
                "notifications/tools/list_changed",
            )
        },
    ),
    succeeds(
        "listen, resource updated",
        "listen",
        &[
            "--timeout",
            "10s",
            "--for",
            "10s",
            "demo://notice",
            "--count",
            "2",
        ],
        |found, _| {
            listened(
                found,
                json!({"resourceSubscriptions": ["demo://notice"]}),
                "notifications/resources/updated",
            )
        },
    ),
];

fn text(found: &CommandOutput, wanted: &str) -> CommandResult<String> {
    same(&found.value["content"][0]["text"], wanted)
}

/// Checks that a list has exactly these entries, in any order.
fn names(list: &Value, wanted: &[&str]) -> CommandResult<String> {
    let list = list.as_array().ok_or("not a list")?;
    let mut found: Vec<&str> = list
        .iter()
        .filter_map(|entry| entry["name"].as_str())
        .collect();
    found.sort_unstable();
    if found == wanted {
        Ok(found.join(", "))
    } else {
        Err(format!("found {found:?}"))
    }
}

/// Checks that the command printed only an error.
fn only_error(found: &CommandOutput, _: &Case<'_>) -> CommandResult<String> {
    same(&found.value, Value::Null)
        .map(|_| crate::interop::clients::last_line(&found.stderr).to_owned())
}

fn discovered(found: &CommandOutput, case: &Case<'_>) -> CommandResult<String> {
    let meta = &found.value["_meta"];
    same(
        &meta["io.modelcontextprotocol/serverInfo"]["name"],
        case.peer.server_name(),
    )?;
    same(&found.value["instructions"], "A server of the interop run.")?;
    // `up` is modern whatever is behind it.
    let modern = case.era == ProtocolEra::Modern || case.through_up;
    let era = &meta["carryall/era"];
    if era["modern"] == json!(modern) {
        Ok(era.to_string())
    } else {
        Err(format!("the era is {era}"))
    }
}

fn progress(found: &CommandOutput, _: &Case<'_>) -> CommandResult<String> {
    text(found, "Counted down from 10.")?;
    let notifications = found
        .stderr
        .lines()
        .filter(|line| line.contains("[progress]"))
        .count();
    let ended = found.stderr.contains("lift-off");
    if notifications == 11 && ended {
        Ok(format!("{notifications} notifications"))
    } else {
        Err(format!(
            "{notifications} notifications; lift-off received: {ended}"
        ))
    }
}

fn logged(found: &CommandOutput, _: &Case<'_>) -> CommandResult<String> {
    text(found, "Said everything there is to say.")?;
    let received = |level: &&&str| {
        found
            .stderr
            .contains(&format!("this is a message of level {level}"))
    };
    let levels: Vec<&str> = LEVELS.iter().filter(received).copied().collect();
    if levels == LEVELS[2..] {
        Ok(levels.join(", "))
    } else {
        Err(format!("found messages of {levels:?}"))
    }
}

fn cancelled(found: &CommandOutput, case: &Case<'_>) -> CommandResult<String> {
    let count = |value: &Value| {
        let text = value["contents"][0]["text"].as_str().unwrap_or_default();
        text.split(' ')
            .next()
            .and_then(|word| word.parse::<u64>().ok())
    };
    match (count(&case.before), count(&found.value)) {
        (Some(before), Some(after)) if after == before + 1 => {
            Ok(format!("{after} naps were interrupted"))
        }
        counts => Err(format!("interrupted naps, before and after: {counts:?}")),
    }
}

fn listened(found: &CommandOutput, filter: Value, method: &str) -> CommandResult<String> {
    same(
        &found.value[0]["method"],
        "notifications/subscriptions/acknowledged",
    )?;
    same(&found.value[0]["params"]["notifications"], filter)?;
    same(&found.value[1]["method"], method)?;
    same(&found.value[2]["method"], method)
}
