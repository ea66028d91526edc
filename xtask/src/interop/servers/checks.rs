//! What is checked of a server: a command of `carryall`, and what it must print.

use serde_json::{Value, json};

use super::{CommandOutput, same};
use crate::CommandResult;
use crate::interop::peers::Peer;
use crate::interop::transports::{ProtocolEra, Transport};

/// One command, how it must end, and what it must print.
pub(super) struct ServerCheck {
    pub(super) what: &'static str,
    pub(super) command: &'static str,
    pub(super) words: &'static [&'static str],
    pub(super) success: bool,
    /// A command that is run first, and one that is run last and judged in the place of the check's
    /// own.
    pub(super) before: Option<(&'static str, &'static [&'static str])>,
    pub(super) after: Option<(&'static str, &'static [&'static str])>,
    /// Whether it can be checked on this way.
    pub(super) where_: fn(Transport) -> bool,
    /// Says what was found, or what is wrong with it.
    pub(super) judge: fn(&CommandOutput, &Case<'_>) -> CommandResult<String>,
}

impl ServerCheck {
    /// Whether it is among the few that are made where each start of the server takes seconds.
    pub(super) fn is_basic(&self) -> bool {
        ["discover", "tools", "call", "call, elicitation"].contains(&self.what)
    }
}

/// What is being checked.
pub(super) struct Case<'a> {
    pub(super) peer: &'a Peer,
    pub(super) era: ProtocolEra,
    pub(super) through_up: bool,
    /// What the command printed that was run first.
    pub(super) before: Value,
}

type JsonCheck = fn(&CommandOutput, &Case<'_>) -> CommandResult<String>;

/// A check of a command that must succeed.
const fn good(
    what: &'static str,
    command: &'static str,
    words: &'static [&'static str],
    judge: JsonCheck,
) -> ServerCheck {
    ServerCheck {
        what,
        command,
        words,
        success: true,
        before: None,
        after: None,
        where_: |_| true,
        judge,
    }
}

/// A check of a command that must fail.
const fn bad(
    what: &'static str,
    command: &'static str,
    words: &'static [&'static str],
    judge: JsonCheck,
) -> ServerCheck {
    ServerCheck {
        what,
        command,
        words,
        success: false,
        before: None,
        after: None,
        where_: |_| true,
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
    good("discover", "discover", &[], discovered),
    good("tools", "tools", &[], |found, _| {
        names(&found.value["tools"], &TOOLS)
    }),
    good("tools, one in detail", "tools", &["add"], |found, _| {
        same(
            &found.value["tools"][0]["outputSchema"]["properties"]["sum"]["type"],
            "integer",
        )
    }),
    good(
        "call",
        "call",
        &["echo", "text=grüß \"dich\""],
        |found, _| text(found, "grüß \"dich\""),
    ),
    good(
        "call, structured output",
        "call",
        &["add", "a=2", "b=40"],
        |found, _| same(&found.value["structuredContent"], json!({"sum": 42})),
    ),
    good(
        "call, progress",
        "call",
        &["--verbose", "countdown", "pause_ms=50"],
        progress,
    ),
    good(
        "call, log messages",
        "call",
        &["--log-level", "notice", "chatter"],
        logged,
    ),
    bad(
        "call, tool's own error",
        "call",
        &["fail", "reason=on purpose"],
        |found, _| same(&found.value["isError"], true),
    ),
    good(
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
    good(
        "call, elicitation declined",
        "call",
        &["--decline", "book_table", "restaurant=Noma"],
        |found, _| {
            let said = found.value["content"][0]["text"]
                .as_str()
                .unwrap_or_default()
                .to_lowercase();
            if said.starts_with("nothing was booked: decline") {
                Ok(said)
            } else {
                Err(found.value.to_string())
            }
        },
    ),
    good(
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
    good(
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
        words: &["--timeout", "500ms", "nap", "seconds=30"],
        success: false,
        before: Some(NAPS),
        after: Some(NAPS),
        // A server that was started for the call ends with it, and tells nobody.
        where_: |way| way != Transport::Stdio,
        judge: cancelled,
    },
    good("prompts", "prompts", &[], |found, _| {
        names(&found.value["prompts"], &["explain_demo", "greet"])
    }),
    good(
        "prompt",
        "prompt",
        &["greet", "name=Ada", "tone=formal"],
        |found, _| {
            let said = found.value["messages"][0]["content"]["text"]
                .as_str()
                .unwrap_or_default();
            if said.contains("formal greeting to Ada") {
                Ok(said.to_owned())
            } else {
                Err(found.value.to_string())
            }
        },
    ),
    bad(
        "prompt, unknown prompt",
        "prompt",
        &["no_such_prompt"],
        nothing,
    ),
    good("resources", "resources", &[], |found, _| {
        names(&found.value["resources"], &["naps", "notice"])
    }),
    good("templates", "templates", &[], |found, _| {
        same(
            &found.value["resourceTemplates"][0]["uriTemplate"],
            "demo://capitals/{country}",
        )
    }),
    good("read", "read", &["demo://capitals/norway"], |found, _| {
        same(&found.value["contents"][0]["text"], "Oslo")
    }),
    bad(
        "read, unknown resource",
        "read",
        &["demo://no-such-thing"],
        nothing,
    ),
    good(
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
    good(
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
    good(
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

/// A list has exactly these entries, in any order.
fn names(list: &Value, wanted: &[&str]) -> CommandResult<String> {
    let list = list.as_array().ok_or("there is no list")?;
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

/// Nothing came of it but an error.
fn nothing(found: &CommandOutput, _: &Case<'_>) -> CommandResult<String> {
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
    // `up` speaks the new era whatever is behind it.
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
    let told = found
        .stderr
        .lines()
        .filter(|line| line.contains("[progress]"))
        .count();
    let ended = found.stderr.contains("lift-off");
    if told == 11 && ended {
        Ok(format!("{told} notifications"))
    } else {
        Err(format!("{told} notifications, the last: {ended}"))
    }
}

fn logged(found: &CommandOutput, _: &Case<'_>) -> CommandResult<String> {
    text(found, "Said everything there is to say.")?;
    let heard = |level: &&&str| {
        found
            .stderr
            .contains(&format!("this is a message of level {level}"))
    };
    let heard: Vec<&str> = LEVELS.iter().filter(heard).copied().collect();
    if heard == LEVELS[2..] {
        Ok(heard.join(", "))
    } else {
        Err(format!("messages of {heard:?}"))
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
            Ok(format!("{after} naps were broken off"))
        }
        counts => Err(format!(
            "naps that were broken off, before and after: {counts:?}"
        )),
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
