//! `carryall` against servers that others wrote.

use serde_json::{Value, json};

use super::clients::last_line;
use super::record::{Record, Result};
use super::software::Software;
use super::ways::{Ended, Target, Way, Ways};
use crate::Outcome;

/// One command, what it must print, and how it must end.
struct Check {
    what: &'static str,
    command: &'static str,
    words: &'static [&'static str],
    success: bool,
    /// Says what it found in the output, or what is wrong with it.
    judge: fn(&Value, &Software) -> Outcome<String>,
}

const CHECKS: [Check; 13] = [
    Check { what: "discover", command: "discover", words: &[], success: true, judge: discovered },
    Check { what: "tools", command: "tools", words: &[], success: true, judge: tools },
    Check {
        what: "tools, one in detail",
        command: "tools",
        words: &["add"],
        success: true,
        judge: |found, _| same(&found["tools"][0]["outputSchema"]["properties"]["sum"]["type"], "integer"),
    },
    Check {
        what: "call",
        command: "call",
        words: &["echo", "text=grüß \"dich\""],
        success: true,
        judge: |found, _| same(&found["content"][0]["text"], "grüß \"dich\""),
    },
    Check {
        what: "call, structured output",
        command: "call",
        words: &["add", "a=2", "b=40"],
        success: true,
        judge: |found, _| same(&found["structuredContent"], json!({"sum": 42})),
    },
    Check {
        what: "call, answered after progress",
        command: "call",
        words: &["count", "to=3"],
        success: true,
        judge: |found, _| same(&found["content"][0]["text"], "counted to 3, told 3 times"),
    },
    Check {
        what: "call, tool's own error",
        command: "call",
        words: &["fail"],
        success: false,
        judge: |found, _| same(&found["isError"], true),
    },
    Check {
        what: "prompts",
        command: "prompts",
        words: &[],
        success: true,
        judge: |found, _| same(&found["prompts"][0]["name"], "greet"),
    },
    Check {
        what: "prompt",
        command: "prompt",
        words: &["greet", "name=Ada"],
        success: true,
        judge: |found, _| same(&found["messages"][0]["content"]["text"], "Greet Ada."),
    },
    Check {
        what: "resources",
        command: "resources",
        words: &[],
        success: true,
        judge: |found, _| same(&found["resources"][0]["uri"], "note://hello"),
    },
    Check { what: "read", command: "read", words: &["note://hello"], success: true, judge: read },
    Check {
        what: "read, unknown resource",
        command: "read",
        words: &["note://nope"],
        success: false,
        judge: |found, _| same(found, Value::Null),
    },
    Check {
        what: "listen, acknowledged and told twice",
        command: "listen",
        words: &["--tools", "--count", "2"],
        success: true,
        judge: listened,
    },
];

pub(super) fn check(ways: &Ways, software: &Software, record: &mut Record) {
    let who = format!("carryall calls a server on the {}", software.name);
    for way in Way::ALL {
        let programs = match &software.programs {
            Ok(programs) => programs,
            Err(why) => {
                CHECKS.iter().for_each(|check| record.add(&who, check.what, way, Result::NotRun(why.clone())));
                continue;
            }
        };
        let (target, running) = match ways.to_theirs(&programs.server, way) {
            Ok(found) => found,
            Err(why) => {
                CHECKS.iter().for_each(|check| record.add(&who, check.what, way, Result::Fail(why.clone())));
                continue;
            }
        };
        for check in &CHECKS {
            let result = match judged(ways, software, check, &target) {
                Ok(says) => Result::Pass(says),
                Err(why) => Result::Fail(why),
            };
            record.add(&who, check.what, way, result);
        }
        if way.path() != "direct" {
            let ends = running.end().map_or_else(Result::Fail, |()| Result::Pass(String::new()));
            record.add(&who, "up ends in good order", way, ends);
        }
    }
}

fn judged(ways: &Ways, software: &Software, check: &Check, target: &Target) -> Outcome<String> {
    let mut words = vec![check.command];
    let command: Vec<&str>;
    match target {
        Target::Url(url) => {
            words.push(url);
            words.extend(check.words);
        }
        Target::Command(given) => {
            command = given.iter().map(String::as_str).collect();
            words.extend(check.words);
            words.push("--");
            words.extend(&command);
        }
    }
    let ended = ways.run(&format!("{}-{}", software.part, check.command), &ways.ours(&words))?;
    let said = last_line(&ended.stderr);
    match ended.success {
        None => return Err(format!("it did not end: {said}")),
        Some(success) if success != check.success => return Err(format!("success: {success}; {said}")),
        Some(_) => {}
    }
    if ended.stdout.trim().is_empty() && !check.success {
        return (check.judge)(&Value::Null, software).map(|_| said.to_owned());
    }
    let values = serde_json::Deserializer::from_str(&ended.stdout).into_iter::<Value>();
    let mut found =
        values.collect::<std::result::Result<Vec<Value>, _>>().map_err(|e| format!("the output is no JSON: {e}"))?;
    // `listen` prints a value for each event; all else prints one.
    let found = if found.len() == 1 { found.remove(0) } else { Value::Array(found) };
    (check.judge)(&found, software)
}

fn discovered(found: &Value, software: &Software) -> Outcome<String> {
    same(&found["_meta"]["io.modelcontextprotocol/serverInfo"]["name"], software.server_name)?;
    let versions = found["supportedVersions"].as_array().ok_or("it names no versions")?;
    if !versions.iter().any(|version| version == "2026-07-28") {
        return Err(format!("it supports {versions:?}"));
    }
    same(&found["instructions"], "A server of the interop run.")
}

fn tools(found: &Value, _: &Software) -> Outcome<String> {
    let tools = found["tools"].as_array().ok_or("there is no list")?;
    let mut names: Vec<&str> = tools.iter().filter_map(|tool| tool["name"].as_str()).collect();
    names.sort_unstable();
    if names == ["add", "count", "echo", "fail"] { Ok(names.join(", ")) } else { Err(format!("found {names:?}")) }
}

fn listened(found: &Value, _: &Software) -> Outcome<String> {
    let methods = ["subscriptions/acknowledged", "tools/list_changed", "tools/list_changed"];
    for (at, method) in methods.iter().enumerate() {
        same(&found[at]["method"], format!("notifications/{method}"))?;
    }
    same(&found[0]["params"]["notifications"], json!({"toolsListChanged": true}))
}

fn read(found: &Value, software: &Software) -> Outcome<String> {
    let from = software.server_name.trim_start_matches("interop-");
    same(&found["contents"][0]["text"], format!("hello from {from}"))
}

pub(super) fn same(found: &Value, wanted: impl Into<Value>) -> Outcome<String> {
    let wanted = wanted.into();
    if *found == wanted { Ok(found.to_string()) } else { Err(format!("{found} instead of {wanted}")) }
}

/// The one value that a command printed which succeeded.
pub(super) fn first(ended: &Ended) -> Outcome<Value> {
    if ended.success != Some(true) {
        return Err(format!("success: {:?}; {}", ended.success, last_line(&ended.stderr)));
    }
    serde_json::from_str(&ended.stdout).map_err(|e| format!("the output is no JSON: {e}"))
}
